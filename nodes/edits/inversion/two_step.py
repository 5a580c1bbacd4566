"""ExactInvert through ComfyUI: exact schemes at the cost of DDIM."""

from dataclasses import dataclass

import torch

from ...core.errors import NodeError
from ...core.sampling import offset, two_step
from ...host.exact_prediction import ExactPredictor
from ...host.latents import input_rescale
from ...host.progress import Progress
from ...host.trajectory import Trajectory
from .exact import ExactInversion, invert_exactly

DIRECT_EDIT = "DirectEdit"
METHODS = ("O-BELM", "BDIA", DIRECT_EDIT)


@dataclass(frozen=True, kw_only=True)
class TwoStepInversion(ExactInversion):
    """The states of O-BELM, or of BDIA with gamma ``amount``, and the remainders of rounding to the
    grid.
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


@dataclass(frozen=True, kw_only=True)
class OffsetInversion(ExactInversion):
    """The states of DDIM inversion, whose differences are the offsets for sampling."""

    def replay(
        self, predictor: ExactPredictor, like: torch.Tensor, mask: torch.Tensor | None, bar: Progress
    ) -> torch.Tensor:
        """As :meth:`ExactInversion.replay`."""
        return offset.offset_sample(
            predictor.eps,
            lambda level: self.state(level, like),
            self.sigmas,
            input_rescale(predictor.model_sampling),
            None if mask is None else mask.to(like),
            bar.step,
        )


def weight_of(method: str, amount: float) -> two_step.Weight:
    """The weight ``w`` of a two-step scheme; ``amount`` is gamma of BDIA."""
    return two_step.obelm_weight if method == "O-BELM" else two_step.bdia_weight(amount)


def check_steps(method: str, sigmas: torch.Tensor) -> None:
    """Check that there are two steps for a scheme that starts from two states.

    Raises:
        NodeError: there is one step.
    """
    if len(sigmas) < 3 and method != DIRECT_EDIT:
        raise NodeError(
            f"got {len(sigmas) - 1} step for {method}, which starts from two states; expected at least 2 steps; raise "
            "steps or strength."
        )


def run_two_step_inversion(
    model, source, negative, latent: dict, sigmas: torch.Tensor, cfg: float, method: str, gamma: float, measure: bool
) -> ExactInversion:
    """Run :func:`core.sampling.two_step.two_step_invert` or
    :func:`core.sampling.offset.offset_invert` through ComfyUI; with ``measure`` also sample back.
    """

    def fill_direct(predictor: ExactPredictor, x0: torch.Tensor, bar: Progress, states: Trajectory, _) -> None:
        offset.offset_invert(predictor.eps, x0, sigmas, input_rescale(predictor.model_sampling), bar.step, states)

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

    kind, run = (OffsetInversion, fill_direct) if method == DIRECT_EDIT else (TwoStepInversion, fill)
    return invert_exactly(
        kind, model, source, negative, latent, sigmas, cfg, method, gamma, measure, run, backwards=True
    )
