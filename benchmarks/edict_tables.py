"""EDICT's own tables (Wallace et al. 2023): error of a picture after inversion and sampling back,
and effect of the mixing weight.

``python run.py bench edict_tables [--quick]``, or ``python -m benchmarks.edict_tables`` with
COMFYUI_PATH set.

- reconstruction: held-out scenes of the demo world inverted under their captions and sampled back
  under the same text and guidance, by DDIM without guidance, by DDIM with guidance, and by EDICT.
  Printed: evaluations of both directions, relative error of the latent, mean squared error of the
  picture (times 1000) against the VAE's own reconstruction and against the source. The VAE alone is
  the lower limit.
- mixing: the scenes of held-out edits inverted and edited with several weights p. Printed: standard
  deviation of the inverted noise over the noise level (noise has 1), drift (norm of the difference
  of both sequences over that of the first), the share that the judge accepts, and PSNR in dB
  outside the thing against the VAE's own reconstruction.
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable
from typing import Any

from lab import common
from lab.compute import add_dtype, compute_in
from lab.records import JsonRecords
from lab.uncertainty import share_text, standard_error

from .held_out import HeldOut, draw, groups, judged, make_edits

GUIDANCES = (3.0, 7.0)
MIXINGS = (0.8, 0.9, 0.93, 0.97, 1.0)


class Bench(common.Demo):
    """Both tables through the pack's nodes, a few scenes at a time."""

    def __init__(self, settings):
        super().__init__(settings.checkpoint)
        self.settings, self.evaluations = settings, common.Evaluations(compute_in(self.model, settings.dtype))
        self.model = self.evaluations.model
        self.sampler = self.run("KSamplerSelect", sampler_name="ddim")[0]

    def begin(self, edits: list[HeldOut]) -> None:
        """Draw and encode the edits on which the other methods work."""
        self.edits, self.drawn = edits, draw(edits)
        self.latent = self.encode(self.drawn.before) | {"batch_index": [edit.index for edit in edits]}
        self.source, self.target = (
            self.texts(*(getattr(edit, name) for edit in edits)) for name in ("source", "target")
        )
        self.empty, self.base = self.texts(""), self.decode(self.latent)
        self.evaluations.take()

    def schedule(self, strength: float) -> dict:
        """Inputs of the inversion nodes: steps, strength, scheduler and latent."""
        return {"steps": self.settings.steps, "strength": strength, "scheduler": "normal", "latent": self.latent}

    def ddim(self, cfg: float) -> dict:
        """The LATENT of a DDIM inversion and sampling under the source's caption."""
        inputs = {"conditioning": self.source, "negative": self.empty, "cfg": cfg}
        noised, _, _, sigmas = self.run("DDIMInvert", model=self.model, **inputs, **self.schedule(1.0))
        texts = {"positive": self.source, "negative": self.empty, "cfg": cfg}
        start = {"add_noise": False, "noise_seed": 0, "latent_image": noised}
        levels = {"sampler": self.sampler, "sigmas": sigmas}
        return self.run("SamplerCustom", model=self.model, **texts, **start, **levels)[0]

    def pair(self, cfg: float, strength: float, **more):
        """EDICTInvert's outputs under the source's caption."""
        inputs = {"source": self.source, "negative": self.empty, "cfg": cfg}
        return self.run("EDICTInvert", model=self.model, **inputs, **more, **self.schedule(strength))

    def leave(self, pair, target, cfg: float) -> dict:
        """The LATENT of EDICTSampler for a pair."""
        return self.run("EDICTSampler", model=self.model, target=target, negative=self.empty, pair=pair, cfg=cfg)[0]

    def round_trip(self, cfg: float) -> dict:
        """The LATENT of an EDICT inversion and sampling under the source's caption."""
        return self.leave(self.pair(cfg, 1.0)[0], self.source, cfg)

    def reconstructions(self) -> list[dict]:
        """One record per way and scene."""
        ways: dict[str, Callable[[], dict]] = {
            "VAE alone": lambda: self.latent,
            "DDIM, no guidance": lambda: self.ddim(1.0),
        }
        for cfg in GUIDANCES:
            ways[f"DDIM, guidance {cfg:g}"] = functools.partial(self.ddim, cfg)
        for cfg in (1.0, *GUIDANCES):
            name = f"EDICT, guidance {cfg:g}" if cfg > 1 else "EDICT, no guidance"
            ways[name] = functools.partial(self.round_trip, cfg)
        rows, wanted = [], self.latent["samples"]
        for way, run in ways.items():
            self.evaluations.take()
            latent = run()
            spent, pictures = self.evaluations.take() / len(self.edits), self.decode(latent)
            for place, edit in enumerate(self.edits):
                difference = latent["samples"][place] - wanted[place]
                row = {"key": f"{way} {edit.index}", "part": "reconstruction", "way": way, "evaluations": spent}
                row["error"] = float(difference.norm() / wanted[place].norm())
                for name, base in (("to vae", self.base), ("to source", self.drawn.before)):
                    row[name] = 1000 * float((pictures[place] - base[place]).square().mean())
                rows.append(row)
        return rows

    def mixings(self) -> list[dict]:
        """One record per weight and edit."""
        rows = []
        for mixing in self.settings.mixings:
            pair, _, sigmas = self.pair(self.settings.cfg, self.settings.strength, mixing=mixing)
            made = self.decode(self.leave(pair, self.target, self.settings.cfg))
            apart = common.pack_module("core.sampling.edict").drift(pair.at(0, pair.states))
            outcomes = judged(made, self.base, self.edits, self.drawn.either)
            for place, edit in enumerate(self.edits):
                row: dict[str, Any] = {"key": f"mixing {mixing:g} {edit.index}", "part": "mixing", "way": f"{mixing:g}"}
                noise = pair.states[0, 0][place]
                row |= {"std": float(noise.std() / sigmas[0]), "drift": apart[place]}
                rows.append(row | outcomes[place])
        return rows


def of(rows: list[dict], way: str, name: str) -> list[float]:
    """A column of the records of one way."""
    return [row[name] for row in rows if row["way"] == way]


def reconstruction_table(rows: list[dict]) -> str:
    """Markdown: means per way, MSE with standard errors."""
    table = []
    for way in dict.fromkeys(row["way"] for row in rows):
        line = [way, f"{common.mean(of(rows, way, 'evaluations')):.0f}", f"{common.mean(of(rows, way, 'error')):.1e}"]
        for name in ("to vae", "to source"):
            values = of(rows, way, name)
            line.append(f"{common.mean(values):.2f} +- {standard_error(values):.2f}")
        table.append(line)
    headers = ["way", "evaluations", "error of the latent", "MSE x 1000 to the VAE's", "MSE x 1000 to the source"]
    return common.markdown_table(headers, table)


def mixing_table(rows: list[dict]) -> str:
    """Markdown: means per weight, the accepted share with its 95 % interval."""
    table = []
    for way in dict.fromkeys(row["way"] for row in rows):
        accepted, background = of(rows, way, "accepted"), of(rows, way, "background")
        table.append(
            [
                way,
                f"{common.mean(of(rows, way, 'std')):.2f}",
                f"{common.mean(of(rows, way, 'drift')):.3f}",
                share_text(common.mean(accepted), len(accepted)),
                f"{common.mean(background):.1f} +- {standard_error(background):.1f}",
            ]
        )
    return common.markdown_table(["p", "noise std", "drift", "accepted", "background, dB"], table)


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20, help="held-out scenes for reconstruction")
    parser.add_argument("--edits", type=int, default=40, help="held-out edits for mixing")
    parser.add_argument("--quick", action="store_true", help="2 scenes and 2 edits at 5 steps")
    parser.add_argument("--steps", type=int, default=50, help="steps of the whole schedule")
    parser.add_argument("--strength", type=float, default=0.8, help="for mixing; reconstruction uses all steps")
    parser.add_argument("--cfg", type=float, default=3.0, help="guidance of both directions for mixing")
    parser.add_argument("--mixings", type=float, nargs="+", default=MIXINGS)
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes")
    parser.add_argument("--batch", type=int, default=4, help="scenes at a time")
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    settings = parser.parse_args(argv)
    if settings.quick:
        settings.scenes, settings.edits, settings.steps = 2, 2, 5
    if min(settings.scenes, settings.edits) < 0 or min(settings.steps, settings.batch) < 1:
        parser.error("expected counts of scenes and edits, and --steps and --batch of at least 1")
    started, bench = time.time(), Bench(settings)
    same = ("steps", "strength", "cfg", "seed", "dtype")
    records = JsonRecords(settings.json, {name: getattr(settings, name) for name in same})
    probes = {"reconstruction": "VAE alone {}", "mixing": f"mixing {settings.mixings[-1]:g} {{}}"}
    work = {"reconstruction": (settings.scenes, bench.reconstructions), "mixing": (settings.edits, bench.mixings)}
    for part, (count, measure) in work.items():
        for group in groups(make_edits(count, settings.seed), settings.batch):
            if not records.has(*(probes[part].format(edit.index) for edit in group)):
                bench.begin(group)
                records.add(measure())
            print(f"{part}: {group[-1].index + 1} of {count}", file=sys.stderr, flush=True)
    for part, table in (("reconstruction", reconstruction_table), ("mixing", mixing_table)):
        rows = [row for row in records.rows if row["part"] == part]
        if rows:
            print(f"## {part}: {len({row['key'].split()[-1] for row in rows})} scenes, {settings.steps} steps\n")
            print(table(rows) + "\n")
    print(f"measured in {(time.time() - started) / 60:.1f} minutes")
    return records.rows


if __name__ == "__main__":
    main()
