"""Cost of DiffEdit for a small thing in a large picture, in evaluations of the whole picture.

``python run.py bench crop_evaluations``, or ``python -m benchmarks.crop_evaluations`` with
COMFYUI_PATH set.

Counted, not timed: the latent cells that the network processes in a run of the pack's nodes,
divided by the cells of the whole picture. The network is an analytic denoiser
(tests/helpers/analytic.py) whose prediction depends on the text only inside the thing, so that
DiffEditMask finds the thing. The mask is found on the whole picture or given; inversion and edit
run on the whole picture or on Edit Crop's window at the picture's own resolution.
"""

import argparse

import torch
import torch.nn.functional as F

from lab import common

from .ways import guided_until

CELL, SIDE = 8, 1024
CONTEXT, STRENGTH = 2.0, 0.8
THINGS = (0.1, 0.2, 0.3)
"""Sides of the thing as shares of the picture's side."""


class Picture:
    """A picture of ``side`` pixels with a square thing, and a model of it that counts evaluated
    cells.
    """

    def __init__(self, share: float, side: int = SIDE):
        common.load_pack()
        import analytic

        self.analytic, self.nodes, self.side = analytic, common.load_pack(), side
        cells = side // CELL
        reach, start = round(share * cells), round((1 - share) / 2 * cells)
        self.region = torch.zeros(1, 1, cells, cells)
        self.region[..., start : start + reach, start : start + reach] = 1
        generator = torch.Generator().manual_seed(0)
        self.image = torch.rand(1, side, side, 3, generator=generator)
        self.cells = 0

    def model(self, region: torch.Tensor | None):
        """A denoiser whose calls add their number of latent cells to ``cells``."""
        model, _ = self.analytic.denoiser(region)
        inner = model.model_options["model_function_wrapper"]

        def counted(apply_model, arguments: dict):
            x = arguments["input"]
            self.cells += x.shape[0] * x.shape[-2] * x.shape[-1]
            return inner(apply_model, arguments)

        model.set_model_unet_function_wrapper(counted)
        return model

    def run(self, name: str, **inputs) -> tuple:
        return common.call(self.nodes[name], **inputs)

    def latent(self, image: torch.Tensor) -> dict:
        """A LATENT of an IMAGE without a VAE: means of 8 by 8 pixels, the first channel repeated as
        the fourth.
        """
        small = F.avg_pool2d(image.movedim(-1, 1), CELL) - 0.5
        return self.analytic.latent(torch.cat([small, small[:, :1]], 1))

    def whole_evaluations(self) -> float:
        """The cells counted since the last call, divided by those of the whole picture."""
        cells, self.cells = self.cells, 0
        return cells / (self.side // CELL) ** 2

    def found_mask(self, noises: int) -> torch.Tensor:
        """The MASK of DiffEditMask on the whole picture."""
        texts = {"source": self.analytic.text(0.3), "target": self.analytic.text(0.8)}
        latent = self.latent(self.image)
        return self.run("DiffEditMask", model=self.model(self.region), latent=latent, seed=0, noises=noises, **texts)[0]

    def given_mask(self) -> torch.Tensor:
        """The exact MASK of the thing."""
        return self.region[0].repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)

    def edit(self, mask: torch.Tensor, steps: int, crop: bool, guided: float = 1.0) -> None:
        """DiffEdit's inversion and edit inside a MASK, of the whole picture or of its window, with
        guidance in the first share of the steps.
        """
        image = self.image
        if crop:
            image, mask, _ = self.run("EditCrop", image=image, mask=mask, size=0, context=CONTEXT, multiple=CELL)
        model, latent, empty = self.model(None), self.latent(image), self.analytic.text(0.0)
        model = guided_until(model, steps, STRENGTH, guided)
        inversion = self.run(
            "DDIMInvert", model=model, conditioning=empty, latent=latent, steps=steps, strength=STRENGTH
        )[1]
        texts = {"positive": self.analytic.text(0.8), "negative": empty, "cfg": 7.5}
        self.run("LatentBlendSampler", model=model, latent=latent, mask=mask, inversion=inversion, **texts)


def count(share: float, steps: int, noises: int | None, crop: bool, guided: float = 1.0, side: int = SIDE) -> float:
    """Whole-picture evaluations of an edit; ``noises`` None: the mask is given."""
    picture = Picture(share, side)
    mask = picture.given_mask() if noises is None else picture.found_mask(noises)
    picture.edit(mask, steps, crop, guided)
    return picture.whole_evaluations()


WAYS: dict[str, tuple[int, int | None, bool, float]] = {
    "whole picture, mask found, 50 steps, 10 noises": (50, 10, False, 1.0),
    "whole picture, mask found, 16 steps, 4 noises, guided 0% to 50%": (16, 4, False, 0.5),
    "whole picture, mask found, 10 steps, 4 noises": (10, 4, False, 1.0),
    "crop, mask found, 50 steps, 10 noises": (50, 10, True, 1.0),
    "crop, mask found, 16 steps, 4 noises, guided 0% to 50%": (16, 4, True, 0.5),
    "crop, mask found, 10 steps, 4 noises": (10, 4, True, 1.0),
    "crop, mask given, 50 steps": (50, None, True, 1.0),
    "crop, mask given, 16 steps, guided 0% to 50%": (16, None, True, 0.5),
    "crop, mask given, 10 steps": (10, None, True, 1.0),
}


def main(argv: list[str] | None = None) -> dict[str, list[float]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a picture of 256 pixels")
    settings = parser.parse_args(argv)
    side = 256 if settings.quick else SIDE
    evaluations = {name: [count(share, *way, side) for share in THINGS] for name, way in WAYS.items()}
    print(f"## {side} x {side} pixels, strength {STRENGTH:g}, context {CONTEXT:g}\n")
    headers = ["whole-picture evaluations", *(f"thing {share:.0%} of the side" for share in THINGS)]
    print(
        common.markdown_table(
            headers, [(name, *(f"{value:.1f}" for value in row)) for name, row in evaluations.items()]
        )
    )
    return evaluations


if __name__ == "__main__":
    main()
