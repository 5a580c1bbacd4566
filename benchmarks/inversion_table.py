"""Which inversion to use: cost, exactness, noise and edits of each on the demo scenes.

``python run.py bench inversion_table [--quick]``, or ``python -m benchmarks.inversion_table`` with
COMFYUI_PATH set.

Every method inverts the same held-out scenes under the source's caption and samples back twice with
the pack's nodes: under the same caption and guidance (the round trip) and under the target's (the
edit). Steps, strength, scheduler and noise levels are equal for all. Printed, as means over the
scenes:

- evaluations: network evaluations of one picture for inverting and editing it, unconditional ones
  included;
- error: the relative error of the round trip in model space, before any rounding to a LATENT;
- same picture: PSNR in dB of the decoded round trip against the VAE's own reconstruction (at most
  100);
- noise std: standard deviation of the inverted noise over the noise level; noise has about 1;
- background: PSNR in dB of the edit outside the true mask against the VAE's own reconstruction;
- accepted: share of edits that the judge accepts (thing, colour and ground are those of the target,
  nothing else);
- in place: the same, and the thing is where it was in the source.

DiffEdit is included for comparison: its inversion is DDIM's under the empty text, and its mask
keeps the background.
"""

import argparse
import math
import sys
import time

import torch

from lab import common
from lab.compute import add_dtype, compute_in
from lab.records import JsonRecords
from lab.uncertainty import share_text, standard_error

from .held_out import HeldOut, draw, groups, judged, make_edits

COLUMNS = ("scenes", "evaluations", "error", "same picture", "noise std", "background", "accepted", "in place")
SHOWN = (*COLUMNS[:-2], "background error", *COLUMNS[-2:])
"""Printed columns: ``accepted`` with its 95 % interval, ``background error`` the standard error."""


class Case:
    """A batch of edits with the inputs that the methods share."""

    def __init__(self, bench: "Bench", edits: list[HeldOut]):
        self.edits, self.drawn = edits, draw(edits)
        self.latent = bench.encode(self.drawn.before) | {"batch_index": [edit.index for edit in edits]}
        self.source = bench.texts(*(edit.source for edit in edits))
        self.target, self.empty = bench.texts(*(edit.target for edit in edits)), bench.texts("")
        self.base = bench.decode(self.latent)


class Bench(common.Demo):
    """The methods: functions from a case to a dict with the LATENT ``edit``, the ``evaluations`` of
    all items together and, if they invert, the LATENT ``back`` and lists of ``error`` and ``std``
    per item.
    """

    def __init__(self, settings):
        super().__init__(settings.checkpoint)
        self.settings, self.costs = settings, {}
        self.evaluations = common.Evaluations(compute_in(self.model, settings.dtype))
        self.model = self.evaluations.model
        self.schedule = {"steps": settings.steps, "strength": settings.strength, "scheduler": "normal"}
        self.sampler = self.run("KSamplerSelect", sampler_name="ddim")[0]
        up, direct = settings.cfg, {"method": "DirectEdit"}
        self.methods = {
            "DDIM, unguided inversion": lambda case: self.ddim(case, 1.0, 0),
            "DDIM, guided inversion": lambda case: self.ddim(case, up, 0),
            "DDIM, unguided, 2 refinements": lambda case: self.ddim(case, 1.0, 2),
            "DDIM, guided, 2 refinements": lambda case: self.ddim(case, up, 2),
            "EDICT": lambda case: self.edict(case, up),
            "EDICT, unguided inversion": lambda case: self.edict(case, 1.0),
            "O-BELM": lambda case: self.exact(case, "ExactInvert", up, method="O-BELM"),
            "O-BELM, unguided inversion": lambda case: self.exact(case, "ExactInvert", 1.0, method="O-BELM"),
            "BDIA": lambda case: self.exact(case, "ExactInvert", up, method="BDIA"),
            "DirectEdit": lambda case: self.exact(case, "ExactInvert", up, **direct),
            "DirectEdit, unguided inversion": lambda case: self.exact(case, "ExactInvert", 1.0, **direct),
            "DirectEdit, edit at twice the cfg": lambda case: self.exact(case, "ExactInvert", up, 2 * up, **direct),
            "edit-friendly DDPM": lambda case: self.exact(case, "EditFriendlyInvert", up, seed=settings.seed),
            "FlowEdit (no inversion)": self.flow_edit,
            "DiffEdit (with its mask)": self.diffedit,
        }

    def counted(self, name: str, **inputs):
        """A node's outputs and its number of evaluations."""
        self.evaluations.take()
        outputs = self.run(name, model=self.model, **inputs)
        return outputs, self.evaluations.take()

    def inverted(self, label: str, case: Case, name: str, **inputs):
        """A node's outputs with the round trip measured, and the number of evaluations of the
        inversion alone (counted on the first case).
        """
        inputs |= {"negative": case.empty, "latent": case.latent, **self.schedule}
        if label not in self.costs:
            self.costs[label] = self.counted(name, **inputs)[1] / len(case.edits)
        return self.run(name, model=self.model, measure_error=True, **inputs), self.costs[label] * len(case.edits)

    def ddim(self, case: Case, cfg: float, refinements: int) -> dict:
        (noised, inversion, _, sigmas), up = self.inverted(
            f"DDIM {cfg} {refinements}", case, "DDIMInvert", conditioning=case.source, cfg=cfg, refinements=refinements
        )
        shared = dict(
            add_noise=False, noise_seed=0, negative=case.empty, sampler=self.sampler, sigmas=sigmas, latent_image=noised
        )
        back = self.run("SamplerCustom", model=self.model, positive=case.source, cfg=cfg, **shared)[0]
        (edit, _), down = self.counted("SamplerCustom", positive=case.target, cfg=self.settings.cfg, **shared)
        return {
            "back": back,
            "edit": edit,
            "error": inversion.error,
            "std": _spread(inversion.noise, sigmas),
            "evaluations": up + down,
        }

    def edict(self, case: Case, up: float) -> dict:
        (pair, _, sigmas), cost = self.inverted(f"EDICT {up}", case, "EDICTInvert", source=case.source, cfg=up)
        shared = dict(negative=case.empty, pair=pair)
        back = self.run("EDICTSampler", model=self.model, target=case.source, cfg=up, **shared)[0]
        (edit,), spent = self.counted("EDICTSampler", target=case.target, cfg=self.settings.cfg, **shared)
        return {
            "back": back,
            "edit": edit,
            "error": pair.error,
            "std": _spread(pair.states[0, 0], sigmas),
            "evaluations": cost + spent,
        }

    def exact(self, case: Case, node: str, up: float, down: float | None = None, **settings) -> dict:
        """Invert at guidance ``up`` and edit at ``down``; None: that of the settings."""
        down = self.settings.cfg if down is None else down
        label = f"{node} {up} {settings}"
        (inversion, *_), cost = self.inverted(label, case, node, source=case.source, cfg=up, **settings)
        shared = dict(negative=case.empty, inversion=inversion)
        back = self.run("ExactSampler", model=self.model, target=case.source, cfg=up, **shared)[0]
        (edit,), spent = self.counted("ExactSampler", target=case.target, cfg=down, **shared)
        return {
            "back": back,
            "edit": edit,
            "error": inversion.error,
            "std": _spread(inversion.states[0], inversion.sigmas),
            "evaluations": cost + spent,
        }

    def flow_edit(self, case: Case) -> dict:
        (edit,), spent = self.counted(
            "FlowEdit",
            source=case.source,
            target=case.target,
            negative=case.empty,
            latent=case.latent,
            seed=self.settings.seed,
            source_cfg=self.settings.cfg,
            target_cfg=self.settings.cfg,
            **self.schedule,
        )
        return {"edit": edit, "evaluations": spent}

    def diffedit(self, case: Case) -> dict:
        (_, _, masked), for_mask = self.counted(
            "DiffEditMask", source=case.source, target=case.target, latent=case.latent, seed=self.settings.seed
        )
        (_, inversion, _, sigmas), up = self.counted(
            "DDIMInvert", conditioning=case.empty, latent=case.latent, **self.schedule
        )
        (edit,), down = self.counted(
            "LatentBlendSampler",
            positive=case.target,
            negative=case.empty,
            latent=masked,
            inversion=inversion,
            cfg=self.settings.cfg,
        )
        return {"edit": edit, "std": _spread(inversion.noise, sigmas), "evaluations": for_mask + up + down}

    def measure(self, edits: list[HeldOut], records: JsonRecords) -> None:
        """Add a record per edit and method, for the methods that these edits lack."""
        missing = {
            method: run
            for method, run in self.methods.items()
            if not records.has(*(f"{method} {edit.index}" for edit in edits))
        }
        if not missing:
            return
        case = Case(self, edits)
        for method, run in missing.items():
            result = run(case)
            back = self.decode(result["back"]) if "back" in result else None
            outcomes = judged(self.decode(result["edit"]), case.base, edits, case.drawn.either)
            records.add(
                [
                    {
                        "key": f"{method} {edit.index}",
                        "method": method,
                        "index": edit.index,
                        "kind": edit.kind,
                        "evaluations": result["evaluations"] / len(edits),
                        "error": result["error"][k] if "error" in result else math.nan,
                        "noise std": result["std"][k] if "std" in result else math.nan,
                        "same picture": math.nan if back is None else common.psnr(back[k], case.base[k]),
                        **outcomes[k],
                    }
                    for k, edit in enumerate(edits)
                ]
            )


def _spread(noise: torch.Tensor, sigmas: torch.Tensor) -> list[float]:
    """Standard deviation of each item's inverted noise over the noise level."""
    return [float(item.std() / sigmas[0]) for item in noise]


def summarise(rows: list[dict], methods) -> dict[str, dict[str, float]]:
    """Means of every column per method, in the order of ``methods``."""
    summary = {}
    for method in methods:
        chosen = [row for row in rows if row["method"] == method]
        means = {column: common.mean(row[column] for row in chosen) for column in COLUMNS if column != "scenes"}
        error = standard_error([row["background"] for row in chosen])
        summary[method] = means | {"scenes": len(chosen), "background error": error}
    return summary


def report(summary: dict[str, dict[str, float]], settings) -> str:
    formats = {
        "scenes": "{:.0f}",
        "evaluations": "{:.0f}",
        "error": "{:.1e}",
        "same picture": "{:.1f}",
        "noise std": "{:.2f}",
        "background": "{:.1f}",
        "background error": "{:.1f}",
        "in place": "{:.0%}",
    }
    rows = []
    for method, values in summary.items():
        texts = {name: "-" if math.isnan(values[name]) else form.format(values[name]) for name, form in formats.items()}
        texts["accepted"] = share_text(values["accepted"], int(values["scenes"]))
        rows.append([method, *(texts[name] for name in SHOWN)])
    return "\n".join(
        [
            f"## Held-out scenes, {settings.steps}-step schedule, strength {settings.strength:g}, cfg {settings.cfg:g}",
            "",
            common.markdown_table(["method", *SHOWN], rows),
        ]
    )


def main(argv: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100, help="held-out scenes, one edit each, both kinds in turn")
    parser.add_argument("--quick", action="store_true", help="10 scenes")
    parser.add_argument("--steps", type=int, default=50, help="steps of the whole schedule")
    parser.add_argument("--strength", type=float, default=0.8, help="share of the schedule that is inverted")
    parser.add_argument(
        "--cfg", type=float, default=3.0, help="guidance of guided inversions and of all edits (EDICT's paper uses 3)"
    )
    parser.add_argument("--methods", nargs="+", help="only methods whose names contain one of these words")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and noises")
    parser.add_argument("--batch", type=int, default=5, help="edits at a time")
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    settings = parser.parse_args(argv)
    settings.scenes = 10 if settings.quick else settings.scenes
    if min(settings.scenes, settings.batch, settings.steps) < 1 or not 0 < settings.strength <= 1:
        given = f"got {settings.scenes}, {settings.batch}, {settings.steps} and {settings.strength:g}"
        parser.error(f"expected --scenes, --batch and --steps of at least 1 and --strength in 0..1; {given}")
    started, bench = time.time(), Bench(settings)
    if settings.methods:
        chosen = [name for name in bench.methods if any(word.lower() in name.lower() for word in settings.methods)]
        bench.methods = {name: bench.methods[name] for name in chosen}
    records = JsonRecords(settings.json, {name: getattr(settings, name) for name in SAME})
    edits = make_edits(settings.scenes, settings.seed)
    try:
        for group in groups(edits, settings.batch):
            bench.measure(group, records)
            print(f"scene {group[-1].index + 1} of {len(edits)}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        if not records.rows:
            raise
        print("stopped; the table has the scenes that were finished", file=sys.stderr)
    rows = [row for row in records.rows if row["index"] < settings.scenes]
    summary = summarise(rows, [method for method in bench.methods if any(row["method"] == method for row in rows)])
    print(report(summary, settings))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    records.write(summary=summary)
    return summary


SAME = ("steps", "strength", "cfg", "seed", "dtype")
"""Settings that must not change for a run to resume from a file."""


if __name__ == "__main__":
    main()
