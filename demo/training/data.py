"""Training edits, rendered by all cores at once, and their latents."""

import concurrent.futures
import multiprocessing
import os
import pathlib
import random
import time

import torch
import torch.distributed as dist

from ..world.edits import Edit, random_edit
from ..world.render import SIZE, render_batch
from ..world.scenes import Scene
from .loop import Workers

SHARES = {"replace": 0.42, "recolour": 0.20, "remove": 0.12, "add": 0.14, "ground": 0.12}
"""Frequency of each kind of edit in training."""


def training_edit(seed: int, index: int) -> Edit:
    """Edit number ``index`` of a training run."""
    rng = random.Random(f"{seed} edit {index}")
    kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
    return random_edit(rng, kind)


def edits_between(seed: int, first: int, last: int) -> list[Edit]:
    """The edits with numbers from ``first`` up to ``last``, exclusive."""
    return [training_edit(seed, index) for index in range(first, last)]


def draw_edits(seed: int, count: int) -> list[Edit]:
    """The ``count`` edits of a training run."""
    cores = os.cpu_count() or 1
    if cores < 4 or count < 2000:
        return edits_between(seed, 0, count)
    bounds = [count * part // (4 * cores) for part in range(4 * cores + 1)]
    with concurrent.futures.ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        parts = pool.map(edits_between, [seed] * (4 * cores), bounds[:-1], bounds[1:])
        return [edit for part in parts for edit in part]


def autocast(device: torch.device):
    """bfloat16 on devices that are fast at it, float32 elsewhere."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" or has_bfloat16())


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 matrices natively (AMX); otherwise float32 is
    faster.
    """
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


@torch.no_grad()
def encode_scenes(
    autoencoder, scenes: list[Scene], device: torch.device, batch: int = 96, say: str = ""
) -> torch.Tensor:
    """Latents [N, 4, SIZE / 8, SIZE / 8] of scenes, float16 on the device. On a CPU a few pictures
    at a time are encoded, whose activations stay in its cache.
    """
    rows, printed = [], time.time()
    chunk = batch if device.type == "cuda" else 8
    for start in range(0, len(scenes), batch):
        pictures = render_batch(scenes[start : start + batch], SIZE, device).pictures
        with autocast(device):
            for part in pictures.split(chunk):
                rows.append(autoencoder.taesd_encoder(part.contiguous(memory_format=torch.channels_last)).half())
        if say and time.time() - printed > 10:
            printed = time.time()
            print(f"{say}: {start} of {len(scenes)} scenes", flush=True)
    return torch.cat(rows)


def cached_latents(autoencoder, edits: list[Edit], device: torch.device, work: pathlib.Path, workers=Workers()):
    """Latents [edits, 2, 4, S, S] of every edit before and after, cached in files in ``work``: each
    worker encodes its share of the edits.
    """
    bounds = [len(edits) * rank // workers.world for rank in range(workers.world + 1)]
    files = [work / f"latents-{first}-{last}.pt" for first, last in zip(bounds, bounds[1:])]
    mine = files[workers.rank]
    if not mine.is_file():
        part = edits[bounds[workers.rank] : bounds[workers.rank + 1]]
        scenes = [scene for edit in part for scene in (edit.before, edit.after)]
        latents = encode_scenes(autoencoder, scenes, device, say=mine.stem).unflatten(0, (-1, 2))
        torch.save(latents, mine.with_suffix(".new"))
        os.replace(mine.with_suffix(".new"), mine)
    if workers.world > 1:
        dist.barrier()
    return torch.cat([torch.load(file, map_location=device) for file in files])
