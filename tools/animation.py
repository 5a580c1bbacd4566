"""The README's short animation: one edit of the demo world from the picture to the result. ``bench
pictures`` draws it with the other pictures.

All frames are computed by the pack's nodes: masks by DiffEditMask at each threshold, states by
DDIMInvert and LatentBlendSampler at each step.
"""

import pathlib

import torch
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from lab import common  # noqa: F401 (adds the demo's folder to the path)

TILE, GAP, HEAD, FOOT = 264, 10, 30, 62
WIDTH, HEIGHT = 3 * (TILE + GAP) + GAP, HEAD + TILE + FOOT
QUALITY = 82
GREY, DARK, ACCENT = (110, 110, 110), (20, 20, 20), (228, 88, 20)
SWEEP = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.46, 0.42, 0.46, 0.5, 0.55, 0.6)
"""Thresholds in the order of the frames; the last is the template's, with which the edit is made."""
STRIDE = 3
"""Every third step is a frame."""


def tile(picture: torch.Tensor, resample: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
    """IMAGE [H, W, 3] or MASK [H, W] as an enlarged square."""
    if picture.ndim == 2:
        picture = picture.unsqueeze(-1).expand(-1, -1, 3)
    return Image.fromarray((picture.clamp(0, 1) * 255).round().byte().cpu().numpy()).resize((TILE, TILE), resample)


def outlined(heat: torch.Tensor, mask: torch.Tensor) -> Image.Image:
    """The heat map with the mask's outline over it."""
    inside = tile(mask, Image.Resampling.NEAREST).convert("L")
    edge = ImageChops.difference(inside, inside.filter(ImageFilter.MinFilter(5)))
    return Image.composite(Image.new("RGB", inside.size, ACCENT), tile(heat), edge)


def veiled(picture: torch.Tensor, mask: torch.Tensor) -> Image.Image:
    """The picture, darkened outside the mask."""
    return tile(picture * (0.35 + 0.65 * mask.unsqueeze(-1)))


class Film:
    """Frames and their durations in milliseconds."""

    def __init__(self, source: str, target: str):
        self.texts = (source, target)
        self.frames: list[Image.Image] = []
        self.durations: list[int] = []
        self.fonts = ImageFont.load_default(15), ImageFont.load_default(14)

    def add(
        self, tiles: list[Image.Image | None], words: str, milliseconds: int, threshold: float | None = None
    ) -> None:
        """Add a frame of three tiles (None: empty) with a line of text; ``threshold`` draws the
        slider.
        """
        frame = Image.new("RGB", (WIDTH, HEIGHT), "white")
        draw = ImageDraw.Draw(frame)
        for column, (label, picture) in enumerate(
            zip(("picture", "where the model sees a difference", "edit"), tiles, strict=True)
        ):
            left = GAP + column * (TILE + GAP)
            draw.text((left, 7), label, DARK, self.fonts[0])
            frame.paste(picture or Image.new("RGB", (TILE, TILE), (244, 244, 244)), (left, HEAD))
        draw.text((GAP, HEAD + TILE + 9), f"{self.texts[0]}  ->  {self.texts[1]}", DARK, self.fonts[1])
        draw.text((GAP, HEAD + TILE + 33), words, GREY, self.fonts[1])
        if threshold is not None:
            left, top, length = 2 * GAP + TILE, HEAD + TILE + 42, TILE
            draw.line([(left, top), (left + length, top)], (200, 200, 200), 3)
            draw.ellipse([left + threshold * length - 7, top - 7, left + threshold * length + 7, top + 7], ACCENT)
        self.frames.append(frame)
        self.durations.append(milliseconds)

    def save(self, path: pathlib.Path) -> None:
        """Write the frames as an animated WebP."""
        self.frames[0].save(
            path,
            save_all=True,
            append_images=self.frames[1:],
            duration=self.durations,
            loop=0,
            quality=QUALITY,
            method=4,
        )


def states_of_edit(studio, masked: dict, target: str, inversion) -> tuple[list[torch.Tensor], dict]:
    """The sampler's states in the model's space, scaled to unit noise, from noise to picture; and
    the edited LATENT.
    """
    states, model = [], studio.model.clone()

    def record(arguments: dict) -> torch.Tensor:
        states.append(arguments["input"].clone() / (1 + arguments["sigma"].reshape(-1, 1, 1, 1) ** 2) ** 0.5)
        return arguments["denoised"]

    model.set_model_sampler_post_cfg_function(record)
    return states, studio.blend(masked, target, model=model, inversion=inversion)


def draw(studio, picture: torch.Tensor, source: str, target: str) -> Film:
    """One edit of ``picture`` (IMAGE [1, H, W, 3]) as a film."""
    film, latent, plain = Film(source, target), studio.encode(picture), tile(picture[0])
    film.add([plain, None, None], "two sentences: what it shows, what it should show", 1500)
    for threshold in SWEEP:
        mask, heat, masked = studio.mask(latent, source, target, threshold=threshold)
        if not film.frames[1:]:
            film.add([plain, tile(heat[0]), None], "DiffEdit Mask: the predictions under both texts differ here", 1500)
        mask_outputs = [veiled(picture[0], mask[0]), outlined(heat[0], mask[0])]
        film.add([*mask_outputs, None], f"threshold {threshold:.2f}: {mask.mean():.0%} of the picture", 140, threshold)
    film.durations[-1] = 1000

    inversion = studio.invert(masked)[1]
    noised = [state / (1 + sigma**2) ** 0.5 for state, sigma in zip(inversion.states, inversion.sigmas, strict=True)][
        ::-1
    ]
    denoised, edited = states_of_edit(studio, masked, target, inversion)
    inside = (edited["samples"] != latent["samples"]).any(dim=1, keepdim=True)
    out = studio.model.get_model_object("process_latent_out")
    steps = len(inversion.sigmas) - 1
    for words, states in (
        ("DDIM Invert: back to noise", noised),
        ("Latent Blend Sampler: the target text, inside the mask", denoised),
    ):
        for step in range(0, len(states), STRIDE):
            decoded = studio.decode({"samples": torch.where(inside, out(states[step]).cpu(), latent["samples"])})
            film.add([*mask_outputs, tile(decoded[0])], f"{words}, step {step} of {steps}", 90)
    result = tile(studio.keep(picture, studio.decode(edited), mask)[0])
    film.add([*mask_outputs, result], "outside the mask every pixel is the source's own", 2200)
    for share in (0.75, 0.5, 0.25, 0.0, 0.25, 0.5, 0.75, 1.0):
        film.add([*mask_outputs, Image.blend(plain, result, share)], "before and after", 100 if share % 1 else 1200)
    return film
