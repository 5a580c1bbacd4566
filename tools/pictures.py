"""Draw the pictures of the README and the help pages with the pack's own nodes and the demo's
models.

    python run.py bench pictures

Help pictures fit the editor's help panel, which is 253 pixels wide: tiles in a grid of two or three
columns under readable labels. Deterministic: the same models draw the same pictures.
"""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont

from . import animation, make_samples
from .studio import Studio
from .templates.examples import EXAMPLES, RANKING_MODEL
from .templates.parts import first_steps
from .tiles import WIDE, Tiles, grid, loss, square, veiled

PACK = pathlib.Path(__file__).resolve().parents[1]


def sample(name: str) -> torch.Tensor:
    """A sample as IMAGE [1, H, W, 3]."""
    return make_samples.samples()[name].picture.movedim(0, -1)[None]


def painted_sample(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A sample with a painted mask: IMAGE [1, H, W, 3] and MASK [1, H, W]."""
    mask = make_samples.samples()[name].mask
    assert mask is not None, f"{name} has no painted mask"
    return sample(name), mask[None]


def example(key: str) -> tuple[torch.Tensor, str, str]:
    """A workflow's example: the picture, the source text and the target text."""
    entry = EXAMPLES[key]
    return sample(entry["picture"]), entry["source"], entry["target"]


def draw_edits(studio: Studio) -> Image.Image:
    tiles: Tiles = []
    duck = (sample("penguin"), "a penguin on snow", "a duck on snow")
    for picture, source, target in (example("demo"), example("diffedit"), duck):
        heat, mask, edited = studio.edit(picture, source, target)
        tiles += [(source, picture[0]), ("where texts differ", heat), ("mask", mask), (target, edited)]
    return grid(tiles, 4, WIDE)


def draw_thresholds(studio: Studio) -> Image.Image:
    picture, source, target = example("demo")
    latent, tiles = studio.encode(picture), [("picture", picture[0])]
    for threshold in (0.5, 0.6, 0.7):
        mask = studio.mask(latent, source, target, threshold=threshold, grow=0)[0]
        tiles.append((f"threshold {threshold}", picture[0] * (0.3 + 0.7 * mask[0].unsqueeze(-1))))
    return grid(tiles, words=f"{source}  ->  {target}")


def draw_inversion(studio: Studio) -> Image.Image:
    picture, _, _ = example("demo")
    inversion = studio.invert(studio.encode(picture))[1]
    last = len(inversion.sigmas) - 1
    tiles = []
    for share in (0.0, 1 / 3, 2 / 3, 1.0):
        index = last - round(share * last)
        state = inversion.states[index] / (1 + inversion.sigmas[index] ** 2) ** 0.5
        decoded = studio.decode({"samples": studio.model.get_model_object("process_latent_out")(state)})
        tiles.append((f"step {last - index} of {last}", decoded[0]))
    return grid(tiles)


def draw_predictions(studio: Studio) -> Image.Image:
    picture, mask = painted_sample("hat")
    entry = EXAMPLES["add_object"]
    made = studio.decode(studio.blend(studio.encode(picture), entry["target"], mask=mask, seed=7, predictions=3))
    tiles = [("picture, mask", veiled(picture[0], mask[0]))]
    tiles += [(f"seed + {k}" if k else "seed", edited) for k, edited in enumerate(studio.keep(picture, made, mask))]
    return grid(tiles, words=entry["target"])


def draw_shrinking(studio: Studio) -> Image.Image:
    picture, mask = painted_sample("stroke")
    entry = EXAMPLES["thin_mask"]
    model, latent, stages = studio.run(
        "ProgressiveMaskShrink", model=studio.model, latent=studio.encode(picture), mask=mask, kernels=entry["kernels"]
    )
    edited = studio.decode(studio.blend(latent, entry["target"], model=model, seed=entry["seed"]))
    tiles = [("mask given", veiled(picture[0], mask[0]))]
    names = [f"stage {place}: {side.strip()} cells" for place, side in enumerate(entry["kernels"].split(","), 1)]
    tiles += list(zip([*names, f"stage {len(names) + 1}: its own"], stages, strict=True))
    tiles += [("edit", edited[0]), ("... kept in the mask", studio.keep(picture, edited, mask)[0])]
    return grid(tiles, words=entry["target"])


def draw_edict(studio: Studio) -> Image.Image:
    """EDICT's edit and round trip as in its template, guided in the first half of the steps."""
    picture, source, target = example("edict_edit")
    latent, empty = studio.encode(picture), studio.texts("")
    model = studio.run("CFGOverride", model=studio.model, **first_steps().widgets)[0]
    pair = studio.run("EDICTInvert", model=model, source=studio.texts(source), negative=empty, latent=latent)[0]
    back, edited = (
        studio.run("EDICTSampler", model=model, target=studio.texts(text), negative=empty, pair=pair)[0]
        for text in (source, target)
    )
    lost = ddim_there_and_back(studio, model, latent, source)
    base, *made = (studio.decode(result)[0] for result in (latent, back, lost, edited))
    return grid(
        [
            ("picture, by the VAE", base),
            ("EDICT's edit", made[2]),
            ("EDICT, and back", made[0]),
            ("its loss x 16", loss(made[0], base, 16)),
            ("DDIM, and back", made[1]),
            ("its loss x 16", loss(made[1], base, 16)),
        ],
        words=f"red  ->  {target}",
    )


def ddim_there_and_back(studio: Studio, model: Any, latent: dict, text: str) -> dict:
    """The LATENT of a DDIM inversion and sampling at EDICT's guidance."""
    words, empty = studio.texts(text), studio.texts("")
    noised, _, _, sigmas = studio.run(
        "DDIMInvert", model=model, conditioning=words, negative=empty, latent=latent, cfg=3.0
    )
    return studio.run(
        "SamplerCustom",
        model=model,
        add_noise=False,
        noise_seed=0,
        cfg=3.0,
        positive=words,
        negative=empty,
        sampler=studio.run("KSamplerSelect", sampler_name="ddim")[0],
        sigmas=sigmas,
        latent_image=noised,
    )[0]


def draw_inversions(studio: Studio) -> Image.Image:
    picture, source, target = example("edict_edit")
    latent, words, wanted, empty = (studio.encode(picture), *(studio.texts(text) for text in (source, target, "")))
    shared = {"model": studio.model, "source": words, "negative": empty, "latent": latent}
    exact = studio.run("ExactInvert", **shared)[0]
    friendly = studio.run("EditFriendlyInvert", **shared)[0]
    made = {
        "picture, by the VAE": latent,
        "O-BELM, and back": studio.run(
            "ExactSampler", model=studio.model, target=words, negative=empty, inversion=exact
        )[0],
        "edit-friendly: edit": studio.run(
            "ExactSampler", model=studio.model, target=wanted, negative=empty, inversion=friendly
        )[0],
        "FlowEdit: edit": studio.run("FlowEdit", target=wanted, **shared)[0],
    }
    return grid([(name, studio.decode(result)[0]) for name, result in made.items()], words=f"red  ->  {target}")


def hat(studio: Studio, light: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, str, dict]:
    """The picture of *Add an object*, its mask and text, and the edited LATENT. ``light`` brightens
    the picture before the edit; the returned picture is the original.
    """
    picture, mask = painted_sample("hat")
    entry = EXAMPLES["add_object"]
    source = studio.encode((picture + light).clamp(0, 1))
    return picture, mask, entry["target"], studio.blend(source, entry["target"], mask=mask, seed=entry["seed"])


def draw_metrics(studio: Studio) -> Image.Image:
    picture, mask, _, latent = hat(studio)
    edited = {
        "plain VAE": studio.decode(latent),
        "tuned": studio.run("DecoderFinetune", vae=studio.vae, image=picture, latent=latent, mask=mask)[0],
    }
    tiles: Tiles = [("picture", picture[0]), ("mask", mask[0])]
    for name, made in edited.items():
        numbers = studio.run("EditMetrics", source=picture, edited=made, mask=mask)
        tiles.append((f"{name}: {numbers[0]:.1f} dB", made[0]))
    return grid(tiles, words="PSNR outside the mask")


def draw_finetune(studio: Studio) -> Image.Image:
    picture, mask, target, latent = hat(studio)
    plain = studio.decode(latent)
    tuned = studio.run("DecoderFinetune", vae=studio.vae, image=picture, latent=latent, mask=mask)[0]
    return grid(
        [
            ("picture, mask", veiled(picture[0], mask[0])),
            ("edited, tuned decoder", tuned[0]),
            ("plain VAE: lost x 8", loss(plain[0], picture[0], 8, 1 - mask[0])),
            ("tuned: lost x 8", loss(tuned[0], picture[0], 8, 1 - mask[0])),
        ],
        words=target,
    )


def draw_restore(studio: Studio) -> Image.Image:
    picture, mask, target, latent = hat(studio, light=0.08)
    edited = studio.decode(latent)
    tiles: Tiles = [("picture, mask", veiled(picture[0], mask[0])), ("an edit, brighter", edited[0])]
    tiles += [(method, studio.keep(picture, edited, mask, method)[0]) for method in ("stitch", "poisson")]
    return grid(tiles, words=target)


def draw_ranking(studio: Studio) -> Image.Image:
    picture, mask = painted_sample("lawn")
    entry = EXAMPLES["best_of_many"]
    latent = studio.blend(
        studio.encode(picture), entry["target"], mask=mask, seed=entry["seed"], predictions=entry["predictions"]
    )
    ranker = studio.run("CLIPRankModelLoader", folder=RANKING_MODEL)[0]
    ranked = studio.run(
        "CLIPRank",
        images=studio.decode(latent),
        text=entry["target"],
        mask=mask,
        source=picture,
        clip_rank_model=ranker,
    )
    tiles = [
        (f"{place}: {score:.3f}", prediction) for place, (score, prediction) in enumerate(zip(ranked[3], ranked[0]), 1)
    ]
    return grid(tiles, words=f"{entry['target']}, in CLIP's order")


def draw_film(studio: Studio) -> animation.Film:
    return animation.draw(studio, *example("demo"))


def draw_banner(studio: Studio) -> Image.Image:
    """The banner of the registry's page, 21:9."""
    picture, source, target = example("demo")
    heat, _, edited = studio.edit(picture, source, target)
    side, gap = 360, 30
    canvas = Image.new("RGB", (4 * gap + 3 * side, (4 * gap + 3 * side) * 9 // 21), (24, 26, 30))
    draw = ImageDraw.Draw(canvas)
    draw.text((gap, 28), "Semantic Edit", "white", ImageFont.load_default(42))
    draw.text((gap + side + gap, 28), f"{source}\n->  {target}", (170, 174, 182), ImageFont.load_default(20))
    for column, pictures in enumerate((picture[0], heat, edited)):
        canvas.paste(square(pictures, side), (gap + column * (side + gap), canvas.height - gap - side))
    return canvas


DRAWINGS = {
    "edits": draw_edits,
    "DiffEditMask": draw_thresholds,
    "DDIMInvert": draw_inversion,
    "LatentBlendSampler": draw_predictions,
    "ProgressiveMaskShrink": draw_shrinking,
    "EDICTSampler": draw_edict,
    "DecoderFinetune": draw_finetune,
    "BackgroundRestore": draw_restore,
    "CLIPRank": draw_ranking,
    "inversions": draw_inversions,
    "EditMetrics": draw_metrics,
}
FILMS = {"edit": draw_film}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=pathlib.Path, default=PACK / "js" / "docs" / "media", help="folder for the pictures"
    )
    parser.add_argument(
        "--banner", type=pathlib.Path, default=PACK / ".github" / "banner.png", help="file for the registry's banner"
    )
    parser.add_argument("--only", nargs="+", help="names of the pictures to draw, such as DDIMInvert")
    settings = parser.parse_args()
    settings.output.mkdir(parents=True, exist_ok=True)
    studio = Studio()
    drawings: dict[str, Callable[[Studio], Image.Image | animation.Film]] = {**DRAWINGS, **FILMS}
    for name, draw in drawings.items():
        if settings.only and name not in settings.only:
            continue
        file = settings.output / f"{name}.{'webp' if name in FILMS else 'png'}"
        drawn = draw(studio)
        if isinstance(drawn, animation.Film):
            drawn.save(file)
        else:
            drawn.save(file, optimize=True)
        print(f"drew {file.name}: {file.stat().st_size / 1000:.0f} kB", flush=True)
    if not settings.only or "banner" in settings.only:
        draw_banner(studio).save(settings.banner, optimize=True)


if __name__ == "__main__":
    main()
