"""Estimating a motion from the cells of a grid, and its uncertainty.

Within a cell the motion is taken as constant, and a constant colour difference is ignored: only
what varies within a cell determines its displacement. Cells are combined by a random-effects model
(DerSimonian and Laird 1986): besides its noise, every cell has an error of ``OWN`` pixels, so that
no single cell dominates. Deleting blocks of cells one by one (jackknife: Quenouille 1956, Tukey
1958) shows how much the estimate depends on the choice of cells.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

CELL = 32
"""Side of a cell in pixels; a quarter of the longer side where that is less."""
BLOCKS = 8
"""Blocks along the longer side, at most, that are deleted in turn. Neighbouring cells err alike, so
a block has two by two cells at least, where there are enough.
"""
OWN = 0.005
"""Standard deviation of a cell's own error, in pixels."""
SMOOTH = 0.1 / 255
"""Standard deviation of colour differences that do not average out within a cell."""
CORRELATED = 4 * torch.pi
"""Pixels that share one independent value of the noise after the blur of 1 pixel."""
STRETCH = 0.005
"""Expected stretch and shear, beyond shift, zoom and turn."""
SIMILAR = torch.tensor(
    [[0, 0, 1, 0], [0, 0, 0, -1], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]], dtype=torch.float64
)
"""Shift, zoom and turn in terms of the six numbers of a motion."""
STRETCHING = torch.tensor([[1, 0], [0, 1], [0, 0], [0, 1], [-1, 0], [0, 0]], dtype=torch.float64)
"""The two ways to stretch, which complete them."""


@dataclass(frozen=True)
class Votes:
    """Attributes:
    strength: [n, 2, 2], the inverse covariance of a cell's displacement (right, down), in 1/px^2.
    pull: [n, 2], ``strength`` times the displacement that the cell asks for.
    place: [n, 3], (x, y, 1) of the cells' centres, x and y in -1..1 of the longer side.
    block: [n], the number of the cell's block.
    corner: (x, y) of the picture's last corner.
    half: half of the longer side in pixels.
    """

    strength: torch.Tensor
    pull: torch.Tensor
    place: torch.Tensor
    block: torch.Tensor
    corner: tuple[float, float]
    half: float

    def solve(self, stretched: tuple[float, float], similar: bool) -> tuple[torch.Tensor, float]:
        """The motion [2, 3] in pixels over (x, y, 1), and three standard deviations of it at the
        worst corner.

        Args:
            stretched: stretch and shear so far.
            similar: shift, zoom and turn only.
        """
        ways = SIMILAR if similar else torch.cat([SIMILAR, STRETCHING], 1)
        normal, right = self._sums(ways)
        whole, total = normal.sum(0), right.sum(0)
        if not similar:
            sure = 1 / (STRETCH * self.half) ** 2
            whole[4:, 4:] += sure * torch.eye(2, dtype=torch.float64)
            total[4:] -= sure * self.half * torch.tensor(stretched, dtype=torch.float64)
        damping = 1e-6 * whole.diagonal().mean() + 1e-9  # nothing wanders where nothing holds it
        whole = whole + damping * torch.eye(len(whole), dtype=torch.float64)
        moved = torch.linalg.solve(whole, total)
        return (ways @ moved).reshape(2, 3), 3 * self._deviation(ways, whole, normal, right, moved)

    def _sums(self, ways: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Normal matrices and right sides of the blocks."""
        count = int(self.block.max()) + 1
        normal = torch.einsum("nij,na,nb->niajb", self.strength, self.place, self.place).reshape(-1, 6, 6)
        right = torch.einsum("ni,na->nia", self.pull, self.place).reshape(-1, 6)
        normal, right = ways.T @ normal @ ways, right @ ways
        empty = torch.zeros(count, *normal.shape[1:], dtype=torch.float64)
        return empty.index_add(0, self.block, normal), empty[:, 0].index_add(0, self.block, right)

    def _deviation(
        self, ways: torch.Tensor, whole: torch.Tensor, normal: torch.Tensor, right: torch.Tensor, moved: torch.Tensor
    ) -> float:
        """Standard deviation of the motion at the worst corner: the larger of the model's and the one
        between verdicts without one block each.
        """
        model = torch.linalg.inv(whole)
        count = len(normal)
        without = torch.linalg.solve(whole - normal + 1e-9 * torch.eye(len(whole)), right - normal @ moved)
        deleted = without.T @ without * (count - 1) / count
        x, y = self.corner
        corners = torch.tensor([[a * x, b * y, 1.0] for a in (-1, 1) for b in (-1, 1)], dtype=torch.float64)
        at = torch.cat([F.pad(corners, (0, 3)), F.pad(corners, (3, 0))]) @ ways
        variances = [((at @ one) * at).sum(1).max() for one in (model, deleted)]
        return math.sqrt(float(max(variances)))


def gather(along: torch.Tensor, down: torch.Tensor, left: torch.Tensor, weight: torch.Tensor, noise: float) -> Votes:
    """The votes of a picture's cells.

    Args:
        along, down, left: slopes and residual [3, H, W].
        weight: [H, W].
        noise: standard deviation of a pixel.
    """
    height, width = weight.shape
    cell = min(CELL, max(height, width) // 4)
    total = _summed(weight[None], cell)[0].clamp(min=1e-6)
    terms = torch.stack([along, down, left])
    mean = _summed((terms * weight).reshape(9, height, width), cell) / total
    fine = mean.repeat_interleave(cell, 1).repeat_interleave(cell, 2)[:, :height, :width]
    along, down, left = terms - fine.reshape(3, 3, height, width)
    pairs = [(along, along), (along, down), (down, down), (along, left), (down, left)]
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
    """Sums over cells [C, rows, columns] of a field [C, H, W]; cells at the end may be smaller."""
    more = [-length % cell for length in field.shape[-2:]]
    return F.avg_pool2d(F.pad(field, (0, more[1], 0, more[0])), cell) * cell**2
