"""EDICT by the nodes and by a plain transcription of the published loop: time, exactness, edits.

``python run.py bench edict_cost [--quick]``, or ``python -m benchmarks.edict_cost`` with
COMFYUI_PATH set.

Time (``--time``): inversion and sampling back on a random network of SD1.5's shape with ``--width``
channels in its first level (SD1.5 has 320), at strength 0.8 and guidance 3, as published. The
transcription (tests/helpers/edict_paper.py) evaluates the conditional and the unconditional
prediction one after the other, in float64, as the published code does; a second row has its network
in float32. The nodes evaluate both at once, in float32, with states in float64. Processor seconds
of one thread, the median of ``--rounds``, each round running every row once; the ratio is to the
first row. *error* is the relative error of the round trip under the same text.

Edits: held-out edits of the demo world by fewer steps, by an inversion without guidance, and by
guidance in a part of the steps both ways, against 50 steps with guidance both ways. All differences
with 95 % intervals (paired bootstrap).
"""

import argparse
import copy
import statistics
import sys
import time

import torch

from lab import common
from lab.compute import add_dtype
from lab.records import JsonRecords
from lab.uncertainty import Interval, paired_difference

from .diffedit_quality import Bench
from .held_out import HeldOut, groups, make_edits
from .random_networks import SD15_SHAPE
from .ways import guided_until, levels_of

STRENGTH, CFG, MIXING = 0.8, 3.0, 0.93
WAYS = ("50:3", "50:3:0.5", "50:3:0.35", "25:3", "16:3", "16:1")
"""Steps of the whole schedule, guidance of the inversion, and the share of the steps, from the noisy end, in which
both directions are guided. The edit has guidance 3.
"""
GUIDED = ((50, 0.5), (32, 0.5))  # for time: steps, and the share of them with guidance
SIDE = 16
"""Latent cells along one side, for time."""


class Published:
    """The published loop over a network of ComfyUI: one evaluation per prediction, the network in
    ``dtype``.
    """

    def __init__(self, model, texts: tuple, dtype: torch.dtype, levels: torch.Tensor):
        self.sampling = model.model.model_sampling
        self.network = copy.deepcopy(model.model.diffusion_model).to(dtype)
        self.network.dtype = dtype
        self.texts = [text[0][0].to(dtype) for text in texts]
        self.dtype, self.evaluations = dtype, 0
        self.abar = (1 / (1 + levels.double() ** 2)).tolist()
        self.times = [self.sampling.timestep(level[None]).float() for level in levels[:-1]]

    def eps(self, x: torch.Tensor, i: int) -> torch.Tensor:
        """The guided noise prediction [N, C, h, w] at step ``i``, in float64."""
        predictions = []
        for text in self.texts:
            self.evaluations += x.shape[0]
            prediction = self.network(x.to(self.dtype), self.times[i].repeat(x.shape[0]), context=text)
            predictions.append(prediction.double())
        wanted, unwanted = predictions
        return unwanted + CFG * (wanted - unwanted)

    def round_trip(self, x0: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The latent after inversion and sampling back, and the evaluations of both directions."""
        import edict_paper

        self.evaluations = 0
        noise = edict_paper.invert(self.eps, x0, x0, self.abar, MIXING)[-1]
        return edict_paper.generate(self.eps, *noise, self.abar, MIXING)[-1][0], self.evaluations


# ---- time ----


def time_rows(
    rounds: int,
    steps: tuple[int, ...],
    width: int,
    guided: tuple[tuple[int, float], ...] = (),
    published_steps: int = 50,
) -> list[dict]:
    """One dict per loop: its name, ``evaluations``, ``error`` and ``seconds`` (median of the
    rounds). ``guided`` adds loops of so many steps with guidance in this share of them.
    """
    nodes = common.load_pack()
    import tiny_models

    model = tiny_models.damp(tiny_models.sd15(context_dim=768, model_channels=width, **SD15_SHAPE))
    counted = common.Evaluations(model)
    generator = torch.Generator().manual_seed(0)
    texts = tuple(
        [[torch.randn(1, 77, 768, generator=generator), {"pooled_output": torch.zeros(1, 768)}]] for _ in range(2)
    )
    x0 = torch.randn(1, 4, SIDE, SIDE, generator=generator)

    def by_nodes(count: int, share: float = 1.0):
        used = guided_until(counted.model, count, STRENGTH, share)

        def run() -> tuple[torch.Tensor, torch.Tensor, int]:
            counted.take()
            shared = {"model": used, "negative": texts[1], "cfg": CFG}
            pair = common.call(
                nodes["EDICTInvert"],
                source=texts[0],
                latent={"samples": x0 / 0.18215},
                steps=count,
                strength=STRENGTH,
                **shared,
            )[0]
            sample = common.pack_module("edits.inversion.edict").sample_edict
            back = sample(used, texts[0], texts[1], pair, x0, CFG, None)
            return back[0], pair.states[-1, 0], counted.take()

        return run

    def published(dtype: torch.dtype):
        def run() -> tuple[torch.Tensor, torch.Tensor, int]:
            back, evaluations = loops[dtype].round_trip(x0.double())
            return back, x0, evaluations

        return run

    levels = levels_of(model, published_steps, STRENGTH)
    loops = {dtype: Published(model, texts, dtype, levels) for dtype in (torch.float64, torch.float32)}
    runs = {
        f"published loop, {published_steps} steps, float64 network": published(torch.float64),
        f"published loop, {published_steps} steps, float32 network": published(torch.float32),
        **{f"nodes, {count} steps": by_nodes(count) for count in steps},
        **{f"nodes, {count} steps, guided 0% to {share:.0%}": by_nodes(count, share) for count, share in guided},
    }
    rows: dict[str, dict] = {name: {"loop": name} for name in runs}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            with torch.inference_mode():
                started = time.process_time()
                back, inverted, evaluations = run()
            seconds[name].append(time.process_time() - started)
            rows[name] |= {"evaluations": evaluations, "error": error_of(back, inverted)}
            print(f"round {number + 1}: {name}: {seconds[name][-1]:.1f} s", file=sys.stderr, flush=True)
    for name, row in rows.items():
        row["seconds"] = statistics.median(seconds[name])
    return list(rows.values())


def error_of(back: torch.Tensor, x0: torch.Tensor) -> float:
    """Relative L2 error of a latent."""
    return float((back.double() - x0.double()).norm() / x0.norm())


def time_report(rows: list[dict]) -> str:
    """The table of time, in Markdown."""
    first, table = rows[0]["seconds"], []
    for row in rows:
        faster = f"{first / row['seconds']:.1f}"
        table.append((row["loop"], str(row["evaluations"]), f"{row['seconds']:.1f}", faster, f"{row['error']:.0e}"))
    return common.markdown_table(["loop", "evaluations", "seconds", "times faster", "error"], table)


# ---- edits ----


def measure(bench: Bench, edits: list[HeldOut], names: list[str]) -> list[dict]:
    """One record per edit and way."""
    bench.begin(edits)
    records = []
    for name in names:
        steps, up, *share = name.split(":")
        shared = {
            "model": guided_until(bench.model, int(steps), STRENGTH, float(share[0]) if share else 1.0),
            "negative": bench.empty,
        }
        pair = bench.run(
            "EDICTInvert",
            source=bench.source,
            latent=bench.latent,
            steps=int(steps),
            strength=STRENGTH,
            cfg=float(up),
            **shared,
        )[0]
        edited = bench.run("EDICTSampler", target=bench.target, pair=pair, cfg=CFG, **shared)[0]
        spent, results = bench.spent(), bench.judged(bench.decode(edited))
        records += [
            {"key": f"{edit.index} {name}", "index": edit.index, "kind": edit.kind, "way": name, "evaluations": spent}
            | results[number]
            for number, edit in enumerate(edits)
        ]
    return records


def summarise(rows: list[dict], names: list[str]) -> list[dict]:
    """Means per way, and the mean differences from the first way with their intervals."""
    points = []
    for name in names:
        chosen = [row for row in rows if row["way"] == name]
        point = {"way": name, "edits": len(chosen)}
        for value in ("evaluations", "accepted", "background"):
            point[value] = common.mean(row[value] for row in chosen)
        for value in ("accepted", "background"):
            first = {row["index"]: row[value] for row in rows if row["way"] == names[0]}
            point[f"more {value}"] = list(paired_difference({row["index"]: row[value] for row in chosen}, first))
        points.append(point)
    return points


def report(points: list[dict]) -> str:
    """The table of edits, in Markdown."""
    rows = []
    for point in points:
        steps, up, *share = point["way"].split(":")
        part = f", guided 0% to {float(share[0]):.0%}" if share else ""
        accepted, background = (Interval(*point[f"more {value}"]) for value in ("accepted", "background"))
        is_first = point is points[0]
        rows.append(
            (
                f"{steps} steps{part}" + ("" if float(up) == CFG else ", inversion without guidance"),
                str(point["edits"]),
                f"{point['evaluations']:.0f}",
                f"{point['accepted']:.0%}",
                "-" if is_first else accepted.scaled(100).words("+.0f"),
                f"{point['background']:.1f}",
                "-" if is_first else background.words("+.1f"),
            )
        )
    headers = ["", "edits", "evaluations", "accepted", "difference in points", "background (dB)", "difference in dB"]
    return common.markdown_table(headers, rows)


def guided_part(text: str) -> tuple[int, float]:
    """Steps and share from "32:0.5"."""
    steps, share = text.split(":")
    return int(steps), float(share)


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", action="store_true", help="measure time instead of edits")
    parser.add_argument("--rounds", type=int, default=3, help="number of timings of every loop")
    parser.add_argument("--steps", type=int, nargs="+", default=(50, 25, 16, 12), help="steps of the nodes' loops")
    parser.add_argument("--published-steps", type=int, default=50, help="steps of the published loop, for --time")
    parser.add_argument("--width", type=int, default=64, help="channels of the timed network's first level")
    parser.add_argument("--scenes", type=int, default=40, help="held-out scenes, one edit each, both kinds in turn")
    parser.add_argument("--guided", type=guided_part, nargs="*", default=GUIDED, help="STEPS:SHARE guided, for --time")
    parser.add_argument(
        "--ways", nargs="+", default=WAYS, help="STEPS:GUIDANCE of the inversion[:share of the steps with guidance]"
    )
    parser.add_argument("--quick", action="store_true", help="4 scenes")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes")
    parser.add_argument("--batch", type=int, default=5, help="edits at a time")
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    settings = parser.parse_args(argv)
    settings.scenes = 4 if settings.quick else settings.scenes
    if min(settings.scenes, settings.batch, settings.rounds, settings.published_steps, *settings.steps) < 1:
        parser.error("expected --scenes, --batch, --rounds, --steps and --published-steps of at least 1")
    if settings.time:
        rows = time_rows(
            settings.rounds, tuple(settings.steps), settings.width, tuple(settings.guided), settings.published_steps
        )
        print(time_report(rows))
        common.write_json(settings.json, {"versions": common.versions(), "rows": rows})
        return rows
    started, bench = time.time(), Bench(settings.checkpoint, settings.seed, settings.dtype)
    records = JsonRecords(
        settings.json, {"seed": settings.seed, "strength": STRENGTH, "cfg": CFG, "dtype": settings.dtype}
    )
    edits, names = make_edits(settings.scenes, settings.seed), list(settings.ways)
    for group in groups(edits, settings.batch):
        missing = [name for name in names if not records.has(*(f"{edit.index} {name}" for edit in group))]
        if missing:
            records.add(measure(bench, group, missing))
        print(f"edit {group[-1].index + 1} of {len(edits)}", file=sys.stderr, flush=True)
    points = summarise([row for row in records.rows if row["index"] < settings.scenes], names)
    print(report(points))
    print(f"\nmeasured in {(time.time() - started) / 60:.1f} minutes")
    records.write(summary=points)
    return points


if __name__ == "__main__":
    main()
