"""Estimate a motion, and its uncertainty, from the displacements of the cells of a grid.

A cell's vote is its displacement, weighted by the inverse covariance. The motion is taken as
constant within a cell. A constant colour difference within a cell is ignored, so only the variation
within the cell determines its displacement. The votes are combined by a random-effects model
(DerSimonian and Laird 1986): in addition to the noise of its pixels, every cell has an independent
error with a standard deviation of ``OWN`` pixels, so that no single cell dominates. A jackknife
that deletes one block of cells at a time (Quenouille 1956, Tukey 1958) measures how much the
estimate depends on the choice of cells.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

CELL = 32
"""Side of a cell in pixels; at most a quarter of the longer side of the image."""
BLOCKS = 8
"""Maximum number of blocks along the longer side for the jackknife. A block has at least two by two
cells, if the grid is large enough, because errors of neighbouring cells are correlated.
"""
OWN = 0.005
"""Standard deviation of the error that each cell has in addition to its noise, in pixels."""
SMOOTH = 0.1 / 255
"""Standard deviation of colour differences that do not average out within a cell."""
CORRELATED = 4 * torch.pi
"""Number of pixels per independent value of the noise, after the blur of 1 pixel."""
STRETCH = 0.005
"""Standard deviation of the prior on stretch and shear, as fractions."""
SIMILAR = torch.tensor(
    [[0, 0, 1, 0], [0, 0, 0, -1], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]], dtype=torch.float64
)
"""[6, 4]: shift right, shift down, zoom and turn in terms of the six entries of a motion [2, 3]."""
STRETCHING = torch.tensor([[1, 0], [0, 1], [0, 0], [0, 1], [-1, 0], [0, 0]], dtype=torch.float64)
"""[6, 2]: stretch along the axes and shear, the two remaining components of a motion."""


@dataclass(frozen=True)
class Votes:
    """The displacements of n cells, with their weights.

    Attributes:
        strength: [n, 2, 2], the inverse covariance of each displacement (right, down), in 1/px^2.
        pull: [n, 2], ``strength`` times the displacement, in 1/px.
        place: [n, 3], (x, y, 1) of the cells' centres; -1..1 is the longer side of the image.
        block: [n], the index of each cell's block.
        corner: (x, y) of the bottom right corner of the image, in the units of ``place``.
        half: half of the longer side in pixels.
    """

    strength: torch.Tensor
    pull: torch.Tensor
    place: torch.Tensor
    block: torch.Tensor
    corner: tuple[float, float]
    half: float

    def solve(self, stretched: tuple[float, float], similar: bool) -> tuple[torch.Tensor, float]:
        """Solve for the motion that fits the votes best.

        Args:
            stretched: stretch and shear of the map before this motion. The prior is on their sum
                with those of the motion.
            similar: restrict the motion to shift, zoom and turn.

        Returns:
            The motion [2, 3], which maps (x, y, 1) to a displacement in pixels, and three standard
            deviations of this displacement at the worst corner, in pixels.
        """
        ways = SIMILAR if similar else torch.cat([SIMILAR, STRETCHING], 1)
        normal, right = self._sums(ways)
        whole, total = normal.sum(0), right.sum(0)
        if not similar:
            sure = 1 / (STRETCH * self.half) ** 2
            whole[4:, 4:] += sure * torch.eye(2, dtype=torch.float64)
            total[4:] -= sure * self.half * torch.tensor(stretched, dtype=torch.float64)
        damping = 1e-6 * whole.diagonal().mean() + 1e-9  # components that no vote determines stay 0
        whole = whole + damping * torch.eye(len(whole), dtype=torch.float64)
        moved = torch.linalg.solve(whole, total)
        return (ways @ moved).reshape(2, 3), 3 * self._deviation(ways, whole, normal, right, moved)

    def _sums(self, ways: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normal matrices [blocks, k, k] and right sides [blocks, k] for the k ``ways``."""
        count = int(self.block.max()) + 1
        normal = torch.einsum("nij,na,nb->niajb", self.strength, self.place, self.place).reshape(-1, 6, 6)
        right = torch.einsum("ni,na->nia", self.pull, self.place).reshape(-1, 6)
        normal, right = ways.T @ normal @ ways, right @ ways
        empty = torch.zeros(count, *normal.shape[1:], dtype=torch.float64)
        return empty.index_add(0, self.block, normal), empty[:, 0].index_add(0, self.block, right)

    def _deviation(
        self, ways: torch.Tensor, whole: torch.Tensor, normal: torch.Tensor, right: torch.Tensor, moved: torch.Tensor
    ) -> float:
        """Standard deviation of the displacement at the worst corner, in pixels: the larger of the
        model's estimate and the jackknife's.
        """
        model = torch.linalg.inv(whole)
        count = len(normal)
        without = torch.linalg.solve(whole - normal + 1e-9 * torch.eye(len(whole)), right - normal @ moved)
        deleted = without.T @ without * (count - 1) / count
        x, y = self.corner
        corners = torch.tensor([[a * x, b * y, 1.0] for a in (-1, 1) for b in (-1, 1)], dtype=torch.float64)
        at = torch.cat([F.pad(corners, (0, 3)), F.pad(corners, (3, 0))]) @ ways
        variances = [((at @ covariance) * at).sum(1).max() for covariance in (model, deleted)]
        return math.sqrt(float(max(variances)))


def gather(
    along: torch.Tensor, down: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, noise: float
) -> Votes:
    """Compute the votes of all cells of an image.

    Args:
        along, down: slopes of the image along rows and down columns, [3, H, W].
        residual: difference that the motion has to explain, [3, H, W].
        weight: weight of each pixel, [H, W].
        noise: standard deviation of the noise of a pixel.
    """
    height, width = weight.shape
    cell = min(CELL, max(height, width) // 4)
    total = _summed(weight[None], cell)[0].clamp(min=1e-6)
    terms = torch.stack([along, down, residual])
    mean = _summed((terms * weight).reshape(9, height, width), cell) / total
    fine = mean.repeat_interleave(cell, 1).repeat_interleave(cell, 2)[:, :height, :width]
    along, down, residual = terms - fine.reshape(3, 3, height, width)
    pairs = [(along, along), (along, down), (down, down), (along, residual), (down, residual)]
    xx, xy, yy, xr, yr = _summed(torch.stack([weight * (a * b).sum(0) for a, b in pairs]), cell).double().flatten(1)
    tensor = torch.stack([torch.stack([xx, xy], -1), torch.stack([xy, yy], -1)], -2)
    floor = noise**2 * CORRELATED + SMOOTH**2 * total.double().flatten()
    share = torch.linalg.inv(floor[:, None, None] * torch.eye(2, dtype=torch.float64) + OWN**2 * tensor)
    rows, columns = total.shape
    half = max(height, width) / 2
    x = (cell * (torch.arange(columns).double() + 0.5) - width / 2).expand(rows, columns) / half
    y = (cell * (torch.arange(rows).double() + 0.5) - height / 2)[:, None].expand(rows, columns) / half
    step = max(2, -(-max(rows, columns) // BLOCKS))
    block = (torch.arange(rows) // step)[:, None] * (-(-columns // step)) + torch.arange(columns) // step
    return Votes(
        share @ tensor,
        (share @ torch.stack([xr, yr], -1)[..., None])[..., 0],
        torch.stack([x, y, torch.ones_like(x)], -1).reshape(-1, 3),
        block.flatten(),
        (width / 2 / half, height / 2 / half),
        half,
    )


def _summed(field: torch.Tensor, cell: int) -> torch.Tensor:
    """Sums of a field [C, H, W] over cells, [C, rows, columns]; the last cells of an axis may be
    smaller.
    """
    more = [-length % cell for length in field.shape[-2:]]
    return F.avg_pool2d(F.pad(field, (0, more[1], 0, more[0])), cell) * cell**2
