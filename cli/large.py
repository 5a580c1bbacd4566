"""`run.py edit` on images larger than the working size: the mask is computed on the reduced image,
its surroundings are edited at the working size, and the edit is inserted into the photograph at the
bit depth of its file. Outside the mask the file's values do not change.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import sys
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from . import photographs
from .client import Result, run_graph
from .console import Problem, say
from .files import ROOT
from .graphs import keep_feeders, title_of
from .outputs import EditFolder
from .pictures import as_png

LARGER = 1.05
"""Minimum ratio of an image's pixels to those of the working size for editing by a crop."""
CONTEXT, MULTIPLE, FEATHER = 2.0, 16, 16
"""Side of a crop relative to that of its mask; the number of which its sides are multiples; width
of the soft edge inside the mask in pixels.
"""

WITH_MASK = ("diffedit", "diffedit-fast")
"""Methods that compute a mask from the two texts."""


def is_wanted(settings: Any, width: int, height: int, size: int) -> bool:
    """Whether an image is edited by a crop: it is larger than the working size, there is a mask,
    and --whole was not given.
    """
    masked = settings.method in WITH_MASK or settings.mask is not None
    return masked and not settings.whole and width * height > LARGER * size * size


def windows() -> ModuleType:
    """core's module for planning crops, loaded from its file, because the package `nodes` may be
    ComfyUI's in this process.
    """
    name = "semantic_edit_windows"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "nodes" / "core" / "pictures" / "windows.py")
        assert spec
        assert spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


class Work:
    """The steps of one edit. ``filled(brought, area)`` returns the method's graph for images of
    ``area`` pixels, ``fetched(server, graph, result, needed)`` the saved images by name.
    """

    def __init__(self, server, run, settings, size: int, filled, fetched):
        self.server, self.run, self.settings, self.size = server, run, settings, size
        self.filled, self.fetched, self.seconds = filled, fetched, 0.0
        self.photo = photographs.in_colour(photographs.read(settings.image))
        if self.photo.note:
            say(f"{settings.image}: {self.photo.note}")

    def edit(self, mask: Image.Image | None, folder: EditFolder) -> tuple[dict, Result, dict]:
        """Edit, and write the images; returns the graph, the result, and additions to the
        report.
        """
        height, width = self.photo.pixels.shape[:2]
        small = self.run.input / "small.png"
        small.write_bytes(photographs.small_png(self.photo, self.size**2))
        marked = self.given(mask) if mask else self.found(folder)
        box = bounding_box(marked)
        if box is None:
            raise Problem(
                "the mask is empty, so nothing would change: lower --threshold, or use texts that differ more."
            )
        plan = windows()
        [window], working = plan.plan([plan.Window(*box)], (height, width), CONTEXT, self.size, MULTIPLE)
        say(f"editing {window.width} x {window.height} pixels of {width} x {height} at {working[1]} x {working[0]}")
        graph, result = self.edit_crop(marked, window, working)
        data = self.fetched(self.server, graph, result, "edited.png")["edited.png"]
        edited = Image.open(io.BytesIO(data)).convert("RGB")
        stitch(self.photo.pixels, marked, window, edited)
        folder.write("edited.png", self.photo.png())
        folder.write("mask.png", as_png(Image.fromarray(marked.astype(np.uint8) * 255)))
        result.total += self.seconds
        crop = dataclasses.asdict(window) | {"edited_at": [working[1], working[0]], "bits": self.photo.depth}
        return graph, result, {"crop": crop}

    def given(self, mask: Image.Image) -> np.ndarray:
        """A mask at the size of the photograph, [height, width] bool."""
        height, width = self.photo.pixels.shape[:2]
        turned = (mask.width < mask.height) != (width < height) and mask.width != mask.height
        mask = mask.transpose(Image.Transpose.ROTATE_270) if turned else mask
        return np.asarray(mask.resize((width, height), Image.Resampling.BILINEAR)) > 127

    def found(self, folder: EditFolder) -> np.ndarray:
        """DiffEdit's mask of the reduced image, at the size of the photograph. Writes the heat
        map.
        """
        graph = self.filled({"image": "small.png"}, self.size**2)
        ends = ("Save mask", "Save heat map")
        keep_feeders(graph, [key for key, node in graph.items() if title_of(node) in ends])
        result = run_graph(self.server, graph)
        self.seconds = result.total
        made = self.fetched(self.server, graph, result, "mask.png")
        if "heatmap.png" in made:
            folder.write("heatmap.png", made["heatmap.png"])
        return self.given(Image.open(io.BytesIO(made["mask.png"])).convert("L"))

    def edit_crop(self, marked: np.ndarray, window, working: tuple[int, int]) -> tuple[dict, Result]:
        """Run the method on the crop, inside its mask."""
        size = (working[1], working[0])
        crop = self.photo.rgb8(*window.index).resize(size, Image.Resampling.LANCZOS)
        crop.save(self.run.input / "crop.png")
        part = Image.fromarray(marked[window.index].astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
        part.point(lambda value: 255 if value else 0).save(self.run.input / "mask.png")
        graph = self.filled({"image": "crop.png", "mask": "mask.png"}, working[0] * working[1])
        return graph, run_graph(self.server, graph)


def bounding_box(marked: np.ndarray) -> tuple[int, int, int, int] | None:
    """(top, left, height, width) of the set pixels; None if there are none."""
    rows, columns = (np.flatnonzero(marked.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


def stitch(pixels: np.ndarray, marked: np.ndarray, window, edited: Image.Image) -> None:
    """Insert an edited crop into [height, width, channels] in place, with a soft edge inside the
    mask. Values outside it do not change.
    """
    part, inside = pixels[window.index], marked[window.index]
    share = soft_edge(inside)[..., None]
    scale = np.iinfo(pixels.dtype).max / 255
    size = (window.width, window.height)
    planes = [plane.convert("F").resize(size, Image.Resampling.BICUBIC) for plane in edited.split()]
    wanted = np.stack([np.asarray(plane) for plane in planes], axis=2).clip(0, 255) * scale
    mixed = part[..., :3] + share * (wanted - part[..., :3])
    part[..., :3] = np.where(share > 0, np.round(mixed).astype(pixels.dtype), part[..., :3])


def soft_edge(inside: np.ndarray) -> np.ndarray:
    """The weight of the edit [height, width] in 0..1: 0 outside the mask, rising to 1 over FEATHER
    pixels inside its edge, or over fewer pixels if the mask is thin.
    """
    from scipy.ndimage import distance_transform_edt

    distance = distance_transform_edt(np.pad(inside, 1, mode="edge"))[1:-1, 1:-1]
    width = max(1.0, min(FEATHER, distance.max() / 2))
    share = (distance / width).clip(0, 1)
    return share * share * (3 - 2 * share)
