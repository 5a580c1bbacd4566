"""The nodes against their peers: time, and evaluations of the network.

``python run.py bench peers [--quick]``, or ``python -m benchmarks.peers`` with COMFYUI_PATH set.

The network has the published shape of SD1.5 (``--family sdxl``: SDXL) and random weights. diffusers
uses torch's attention; the nodes use ComfyUI's default, or torch's as well (``--attention torch``).

- *beyond the network*: the share of a node's time that is not spent in the network's forward.
- *blend*: LatentBlendSampler against KSampler with SetLatentNoiseMask, same mask, steps and sampler.
- *diffedit*: mask, inversion and edit by the nodes, and by StableDiffusionDiffEditPipeline of
  diffusers (``pip install diffusers``, the extra "peers") on the same weights, texts and latent, with
  equal steps and noises. The inversion is unguided on both sides; the pipeline's mask is guided, as
  by default, so it asks twice as often. Without diffusers, and for SDXL, which has no such pipeline,
  the nodes run alone.

Processor seconds of one thread, or seconds on a GPU. Both sides run once unmeasured, then in
alternation, each first in every other round; a ratio is of one round, its median and range are
reported.
"""

import argparse
import statistics
import sys
from collections.abc import Iterable
from functools import partial

from lab import common
from lab.records import JsonRecords

from . import diffusers_peer, random_networks
from .diffusers_peer import CFG, STRENGTH, Diffusers
from .random_networks import Spent, spent

STAGES = ("mask", "inversion", "edit")
QUICK = dict(width=32, side=128, steps=5, noises=2, rounds=1)


class Nodes:
    """The pack's nodes and ComfyUI's KSampler on one random network."""

    def __init__(self, settings):
        self.nodes = common.load_pack()
        self.model = random_networks.make_model(settings.family, settings.width)
        if settings.attention == "torch":
            random_networks.use_torchs_attention(self.model)
        self.given = random_networks.make_inputs(settings.family, settings.side)
        self.counter = random_networks.Timed(self.model)
        self.steps, self.noises = settings.steps, settings.noises
        self.made: dict[str, tuple] = {}

    def run(self, name: str, **inputs) -> tuple:
        return common.call(self.nodes[name], model=self.counter.model, **inputs)

    def sampler(self, **more) -> dict:
        texts = {"positive": self.given.target, "negative": self.given.empty}
        return {"steps": self.steps, "cfg": CFG, "sampler_name": "ddim", "scheduler": "normal", **texts, **more}

    def blend(self, seed: int) -> None:
        """LatentBlendSampler with a mask, from noise."""
        self.run("LatentBlendSampler", latent=self.given.latent, mask=self.given.mask, **self.sampler(seed=seed))

    def stock(self, seed: int) -> None:
        """The same by ComfyUI's own nodes."""
        masked = common.call(self.nodes["SetLatentNoiseMask"], samples=self.given.latent, mask=self.given.mask)[0]
        self.run("KSampler", latent_image=masked, denoise=1.0, **self.sampler(seed=seed))

    def mask(self, seed: int) -> None:
        texts = {"source": self.given.source, "target": self.given.target}
        self.made["mask"] = self.run("DiffEditMask", latent=self.given.latent, seed=seed, noises=self.noises, **texts)

    def inversion(self, seed: int) -> None:
        given = {"conditioning": self.given.empty, "latent": self.given.latent}
        self.made["inversion"] = self.run("DDIMInvert", steps=self.steps, strength=STRENGTH, **given)

    def edit(self, seed: int) -> None:
        latent, inversion = self.made["mask"][2], self.made["inversion"][1]
        self.run("LatentBlendSampler", latent=latent, inversion=inversion, **self.sampler(seed=seed))


# ---- measuring ----


def measure_blend(nodes: Nodes, number: int) -> dict[str, Spent]:
    """One round: the time of both samplers."""
    works = [("ours", nodes.blend), ("peer", nodes.stock)]
    return {side: spent(nodes.counter, partial(work, number)) for side, work in in_turn(works, number)}


def measure_diffedit(nodes: Nodes, peer: Diffusers | None, number: int) -> dict[str, Spent]:
    """One round: the time of each stage of both sides."""
    sides: list = [("ours", nodes, nodes.counter)] + ([("peer", peer, peer)] if peer else [])
    found = {}
    for side, work, counter in in_turn(sides, number):
        for stage in STAGES:
            found[f"{side} {stage}"] = spent(counter, partial(getattr(work, stage), number))
    return found


def in_turn(sides: list, number: int) -> list:
    """Every other round begins with the other side."""
    return sides[::-1] if number % 2 else sides


def measure(settings, kept: JsonRecords) -> None:
    """All rounds that ``kept`` does not have."""
    missing = [number for number in range(settings.rounds) if not kept.has(f"round {number}")]
    if not missing:
        return
    nodes = Nodes(settings)
    peer = Diffusers(nodes.model, nodes.given, settings.steps, settings.noises) if settings.diffusers else None
    apart = peer.difference(nodes.model) if peer else None
    # Unmeasured, with another seed, because DiffEditMask caches its result by seed.
    measure_blend(nodes, 10**6)
    measure_diffedit(nodes, peer, 10**6)
    for number in missing:
        found = measure_blend(nodes, number) | measure_diffedit(nodes, peer, number)
        spends = {name: taken._asdict() for name, taken in found.items()}
        kept.add([{"key": f"round {number}", "number": number, "apart": apart, "spent": spends}])
        print(f"round {number + 1} of {settings.rounds}", file=sys.stderr, flush=True)


# ---- tables ----


def words(values: Iterable[float], form: str = ".3f") -> str:
    """The median and the range of the rounds."""
    values = list(values)
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def overhead_table(rounds: list[dict]) -> str:
    """Each node's share of time outside the network."""
    names = {
        "peer": "KSampler with noise mask",
        "ours": "LatentBlendSampler",
        "ours mask": "DiffEditMask",
        "ours inversion": "DDIMInvert",
        "ours edit": "LatentBlendSampler along an inversion",
    }
    rows = []
    for key, name in names.items():
        shares = [100 * (1 - one[key]["network"] / one[key]["seconds"]) for one in rounds]
        rows.append((name, rounds[0][key]["evaluations"], words(shares, ".2f")))
    return common.markdown_table(["node", "evaluations", "beyond the network, % of its time"], rows)


def ratio_row(name: str, rounds: list[dict], keys: tuple[str, ...], ours: str, peer: str) -> tuple:
    """Evaluations of both, our time over the peer's, and the same of the network's time per evaluation."""

    def total(one: dict, side: str, what: str) -> float:
        return sum(one[f"{side}{key}"][what] for key in keys)

    def each(one: dict, side: str) -> float:
        return total(one, side, "network") / total(one, side, "evaluations")

    counts = [total(rounds[0], side, "evaluations") for side in (ours, peer)]
    times = [total(one, ours, "seconds") / total(one, peer, "seconds") for one in rounds]
    return (name, *counts, words(times), words(each(one, ours) / each(one, peer) for one in rounds))


def report(rows: list[dict]) -> str:
    rounds = [row["spent"] for row in rows]
    headers = ["", "evaluations", "the peer's", "time / the peer's", "network per evaluation / the peer's"]
    blend = ratio_row("LatentBlendSampler against KSampler", rounds, ("",), "ours", "peer")
    parts = [overhead_table(rounds), common.markdown_table(headers, [blend])]
    compared = [one for one in rounds if "peer mask" in one]
    if compared:
        table = [ratio_row(stage, compared, (f" {stage}",), "ours", "peer") for stage in STAGES]
        table.append(ratio_row("whole edit", compared, tuple(f" {stage}" for stage in STAGES), "ours", "peer"))
        parts.append(common.markdown_table(["DiffEdit against diffusers", *headers[1:]], table))
        apart = max(row["apart"] for row in rows if row["apart"] is not None)
        parts.append(f"Largest difference of the two networks' predictions: {apart:.0e} of the largest prediction.")
    else:
        parts.append(
            "DiffEdit was not compared with diffusers: it is not installed (pip install diffusers), or the network is "
            "of SDXL's shape."
        )
    return "\n\n".join(parts)


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=random_networks.FAMILIES, default="sd15", help="shape of the network")
    width = random_networks.PUBLISHED_WIDTH
    parser.add_argument("--width", type=int, default=width, help="channels of the network's first level")
    parser.add_argument("--attention", choices=("comfyui", "torch"), default="comfyui", help="of ComfyUI's network")
    parser.add_argument("--side", type=int, default=256, help="pixels along the side of the picture")
    parser.add_argument("--steps", type=int, default=5, help="steps of the whole schedule")
    parser.add_argument("--noises", type=int, default=2, help="noises of the mask")
    parser.add_argument("--rounds", type=int, default=7, help="how often everything is timed")
    parser.add_argument("--quick", action="store_true", help="a narrow network, one round")
    parser.add_argument("--json", help="write every number to this file after each round, and go on from what it holds")
    settings = parser.parse_args(argv)
    if settings.quick:
        vars(settings).update(QUICK)
    if min(settings.rounds, settings.noises) < 1 or settings.steps < 2 or settings.width % 32 or settings.side % 64:
        parser.error(
            "expected --rounds and --noises of at least 1, --steps of at least 2, a multiple of 32 as --width and of "
            "64 as --side"
        )
    settings.diffusers = diffusers_peer.version() if settings.family == "sd15" else None
    fixed = {
        name: getattr(settings, name)
        for name in ("family", "width", "attention", "side", "steps", "noises", "diffusers")
    }
    kept = JsonRecords(settings.json, fixed)
    measure(settings, kept)
    rows = [row for row in kept.rows if row["number"] < settings.rounds]
    print(report(rows))
    return rows


if __name__ == "__main__":
    main()
