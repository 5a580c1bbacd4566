"""One worker: ComfyUI with the pack and the model, and the three stages of an edit.

Stages of several rows overlap: while one row is edited, the next is read and the previous one is
measured and encoded. Both engines call :meth:`Worker.process` from several threads.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from .. import pictures
from ..console import Problem
from ..edit import PICTURES as TITLES
from ..edit import checked_mask
from .arguments import SETTINGS
from .comfy import Comfy, RowError
from .plan import FILES, WORKFLOW, Plan
from .rows import Row, safe_name

OVERLAP = 3
"""Number of rows that one worker processes at once, one in each stage."""
EDITED, MASK = TITLES["edited.png"], TITLES["mask.png"]
CHUNK = "semantic-edit-batch"
"""Name of the text chunk of an image that contains its row. After a crash between writing the image
and its line, the journal is repaired from it.
"""
MEASURES = (
    *(f"{name}_{side}" for side in ("outside", "inside") for name in ("psnr", "ssim", "mse", "lpips")),
    "clip_whole",
    "clip_inside",
)
"""The first outputs of Edit Metrics, in their order."""


@dataclasses.dataclass
class Outcome:
    """The result of a row: its record, and its files by their path in the run's folder. The edit
    itself is the last file.
    """

    key: str
    record: dict[str, Any]
    files: list[tuple[str, bytes]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Loaded:
    """The images of a row: bytes and file name extension by column."""

    files: dict[str, tuple[bytes, str]]
    seconds: float = 0.0


def failed(row: Row, stage: str, reason: str, **more: Any) -> Outcome:
    record = {"key": row.key, "id": row.id, "row": row.number, "row_digest": row.digest(), "status": "failed"}
    return Outcome(row.key, record | {"stage": stage, "reason": reason} | more)


def load(plan: Plan, row: Row) -> Loaded:
    """Read the images of a row and check that each can be decoded.

    Raises:
        RowError: a missing file, a file that is not an image, or a mask that does not fit.
    """
    began, files = time.perf_counter(), {}
    try:
        for column, path in plan.files(row).items():
            if column == "mask" and plan.template(row) != WORKFLOW:
                continue
            kind, width, height = pictures.picture_size(path)
            files[column] = (path.read_bytes(), kind)
        mask = plan.values(row).get("mask")
        if mask is not None and plan.template(row) != WORKFLOW:
            files["mask"] = (pictures.as_png(checked_mask(plan.path(mask), width / height)), "png")
    except Problem as problem:
        raise RowError("read", str(problem).replace("--mask ", "the mask ")) from problem
    except OSError as error:
        raise RowError("read", f"{error}") from error
    return Loaded(files, time.perf_counter() - began)


class Worker:
    """ComfyUI in this process for one plan. `folder` contains its input, temp and output
    folders.
    """

    def __init__(self, plan: Plan, folder: Path, comfy: Comfy | None = None):
        self.plan = plan
        self.comfy = comfy or Comfy(plan.place, folder)
        self.comfy.provide({node["class_type"] for graph in plan.templates.values() for node in graph.values()})
        self.clip = {}
        if plan.clip_model:
            self.clip = {"clip_rank_model": self.comfy.call("CLIPRankModelLoader", folder=plan.clip_model)[0]}

    def process(self, row: Row, loaded: Loaded | None = None) -> Outcome:
        """All three stages of a checked row. A row that fails gives an outcome as well.

        Args:
            loaded: its images, if they were read already.
        """
        began = time.perf_counter()
        try:
            loaded = loaded or load(self.plan, row)
            edit_began = time.perf_counter()
            kept, seconds = self.edit(row, loaded)
            finish_began = time.perf_counter()
            return self.finish(row, loaded, kept, {"edit": seconds, "waited": finish_began - edit_began - seconds})
        except RowError as error:
            return failed(row, error.stage, error.reason, seconds_total=time.perf_counter() - began)
        except MemoryError:
            return failed(row, "edit", "out of memory")
        except Exception as error:
            return failed(row, "worker", f"{type(error).__name__}: {error}")

    # -- stages ---

    def edit(self, row: Row, loaded: Loaded) -> tuple[dict[str, Any], float]:
        """The saved images by title, IMAGEs [N, H, W, C] on the CPU, and ComfyUI's seconds."""
        brought = {}
        try:
            for column, (data, kind) in loaded.files.items():
                brought[column] = f"{row.key}-{column if column in FILES else safe_name(column)}.{kind}"
                (self.comfy.input / brought[column]).write_bytes(data)
            graph = self.plan.graph(row, brought)
            kept, seconds = self.comfy.run(graph)
        finally:
            for name in brought.values():
                (self.comfy.input / name).unlink(missing_ok=True)
        return {title: images.cpu() for title, images in kept.items()}, seconds

    def finish(self, row: Row, loaded: Loaded, kept: dict[str, Any], seconds: dict[str, float]) -> Outcome:
        """Measure and encode."""
        began = time.perf_counter()
        title = self.result_of(kept)
        edited = [as_pixels(image) for image in kept.pop(title)]
        mask = mask_of(kept.get(MASK), loaded)
        shard = self.plan.shard(row)
        files = [(f"masks/{shard}{row.key}.png", encoded(as_pixels(kept[MASK][0])))] if MASK in kept else []
        kept.pop(MASK, None)
        for other, images in kept.items():
            files += [(f"others/{safe_name(other)}/{shard}{name}", encoded(as_pixels(image)))
                      for name, image in zip(names(row.key, len(images)), images)]  # fmt: skip
        more = [*zip(names(row.key, len(edited)), edited)][1:]
        files += [(f"pictures/{shard}{name}", encoded(image)) for name, image in more]
        values, left_out = self.measure(row, loaded, np.stack(edited), mask)
        record = self.describe(row, loaded, edited) | values | {"left_out": left_out}
        record |= {"others": [name for name, _ in files]}
        total = loaded.seconds + seconds["edit"] + time.perf_counter() - began
        times = {"read": loaded.seconds, **seconds, "finish": time.perf_counter() - began, "total": total}
        record |= {f"seconds_{name}": round(value, 4) for name, value in times.items()}
        data = encoded(edited[0], {"fingerprint": self.plan.fingerprint, "record": record})
        return Outcome(row.key, record, [*files, (record["picture"], data)])

    def result_of(self, kept: dict[str, Any]) -> str:
        """The title of the node that saved the edit."""
        wanted = self.plan.result or EDITED
        others = [title for title in kept if title != MASK]
        if wanted in kept:
            return wanted
        if not self.plan.result and len(others) == 1:
            return others[0]
        names = ", ".join(map(repr, kept)) or "no SaveImage"
        raise RowError("edit", f"the workflow saved {names}; --result names the node that saves the edit")

    def measure(self, row: Row, loaded: Loaded, edited: np.ndarray, mask: np.ndarray | None) -> tuple[dict, str]:
        """Metrics by name, None for those that could not be measured, and the reasons.

        Args:
            edited: uint8 [N, H, W, 3], as it is saved.
            mask: float [H, W] in 0..1; None measures the whole image as inside.
        """
        empty: dict[str, float | None] = dict.fromkeys(MEASURES)
        source = source_of(loaded, edited.shape[2], edited.shape[1])
        if source is None:
            return empty, "the row has no image to compare with"
        import torch

        inside = np.ones(edited.shape[1:3], np.float32) if mask is None else mask
        tensors = {"source": source, "edited": edited.astype(np.float32) / 255, "mask": inside[None]}
        given = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in tensors.items()}
        text = str(self.plan.values(row).get("target", ""))
        settings = {"convention": self.plan.convention, "lpips": self.plan.lpips, "text": text}
        try:
            if self.clip:  # ComfyUI moves the CLIP to the device, like the model of the edit
                with self.comfy.lock:
                    values = self.comfy.call("EditMetrics", **given, **settings, **self.clip)
            else:
                values = self.comfy.call("EditMetrics", **given, **settings)
        except ValueError as error:
            return empty, str(error)
        why = json.loads(values[-1]).get("left_out", {})
        numbers = {name: None if math.isnan(value) else value for name, value in zip(MEASURES, values)}
        return numbers, "; ".join(f"{name}: {reason}" for name, reason in why.items() if name != "mask_iou")

    def describe(self, row: Row, loaded: Loaded, edited: list[np.ndarray]) -> dict[str, Any]:
        plan, values = self.plan, self.plan.values(row)
        digest = hashlib.sha256()
        for image in edited:
            digest.update(image.tobytes())
        used = {name: values.get(name) for name in ("source", "target", "checkpoint", *SETTINGS)}
        pictures_of_it = {
            f"{name}_sha256": hashlib.sha256(data).hexdigest() for name, (data, _) in loaded.files.items()
        }
        return {
            "key": row.key,
            "id": row.id,
            "row": row.number,
            "row_digest": row.digest(),
            "status": "done",
            "picture": f"pictures/{plan.shard(row)}{row.key}.png",
            "pictures": len(edited),
            "width": edited[0].shape[1],
            "height": edited[0].shape[0],
            "method": plan.template(row),
            **used,
            "pixels_sha256": digest.hexdigest(),
            **pictures_of_it,
        }


# -- pictures --------------------------------------------------------------------------------------


def names(key: str, count: int) -> list[str]:
    return [f"{key}.png", *(f"{key}-{number}.png" for number in range(2, count + 1))]


def as_pixels(image: Any) -> np.ndarray:
    """An IMAGE [H, W, C] as uint8, exactly as ComfyUI's SaveImage rounds it."""
    return np.clip(255.0 * image.numpy(), 0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, row: dict | None = None) -> bytes:
    """A PNG; `row` is written into it as JSON."""
    information, data = PngInfo(), io.BytesIO()
    if row is not None:
        information.add_text(CHUNK, json.dumps(row))
    Image.fromarray(pixels).save(data, "PNG", pnginfo=information, compress_level=4)
    return data.getvalue()


def mask_of(saved: Any, loaded: Loaded) -> np.ndarray | None:
    """The mask as float [H, W] in 0..1: that of the workflow, else that of the row, else None."""
    if saved is not None:
        return saved[0].numpy().mean(-1)
    if "mask" not in loaded.files:
        return None
    with Image.open(io.BytesIO(loaded.files["mask"][0])) as file:
        return np.asarray(file.convert("L"), np.float32) / 255


def source_of(loaded: Loaded, width: int, height: int) -> np.ndarray | None:
    """The row's image as float [1, H, W, 3] in 0..1 at the edit's size; None if it has none."""
    column = "image" if "image" in loaded.files else next((name for name in loaded.files if name != "mask"), None)
    if column is None:
        return None
    with Image.open(io.BytesIO(loaded.files[column][0])) as file:
        picture = ImageOps.exif_transpose(file).convert("RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture, np.float32)[None] / 255
