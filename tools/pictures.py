"""Draws the pictures of the README and the help pages with the pack's own nodes and the demo
checkpoint, and demo/samples/ with them.

    python run.py bench pictures

Everything shown is the demo world (128 x 128 pixels, enlarged). Deterministic: the same checkpoint
draws the same pictures.
"""

import argparse
import json
import pathlib
import random

import torch
from PIL import Image, ImageDraw, ImageFont

from lab import common

from . import animation

PACK = pathlib.Path(__file__).resolve().parents[1]
TILE, GAP, LABEL = 192, 8, 22
EDITS = ((9, "colour"), (10, "shape"), (6, "colour"))
"""Seeds of the held-out scenes shown, chosen among the first dozen, and what is changed in each."""


def tile(picture: torch.Tensor) -> Image.Image:
    """IMAGE [H, W, 3] or MASK [H, W] as an enlarged square."""
    if picture.ndim == 2:
        picture = picture.unsqueeze(-1).expand(-1, -1, 3)
    pixels = (picture[..., :3].clamp(0, 1) * 255).round().byte().cpu().numpy()
    return Image.fromarray(pixels).resize(
        (TILE, TILE), Image.Resampling.LANCZOS if picture.shape[0] < TILE else Image.Resampling.BOX
    )


def sheet(rows: list[list[torch.Tensor]], labels: list[str], captions: list[str] | None = None) -> Image.Image:
    """Rows of tiles under one line of labels, a caption below each row."""
    below = LABEL if captions else 0
    width = len(labels) * (TILE + GAP) + GAP
    height = LABEL + GAP + len(rows) * (TILE + GAP + below)
    canvas, font = Image.new("RGB", (width, height), "white"), ImageFont.load_default(13)
    draw = ImageDraw.Draw(canvas)
    for column, label in enumerate(labels):
        draw.text((GAP + column * (TILE + GAP), 5), label, "black", font)
    for number, row in enumerate(rows):
        top = LABEL + GAP + number * (TILE + GAP + below)
        for column, picture in enumerate(row):
            canvas.paste(tile(picture), (GAP + column * (TILE + GAP), top))
        if captions:
            draw.text((GAP, top + TILE + 3), captions[number], (90, 90, 90), font)
    return canvas


class Studio(common.Demo):
    """The nodes, the demo checkpoint and its texts."""

    def mask(self, latent: dict, source: str, target: str, **widgets) -> tuple:
        return self.run(
            "DiffEditMask",
            model=self.model,
            source=self.texts(source),
            target=self.texts(target),
            latent=latent,
            **widgets,
        )

    def invert(self, latent: dict, **widgets) -> tuple:
        return self.run("DDIMInvert", model=self.model, conditioning=self.texts(""), latent=latent, **widgets)

    def blend(self, latent: dict, target: str, **widgets) -> dict:
        inputs = {
            "model": self.model,
            "positive": self.texts(target),
            "negative": self.texts(""),
            "latent": latent,
            **widgets,
        }
        return self.run("LatentBlendSampler", **inputs)[0]


def drawn(scene) -> torch.Tensor:
    """A scene as IMAGE [1, H, W, 3]."""
    from demo import scenes

    return scenes.render(scene)[0].movedim(0, -1).unsqueeze(0)


def scenes_to_edit():
    from demo import scenes

    for seed, kind in EDITS:
        rng = random.Random(f"picture {seed}")
        scene = scenes.random_scene(rng, 1 if kind == "shape" else 2, unseen=True)
        yield scene, scenes.edit_of(scene, kind, rng)


def draw_edits(studio: Studio) -> Image.Image:
    from demo import scenes

    rows, captions = [], []
    for scene, wanted in scenes_to_edit():
        source, target, picture = scenes.caption(scene), scenes.caption(wanted), drawn(scene)
        mask, heat, masked = studio.mask(studio.encode(picture), source, target)
        edited = studio.decode(studio.blend(masked, target, inversion=studio.invert(masked)[1]))
        rows.append([picture[0], heat[0], mask[0], edited[0]])
        captions.append(f"{source}  ->  {target}")
    return sheet(rows, ["picture", "heat map", "mask", "edited"], captions)


def draw_thresholds(studio: Studio) -> Image.Image:
    from demo import scenes

    scene, wanted = next(iter(scenes_to_edit()))
    picture, row = drawn(scene), []
    latent, thresholds = studio.encode(picture), (0.3, 0.5, 0.7)
    for threshold in thresholds:
        mask = studio.mask(latent, scenes.caption(scene), scenes.caption(wanted), threshold=threshold)[0]
        row.append(picture[0] * (0.3 + 0.7 * mask[0].unsqueeze(-1)))
    return sheet([[picture[0], *row]], ["picture", *(f"threshold {value}" for value in thresholds)])


def draw_inversion(studio: Studio) -> Image.Image:
    scene, _ = next(iter(scenes_to_edit()))
    picture = drawn(scene)
    inversion = studio.invert(studio.encode(picture))[1]
    chosen = [
        len(inversion.sigmas) - 1 - round(share * (len(inversion.sigmas) - 1)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    row = []
    for index in chosen:
        state = inversion.states[index] / (1 + inversion.sigmas[index] ** 2) ** 0.5
        row.append(studio.decode({"samples": studio.model.get_model_object("process_latent_out")(state)})[0])
    return sheet([row], [f"step {len(inversion.sigmas) - 1 - index}" for index in chosen])


def draw_predictions(studio: Studio) -> Image.Image:
    scene, _ = list(scenes_to_edit())[1]
    item, picture = scene.objects[0], drawn(scene)
    mask = torch.zeros(1, *picture.shape[1:3])
    side = picture.shape[1]
    top, left, reach = int(item.y * side), int(item.x * side), int(1.25 * item.radius * side)
    mask[:, max(0, top - reach) : top + reach, max(0, left - reach) : left + reach] = 1
    target = f"a red cross on a {scene.ground} background"  # inside a mask the text tells of the inside
    results = studio.decode(studio.blend(studio.encode(picture), target, mask=mask, predictions=3))
    return sheet(
        [[picture[0], mask[0], *results]], ["picture", "mask given", "seed", "seed + 1", "seed + 2"], [f"-> {target}"]
    )


def ring_scene() -> tuple[torch.Tensor, torch.Tensor]:
    """An empty black ground as IMAGE, and a thin ring as MASK."""
    from demo import scenes

    axis = (torch.arange(scenes.SIZE) + 0.5) / scenes.SIZE
    reach = torch.hypot(axis[:, None] - 0.5, axis[None] - 0.5)
    return drawn(scenes.Scene((), "black", 0.7, 0.2)), ((reach - 0.22).abs() < 0.03).float()[None]


def draw_shrinking(studio: Studio) -> Image.Image:
    from demo import scenes

    picture, mask = ring_scene()
    model, latent, stages = studio.run(
        "ProgressiveMaskShrink", model=studio.model, latent=studio.encode(picture), mask=mask, kernels="5, 3"
    )
    target = "a orange ring on a black background"
    edited = studio.decode(studio.blend(latent, target, model=model, seed=0, predictions=8))
    filled = [
        ((one - torch.tensor(scenes.COLOURS["orange"])).norm(dim=-1) < 0.35)[mask[0] > 0].float().mean()
        for one in edited
    ]
    best = sorted(range(8), key=lambda index: -filled[index])[:2]
    labels = [
        "mask given",
        "stage 1: 5 x 5",
        "stage 2: 3 x 3",
        "stage 3: its cells",
        *(f"seed + {index}" for index in best),
    ]
    return sheet(
        [[mask[0], *stages, *edited[best]]], labels, [f"-> {target}, the two of eight that fill the mask best"]
    )


def draw_edict(studio: Studio) -> Image.Image:
    from demo import scenes

    rows, captions = [], []
    for scene, wanted in list(scenes_to_edit())[1:]:
        picture = drawn(scene)
        latent, texts = (
            studio.encode(picture),
            (studio.texts(scenes.caption(scene)), studio.texts(scenes.caption(wanted)), studio.texts("")),
        )
        pair = studio.run("EDICTInvert", model=studio.model, source=texts[0], negative=texts[2], latent=latent)[0]
        back, edited = (
            studio.run("EDICTSampler", model=studio.model, target=text, negative=texts[2], pair=pair)[0]
            for text in texts[:2]
        )
        noised, _, _, sigmas = studio.run(
            "DDIMInvert", model=studio.model, conditioning=texts[0], negative=texts[2], latent=latent, cfg=3.0
        )
        sampler = studio.run("KSamplerSelect", sampler_name="ddim")[0]
        lost = studio.run(
            "SamplerCustom",
            model=studio.model,
            add_noise=False,
            noise_seed=0,
            cfg=3.0,
            positive=texts[0],
            negative=texts[2],
            sampler=sampler,
            sigmas=sigmas,
            latent_image=noised,
        )[0]
        base, *made = (studio.decode(result)[0] for result in (latent, back, lost, edited))
        losses = [((one - base).abs().mean(-1) * 16).clamp(0, 1) for one in made[:2]]
        rows.append([base, made[0], losses[0], made[1], losses[1], made[2]])
        captions.append(f"{scenes.caption(scene)}  ->  {scenes.caption(wanted)}")
    return sheet(
        rows,
        [
            "picture, by the VAE",
            "EDICT there and back",
            "its loss x 16",
            "DDIM there and back",
            "its loss x 16",
            "EDICT's edit",
        ],
        captions,
    )


def draw_inversions(studio: Studio) -> Image.Image:
    from demo import scenes

    rows, captions = [], []
    for scene, wanted in list(scenes_to_edit())[1:]:
        latent, source, target, empty = (
            studio.encode(drawn(scene)),
            *(studio.texts(text) for text in (scenes.caption(scene), scenes.caption(wanted), "")),
        )
        shared = {"model": studio.model, "source": source, "negative": empty, "latent": latent}
        exact = studio.run("ExactInvert", **shared)[0]
        friendly = studio.run("EditFriendlyInvert", **shared)[0]
        back = studio.run("ExactSampler", model=studio.model, target=source, negative=empty, inversion=exact)[0]
        edit = studio.run("ExactSampler", model=studio.model, target=target, negative=empty, inversion=friendly)[0]
        flow = studio.run("FlowEdit", target=target, **shared)[0]
        rows.append([studio.decode(result)[0] for result in (latent, back, edit, flow)])
        captions.append(f"{scenes.caption(scene)}  ->  {scenes.caption(wanted)}")
    return sheet(
        rows, ["picture, by the VAE", "O-BELM there and back", "edit-friendly: edit", "FlowEdit: edit"], captions
    )


def draw_metrics(studio: Studio) -> Image.Image:
    picture, mask, target, latent = object_to_add(studio)
    edited = {
        "plain VAE": studio.decode(latent),
        "tuned decoder": studio.run("DecoderFinetune", vae=studio.vae, image=picture, latent=latent, mask=mask)[0],
    }
    found = {name: studio.run("EditMetrics", source=picture, edited=made, mask=mask) for name, made in edited.items()}
    labels = [f"{name}: outside {numbers[0]:.1f} dB, SSIM {numbers[1]:.2f}" for name, numbers in found.items()]
    return sheet(
        [[picture[0], mask[0], *(made[0] for made in edited.values())]],
        ["source", "mask", *edited],
        ["; ".join(labels)],
    )


def object_to_add(studio: Studio, light: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, str, dict]:
    """A scene with room for one more object, the mask of that room, the text, and an edit: of
    twenty seeds the first that the demo's judge accepts.

    ``light`` makes the picture that is edited brighter than the one that is returned.
    """
    from demo import judge, scenes

    kept, added = (
        scenes.Shape("square", "white", 0.24, 0.26, 0.17, 0.2),
        scenes.Shape("circle", "blue", 0.66, 0.64, 0.2, 0.0),
    )
    before, wanted = (scenes.Scene(objects, "green", 0.7, 0.25) for objects in ((kept,), (kept, added)))
    picture, mask = (
        drawn(before),
        (scenes.coverage(scenes.Shape("circle", "red", 0.66, 0.64, 0.27, 0.0)) > 0.5).float()[None],
    )
    for seed in range(20):
        latent = studio.blend(
            studio.encode((picture + light).clamp(0, 1)), scenes.caption(wanted), mask=mask, seed=seed
        )
        if judge.caption_accepted(studio.decode(latent)[0].movedim(-1, 0), wanted):
            break
    return picture, mask, scenes.caption(wanted), latent


def draw_finetune(studio: Studio) -> Image.Image:
    picture, mask, target, latent = object_to_add(studio)
    plain, tuned = (
        studio.decode(latent),
        studio.run("DecoderFinetune", vae=studio.vae, image=picture, latent=latent, mask=mask)[0],
    )
    lost = [((made[0] - picture[0]).abs().mean(-1) * (1 - mask[0]) * 8).clamp(0, 1) for made in (plain, tuned)]
    labels = ["picture", "edited, plain VAE", "background lost x 8", "edited, tuned decoder", "background lost x 8"]
    return sheet([[picture[0], plain[0], lost[0], tuned[0], lost[1]]], labels, [f"-> {target}"])


def draw_restore(studio: Studio) -> Image.Image:
    picture, mask, target, latent = object_to_add(studio, light=0.1)
    edited = studio.decode(latent)
    row = [
        studio.run("BackgroundRestore", image=picture, edited=edited, mask=mask, method=method)[0][0]
        for method in ("stitch", "poisson")
    ]
    return sheet(
        [[picture[0], mask[0], edited[0], *row]],
        ["picture", "mask", "an edit in another light", "stitch", "poisson"],
        [f"-> {target}"],
    )


def draw_ranking(studio: Studio) -> Image.Image:
    picture, mask, target, _ = object_to_add(studio)
    words = "a blue circle on a green background"  # what is inside the mask: CLIP sees nothing else
    latent = studio.blend(studio.encode(picture), target, mask=mask, seed=0, predictions=6)
    ranker = studio.run("CLIPRankModelLoader", folder="semantic-edit-demo")[0]
    ranked = studio.run("CLIPRank", images=studio.decode(latent), text=words, mask=mask, clip_rank_model=ranker)
    labels = ["picture", *(f"{place}: {score:.3f}" for place, score in enumerate(ranked[3], 1))]
    return sheet([[picture[0], *ranked[0]]], labels, [f"-> {target}; ranked by: {words}"])


def draw_film(studio: Studio) -> animation.Film:
    from demo import scenes

    scene, wanted = next(iter(scenes_to_edit()))
    return animation.draw(studio, drawn(scene), scenes.caption(scene), scenes.caption(wanted))


def draw_banner(studio: Studio) -> Image.Image:
    """For the registry's page, 21:9."""
    from demo import scenes

    scene, wanted = next(iter(scenes_to_edit()))
    picture, source, target = drawn(scene), scenes.caption(scene), scenes.caption(wanted)
    _, heat, masked = studio.mask(studio.encode(picture), source, target)
    edited = studio.decode(studio.blend(masked, target, inversion=studio.invert(masked)[1]))
    side, gap = 360, 30
    canvas = Image.new("RGB", (4 * gap + 3 * side, (4 * gap + 3 * side) * 9 // 21), (24, 26, 30))
    draw = ImageDraw.Draw(canvas)
    draw.text((gap, 28), "Semantic Edit", "white", ImageFont.load_default(42))
    draw.text((gap + side + gap, 28), f"{source}\n->  {target}", (170, 174, 182), ImageFont.load_default(20))
    for column, shown in enumerate((picture[0], heat[0], edited[0])):
        canvas.paste(
            tile(shown).resize((side, side), Image.Resampling.LANCZOS),
            (gap + column * (side + gap), canvas.height - gap - side),
        )
    return canvas


def write_samples(folder: pathlib.Path) -> None:
    """The picture that ``python run.py edit`` edits when it is given none."""
    from demo import scenes

    scene, wanted = next(iter(scenes_to_edit()))
    folder.mkdir(exist_ok=True)
    picture = (scenes.render(scene)[0] * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(picture).save(folder / "source.png")
    texts = {"source": scenes.caption(scene), "target": scenes.caption(wanted), "seed": 0}
    (folder / "source.json").write_text(json.dumps(texts, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=pathlib.Path, default=PACK / "js" / "docs" / "media", help="folder for the pictures"
    )
    parser.add_argument(
        "--samples", type=pathlib.Path, default=PACK / "demo" / "samples", help="folder for the sample picture"
    )
    parser.add_argument(
        "--banner", type=pathlib.Path, default=PACK / ".github" / "banner.png", help="file for the registry's banner"
    )
    parser.add_argument("--only", nargs="+", help="names of the pictures to draw, such as DDIMInvert")
    settings = parser.parse_args()
    settings.output.mkdir(parents=True, exist_ok=True)
    studio = Studio()
    films = {"edit": draw_film}
    drawings = {
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
    for name, draw in {**drawings, **films}.items():
        if settings.only and name not in settings.only:
            continue
        file = settings.output / f"{name}.{'webp' if name in films else 'png'}"
        draw(studio).save(file, **({} if name in films else {"optimize": True}))
        print(f"drew {file.name}: {file.stat().st_size / 1000:.0f} kB")
    if not settings.only:
        draw_banner(studio).save(settings.banner, optimize=True)
        write_samples(settings.samples)


if __name__ == "__main__":
    main()
