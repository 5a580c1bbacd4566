"""Draws the pictures of the README and the help pages with the pack's own nodes and the demo checkpoint, and demo/samples/ with them.

    python run.py bench pictures

Everything shown is the demo world (128 x 128 pixels, enlarged). Deterministic: the same checkpoint draws the same pictures.
"""
import argparse
import json
import pathlib
import random

import common
import torch
from PIL import Image, ImageDraw, ImageFont

PACK = pathlib.Path(__file__).resolve().parents[1]
TILE, GAP, LABEL = 192, 8, 22
EDITS = ((9, "colour"), (10, "shape"), (6, "colour"))
"""Seeds of the held-out scenes shown, chosen among the first dozen, and what is changed in each."""


def tile(picture: torch.Tensor) -> Image.Image:
    """IMAGE [H, W, 3] or MASK [H, W] as an enlarged square."""
    if picture.ndim == 2:
        picture = picture.unsqueeze(-1).expand(-1, -1, 3)
    pixels = (picture[..., :3].clamp(0, 1) * 255).round().byte().cpu().numpy()
    return Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.LANCZOS if picture.shape[0] < TILE else Image.Resampling.BOX)


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


class Studio:
    """The nodes, the demo checkpoint and its texts."""

    def __init__(self):
        self.nodes = common.load_pack()
        self.model, self.clip, self.vae = common.load_checkpoint(self.nodes)

    def text(self, words: str):
        return common.call(self.nodes["CLIPTextEncode"], clip=self.clip, text=words)[0]

    def encode(self, picture: torch.Tensor) -> dict:
        return common.call(self.nodes["VAEEncode"], vae=self.vae, pixels=picture)[0]

    def decode(self, latent: dict) -> torch.Tensor:
        return common.call(self.nodes["VAEDecode"], vae=self.vae, samples=latent)[0]

    def mask(self, latent: dict, source: str, target: str, **widgets) -> tuple:
        return common.call(self.nodes["DiffEditMask"], model=self.model, source=self.text(source), target=self.text(target), latent=latent, **widgets)

    def invert(self, latent: dict, **widgets) -> tuple:
        return common.call(self.nodes["DDIMInvert"], model=self.model, conditioning=self.text(""), latent=latent, **widgets)

    def blend(self, latent: dict, target: str, **widgets) -> dict:
        return common.call(self.nodes["LatentBlendSampler"], model=self.model, positive=self.text(target), negative=self.text(""), latent=latent, **widgets)[0]


def drawn(scene) -> torch.Tensor:
    """A scene as IMAGE [1, H, W, 3]."""
    import scenes
    return scenes.render(scene)[0].movedim(0, -1).unsqueeze(0)


def scenes_to_edit():
    import scenes
    for seed, kind in EDITS:
        rng = random.Random(f"picture {seed}")
        scene = scenes.random_scene(rng, 1 if kind == "shape" else 2, unseen=True)
        yield scene, scenes.edit_of(scene, kind, rng)


def draw_edits(studio: Studio) -> Image.Image:
    import scenes
    rows, captions = [], []
    for scene, wanted in scenes_to_edit():
        source, target, picture = scenes.caption(scene), scenes.caption(wanted), drawn(scene)
        mask, heat, masked = studio.mask(studio.encode(picture), source, target)
        edited = studio.decode(studio.blend(masked, target, inversion=studio.invert(masked)[1]))
        rows.append([picture[0], heat[0], mask[0], edited[0]])
        captions.append(f"{source}  ->  {target}")
    return sheet(rows, ["picture", "heat map", "mask", "edited"], captions)


def draw_thresholds(studio: Studio) -> Image.Image:
    import scenes
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
    chosen = [len(inversion.sigmas) - 1 - round(share * (len(inversion.sigmas) - 1)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
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
    mask[:, max(0, top - reach):top + reach, max(0, left - reach):left + reach] = 1
    target = f"a red cross on a {scene.ground} background"  # inside a mask the text tells of the inside
    results = studio.decode(studio.blend(studio.encode(picture), target, mask=mask, predictions=3))
    return sheet([[picture[0], mask[0], *results]], ["picture", "mask given", "seed", "seed + 1", "seed + 2"], [f"-> {target}"])


def write_samples(folder: pathlib.Path) -> None:
    """The picture that ``python run.py edit`` edits when it is given none."""
    import scenes
    scene, wanted = next(iter(scenes_to_edit()))
    folder.mkdir(exist_ok=True)
    picture = (scenes.render(scene)[0] * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(picture).save(folder / "source.png")
    texts = {"source": scenes.caption(scene), "target": scenes.caption(wanted), "seed": 0}
    (folder / "source.json").write_text(json.dumps(texts, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=PACK / "js" / "docs" / "media", help="folder for the pictures")
    parser.add_argument("--samples", type=pathlib.Path, default=PACK / "demo" / "samples", help="folder for the sample picture")
    settings = parser.parse_args()
    settings.output.mkdir(parents=True, exist_ok=True)
    studio = Studio()
    for name, draw in (("edits", draw_edits), ("DiffEditMask", draw_thresholds), ("DDIMInvert", draw_inversion), ("LatentBlendSampler", draw_predictions)):
        draw(studio).save(settings.output / f"{name}.png", optimize=True)
        print(f"drew {name}.png")
    write_samples(settings.samples)


if __name__ == "__main__":
    main()
