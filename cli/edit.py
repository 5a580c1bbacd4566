"""`run.py edit`: edit one image by one of four methods, each a graph of workflows/api."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from PIL import Image

from . import large, overview, photographs, pictures
from .arguments import DEMO_CHECKPOINT
from .client import Result, run_graph
from .console import Problem, deliver, indented, say
from .edit_report import make_report
from .environment import Environment
from .files import ROOT, home_folder
from .graphs import by_title, drop_orphans, is_link, keep_feeders, known_choices, title_of
from .methods import method_graph
from .outputs import EditFolder, read_json, usable_folder
from .run_folder import RunFolder, base_directory
from .server import Server, check_node_types, serving

DEMO_SIZE = 256

Place = tuple[str, str]
"""A node's title and its input."""
COMMON: dict[str, list[Place]] = {"target": [("Target text", "text")]}
SOURCE: dict[str, list[Place]] = {"source": [("Source text", "text")]}
INVERTED: dict[str, list[Place]] = {"strength": [("Invert", "strength")], "steps": [("Invert", "steps")]}
DIFFEDIT: dict[str, list[Place]] = COMMON | SOURCE | INVERTED | {
    "seed": [("Mask", "seed"), ("Edit", "seed")],
    "threshold": [("Mask", "threshold")],
    "steps": [("Invert", "steps"), ("Edit", "steps")],
    "cfg": [("Edit", "cfg")],
}  # fmt: skip
PLACES: dict[str, dict[str, list[Place]]] = {
    "diffedit": DIFFEDIT,
    "diffedit-fast": DIFFEDIT,
    "sdedit": COMMON | {
        "seed": [("Edit", "seed")],
        "strength": [("Edit", "denoise")],
        "steps": [("Edit", "steps")],
        "cfg": [("Edit", "cfg")],
    },
    "encode-decode": COMMON | INVERTED | {"seed": [("Edit", "noise_seed")], "cfg": [("Edit", "cfg")]},
    "edict": COMMON | SOURCE | INVERTED | {"cfg": [("Invert", "cfg"), ("Edit", "cfg")]},
    "directedit": COMMON | SOURCE | INVERTED | {"cfg": [("Edit", "cfg")]},
}  # fmt: skip
"""The node inputs of each setting, by method."""
MASKED = {"mask": (*large.WITH_MASK, "edict", "directedit"), "threshold": large.WITH_MASK}
PICTURES = {"edited.png": "Edited picture", "mask.png": "Save mask", "heatmap.png": "Save heat map"}
OVERVIEW = "overview.png"


@dataclasses.dataclass
class EditSettings:
    """The options of `edit`. None: the value in the method's graph."""

    image: Path
    source: str
    target: str
    checkpoint: str = DEMO_CHECKPOINT
    method: str = "diffedit"
    mask: Path | None = None
    seed: int = 0
    strength: float | None = None
    threshold: float | None = None
    steps: int | None = None
    cfg: float | None = None
    size: int | None = None
    output: Path = Path("semantic-edit-output")
    cpu: bool = False
    whole: bool = False


def edit_command(options: argparse.Namespace, environment: Environment) -> dict[str, Any]:
    settings = edit_settings(options)
    kind, width, height = photographs.kind_and_size(settings.image)
    mask = checked_mask(settings.mask, width / height) if settings.mask else None
    base = base_directory(environment, options)
    name, file = find_checkpoint(settings.checkpoint, base)
    size = settings.size or picture_side(name, file)
    with usable_folder(settings.output):
        inputs = [path for path in (settings.image, settings.mask) if path]
        folder = EditFolder(settings.output, [*PICTURES, OVERVIEW], inputs)
        run = RunFolder(base, checkpoints=file.parent if file and Path(settings.checkpoint).is_file() else None)
        flags = ["--disable-api-nodes", "--disable-all-custom-nodes", "--whitelist-custom-nodes", run.pack_name]
        with serving(environment, base, run, flags, settings.cpu) as server:
            check_checkpoint(server, name)

            def filled(brought: dict[str, str], area: int) -> dict:
                graph = method_graph(settings.method, server.client.node_info)
                fill_edit_graph(graph, settings, name, area, brought)
                check_node_types(server, graph)
                return graph

            if large.is_wanted(settings, width, height, size):
                work = large.Work(server, run, settings, size, filled, fetched)
                graph, result, extra = work.edit(mask, folder)
            else:
                brought = {"image": photographs.bring(settings.image, run, kind)}
                if mask:
                    mask.save(run.input / "mask.png")
                    brought["mask"] = "mask.png"
                graph, extra = filled(brought, size * size), {}
                result = run_graph(server, graph)
                for title, data in fetched(server, graph, result, "edited.png").items():
                    folder.write(title, data)
            share = make_overview(settings, folder, run.input / "small.png")
        places = PLACES[settings.method]
        folder.finish(make_report(server, settings, places, graph, result, name, size, share) | extra)
    covers = "" if share is None else f"; the mask covers {share:.1%} of the image"
    say(f"done in {result.total:.1f} s{covers}")
    for path in folder.files.values():
        deliver(str(path))
    made = {name: str(path) for name, path in folder.files.items()}
    return {
        "files": made,
        "report": str(folder.path(EditFolder.REPORT)),
        "seconds": round(result.total, 3),
        "mask_area_share": share,
    }


def picture_side(name: str, file: Path | None) -> int:
    size = DEMO_SIZE if name == DEMO_CHECKPOINT else pictures.checkpoint_size(file)
    if not size:
        size = pictures.USUAL_SIZE
        say(
            f"the model type of {name} is unknown before it is loaded: using {size} pixels; set another "
            "number with --size"
        )
    return size


def edit_settings(options: argparse.Namespace) -> EditSettings:
    """The options, with the sample image and its texts as defaults."""
    names = {field.name for field in dataclasses.fields(EditSettings)}
    settings = {name: value for name, value in vars(options).items() if name in names and value is not None}
    if options.image is None:
        folder = ROOT / "demo" / "samples"
        sample = read_json(folder / "first.json")
        sample["image"] = folder / sample["picture"]
        settings = {name: value for name, value in sample.items() if name in names} | settings
    examples = {"source": "the text that describes the image", "target": "the text that describes the desired image"}
    for name, meaning in examples.items():
        if name in PLACES[options.method] and name not in settings:
            raise Problem(f'--{name} is missing: with --image, give {meaning}, such as --{name} "a bowl of oranges".')
    for name, methods in MASKED.items():
        if getattr(options, name) is not None and options.method not in methods:
            raise Problem(f"--{name} can only be used with --method {' or '.join(methods)}, not {options.method}.")
    return EditSettings(**{"source": ""} | settings)


def checked_mask(path: Path, aspect: float) -> Image.Image:
    mask = pictures.read_mask(path)
    width, height = mask.size
    same = [
        abs(ratio / aspect - 1) <= 0.02 for ratio in (width / height, height / width)
    ]  # a photo may be stored turned
    if not any(same):
        raise Problem(
            f"--mask {path} has {width} x {height} pixels, which is another aspect ratio than that of the image. Use "
            "a mask of the same size as the image."
        )
    if not mask.getbbox():
        raise Problem(f"--mask {path} is empty; expected white or transparent pixels where the image may change.")
    return mask


def find_checkpoint(given: str, base: Path) -> tuple[str, Path | None]:
    """(ComfyUI's name of a checkpoint, its file if it can be found from here)."""
    file = Path(given).expanduser()
    if file.is_file():
        return file.name, file.absolute()
    if file.exists():
        pictures.check_file(file)
    places = [
        base / "models" / "checkpoints",
        home_folder() / "models" / "checkpoints",
        ROOT / "models" / "checkpoints",
    ]
    return given, next((folder / given for folder in places if (folder / given).is_file()), None)


def check_checkpoint(server: Server, name: str) -> None:
    known = known_choices(server.client.node_info("CheckpointLoaderSimple"), "ckpt_name")
    if name not in known and name.replace("/", os.sep) not in known:
        raise Problem(
            f"--checkpoint {name} is neither a file nor a checkpoint that ComfyUI knows. It knows: "
            f"{', '.join(known) or 'none'}."
        )


# -- the graph -----------------------------------------------------------------------------------


def fill_edit_graph(graph: dict, settings: EditSettings, checkpoint: str, area: int, brought: dict[str, str]) -> None:
    by_title(graph, "Model")[1]["inputs"]["ckpt_name"] = checkpoint
    by_title(graph, "Image")[1]["inputs"]["image"] = brought["image"]
    by_title(graph, "Size")[1]["inputs"]["megapixels"] = area / 1024**2
    for name, places in PLACES[settings.method].items():
        value = getattr(settings, name)
        for title, key in places:
            if value is not None:
                by_title(graph, title)[1]["inputs"][key] = value
    if "mask" in brought:
        use_given_mask(graph, brought["mask"])


def titled(kind: str, title: str, **inputs: Any) -> dict:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}


def use_given_mask(graph: dict, picture: str) -> None:
    """Replace DiffEdit's mask node by the given mask, and remove the nodes that only it needs or
    that show the heat map. EDICT's sampler gets the mask, and the source's pixels are restored
    outside it.
    """
    graph["given-mask"] = titled("LoadImageMask", "Given mask", image=picture, channel="red")
    if "Mask" not in map(title_of, graph.values()):
        by_title(graph, "Edit")[1]["inputs"]["mask"] = ["given-mask", 0]
        keep_background(graph)
        graph["mask-picture"] = titled("MaskToImage", "Mask picture", mask=["given-mask", 0])
        saved = {"images": ["mask-picture", 0], "filename_prefix": "semantic-edit/mask"}
        graph["save-mask"] = titled("SaveImage", PICTURES["mask.png"], **saved)
        return
    mask_id, mask = by_title(graph, "Mask")
    del graph[mask_id]
    fed = {"samples": mask["inputs"]["latent"], "mask": ["given-mask", 0]}
    graph["masked-latent"] = titled("SetLatentNoiseMask", "Masked latent", **fed)
    replacement = {0: ["given-mask", 0], 2: ["masked-latent", 0]}
    for node in graph.values():
        for name, value in node["inputs"].items():
            if is_link(value) and value[0] == mask_id and value[1] in replacement:
                node["inputs"][name] = replacement[value[1]]
    drop_orphans(graph)
    keep_feeders(graph, [key for key, node in graph.items() if title_of(node) in PICTURES.values()])


def keep_background(graph: dict) -> None:
    """Insert BackgroundRestore before the saved image, as in the graphs of the masked methods."""
    saved = by_title(graph, PICTURES["edited.png"])[1]["inputs"]
    fed = {"image": [by_title(graph, "Size")[0], 0], "mask": ["given-mask", 0], "edited": saved["images"]}
    numbers = {"feather": 0, "steps": 75, "learning_rate": 0.1, "background_weight": 100.0}
    graph["keep"] = titled("BackgroundRestore", "Keep", method="stitch", **numbers, **fed)
    saved["images"] = ["keep", 0]


# -- results -------------------------------------------------------------------------------------


def fetched(server: Server, graph: dict, result: Result, needed: str) -> dict[str, bytes]:
    """The saved images by name.

    Raises:
        Problem: ``needed`` is not among them.
    """
    ids = {title_of(node) or "": key for key, node in graph.items()}
    pictures = {}
    for name, title in PICTURES.items():
        files = result.outputs.get(ids.get(title, ""), {}).get("images", [])
        if files:
            pictures[name] = server.client.view(files[0])
    if needed not in pictures:
        last = indented(server.log_lines()[-10:])
        what = "edited image" if needed == "edited.png" else "mask"
        raise Problem(f"ComfyUI ran the graph but returned no {what}. Its last lines:\n{last}")
    return pictures


def make_overview(settings: EditSettings, folder: EditFolder, small: Path) -> float | None:
    """Write overview.png with all images below the method's texts, and return the fraction of the
    image that the mask covers, or None. ``small``: the file of the reduced source, if it exists.
    """
    labels = {"heatmap.png": "heat map", "mask.png": "mask", "edited.png": "edited"}
    made = folder.files
    panels = [("source", small if small.exists() else settings.image)] + [
        (label, made[name]) for name, label in labels.items() if name in made
    ]
    sentences = [(name, getattr(settings, name)) for name in ("source", "target") if name in PLACES[settings.method]]
    folder.write(OVERVIEW, pictures.as_png(overview.overview(panels, made["edited.png"], sentences)))
    return pictures.covered_share(made["mask.png"]) if "mask.png" in made else None
