"""How time and peak memory of the main nodes grow with the picture, the steps, the batch and the noises.

``python run.py bench growth [--quick]``, or ``python -m benchmarks.growth`` with COMFYUI_PATH set.

A random network of SD1.5's shape with ``--width`` channels in its first level (SD1.5 has 320) and
torch's attention. One value at a time is varied, the others are those of :class:`Setting`. Inversions
run over the whole schedule, and guided runs have a negative text. ProgressiveMaskShrink is measured
with the KSampler that takes its outputs, EDICTSampler with a pair of the same setting.

Time: processor seconds of one thread, or seconds on a GPU; each round runs every node at every value
once, ratios are of one round, and their median is reported. *exponent* is the slope of log time over
log value (for the side of the picture: over its number of cells); 1 is linear. Memory: the peak of
live tensors without the model's weights and the inputs, counted as tools/memory.py does.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from lab import common, plots
from lab.records import JsonRecords

from . import random_networks

CFG = 3.0
STOCK = "KSampler"
NODES = (
    STOCK, "DiffEditMask", "DDIMInvert", "LatentBlendSampler", "EDICTInvert", "EDICTSampler", "ProgressiveMaskShrink",
    "FlowEdit",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Pixels along the side of the picture, steps, pictures in the batch, noises of DiffEditMask."""

    side: int = 256
    steps: int = 4
    batch: int = 1
    noises: int = 4


VARIED = {"side": (256, 384, 512), "steps": (4, 8, 16), "batch": (1, 2, 4), "noises": (4, 8, 16, 32)}
SHORT = {"side": (64, 128), "steps": (2, 4), "batch": (1, 2), "noises": (2, 4)}
AXES = {
    "side": "latent cells (8 x 8 pixels each)",
    "steps": "steps",
    "batch": "pictures in the batch",
    "noises": "noises of the mask",
}


def nodes_of(what: str) -> tuple[str, ...]:
    """The nodes that depend on a value."""
    if what == "noises":
        return ("DiffEditMask",)
    return tuple(name for name in NODES if what != "steps" or name != "DiffEditMask")


def amount(what: str, value: int) -> float:
    """A value on its axis: the side counts as cells."""
    return (value / random_networks.PIXELS) ** 2 if what == "side" else value


# ---- measuring ----


class Bench:
    """The nodes on one network."""

    def __init__(self, width: int):
        self.nodes = common.load_pack()
        import comfy.model_management
        import full_size

        # Otherwise the free memory of the machine decides how many pictures share a pass.
        comfy.model_management.get_free_memory = full_size.plenty
        model = random_networks.make_model("sd15", width)
        random_networks.use_torchs_attention(model)
        self.counter = random_networks.Timed(model)
        self.known_masks = common.pack_module("edits.masks.contrast").RECENT

    def run(self, name: str, **inputs) -> tuple:
        return common.call(self.nodes[name], **{"model": self.counter.model} | inputs)

    def work(self, name: str, setting: Setting) -> Callable[[], object]:
        """A function that runs the node once; its inputs are computed before."""
        given = random_networks.make_inputs("sd15", setting.side, setting.batch)
        target, negative = {"target": given.target}, {"negative": given.empty, "cfg": CFG}
        schedule = {"latent": given.latent, "steps": setting.steps}
        inverted = {**schedule, "source": given.source, "strength": 1.0}
        sampled = {"positive": given.target, "sampler_name": "ddim", "scheduler": "normal", "denoise": 1.0}
        stock = {**sampled, **negative, "steps": setting.steps, "seed": 0}
        if name == STOCK:
            inputs = {**stock, "latent_image": given.latent}
        elif name == "ProgressiveMaskShrink":

            def shrunk() -> tuple:
                model, masked, _ = self.run(name, latent=given.latent, mask=given.mask)
                return self.run(STOCK, **stock, model=model, latent_image=masked)

            return shrunk
        elif name == "DiffEditMask":
            self.known_masks.clear()
            inputs = {**target, "latent": given.latent, "source": given.source, "noises": setting.noises}
        elif name == "DDIMInvert":
            inputs = {**schedule, "conditioning": given.empty, "strength": 1.0}
        elif name == "LatentBlendSampler":
            inputs = {**sampled, **negative, **schedule, "mask": given.mask}
        elif name == "EDICTInvert":
            inputs = {**inverted, **negative}
        elif name == "EDICTSampler":
            pair = self.run("EDICTInvert", **inverted, **negative)[0]
            inputs = {**target, **negative, "pair": pair, "mask": given.mask}
        else:
            inputs = {**target, **inverted, "negative": given.empty, "mask": given.mask}
        return lambda: self.run(name, **inputs)


def tasks(varied: dict[str, tuple[int, ...]], base: Setting) -> list[tuple[str, Setting]]:
    """Every node at every value, the stock sampler also at the base, which the noises are compared with."""
    found = [(STOCK, base)]
    for what, values in varied.items():
        found += [(name, replace(base, **{what: value})) for value in values for name in nodes_of(what)]
    return list(dict.fromkeys(found))


def measure(bench: Bench, kept: JsonRecords, todo: list[tuple[str, Setting]], form: str) -> None:
    """One round of time, or that of memory, without the tasks that ``kept`` has."""
    import live_bytes

    for name, setting in todo:
        key = f"{form} {name} {'-'.join(map(str, asdict(setting).values()))}"
        if kept.has(key):
            continue
        work, record = bench.work(name, setting), {"key": key, "form": form, "node": name, **asdict(setting)}
        if form == "memory":
            kept.add([record | {"peak": live_bytes.peak_of(work)[0]}])
        else:
            taken = random_networks.spent(bench.counter, work)
            kept.add([record | {"seconds": taken.seconds, "evaluations": taken.evaluations}])
        print(key, file=sys.stderr, flush=True)


# ---- tables and plots ----


class Found:
    """The measurements by node and setting."""

    def __init__(self, rows: list[dict], rounds: int):
        self.forms = [f"time {number}" for number in range(rounds)]
        names = list(asdict(Setting()))
        self.rows = {(row["form"], row["node"], Setting(*(row[name] for name in names))): row for row in rows}

    def seconds(self, name: str, setting: Setting) -> list[float]:
        return [self.rows[form, name, setting]["seconds"] for form in self.forms]

    def time_ratio(self, one: tuple[str, Setting], other: tuple[str, Setting]) -> float:
        return statistics.median(a / b for a, b in zip(self.seconds(*one), self.seconds(*other), strict=True))

    def peak_ratio(self, one: tuple[str, Setting], other: tuple[str, Setting]) -> float:
        peaks = [self.rows[("memory", *case)]["peak"] for case in (one, other)]
        return peaks[0] / peaks[1]

    def evaluations(self, name: str, setting: Setting) -> int:
        return self.rows[self.forms[0], name, setting]["evaluations"]


def exponent(amounts: list[float], times: list[float]) -> float:
    """The slope of the least-squares line through log times over log amounts."""
    return statistics.linear_regression(*([math.log(value) for value in values] for values in (amounts, times))).slope


def summarise(found: Found, varied: dict[str, tuple[int, ...]], base: Setting) -> list[dict]:
    """One dict per node and varied value: growth from the first value to the last, and against KSampler."""
    points = []
    for what, values in varied.items():
        for name in nodes_of(what):
            settings = [replace(base, **{what: value}) for value in values]
            stock = [base if what == "noises" else setting for setting in settings]
            times = [statistics.median(found.seconds(name, setting)) for setting in settings]
            first, last = (name, settings[0]), (name, settings[-1])
            points.append(
                {
                    "varied": what,
                    "node": name,
                    "values": list(values),
                    "evaluations": [found.evaluations(name, setting) for setting in settings],
                    "time_growth": found.time_ratio(last, first),
                    "exponent": exponent([amount(what, value) for value in values], times),
                    "time_of_stock": [found.time_ratio((name, a), (STOCK, b)) for a, b in zip(settings, stock)],
                    "time": [found.time_ratio((name, setting), (STOCK, stock[0])) for setting in settings],
                    "peak_growth": found.peak_ratio(last, first),
                    "peak_of_stock": [found.peak_ratio((name, a), (STOCK, b)) for a, b in zip(settings, stock)],
                    "peak": [found.peak_ratio((name, setting), (STOCK, stock[0])) for setting in settings],
                }
            )
    return points


def report(points: list[dict]) -> str:
    parts = []
    for what in dict.fromkeys(point["varied"] for point in points):
        chosen = [point for point in points if point["varied"] == what]
        values = chosen[0]["values"]
        rows = [
            (
                point["node"],
                " / ".join(map(str, point["evaluations"])),
                f"{point['time_growth']:.1f}",
                f"{point['exponent']:.2f}",
                f"{point['time_of_stock'][0]:.2f} / {point['time_of_stock'][-1]:.2f}",
                f"{point['peak_growth']:.1f}",
                f"{point['peak_of_stock'][0]:.2f} / {point['peak_of_stock'][-1]:.2f}",
            )
            for point in chosen
        ]
        grown = amount(what, values[-1]) / amount(what, values[0])
        title = (
            f"{what}: {', '.join(map(str, values))} ({grown:g} times {'the cells' if what == 'side' else 'as many'})"
        )
        headers = ["", "evaluations", "time grows", "exponent", "time / KSampler's", "peak grows", "peak / KSampler's"]
        parts += [title, common.markdown_table(headers, rows)]
    return "\n\n".join(parts)


def draw(points: list[dict], key: str, words: str) -> list[plots.Panel]:
    """A panel for each varied value that is not of one node alone; the unit is KSampler at the first
    one.
    """
    panels = []
    for what in dict.fromkeys(point["varied"] for point in points if point["varied"] != "noises"):
        curves = {
            point["node"]: [(amount(what, value), up, "") for value, up in zip(point["values"], point[key])]
            for point in points
            if point["varied"] == what
        }
        panels.append(plots.Panel(AXES[what], words, curves))
    return panels


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64, help="channels of the network's first level")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is timed")
    parser.add_argument("--vary", nargs="+", choices=VARIED, default=list(VARIED), help="these alone")
    parser.add_argument("--quick", action="store_true", help="two small values each, one round")
    parser.add_argument("--plots", type=common.user_path, help="draw FILE-time and FILE-memory as PNG and SVG")
    parser.add_argument("--json", help="write every number to this file after each run, and go on from what it holds")
    settings = parser.parse_args(argv)
    if settings.rounds < 1 or settings.width < 32 or settings.width % 32:
        parser.error("expected --rounds of at least 1 and a multiple of 32 as --width")
    varied = {what: (SHORT if settings.quick else VARIED)[what] for what in settings.vary}
    base = Setting(*(values[0] for values in (SHORT if settings.quick else VARIED).values()))
    rounds = 1 if settings.quick else settings.rounds
    kept = JsonRecords(settings.json, {"width": settings.width})
    todo, bench = tasks(varied, base), Bench(settings.width)
    for name in NODES:
        bench.work(name, Setting(64, 2, 1, 1))()  # unmeasured: costs of the first call
    for form in ("memory", *(f"time {number}" for number in range(rounds))):
        measure(bench, kept, todo, form)
    points = summarise(Found(kept.rows, rounds), varied, base)
    print(report(points))
    if settings.plots:
        plots.save(draw(points, "time", "time, KSampler's first = 1"), f"{settings.plots}-time")
        plots.save(draw(points, "peak", "peak memory, KSampler's first = 1"), f"{settings.plots}-memory")
    kept.write(summary=points)
    return points


if __name__ == "__main__":
    main()
