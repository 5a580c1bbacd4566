"""Registration of an edited image to its source: an affine map and a colour map, estimated from the
unedited part.

Coarse to fine: phase correlation gives initial guesses (:mod:`phase_correlation`), which are
refined by Gauss-Newton steps on a pyramid (:mod:`refinement`), in the symmetric form of Benhimane
and Malis 2004 (the mean of both images' gradients), by iteratively reweighted least squares with
Tukey's biweight (Holland and Welsch 1977). The edited region consists of outliers, which get no
weight. Images are [3, H, W] in 0..1; maps are as in :mod:`phase_correlation`.
"""

from dataclasses import dataclass, replace

import torch

from .casts import fit_colours
from .colour import ColourMap
from .matching import advantage, agreement
from .phase_correlation import NEAR, SIDE, WIDE, guesses
from .refinement import FINEST, SLACK, Level, State, make_level, refine

TRIED = 4
"""Number of guesses that are refined at the coarsest level."""
LEAST_AGREEMENT = 0.3
"""Agreement below which two images do not match."""
LEAST_ADVANTAGE = 0.08
"""Advantage over a mirrored or rotated source below which two images do not match."""
NEARLY_ALL = 0.85
"""Agreement from which a symmetric image is accepted, though a mirrored source agrees as well."""
SURE = 0.4
"""Agreement, minus four times the noise, from which the wide grid of scales is not tried."""
LOOSE = 2.5e-3
"""Uncertainty, as a fraction of the longer side, above which a map is rejected."""
UNCERTAIN = 0.3
"""Uncertainty at the corners above which the report warns, in pixels of an image of at most
``FINEST`` pixels.
"""
UNCERTAIN_COLOURS = 0.5
"""Uncertainty of the colours above which the report warns, in Delta E."""


def most_uncertain(size: tuple[int, int]) -> float:
    """The uncertainty in pixels up to which a map is accepted for a source of ``size``."""
    return max(UNCERTAIN, LOOSE * max(size))


@dataclass(frozen=True)
class Registration:
    """The result of :func:`register`.

    Attributes:
        matrix: the map [2, 3] in float64, from the source's coordinates to the edited image's.
        colour: the map from the edited image's colours to the source's.
        agreement: the fraction of the source's textured area that matches the edited image.
        advantage: ``agreement`` minus that of a mirrored or rotated source, at the coarsest level.
        uncertainty: three standard deviations of the map at the worst corner, in pixels of the
            source.
        noise: standard deviation of the residuals of unchanged pixels.
        colour_uncertainty: three standard deviations of gain and offset, in Delta E.
    """

    matrix: torch.Tensor
    colour: ColourMap
    agreement: float
    advantage: float
    uncertainty: float
    noise: float
    colour_uncertainty: float

    def offset(self, size: tuple[int, int]) -> tuple[float, float]:
        """Offset of the source's centre from the edited image's centre, to the right and down, in
        pixels of a source of ``size`` (height, width).
        """
        return float(self.matrix[0, 2]) * size[1] / 2, float(self.matrix[1, 2]) * size[0] / 2

    def fault(self, size: tuple[int, int]) -> str | None:
        """The reason why the map must not be used for a source of ``size``; None if it can be used.

        "other": the images do not match. "repeats": a mirrored or rotated source matches as well.
        "loose": the map is too uncertain.
        """
        if self.agreement < LEAST_AGREEMENT:
            return "other"
        if self.advantage < (LEAST_ADVANTAGE if self.agreement < NEARLY_ALL else -LEAST_ADVANTAGE):
            return "repeats"
        return "loose" if self.uncertainty > most_uncertain(size) else None

    def is_uncertain(self, size: tuple[int, int]) -> bool:
        """Whether the report has to warn about the uncertainty of the map for a source of
        ``size``.
        """
        return self.uncertainty > UNCERTAIN * max(1.0, max(size) / FINEST)

    @property
    def has_uncertain_colours(self) -> bool:
        return self.colour_uncertainty > UNCERTAIN_COLOURS

    def without_colour(self) -> "Registration":
        """The same map with an identity colour map."""
        return replace(self, colour=ColourMap.identity(), colour_uncertainty=0.0)

    @property
    def scale(self) -> float:
        """Scale of the edited image's content relative to the source's, when both images are
        resized to the same size.
        """
        return float(torch.linalg.det(self.matrix[:, :2]).abs().sqrt())


def register(
    source: torch.Tensor, edited: torch.Tensor, ignored: torch.Tensor | None = None, field: bool = False
) -> Registration:
    """Register ``edited`` to ``source``, which may differ in size and aspect ratio.

    Args:
        ignored: [H, W] in 0..1 on the source; pixels above 0.5 are known to have changed.
        field: also fit a smooth colour field.
    """
    counted = torch.ones(source.shape[-2:]) if ignored is None else (ignored <= 0.5).float()
    state = _first_state(source, edited, counted)
    for side in _sides(source)[1:]:
        refine(make_level(source, edited, counted, side, state.matrix), state, 12 if side < FINEST else 8, 0.5)
    colour, colour_uncertainty = fit_colours(source, edited, counted, state, field)
    agrees = agreement(make_level(source, edited, counted, 2 * SIDE, state.matrix), state)
    ahead = advantage(source, edited, counted, state) if agrees >= LEAST_AGREEMENT else 0.0
    shrunk = max(1.0, max(source.shape[-2:]) / FINEST)
    return Registration(
        state.matrix, colour, agrees, ahead, state.uncertainty * shrunk, state.noise, colour_uncertainty
    )


def _sides(source: torch.Tensor) -> list[int]:
    """Longer side of the source at each level, coarsest first."""
    largest = min(FINEST, max(source.shape[-2:]))
    sides = [largest]
    while sides[0] > SIDE:
        sides.insert(0, max(SIDE, sides[0] // 2))
    return sides


def _first_state(source: torch.Tensor, edited: torch.Tensor, counted: torch.Tensor) -> State:
    """The best of the guesses, refined at the coarsest level. The wide grid of scales is tried if
    no guess of the near one agrees.
    """
    best, reached = State(torch.eye(2, 3, dtype=torch.float64), ColourMap.identity()), -1.0
    side = _sides(source)[0]
    for zooms in (NEAR, WIDE):
        for matrix in guesses((source * counted).mean(0), edited.mean(0), zooms, TRIED):
            level = make_level(source, edited, counted, side, matrix)
            state = State(matrix, _median_offset(level, matrix), matrix)
            refine(level, state, 20, SLACK, similar=True)
            score = agreement(level, state) - 4 * state.noise
            if score > reached:
                best, reached = state, score
            if reached >= 0.85:
                return best
        if reached >= SURE:
            return best
    return best


def _median_offset(level: Level, matrix: torch.Tensor) -> ColourMap:
    """A colour map with the median difference per channel as its offset."""
    seen, weight = level.seen(matrix)
    valid = weight.flatten() > 0
    if not valid.any():
        return ColourMap.identity()
    offset = (level.source - seen).flatten(1)[:, valid].median(1).values
    return ColourMap(torch.ones(3), offset)
