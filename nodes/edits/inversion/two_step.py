"""The schemes that step over two states, through ComfyUI: ExactInvert."""

from dataclasses import dataclass

import torch

from ...core.errors import NodeError
from ...core.sampling import two_step
from ...host.exact_prediction import ExactPredictor
from ...host.latents import input_rescale
from ...host.progress import Progress
from ...host.trajectory import Trajectory
from .exact import ExactInversion, invert_exactly

METHODS = ("O-BELM", "BDIA")


@dataclass(frozen=True, kw_only=True)
class TwoStepInversion(ExactInversion):
    """O-BELM's states, or BDIA's with gamma ``amount``, and the last bits that rounding to the grid
    took.
    """

    def replay(
        self, predictor: ExactPredictor, like: torch.Tensor, mask: torch.Tensor | None, bar: Progress
    ) -> torch.Tensor:
        """As :meth:`ExactInversion.replay`."""
        weight = weight_of(self.method, self.amount)
        return two_step.two_step_sample(
            predictor.eps,
            self.state(0, like),
            self.state(1, like),
            self.sigmas,
            weight,
            lambda i: self.correction(i, like),
            callback=bar.step,
            **self.background(like, mask),
        )


def weight_of(method: str, amount: float) -> two_step.Weight:
    """The scheme's ``w``; ``amount`` is BDIA's gamma."""
    return two_step.obelm_weight if method == "O-BELM" else two_step.bdia_weight(amount)


def check_steps(method: str, sigmas: torch.Tensor) -> None:
    """Refuse a single step: the schemes start from two states."""
    if len(sigmas) < 3:
        raise NodeError(
            f"{method} steps over two states and got {len(sigmas) - 1} step; raise steps or strength to at least 2 steps."
        )


def invert(
    model, source, negative, latent: dict, sigmas: torch.Tensor, cfg: float, method: str, gamma: float, measure: bool
) -> ExactInversion:
    """Run :func:`core.sampling.two_step.two_step_invert` through ComfyUI; with ``measure`` also the
    way back.
    """

    def fill(predictor: ExactPredictor, x0: torch.Tensor, bar: Progress, *stores: Trajectory) -> None:
        two_step.two_step_invert(
            predictor.eps,
            x0,
            sigmas,
            weight_of(method, gamma),
            input_rescale(predictor.model_sampling),
            bar.step,
            *stores,
        )

    return invert_exactly(
        TwoStepInversion, model, source, negative, latent, sigmas, cfg, method, gamma, measure, fill, backwards=True
    )
