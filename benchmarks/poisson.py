"""Poisson blending by our multigrid-preconditioned conjugate gradients, and by scipy's sparse LU:
seconds and peak memory.

``python run.py bench poisson [--sizes 512 1024]``. A disc of nine tenths of the picture's width,
three channels, one thread; each run is a separate process. *memory* is the growth of the process's
peak during the solution. *difference*: the largest between the two solutions, with levels in 0..1.
"""

import argparse
import subprocess
import sys
import time

import numpy as np
import torch

from lab import common, peaks

WAYS = ("ours", "scipy")


def case(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random levels [3, size, size] and the mask [size, size] of the unknowns."""
    axis = torch.arange(size) - size / 2
    level = torch.rand(3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return level, axis[:, None].square() + axis[None].square() < (0.45 * size) ** 2


def by_scipy(level: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """The membrane by a direct solver, natural boundary conditions at the picture's border."""
    import scipy.sparse
    import scipy.sparse.linalg

    free, count = inside.numpy(), int(inside.sum())
    (height, width), index = free.shape, np.full(free.shape, -1)
    index[free] = np.arange(count)
    known, degree = level.numpy() * ~free, np.zeros(free.shape)
    right, rows, columns = np.zeros_like(known), [], []
    for down, along in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        inner = (slice(max(0, -down), height - max(0, down)), slice(max(0, -along), width - max(0, along)))
        there = (slice(max(0, down), height - max(0, -down)), slice(max(0, along), width - max(0, -along)))
        degree[inner] += 1
        right[(slice(None), *inner)] += known[(slice(None), *there)]
        both = free[inner] & free[there]
        rows.append(index[inner][both])
        columns.append(index[there][both])
    off = np.concatenate(rows), np.concatenate(columns)
    diagonal = np.arange(count)
    places = tuple(np.concatenate([part, diagonal]) for part in off)
    matrix = scipy.sparse.csc_matrix(
        (np.concatenate([-np.ones(len(off[0])), degree[free]]), places), shape=(count, count)
    )
    solver, result = scipy.sparse.linalg.splu(matrix), known.copy()
    for channel in range(len(result)):
        result[channel][free] = solver.solve(right[channel][free])
    return torch.from_numpy(result)


def solve(way: str, size: int) -> torch.Tensor:
    """The solution [3, size, size] of the case by one of ``WAYS``."""
    return (common.pack_module("core.pictures.poisson").membrane if way == "ours" else by_scipy)(*case(size))


def measure(way: str, size: int) -> None:
    """Print seconds and MiB of one run."""
    import scipy.sparse.linalg  # noqa: F401 (imported before the measurement)

    torch.set_num_threads(1)
    solve(way, 16)
    before, started = peaks.peak_memory(), time.perf_counter()
    solve(way, size)
    seconds = time.perf_counter() - started
    print(f"{seconds:.2f} {(peaks.peak_memory() - before) / 2**20:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--one", nargs=2, metavar=("WAY", "SIZE"), help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.one:
        measure(settings.one[0], int(settings.one[1]))
        return
    difference = float((solve("ours", 128) - solve("scipy", 128)).abs().max())
    print(
        f"difference at 128 pixels: {difference:.0e}\n\n"
        "| pixels | way   | seconds | memory (MiB) |\n|-------:|-------|--------:|-------------:|"
    )
    for size in settings.sizes:
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.poisson", "--one", way, str(size)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=common.PACK)
            seconds, memory = done.stdout.split()
            print(f"| {size:6} | {way:5} | {seconds:>7} | {memory:>12} |", flush=True)


if __name__ == "__main__":
    main()
