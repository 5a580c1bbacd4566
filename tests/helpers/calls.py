"""One valid call of every node, on the analytic denoiser or on a tiny network, for the tests of
batches, faults and bad inputs.

``CALLS`` maps a node to its :class:`Call`. A new node needs one line there.
"""

from collections.abc import Callable
from typing import NamedTuple

import analytic
import matrix
import tiny_models
import torch


class World:
    """The inputs of a test: a model with texts and ``count`` pictures. ``run(name, **inputs)``
    returns a node's outputs.
    """

    def __init__(
        self,
        run: Callable,
        family: str | None = None,
        count: int = 1,
        size: tuple[int, int] = (8, 8),
        frames: int = 0,
        model=None,
    ):
        self.run = run
        if family is None:
            self.model, texts, channels = analytic.denoiser()[0], [analytic.text(mean) for mean in (0.8, 0.1, 0.0)], 4
        else:
            known = tiny_models.FAMILIES[family]
            self.model, channels, frames = tiny_models.damp(known.make(), 0.05), known.channels, frames or known.frames
            texts = [matrix.TEXTS(family, words) for words in ("a cat", "a dog on a chair", "")]
        self.model = self.model if model is None else model
        self.target, self.source, self.empty = texts
        shape = (channels, *((frames,) if frames else ()), *size)
        pictures = [torch.randn(shape, generator=torch.Generator().manual_seed(20 + k)) for k in range(count)]
        self.latent = {"samples": torch.stack(pictures) * 2, "batch_index": list(range(count))}
        self.mask = torch.ones(1, *size)
        self.mask[..., : size[1] // 2] = 0
        self.made: dict[str, object] = {}

    def item(self, k: int) -> "World":
        """The same inputs with picture ``k`` alone, as LatentFromBatch extracts it."""
        alone = object.__new__(World)
        alone.__dict__ |= self.__dict__ | {
            "latent": {"samples": self.latent["samples"][k : k + 1], "batch_index": [self.latent["batch_index"][k]]},
            "made": {},
        }
        return alone

    def inverted(self, node: str):
        """The inversion of these pictures by ``node``."""
        if node not in self.made:
            self.made[node] = CALLS[node].run(self)[CALLS[node].inversion]
        return self.made[node]


class Call(NamedTuple):
    """The inputs of a valid call with few steps."""

    node: str
    inputs: Callable[[World], dict]
    """The inputs of a valid call with few steps."""
    result: Callable[[tuple], torch.Tensor] = lambda outputs: outputs[0]["samples"]
    """Index of the output to compare, [B, ...]."""
    inversion: int | None = None
    """Index of the output from which another node continues."""
    takes_mask: bool = False

    def run(self, world: World, **changes) -> tuple:
        return world.run(self.node, **self.inputs(world) | changes)


SCHEDULE = dict(steps=4, strength=0.8)

CALLS = {
    call.node: call
    for call in (
        Call(
            "DiffEditMask",
            lambda w: dict(
                model=w.model, source=w.source, target=w.target, latent=w.latent, noises=2, normalisation="quantile"
            ),
            lambda outputs: outputs[1],
        ),
        Call(
            "DDIMInvert", lambda w: dict(model=w.model, conditioning=w.source, latent=w.latent, **SCHEDULE), inversion=1
        ),
        Call(
            "LatentBlendSampler",
            lambda w: dict(
                model=w.model, positive=w.target, negative=w.empty, latent=w.latent, mask=w.mask, steps=3, cfg=2.0
            ),
            takes_mask=True,
        ),
        Call(
            "EDICTInvert",
            lambda w: dict(model=w.model, source=w.source, negative=w.empty, latent=w.latent, cfg=2.0, **SCHEDULE),
            lambda outputs: outputs[1]["samples"],
            inversion=0,
        ),
        Call(
            "EDICTSampler",
            lambda w: dict(
                model=w.model, target=w.target, negative=w.empty, pair=w.inverted("EDICTInvert"), cfg=2.0, mask=w.mask
            ),
            takes_mask=True,
        ),
        Call(
            "ExactInvert",
            lambda w: dict(model=w.model, source=w.source, negative=w.empty, latent=w.latent, cfg=2.0, **SCHEDULE),
            lambda outputs: outputs[1]["samples"],
            inversion=0,
        ),
        Call(
            "EditFriendlyInvert",
            lambda w: dict(model=w.model, source=w.source, negative=w.empty, latent=w.latent, cfg=2.0, **SCHEDULE),
            lambda outputs: outputs[0].corrections.movedim(1, 0),
            inversion=0,
        ),
        Call(
            "ExactSampler",
            lambda w: dict(
                model=w.model,
                target=w.target,
                negative=w.empty,
                inversion=w.inverted("ExactInvert"),
                cfg=2.0,
                mask=w.mask,
            ),
            takes_mask=True,
        ),
        Call(
            "FlowEdit",
            lambda w: dict(
                model=w.model,
                source=w.source,
                target=w.target,
                negative=w.empty,
                latent=w.latent,
                mask=w.mask,
                **SCHEDULE,
            ),
            takes_mask=True,
        ),
        Call(
            "ProgressiveMaskShrink",
            lambda w: dict(model=w.model, latent=w.latent, mask=w.mask),
            lambda outputs: outputs[1]["noise_mask"],
        ),
    )
}


def _picture(count: int = 1) -> torch.Tensor:
    return torch.rand(count, 32, 32, 3, generator=torch.Generator().manual_seed(3))


def _half(size: int = 32) -> torch.Tensor:
    mask = torch.zeros(1, size, size)
    mask[..., size // 2 :] = 1
    return mask


class Pictures:
    """Inputs of nodes without a MODEL."""

    def __init__(self, run: Callable):
        import tiny_vaes

        self.run, self.vae, self.image, self.mask = run, tiny_vaes.kl(), _picture(), _half()
        with torch.inference_mode():
            self.latent = {"samples": self.vae.encode(self.image).float()}


def textured() -> torch.Tensor:
    """An IMAGE [1, 128, 128, 3] with edges in all directions, so that its position is well defined."""
    noise = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    return torch.nn.functional.interpolate(noise, size=(128, 128), mode="bicubic").clamp(0, 1).movedim(1, -1)


OTHERS = {
    call.node: call
    for call in (
        Call(
            "DecoderFinetune",
            lambda w: dict(vae=w.vae, image=w.image, latent=w.latent, mask=w.mask, steps=8, scope="last blocks"),
            lambda outputs: outputs[0],
        ),
        Call(
            "BackgroundRestore",
            lambda w: dict(
                vae=w.vae, image=w.image, latent=w.latent, mask=w.mask, method="latent optimisation", steps=3
            ),
            lambda outputs: outputs[0],
        ),
        Call(
            "AlignToSource",
            lambda w: dict(image=textured(), edited=textured().roll((1, 2), (1, 2))),
            lambda outputs: outputs[0],
        ),
        Call("CLIPRank", lambda w: dict(images=w.image, text="a cat", mask=w.mask), lambda outputs: outputs[0]),
        Call("CLIPRankModelLoader", lambda w: dict(folder="none"), lambda outputs: outputs[0]),
        Call(
            "EditMetrics",
            lambda w: dict(source=w.image, edited=w.image.flip(1), mask=w.mask, lpips="none"),
            lambda outputs: outputs[0],
        ),
    )
}
"""Valid calls of the nodes without a MODEL; CLIPRank also needs its CLIP."""
