"""The pack's workflows as graphs to change and run, with the model and scenes of shapes, whose
geometry is exact, in place of the demo's.
"""

import json

import torch
from shapes import judge, scenes

from lab import common
from tools import templates

PACK = common.PACK
WORKFLOWS = PACK / "workflows"
CHECKPOINT = "semantic-edit-shapes.safetensors"

TITLES = {workflow.key: workflow.title for workflow in templates.WORKFLOWS}
"""File names of the editor's form by file names of the server's form."""


def read(name: str, form: str = "") -> dict:
    """A workflow by its key: the editor's form, or the server's (``form="api"``)."""
    place = WORKFLOWS / "api" / f"{name}.json" if form == "api" else WORKFLOWS / f"{TITLES[name]}.json"
    return json.loads(place.read_text(encoding="utf-8"))


def shape_modules():
    """The shapes' scenes and judge."""
    return scenes, judge


def scene(*objects: tuple, ground: str = "green"):
    """A scene of shapes: objects (kind, colour, x, y, size, angle) on a ground, always in
    the same light.
    """
    return scenes.Scene(tuple(scenes.Shape(*item) for item in objects), ground, 0.7, 0.12)


def picture_of(what) -> torch.Tensor:
    """A scene's picture [3, H, W] in 0..1."""
    return scenes.render(what)[0]


def easy_scene():
    """A scene and its edit: only the circle's colour changes."""
    return scene(("circle", "red", 0.42, 0.45, 0.25, 0.0)), scene(("circle", "yellow", 0.42, 0.45, 0.25, 0.0))


def disc(x: float, y: float, radius: float) -> torch.Tensor:
    """A painted mask [H, W]: a disc, in shares of the picture's side."""
    return (scenes.coverage(scenes.Shape("circle", "red", x, y, radius, 0.0)) > 0.5).float()


def ring(x: float, y: float, radius: float) -> torch.Tensor:
    """A thin painted line [H, W]: a circle."""
    size = scenes.SIZE
    axis = (torch.arange(size) + 0.5) / size
    return ((torch.hypot(axis[:, None] - y, axis[None] - x) - radius).abs() < 0.03).float()


class Graph:
    """An API graph whose nodes are found by title."""

    def __init__(self, name: str):
        self.nodes = read(name, "api")
        self.ids = {node["_meta"]["title"]: key for key, node in self.nodes.items()}

    def __getitem__(self, title: str) -> dict:
        return self.nodes[self.ids[title]]["inputs"]

    def fill(self, picture: str, side: int, texts: dict[str, str], widgets: dict[str, dict]) -> None:
        """Set the shapes' model, a picture of ComfyUI's input folder, its side in pixels, and texts
        and widgets by title (for the nodes that exist).
        """
        self["Model"]["ckpt_name"], self["Image"]["image"] = CHECKPOINT, picture
        self["Size"]["megapixels"] = side**2 / 1024**2
        for title in texts.keys() & self.ids.keys():
            self[title]["text"] = texts[title]
        for title, changes in widgets.items():
            self[title].update(changes)

    def add_reconstruction(self) -> None:
        """Add previews "Reconstruction", the picture through the VAE alone, and "Decoded", the edit
        before the source's pixels are restored.
        """
        self.add("There and back", "VAEDecode", samples=[self.ids["Encode"], 0], vae=[self.ids["Model"], 2])
        self.add(
            "Reconstruction", "SaveImage", images=[self.ids["There and back"], 0], filename_prefix="reconstruction"
        )
        if "Keep" in self.ids and "Decode" in self.ids:
            self.add("Decoded", "SaveImage", images=[self.ids["Decode"], 0], filename_prefix="decoded")

    def add(self, title: str, kind: str, **inputs) -> None:
        self.ids[title] = f"test-{len(self.nodes)}"
        self.nodes[self.ids[title]] = {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}


def shapes_graph(name: str, steps: int = 50) -> Graph:
    """A workflow with the shapes' model and the easy scene in place of its own, and a preview of
    the VAE's reconstruction.
    """
    before, after = easy_scene()
    graph = Graph(name)
    graph.fill(
        "scene.png", scenes.SIZE, {"Target text": scenes.caption(after), "Source text": scenes.caption(before)}, {}
    )
    if "Mask" in graph.ids:  # latents of 16 x 16 cells: a margin of two would cover most of the picture
        graph["Mask"].update(smoothing=0.0, grow=0)
    for title in ("Invert", "Edit"):
        if title in graph.ids and "steps" in graph[title]:
            graph[title]["steps"] = steps
    graph.add_reconstruction()
    return graph


def psnr(one: torch.Tensor, other: torch.Tensor, where: torch.Tensor) -> float:
    """PSNR in dB of two pictures [3, H, W] over the set pixels of ``where`` [H, W]."""
    return common.psnr(one.movedim(0, -1), other.movedim(0, -1), where)
