"""Edit-friendly DDPM inversion through ComfyUI: EditFriendlyInvert."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.sampling import edit_friendly
from ...host.exact_prediction import ExactPredictor
from ...host.latents import is_flow, item_seeds, seeded_noise
from ...host.progress import Progress
from ...host.trajectory import Trajectory
from .exact import ExactInversion, invert_exactly

METHOD = "edit-friendly DDPM"


@dataclass(frozen=True, kw_only=True)
class EditFriendlyInversion(ExactInversion):
    """Independently noised states, and the corrections of the stochastic steps of eta ``amount``
    between them.
    """

    is_noise_expected: ClassVar[bool] = False

    def replay(
        self, predictor: ExactPredictor, like: torch.Tensor, mask: torch.Tensor | None, bar: Progress
    ) -> torch.Tensor:
        """As :meth:`ExactInversion.replay`."""
        return edit_friendly.edit_friendly_sample(
            predictor.eps,
            self.state(0, like),
            self.sigmas,
            lambda i: self.correction(i, like),
            is_flow(predictor.model_sampling),
            self.amount,
            callback=bar.step,
            **self.background(like, mask),
        )


def run_edit_friendly_inversion(
    model, source, negative, latent: dict, sigmas: torch.Tensor, cfg: float, eta: float, seed: int, measure: bool
) -> ExactInversion:
    """Run :func:`core.sampling.edit_friendly.edit_friendly_invert` through ComfyUI. Item k of a
    batch uses the noises of ``seed + k``.
    """

    def fill(predictor: ExactPredictor, x0: torch.Tensor, bar: Progress, *stores: Trajectory) -> None:
        shape, seeds = (len(sigmas) - 1, *x0.shape[1:]), item_seeds(latent, len(x0), seed)
        noises = torch.stack([seeded_noise(shape, [item_seed])[0] for item_seed in seeds], 1)
        edit_friendly.edit_friendly_invert(
            predictor.eps, x0, noises, sigmas, is_flow(predictor.model_sampling), eta, bar.step, *stores
        )

    return invert_exactly(
        EditFriendlyInversion, model, source, negative, latent, sigmas, cfg, METHOD, eta, measure, fill, backwards=False
    )
