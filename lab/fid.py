"""FID (Heusel et al. 2017) by torchmetrics over local pictures, and its class-conditional form
(Couairon et al. 2023, DiffEdit, section 4.1).

The feature network is Inception with the user's weights, or any function to [N, D].
"""

import importlib.util
import math
import pathlib
from collections.abc import Callable, Sequence

import torch

from . import common, weights

BATCH = 16
LEAST = 2
"""Fewest pictures for which a covariance exists."""
Features = Callable[[torch.Tensor], torch.Tensor]


class OwnFeatures(torch.nn.Module):
    """A function from pictures [N, H, W, 3] in 0..1 to [N, D], in torchmetrics' form."""

    def __init__(self, function: Features, size: int):
        super().__init__()
        self.function = function
        self.num_features = self.forward(torch.zeros(1, 3, size, size)).shape[1]

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Features [N, D] of pictures [N, 3, H, W] in 0..1."""
        return self.function(planes.movedim(1, -1)).float()


def missing(inception: bool) -> str:
    """The reason why FID cannot be measured, with advice; empty if it can."""
    if importlib.util.find_spec("torchmetrics") is None:
        return "FID needs the optional package torchmetrics (pip install torchmetrics)"
    if inception and importlib.util.find_spec("torch_fidelity") is None:
        return "FID with Inception needs the optional package torch-fidelity (pip install torch-fidelity)"
    return ""


def inception(path: pathlib.Path | str, sha256: str = weights.KNOWN["inception"].sha256):
    """torchmetrics' FID with Inception's weights from ``path``.

    Raises:
        ValueError: a package or the file is missing, or the file is not the published one.
    """
    if why := missing(True):
        raise ValueError(why)
    path = pathlib.Path(path)
    digest = weights.digest(path) if path.is_file() else "none: there is no such file"
    if digest != sha256:
        raise ValueError(f"{path.name}: the SHA-256 is {digest}; expected {weights.needed('inception')}")
    from torchmetrics.image.fid import FrechetInceptionDistance

    return FrechetInceptionDistance(2048, normalize=True, feature_extractor_weights_path=str(path))


def of_features(function: Features, size: int = 64):
    """torchmetrics' FID with given features.

    Raises:
        ValueError: torchmetrics is missing.
    """
    if why := missing(False):
        raise ValueError(why)
    from torchmetrics.image.fid import FrechetInceptionDistance

    return FrechetInceptionDistance(OwnFeatures(function, size), normalize=True)


def of_clip(scorer):
    """torchmetrics' FID with the embeddings of a CLIP (see ``pie_columns.load_clip``)."""
    resize = common.pack_module("core.pictures.ranking").resize_square
    return of_features(
        lambda pictures: scorer.embed_pictures(resize(pictures.float(), scorer.image_size)), scorer.image_size
    )


def distance(metric, real: Sequence[torch.Tensor], made: Sequence[torch.Tensor]) -> float:
    """FID of two sets of pictures [H, W, 3] in 0..1; NaN if one has fewer than two."""
    if min(len(real), len(made)) < LEAST:
        return math.nan
    metric.reset()
    with torch.inference_mode(False), torch.no_grad():
        for pictures, is_real in ((real, True), (made, False)):
            for start in range(0, len(pictures), BATCH):
                for batch in same_sizes(pictures[start : start + BATCH]):
                    metric.update(batch.clone(), real=is_real)
        value = float(metric.compute())
    metric.reset()
    return value


def same_sizes(pictures: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Pictures as batches [N, 3, H, W], one for each size."""
    sizes = dict.fromkeys(tuple(picture.shape) for picture in pictures)
    groups = [[picture for picture in pictures if tuple(picture.shape) == size] for size in sizes]
    return [torch.stack(group).movedim(-1, 1) for group in groups]


def by_class(metric, real: dict[str, list], made: dict[str, list]) -> float:
    """The mean over the classes of ``made`` of FID against the real pictures of the same class; NaN
    if no class has two of both.
    """
    values = [distance(metric, real.get(name, []), pictures) for name, pictures in made.items()]
    distances = [value for value in values if not math.isnan(value)]
    return sum(distances) / len(distances) if distances else math.nan
