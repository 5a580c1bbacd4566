"""Edit Crop and Edit Stitch on large photographs: what stays bit for bit, memory and time, against
the way over the whole picture.

``python run.py bench photograph_crops FOLDER``. The photographs of 12 megapixels and more in
FOLDER, and the largest of them enlarged to 48 (Lanczos). In a mask of 800 x 600 pixels the picture
is inverted, without a model, so that the nodes alone are measured. The way over the whole picture
scales it to the area of 1024 x 1024 pixels, scales the edit up and puts the source back outside the
mask (Background Restore). Each row is measured in a process of its own:

- *crop*: sides of the window around the mask, in pixels of the photograph;
- *growth*: peak memory over that before the nodes, result included;
- *outside the crop*, *in the crop*: whether all pixels outside the crop, and those in it outside
  the mask, have the source's bits.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from lab import common, peaks, photographs

LEAST, ENLARGED = 12e6, 48e6
"""Pixels of a large photograph, and of the enlarged one."""
SIZES = (512, 1024, 2048)
WHOLE = 1024
HOLE = (600, 800)
"""Height and width of the mask in pixels."""


def load(path: pathlib.Path, enlarged: bool) -> torch.Tensor:
    """A photograph (IMAGE) at its own pixels or at ``ENLARGED``."""
    picture = photographs.upright(path)
    if enlarged:
        factor = (ENLARGED / (picture.width * picture.height)) ** 0.5
        size = (round(factor * picture.width), round(factor * picture.height))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture)).float().div_(255)[None]


def hole(image: torch.Tensor) -> torch.Tensor:
    """The mask (MASK), in the middle."""
    height, width = image.shape[1:3]
    mask = torch.zeros(1, height, width)
    top, left = (height - HOLE[0]) // 2, (width - HOLE[1]) // 2
    mask[:, top : top + HOLE[0], left : left + HOLE[1]] = 1
    return mask


def by_crop(nodes: dict, image: torch.Tensor, mask: torch.Tensor, size: int) -> tuple[torch.Tensor, tuple]:
    """The edited picture, and the crop's (top, bottom, left, right)."""
    crops, _, crop = common.call(nodes["EditCrop"], image=image, mask=mask, size=size)
    edited = common.call(nodes["EditStitch"], crop=crop, edited=1 - crops)[0]
    window = crop.places[0].window
    return edited, (window.top, window.top + window.height, window.left, window.left + window.width)


def by_whole(nodes: dict, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The edited picture by way of the whole one at ``WHOLE``."""
    height, width = image.shape[1:3]
    factor = WHOLE / (height * width) ** 0.5
    small = F.interpolate(
        image.movedim(-1, 1), (round(factor * height), round(factor * width)), mode="bilinear", antialias=True
    )
    large = F.interpolate(1 - small, (height, width), mode="bicubic").movedim(1, -1).clamp(0, 1)
    return common.call(nodes["BackgroundRestore"], image=image, mask=mask, method="stitch", edited=large)[0]


def measure(path: pathlib.Path, enlarged: bool, size: int) -> dict:
    """One row; a ``size`` of 0 is the way over the whole picture."""
    nodes = common.load_pack()
    image = load(path, enlarged)
    height, width = image.shape[1:3]
    mask, window = hole(image), (0, height, 0, width)
    before, started = peaks.forget_peak(), time.process_time()
    if size:
        edited, window = by_crop(nodes, image, mask, size)
    else:
        edited = by_whole(nodes, image, mask)
    seconds, growth = time.process_time() - started, (peaks.peak_memory() - before) / 2**20
    same = (edited == image).all(-1)[0]
    inner = torch.zeros_like(same)
    inner[window[0] : window[1], window[2] : window[3]] = True
    return {
        "photograph": path.stem.split("_by_")[0] + (", enlarged" if enlarged else ""),
        "megapixels": height * width / 1e6,
        "way": f"crop at {size}" if size else "whole picture",
        "crop": [window[3] - window[2], window[1] - window[0]],
        "picture": image.numel() * 4 / 2**20,
        "growth": growth,
        "seconds": seconds,
        "outside the crop": bool(same[~inner].all()) if size else None,
        "in the crop": bool(same[inner & (mask[0] == 0)].all()),
        "changed in the mask": float((~same[mask[0] > 0]).float().mean()),
    }


def jobs(folder: str) -> list[tuple[pathlib.Path, bool, int]]:
    """Photograph, whether it is enlarged, and size of each row.

    Raises:
        SystemExit: no photograph is large enough.
    """
    areas = {}
    for path in photographs.photographs_of(folder):
        with Image.open(path) as opened:
            areas[path] = opened.width * opened.height
    large = sorted((path for path in areas if areas[path] >= LEAST), key=lambda path: areas[path])
    if not large:
        raise SystemExit(f"{folder} has no photograph of {LEAST / 1e6:.0f} megapixels; the largest has "
                         f"{max(areas.values()) / 1e6:.1f}.")  # fmt: skip
    return [(path, False, size) for path in large for size in (WHOLE, 0)] + [
        (large[-1], True, size) for size in (*SIZES, 0)
    ]


def table(rows: list[dict]) -> str:
    """The rows in Markdown."""
    answers = {True: "bit-equal", False: "differs", None: "-"}
    heads = ["photograph", "megapixels", "picture (MiB)", "way", "crop", "growth (MiB)", "CPU seconds"]
    cells = []
    for row in rows:
        size = "x".join(str(side) for side in row["crop"])
        numbers = (f"{row['megapixels']:.1f}", f"{row['picture']:.0f}", row["way"], size)
        spent = (f"{row['growth']:.0f}", f"{row['seconds']:.1f}")
        places = (answers[row["outside the crop"]], answers[row["in the crop"]])
        cells.append((row["photograph"], *numbers, *spent, *places))
    return common.markdown_table([*heads, "outside the crop", "in the crop, outside the mask"], cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a folder of photographs")
    parser.add_argument("--one", nargs=2, type=int, metavar=("ENLARGED", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        print(json.dumps(measure(pathlib.Path(options.folder), bool(options.one[0]), options.one[1])))
        return
    rows = []
    for path, enlarged, size in jobs(options.folder):
        command = [
            sys.executable,
            "-m",
            "benchmarks.photograph_crops",
            str(path),
            "--one",
            str(int(enlarged)),
            str(size),
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=common.PACK)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
