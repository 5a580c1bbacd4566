"""Training edits, rendered by all cores at once, and their latents."""

import concurrent.futures
import multiprocessing
import os
import pathlib
import random
import time

import torch

from ..world.edits import Edit, random_edit
from ..world.render import SIZE, render_batch
from ..world.scenes import Scene

SHARES = {"replace": 0.30, "recolour": 0.22, "remove": 0.13, "add": 0.15, "ground": 0.20}
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
    """Latents [N, 4, SIZE / 8, SIZE / 8] of scenes, float16 on the device."""
    rows, printed = [], time.time()
    for start in range(0, len(scenes), batch):
        pictures = render_batch(scenes[start : start + batch], SIZE, device).pictures
        with autocast(device):
            rows.append(autoencoder.taesd_encoder(pictures.contiguous(memory_format=torch.channels_last)).half())
        if say and time.time() - printed > 10:
            printed = time.time()
            print(f"{say}: {start} of {len(scenes)} scenes", flush=True)
    return torch.cat(rows)


def cached_latents(autoencoder, edits: list[Edit], device: torch.device, work: pathlib.Path, name: str) -> torch.Tensor:
    """Latents [edits, 2, 4, S, S] of every edit before and after, cached in a file in ``work``."""
    cache = work / f"{name}.pt"
    if cache.is_file():
        return torch.load(cache, map_location=device)
    scenes = [scene for edit in edits for scene in (edit.before, edit.after)]
    latents = encode_scenes(autoencoder, scenes, device, say=name).unflatten(0, (-1, 2))
    torch.save(latents, cache)
    return latents
