"""Two figures of the papers in the demo world, as pictures with numbers.

``python run.py bench paper_pictures --part patterns|hats [--quick]``, or ``python -m
benchmarks.paper_pictures`` with COMFYUI_PATH set. ``--sheet`` writes the picture.

- patterns (EDICT, figure 1): held-out edits that change a thing's colour; the text names no window,
  pocket or button, which should stay. Encode with guidance and the source's caption, decode with
  the target's, by DDIM and by EDICT, no mask. *detail kept*: correlation, inside the thing, of the
  luminance's detail (the picture minus its blur of 3 pixels) between the edit and the VAE's own
  reconstruction of the source; 1 if all detail is kept. Also the share that the judge accepts, and
  PSNR outside the thing.
- hats (Blended Latent Diffusion, figure 1): an animal, a box where it could wear something, and a
  text that describes it wearing that. Predictions by Latent Blend Sampler in the order of CLIP
  Rank.
"""

import argparse
import pathlib
import random
import sys
import time

import torch

from demo.world.edits import random_edit
from demo.world.render import blur
from lab import common
from lab.compute import add_dtype, compute_in
from lab.records import JsonRecords
from lab.sheet import ranked_rows, read_picture, save_picture
from lab.uncertainty import share_text, standard_error

from .held_out import HeldOut, draw, groups, judged, make_edits, shown

MARGIN, SOFT = 8, 3.0
WAYS = ("DDIM", "EDICT")
PARTS = ("patterns", "hats")


def detail(picture: torch.Tensor) -> torch.Tensor:
    """The luminance [H, W] of an IMAGE [H, W, 3] minus its blur."""
    grey = picture.float().mean(-1)
    return grey - blur(grey[None, None], SOFT)[0, 0]


def detail_kept(edited: torch.Tensor, base: torch.Tensor, inside: torch.Tensor) -> float:
    """Correlation of the details of both pictures over the pixels ``inside`` [H, W]."""
    pair = torch.stack([detail(edited)[inside], detail(base)[inside]])
    return float(torch.corrcoef(pair)[0, 1])


def hat_edits(count: int, seed: int) -> list[HeldOut]:
    """``count`` edits in which an animal gets something to wear, drawn from random additions."""
    edits: list[HeldOut] = []
    rng = random.Random(f"hats {seed}")
    while len(edits) < count:
        edit = random_edit(rng, "add", unseen=True, count=1, vary=False)
        if edit.after.things[edit.changed_after[0]].worn:
            edits.append(HeldOut(len(edits), edit))
    return edits


class Bench(common.Demo):
    """Both parts through the pack's nodes."""

    def __init__(self, settings):
        super().__init__(settings.checkpoint)
        self.settings, self.model = settings, compute_in(self.model, settings.dtype)

    def file(self, part: str, index: int, name: str) -> pathlib.Path:
        return self.settings.pictures / f"{part}-{index:03d}-{name}.png"

    def patterns(self, edits: list[HeldOut]) -> list[dict]:
        """One record per way and edit; saves the pictures."""
        drawn, cfg = draw(edits), self.settings.cfg
        latent = self.encode(drawn.before) | {"batch_index": [edit.index for edit in edits]}
        source, target = (self.texts(*(getattr(edit, name) for edit in edits)) for name in ("source", "target"))
        empty, base = self.texts(""), self.decode(latent)
        schedule = {"steps": self.settings.steps, "strength": self.settings.strength, "latent": latent}
        inputs = {"model": self.model, "negative": empty, "cfg": cfg}
        noised, _, _, sigmas = self.run("DDIMInvert", conditioning=source, **inputs, **schedule)
        walk = {"sampler": self.run("KSamplerSelect", sampler_name="ddim")[0], "sigmas": sigmas}
        start = {"add_noise": False, "noise_seed": 0, "latent_image": noised}
        pair = self.run("EDICTInvert", source=source, **inputs, **schedule)[0]
        made = {
            "DDIM": self.run("SamplerCustom", positive=target, **inputs, **walk, **start)[0],
            "EDICT": self.run("EDICTSampler", target=target, pair=pair, **inputs)[0],
        }
        rows = []
        for way, result in made.items():
            pictures = self.decode(result)
            outcomes = judged(pictures, base, edits, drawn.either)
            for place, edit in enumerate(edits):
                inside = drawn.thing[place] > 0.5
                row = {"key": f"{way} {edit.index}", "way": way, "index": edit.index}
                row |= {"source": edit.source, "target": edit.target, **outcomes[place]}
                rows.append(row | {"detail kept": detail_kept(pictures[place], base[place], inside)})
                save_picture(pictures[place], self.file("patterns", edit.index, way))
                save_picture(drawn.before[place], self.file("patterns", edit.index, "source"))
        return rows

    def hats(self, edits: list[HeldOut]) -> list[dict]:
        """One record per scene, with the verdicts in CLIP's order; saves the pictures."""
        ranker = self.run("CLIPRankModelLoader", folder=self.settings.clip)[0]
        return [self.hat(edit, ranker) for edit in edits]

    def hat(self, edit: HeldOut, ranker) -> dict:
        """The record of one scene: the verdicts of its predictions, best-ranked first."""
        drawn, settings = draw([edit]), self.settings
        cells = drawn.either[0].nonzero()
        (top, left), (bottom, right) = (cells.amin(0) - MARGIN).clamp_min(0).tolist(), (cells.amax(0) + MARGIN).tolist()
        mask = torch.zeros_like(drawn.either)
        mask[:, top : bottom + 1, left : right + 1] = 1
        edited = self.run(
            "LatentBlendSampler",
            model=self.model,
            positive=self.texts(edit.target),
            negative=self.texts(""),
            latent=self.encode(drawn.before),
            mask=mask,
            seed=1000 * edit.index + settings.seed,
            steps=settings.steps,
            cfg=5.0,
            predictions=settings.predictions,
        )[0]
        pictures = self.decode(edited)
        inputs = {"images": pictures, "text": edit.target, "mask": mask, "source": drawn.before}
        order = self.run("CLIPRank", region="crop", background=2.0, clip_rank_model=ranker, **inputs)[4]
        accepted = shown(pictures, [edit.edit.after] * len(pictures))
        veiled = torch.where(mask[0, ..., None] > 0, 0.5 * drawn.before[0] + 0.5, drawn.before[0])
        save_picture(veiled, self.file("hats", edit.index, "source"))
        for place, number in enumerate(order):
            save_picture(pictures[number], self.file("hats", edit.index, f"rank {place}"))
        row = {"key": str(edit.index), "index": edit.index, "source": edit.source, "target": edit.target}
        return row | {"accepted": [accepted[number] for number in order]}


def patterns_report(rows: list[dict]) -> str:
    """Markdown: means per way with standard errors."""
    table = []
    for way in WAYS:
        chosen = [row for row in rows if row["way"] == way]
        line = [way, share_text(common.mean(row["accepted"] for row in chosen), len(chosen))]
        for name, digits in (("detail kept", 2), ("background", 1)):
            values = [row[name] for row in chosen]
            line.append(f"{common.mean(values):.{digits}f} +- {standard_error(values):.{digits}f}")
        table.append(line)
    kept_of_way = {way: {row["index"]: row["detail kept"] for row in rows if row["way"] == way} for way in WAYS}
    count = sum(kept_of_way["EDICT"][index] > kept for index, kept in kept_of_way["DDIM"].items())
    headers = ["way", "accepted", "detail kept", "background, dB"]
    words = f"EDICT keeps more detail in {count} of {len(kept_of_way['DDIM'])} edits."
    return common.markdown_table(headers, table) + "\n\n" + words


def hats_report(rows: list[dict]) -> str:
    """Markdown: accepted shares by rank."""
    count = len(rows)
    everything = [verdict for row in rows for verdict in row["accepted"]]
    shares = {
        "any": (common.mean(map(float, everything)), len(everything)),
        "ranked first": (common.mean(float(row["accepted"][0]) for row in rows), count),
        "ranked last": (common.mean(float(row["accepted"][-1]) for row in rows), count),
    }
    return common.markdown_table(
        ["prediction", "accepted"], [[name, share_text(*share)] for name, share in shares.items()]
    )


def patterns_sheet(bench: Bench, rows: list[dict], most: int):
    """A picture with a row for each of the first ``most`` edits: the source and both ways."""
    chosen = [row for row in rows if row["way"] == WAYS[0]][:most]
    verdict = {row["key"]: bool(row["accepted"]) for row in rows}
    pictures = [
        [read_picture(bench.file("patterns", row["index"], name)) for name in ("source", *WAYS)] for row in chosen
    ]
    verdicts = [[None, *(verdict[f"{way} {row['index']}"] for way in WAYS)] for row in chosen]
    labels = [row["target"] for row in chosen]
    return ranked_rows(pictures, verdicts, labels, ("source", *WAYS), side=192)


def hats_sheet(bench: Bench, rows: list[dict], most: int):
    """A picture with a row for each of the first ``most`` scenes: the source and the predictions by
    rank.
    """
    chosen = rows[:most]
    names = [f"rank {place}" for place in range(len(rows[0]["accepted"]))]
    pictures = [[read_picture(bench.file("hats", row["index"], name)) for name in ("source", *names)] for row in chosen]
    titles = ("source, mask", *(f"rank {place + 1}" for place in range(len(names))))
    return ranked_rows(
        pictures, [[None, *row["accepted"]] for row in chosen], [row["target"] for row in chosen], titles, side=144
    )


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, default=PARTS[0])
    parser.add_argument("--edits", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="2 edits, 5 steps")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--strength", type=float, default=0.8, help="for patterns")
    parser.add_argument("--cfg", type=float, default=3.0, help="guidance of both directions, for patterns")
    parser.add_argument("--predictions", type=int, default=5, help="for hats")
    parser.add_argument("--checkpoint", default=str(common.CHECKPOINT), help="the checkpoint file")
    parser.add_argument("--clip", default="semantic-edit-demo", help="a folder of models/clip_rank")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and noises")
    parser.add_argument("--batch", type=int, default=4, help="edits at a time")
    parser.add_argument("--pictures", type=pathlib.Path, required=True, help="folder in which the pictures are saved")
    parser.add_argument("--sheet", help="write rows of pictures to this PNG")
    parser.add_argument("--sheet-rows", type=int, default=4)
    add_dtype(parser)
    parser.add_argument("--json", help="write every number to this file after each batch; a second run continues it")
    settings = parser.parse_args(argv)
    if settings.quick:
        settings.edits, settings.steps = 2, 5
    if min(settings.edits, settings.steps, settings.batch, settings.predictions) < 1:
        parser.error("expected --edits, --steps, --batch and --predictions of at least 1")
    started, bench = time.time(), Bench(settings)
    same = ("part", "steps", "strength", "cfg", "predictions", "seed", "dtype")
    records = JsonRecords(settings.json, {name: getattr(settings, name) for name in same})
    if settings.part == "patterns":
        edits, measure, probe = make_edits(settings.edits, settings.seed, ("recolour",)), bench.patterns, "EDICT {}"
        report, sheet = patterns_report, patterns_sheet
    else:
        edits, measure, probe = hat_edits(settings.edits, settings.seed), bench.hats, "{}"
        report, sheet = hats_report, hats_sheet
    for group in groups(edits, settings.batch):
        if not records.has(*(probe.format(edit.index) for edit in group)):
            records.add(measure(group))
        print(f"edit {group[-1].index + 1} of {len(edits)}", file=sys.stderr, flush=True)
    rows = [row for row in records.rows if row["index"] < settings.edits]
    print(f"## {settings.part}: {settings.edits} edits, {settings.steps} steps\n\n{report(rows)}\n")
    print(f"measured in {(time.time() - started) / 60:.1f} minutes")
    if settings.sheet:
        sheet(bench, rows, settings.sheet_rows).save(settings.sheet)
    return rows


if __name__ == "__main__":
    main()
