"""Cost of tuning a decoder, and how close the fast method comes to the paper's loop.

``python run.py bench decoder_finetune [--quick]``, or ``python -m benchmarks.decoder_finetune``
with COMFYUI_PATH set.

The plain loop is the paper's: every step runs the whole decoder forward and backward, Adam at 1e-4,
75 steps, no memory savings. It is compared with the node's methods.

- Quality: the demo's TAESD decoder on demo scenes of two things with one of them changed inside the
  mask (latents of source and target joined along the mask): PSNR outside the mask against the
  source and inside it against the first decode, before and after, at the full number of steps.
- Time: the plain loop's step and the method's pass are timed alternately in one run, as medians,
  and multiplied by the number of each; one-time work (recording the decoder, measuring curvature)
  is timed and added. For the demo's decoder, and for one of SD1.5's size with random weights.
- Memory: each method runs two passes in a separate process, with the optimiser's memory filled in
  between; the peak minus the resident memory before (the allocator's own peak on CUDA).
"""

import argparse
import math
import os
import subprocess
import sys
import time

import torch

from lab import common, peaks

from . import kl_autoencoder
from .decoder_bench import DECODERS, SMALL_KL, WAYS, Bench, Prepared


def quality(bench: Bench, options, small_kl: bool = False) -> dict:
    """PSNRs per method, means over the scenes: the demo's TAESD, or the small AutoencoderKL on
    scenes with texture.
    """
    vae, table = kl_autoencoder.load() if small_kl else bench.vae(DECODERS[0]), {}
    make = bench.textured_item if small_kl else bench.item
    items = [make(vae, options.quality_size // (2 if small_kl else 1), seed) for seed in range(options.scenes)]
    for way in options.ways:
        reports = [bench.tune(vae, item, way, options.steps) for item in items]
        table[way] = {
            key: common.mean(report[key] for report in reports)
            for key in ("outside_before", "outside_after", "inside_after", "passes")
        }
        print(f"quality: {way} done", file=sys.stderr, flush=True)
    return table


def times(bench: Bench, name: str, options) -> dict:
    """Per method the seconds of a whole run and their ratio to the plain loop's, from alternating
    passes. Only one other method is prepared at a time.
    """
    vae, table = bench.vae(name), {}
    item = bench.item(vae, options.size, 0)
    plain_way = options.ways[0]
    for way in options.ways[1:]:
        ours, plain = (
            Prepared(bench, vae, item, way, options.steps),
            Prepared(bench, vae, item, plain_way, options.steps),
        )
        for _ in range(options.rounds):
            plain.step()
            ours.step()
        table[way] = {
            "speedup": plain.seconds() / ours.seconds(),
            "seconds": ours.seconds(),
            "plain": plain.seconds(),
            "low_memory": ours.work.memory.kind,
        }
        print(f"time, {name}: {way} {table[way]['speedup']:.2f} x", file=sys.stderr, flush=True)
        ours.work.release()
        plain.work.release()
        del ours, plain
    return table


def peak(name: str, way: str, options) -> float:
    """Peak memory in MiB of two passes in a separate process, minus its resident memory before."""
    arguments = [sys.executable, "-m", "benchmarks.decoder_finetune", "--measure-peak", name, way]
    arguments += ["--size", str(options.size), "--threads", str(options.threads)]
    arguments += ["--checkpoint", options.checkpoint]
    # Freed memory returns to the system at once; otherwise the peak would include the allocator's cache.
    output = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        check=False,
        cwd=common.PACK,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    if output.returncode:
        raise SystemExit(f"benchmark: the memory run of {way} failed:\n{output.stderr[-2000:]}")
    return float(output.stdout.strip().splitlines()[-1])


def measure_peak(name: str, way: str, options) -> None:
    """Print the peak memory of two passes in this process in MiB."""
    bench = Bench(options.threads, options.checkpoint)
    vae = bench.vae(name)
    with torch.inference_mode():
        side = options.size // 8
        latent, picture = (
            torch.randn((1, 4, side, side), generator=torch.Generator().manual_seed(0)),
            torch.rand((1, 3, options.size, options.size)) * 2 - 1,
        )
    mask = torch.zeros(1, 1, options.size, options.size)
    mask[..., : options.size // 2, : options.size // 2] = 1
    item = bench.pictures.Item(latent.clone(), picture.clone(), mask)
    before = torch.cuda.memory_allocated() if torch.cuda.is_available() else peaks.forget_peak()
    ours = Prepared(bench, vae, item, way, 75)
    ours.step()
    ours.fill_memory()
    ours.step()
    after = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peaks.peak_memory()
    print((after - before) / 2**20)


def main(argv: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="pictures of 256 pixels, one scene of 128 pixels, only the plain loop and the default",
    )
    parser.add_argument("--size", type=int, default=512, help="pixels, for time and memory")
    parser.add_argument("--quality-size", type=int, default=256, help="pixels, for PSNR")
    parser.add_argument("--scenes", type=int, default=2, help="scenes for PSNR")
    parser.add_argument("--steps", type=int, default=75, help="the paper's steps")
    parser.add_argument("--rounds", type=int, default=2, help="timed passes of each")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument(
        "--decoders", nargs="+", default=list(DECODERS), help="only decoders whose names contain one of these words"
    )
    parser.add_argument(
        "--ways", nargs="+", help="only ways whose names contain one of these words, besides the plain loop"
    )
    parser.add_argument("--skip", nargs="+", choices=("quality", "time", "memory"), default=[], help="leave parts out")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--json", help="write every number to this file")
    parser.add_argument("--measure-peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.measure_peak:
        name, way = options.measure_peak
        measure_peak(name, way, options)
        return {}
    if options.quick:
        options.size, options.quality_size, options.scenes, options.ways = 256, 128, 1, options.ways or ["default"]
    options.ways = [
        way
        for number, way in enumerate(WAYS)
        if number == 0 or not options.ways or any(word in way for word in options.ways)
    ]
    decoders = [name for name in DECODERS if any(word.lower() in name.lower() for word in options.decoders)]
    started, bench = time.time(), Bench(options.threads, options.checkpoint)
    results: dict[str, dict] = {"quality": {}, "time": {}, "memory": {}}
    if "quality" not in options.skip:
        results["quality"] = quality(bench, options)
        rows = [
            [way, values["passes"], values["outside_before"], values["outside_after"], values["inside_after"]]
            for way, values in results["quality"].items()
        ]
        print(
            f"## PSNR in dB, the demo's TAESD, "
            f"{options.scenes} scenes of {options.quality_size} pixels, {options.steps} steps\n"
        )
        print(
            common.markdown_table(["way", "passes", "outside before", "outside after", "inside after"], rows),
            flush=True,
        )
        results["quality, AutoencoderKL"] = quality(bench, options, small_kl=True)
        rows = [
            [way, *(values[key] for key in ("passes", "outside_before", "outside_after", "inside_after"))]
            for way, values in results["quality, AutoencoderKL"].items()
        ]
        print(f"\n## PSNR in dB, {SMALL_KL}, {options.scenes} scenes of {options.quality_size // 2} pixels\n")
        print(
            common.markdown_table(["way", "passes", "outside before", "outside after", "inside after"], rows),
            flush=True,
        )
    for name in decoders:
        seconds = times(bench, name, options) if "time" not in options.skip else {}
        memory = {way: peak(name, way, options) for way in options.ways} if "memory" not in options.skip else {}
        results["time"][name], results["memory"][name] = seconds, memory
        plain_peak = memory.get(options.ways[0], math.nan)
        rows = [
            [
                way,
                f"{seconds[way]['speedup']:.2f} x" if way in seconds else "1.00 x" if seconds else "-",
                f"{memory[way]:.0f}" if memory else "-",
                f"{memory[way] / plain_peak:.2f} x" if memory else "-",
            ]
            for way in options.ways
        ]
        print(
            f"\n## {name}, {options.size} pixels: "
            f"speed and peak memory against the plain loop of {options.steps} steps\n"
        )
        print(common.markdown_table(["way", "faster", "peak, MiB", "of plain"], rows), flush=True)
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    if options.json:
        settings = {key: value for key, value in vars(options).items() if key not in ("json", "measure_peak")}
        document = {"settings": settings, "versions": common.versions(), **results}
        common.write_json(options.json, document)
    return results


if __name__ == "__main__":
    main()
