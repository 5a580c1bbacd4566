"""The pack's workflows as graphs to change and run, with the demo model and scenes of its world in place of SD1.5 and photographs."""
import json
import pathlib
import sys

import torch

PACK = pathlib.Path(__file__).resolve().parents[2]
WORKFLOWS = PACK / "workflows"
CHECKPOINT = "semantic-edit-demo.safetensors"


def read(name: str, form: str = "") -> dict:
    return json.loads((WORKFLOWS / form / f"{name}.json").read_text(encoding="utf-8"))


def demo_modules():
    """The demo's scenes and judge, which import each other by bare name."""
    if str(PACK / "demo") not in sys.path:
        sys.path.append(str(PACK / "demo"))
    import judge
    import scenes
    return scenes, judge


def easy_scene():
    """A scene and its edit: the circle's colour changes, nothing else."""
    scenes, _ = demo_modules()
    before = scenes.Scene((scenes.Shape("circle", "red", 0.42, 0.45, 0.25, 0.0),), "green", 0.7, 0.12)
    after = scenes.Scene((scenes.Shape("circle", "yellow", 0.42, 0.45, 0.25, 0.0),), "green", 0.7, 0.12)
    return before, after


class Graph:
    """An API graph whose nodes are found by title."""

    def __init__(self, name: str):
        self.nodes = read(name, "api")
        self.ids = {node["_meta"]["title"]: key for key, node in self.nodes.items()}

    def __getitem__(self, title: str) -> dict:
        return self.nodes[self.ids[title]]["inputs"]

    def add(self, title: str, kind: str, **inputs) -> None:
        self.ids[title] = f"test-{len(self.nodes)}"
        self.nodes[self.ids[title]] = {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}


def demo_graph(name: str, steps: int = 50) -> Graph:
    """A workflow with the demo model and the easy scene in place of SD1.5 and a photo, and a way to see what the VAE alone does to the picture."""
    scenes, _ = demo_modules()
    before, after = easy_scene()
    graph = Graph(name)
    graph["Model"]["ckpt_name"], graph["Image"]["image"] = CHECKPOINT, "scene.png"
    graph["Size"]["megapixels"] = scenes.SIZE ** 2 / 1024 ** 2
    if "Target text" in graph.ids:
        graph["Target text"]["text"] = scenes.caption(after)
    if "Source text" in graph.ids:
        graph["Source text"]["text"] = scenes.caption(before)
    for title in ("Invert", "Edit"):
        if title in graph.ids and "steps" in graph[title]:
            graph[title]["steps"] = steps
    graph.add("There and back", "VAEDecode", samples=[graph.ids["Encode"], 0], vae=[graph.ids["Model"], 2])
    graph.add("Reconstruction", "SaveImage", images=[graph.ids["There and back"], 0], filename_prefix="reconstruction")
    return graph


def psnr(one: torch.Tensor, other: torch.Tensor, where: torch.Tensor) -> float:
    """In dB over the pixels [H, W] that are set."""
    return float(-10 * torch.log10((one - other)[:, where].square().mean().clamp_min(1e-10)))
