"""Every way to restore the background, on the same edits: the comparison of figure 4 of Blended
Latent Diffusion.

``python run.py bench background [--quick]``, or ``python -m benchmarks.background`` with
COMFYUI_PATH set.

LatentBlendSampler replaces or recolours one thing of each demo scene inside the latent cells of the
old and the new thing; the result is decoded and restored by the pack's nodes at their defaults.
Printed, as means over the edits with standard errors:

- outside: PSNR in dB outside the mask against the source (at most 100);
- seam: energy along the mask's border: mean square of the difference between the steps across the
  border in the restored picture and in the source (times 1e4); 0 for the source itself;
- colour shift: mean absolute difference of the mean colours inside the mask from those of the plain
  decode (in 8-bit levels);
- time: as a multiple of a plain decode.
"""

import argparse
import sys
import time

import torch

from lab import common
from lab.records import JsonRecords
from lab.uncertainty import standard_error

from .held_out import HeldOut, draw, make_edits

COLUMNS = ("outside", "seam", "colour shift", "time")
PAPER = "DecoderFinetune, adam (paper)"


def seam_energy(picture: torch.Tensor, source: torch.Tensor, inside: torch.Tensor) -> float:
    """Seam energy of a picture [H, W, C] against its source along the border of ``inside`` [H, W]:
    1e4 times the mean square of the difference between their steps across the border.
    """
    difference, squares = picture - source, []
    for axis in (0, 1):
        step, length = difference.diff(dim=axis), inside.shape[axis]
        across = inside.narrow(axis, 0, length - 1) != inside.narrow(axis, 1, length - 1)
        squares.append(step[across].square().mean(-1))
    steps = torch.cat(squares)
    return 1e4 * steps.mean().item() if steps.numel() else 0.0


def colour_shift(picture: torch.Tensor, plain: torch.Tensor, inside: torch.Tensor) -> float:
    """Mean absolute difference, in 8-bit levels, between the mean colours of two pictures [H, W, C]
    inside a mask.
    """
    return 255 * (picture[inside].mean(0) - plain[inside].mean(0)).abs().mean().item()


class Bench(common.Demo):
    """The methods: functions from a case to an IMAGE [1, H, W, 3]."""

    def __init__(self, settings):
        super().__init__(settings.checkpoint)
        self.settings = settings
        self.methods = {
            "plain decode": lambda case: self.decode(case["latent"]),
            "stitch": lambda case: self.restore(case, "stitch"),
            "poisson": lambda case: self.restore(case, "poisson"),
            "latent optimisation": lambda case: self.restore(case, "latent optimisation"),
            "DecoderFinetune": lambda case: self.tune(case),
            PAPER: lambda case: self.tune(case, optimiser="adam", mixed_precision=False),
            "DecoderFinetune + stitch": lambda case: self.run(
                "BackgroundRestore",
                image=case["image"],
                mask=case["mask"],
                edited=case["restored"]["DecoderFinetune"][0],
                method="stitch",
            )[0],
        }

    def restore(self, case: dict, method: str) -> torch.Tensor:
        """The IMAGE of BackgroundRestore by a method."""
        return self.run(
            "BackgroundRestore",
            image=case["image"],
            mask=case["mask"],
            latent=case["latent"],
            vae=self.vae,
            method=method,
        )[0]

    def tune(self, case: dict, **settings) -> torch.Tensor:
        """The IMAGE of DecoderFinetune."""
        return self.run(
            "DecoderFinetune", vae=self.vae, image=case["image"], latent=case["latent"], mask=case["mask"], **settings
        )[0]

    def case(self, edit: HeldOut) -> dict:
        """The inputs of the methods: source ``image``, ``mask``, edited ``latent``; ``restored``
        collects results by method.
        """
        drawn = draw([edit])
        edited = self.run(
            "LatentBlendSampler",
            model=self.model,
            positive=self.texts(edit.target),
            negative=self.texts(""),
            mask=drawn.either,
            latent=self.encode(drawn.before),
            seed=edit.index,
            steps=self.settings.sampling_steps,
            cfg=4.0,
        )[0]
        return {"image": drawn.before, "mask": drawn.either, "latent": edited, "restored": {}}

    def of_scene(self, index: int) -> dict:
        """The methods that are run on the edit of this number."""
        few = index >= self.settings.paper_scenes
        return {name: run for name, run in self.methods.items() if not (few and name == PAPER)}

    def measure(self, edit: HeldOut) -> list[dict]:
        """One record per method that the edit takes."""
        case, rows, base = self.case(edit), [], 0.0
        plain: torch.Tensor | None = None
        methods = self.of_scene(edit.index)
        inside = case["mask"][0] > 0.5
        self.methods["plain decode"](case)  # the first run of anything is slow
        for method, restore in methods.items():
            started = _now()
            restored = restore(case)
            seconds = _now() - started
            if method == "DecoderFinetune + stitch":
                seconds += case["restored"]["DecoderFinetune"][1]
            case["restored"][method], picture = (restored, seconds), restored[0].float().cpu()
            if plain is None:
                plain, base = picture, seconds
            rows.append(
                {
                    "key": f"{method} {edit.index}",
                    "method": method,
                    "index": edit.index,
                    "outside": common.psnr(picture, case["image"][0], ~inside),
                    "time": seconds / base,
                    "seam": seam_energy(picture, case["image"][0], inside),
                    "colour shift": colour_shift(picture, plain, inside),
                }
            )
        return rows


def _now() -> float:
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


def summarise(rows: list[dict]) -> dict[str, dict]:
    """Means and standard errors of every column per method, and its number of edits."""
    summary: dict[str, dict] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        chosen = [row for row in rows if row["method"] == method]
        summary[method] = {"edits": len(chosen)}
        for column in COLUMNS:
            values = [row[column] for row in chosen]
            summary[method][column] = common.mean(values)
            summary[method][f"{column} error"] = standard_error(values)
    return summary


def report(summary: dict[str, dict]) -> str:
    """The summary as a Markdown table."""
    table = []
    for method, values in summary.items():
        errors = ["" if values["edits"] < 2 else f" +- {values[f'{name} error']:.2f}" for name in COLUMNS[:-1]]
        cells = [f"{values[name]:.2f}{error}" for name, error in zip(COLUMNS, errors)]
        table.append([method, values["edits"], *cells, f"{values['time']:.1f} x"])
    headers = ["method", "edits", "outside, dB", "seam, 1e-4", "colour shift", "time"]
    return common.markdown_table(headers, table)


def main(argv: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=10, help="held-out scenes, one edit each, both kinds in turn")
    parser.add_argument("--paper-scenes", type=int, default=10, help="how many of them the paper's optimiser is run on")
    parser.add_argument("--quick", action="store_true", help="2 scenes, without the paper's optimiser")
    parser.add_argument("--sampling-steps", type=int, default=20, help="steps of LatentBlendSampler")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes")
    parser.add_argument("--json", help="write every number to this file after each edit; a second run continues it")
    settings = parser.parse_args(argv)
    settings.scenes, settings.paper_scenes = (2, 0) if settings.quick else (settings.scenes, settings.paper_scenes)
    if settings.scenes < 1:
        parser.error(f"expected --scenes of at least 1; got {settings.scenes}")
    started, bench = time.time(), Bench(settings)
    records = JsonRecords(settings.json, {"seed": settings.seed, "sampling_steps": settings.sampling_steps})
    for edit in make_edits(settings.scenes, settings.seed):
        if not records.has(*(f"{method} {edit.index}" for method in bench.of_scene(edit.index))):
            records.add(bench.measure(edit))
        print(f"edit {edit.index + 1} of {settings.scenes}", file=sys.stderr, flush=True)
    rows = [row for row in records.rows if row["index"] < settings.scenes]
    summary = summarise(rows)
    print(f"## {settings.scenes} edits of the demo world: outside, along and inside the mask by each method\n")
    print(report(summary))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    records.write(summary=summary)
    return summary


if __name__ == "__main__":
    main()
