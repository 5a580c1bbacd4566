"""Shared by all inversions: the base types, the noise levels, the checks before an edit, and parts
of the reports.
"""

import contextlib
from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.errors import NodeError
from ...core.sampling.prediction import NotFinite
from ...core.sampling.reversible import grid_of
from ...host.latents import is_flow, read_latent
from ...host.model_identity import ModelIdentity
from ...host.reports import Phrase, phrase
from ...host.sampling import schedule
from ...host.trajectory import is_finite
from ..words import listed

FAR_FROM_NOISE = 2.0
"""Noise surplus above which stock samplers and edits do not treat the result as noise."""
FLOW_CAP = 0.9999
"""A flow model's LATENT is x / (1 - sigma), which is infinite at sigma 1, so its first sigma is
slightly below 1.
"""


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """A trajectory in model space, on the CPU.

    Attributes:
        states: [N, B, C, ...], one per entry of the descending ``sigmas``; the last is the source.
        model: the kind of the model; sampling requires a model of the same kind.
        identity: the model's contents at the time of the inversion.
        error: the round trip's relative error per item, if it was measured.
    """

    states: torch.Tensor
    sigmas: torch.Tensor
    model: tuple[str, ...]
    identity: ModelIdentity
    error: list[float] | None = None

    @property
    def path(self) -> torch.Tensor:
        """The states for stock samplers and previews, [N, B, C, ...]."""
        return self.states

    @property
    def noise(self) -> torch.Tensor:
        """The inverted state, [B, C, ...] float32, from which stock samplers continue."""
        return self.path[0].float()

    @property
    def source(self) -> torch.Tensor:
        """The source in model space, [B, C, ...] float32."""
        return self.path[-1].float()


@dataclass(frozen=True, kw_only=True)
class RetraceableInversion(Inversion):
    """An inversion whose steps can be retraced exactly: its states are float64.

    Attributes:
        together: whether conditional and unconditional predictions shared a batch.
        latent: the LATENT that was inverted.
    """

    together: bool
    latent: dict
    sequences: ClassVar[tuple[int, ...]] = ()
    """Dimensions of ``states`` between level and batch."""


def model_kind(model) -> tuple[str, ...]:
    """The properties that two models must share to sample from each other's trajectories."""
    sampling = model.get_model_object("model_sampling")
    return (
        type(model.model).__name__,
        type(model.get_model_object("latent_format")).__name__,
        *(base.__name__ for base in type(sampling).__bases__),
    )


def kind_and_levels(model) -> tuple[str, ...]:
    """The properties that a model must share with the inverting one to retrace its trajectory
    exactly: the kind and the range of noise levels.
    """
    sampling = model.get_model_object("model_sampling")
    return *model_kind(model), f"sigma {float(sampling.sigma_min):.4g} to {float(sampling.sigma_max):.4g}"


def is_falling(sigmas: torch.Tensor) -> bool:
    """Whether there is at least one step and all noise levels descend."""
    return len(sigmas) > 1 and bool(torch.isfinite(sigmas).all() and (sigmas[1:] < sigmas[:-1]).all())


def check_guidance(name: str, cfg: float, negative) -> None:
    """Check that a negative text is connected if ``cfg`` (the widget ``name``) needs one.

    Raises:
        NodeError: it is missing.
    """
    if cfg != 1 and negative is None:
        raise NodeError(f"got {name} {cfg} without a negative text; connect negative, or set {name} to 1.")


def levels(model, steps: int, scheduler: str, strength: float) -> torch.Tensor:
    """The descending noise levels over which a model is inverted.

    Raises:
        NodeError: a model that does not mix image and noise, or a schedule without a step.
    """
    sampling = model.get_model_object("model_sampling")
    if any("IMG_TO_IMG" in base.__name__ for base in type(sampling).__mro__):
        raise NodeError(
            f"got a model of type {type(model.model).__name__}, which maps an image to another image without noise, so "
            "there is nothing to invert; use a text-to-image model."
        )
    sigmas = schedule(model, steps, scheduler, strength)
    if not is_falling(sigmas):
        raise NodeError(
            f"got the schedule {[round(float(sigma), 4) for sigma in sigmas]}; expected at least one step and "
            "descending noise levels; raise steps or strength, or choose another scheduler."
        )
    return sigmas


def check_inversion(inversion, kind: type[Inversion], what: str, made_by: str, model: tuple[str, ...]) -> None:
    """Check that an object is a valid inversion of this ``kind`` by this kind of ``model``.

    Args:
        what, made_by: the names of the input and of the outputs that fit it, for the message.

    Raises:
        NodeError: it is not.
    """
    if not isinstance(inversion, kind):
        raise NodeError(f"got {type(inversion).__name__} as {what}; connect the {made_by}.")
    if not is_falling(inversion.sigmas) or not is_finite(inversion.states):
        raise NodeError(
            f"the noise levels of the {what} do not descend, or its states contain NaN or infinite values; run the "
            "inversion again."
        )
    if len(inversion.states) != len(inversion.sigmas):
        raise NodeError(
            f"the {what} has {len(inversion.states)} states and {len(inversion.sigmas)} noise levels; expected one "
            "state per level; run the inversion again with the desired steps."
        )
    if inversion.model != model:
        raise NodeError(
            f"the {what} was computed with {' / '.join(inversion.model)}, and this model is {' / '.join(model)}; use "
            "the same model for both."
        )


def check_retraceable(inversion, kind: type[RetraceableInversion], what: str, made_by: str, model) -> torch.Tensor:
    """As :func:`check_inversion`, for a MODEL that has to retrace the inversion. Returns the
    inverted samples.
    """
    check_inversion(inversion, kind, what, made_by, kind_and_levels(model))
    samples = read_latent(inversion.latent, model)
    expected = (len(inversion.sigmas), *kind.sequences, *samples.shape)
    if tuple(inversion.states.shape) != expected or inversion.states.dtype != torch.float64:
        raise NodeError(
            f"the {what} has states of shape {tuple(inversion.states.shape)} in {inversion.states.dtype}; for its "
            f"latent of shape {tuple(samples.shape)}, expected {expected} in torch.float64, because other states are "
            "not exact; invert the desired latent, and connect the result without changing it."
        )
    return samples


@contextlib.contextmanager
def with_a_way_out():
    """Re-raise NotFinite as a NodeError with advice."""
    try:
        yield
    except NotFinite as error:
        raise NodeError(f"{error}; try another precision for the model, a lower strength, or less guidance.") from error


def noise_std(inversion: Inversion) -> list[float]:
    """Standard deviation of an inversion's result divided by the highest noise level, per item; 1
    for noise.
    """
    return [float(item.std()) / float(inversion.sigmas[0]) for item in inversion.noise]


def noise_surplus(model, inversion: Inversion) -> list[float]:
    """Standard deviation of an inversion's result divided by that of its source noised to the same
    level, per item; 1 for noise.
    """
    sampling, sigma = model.get_model_object("model_sampling"), float(inversion.sigmas[0])
    share = 1 - sigma if is_flow(sampling) else 1.0
    source = inversion.source.float()
    expected = [((share * float(item.std(correction=0))) ** 2 + sigma**2) ** 0.5 for item in source]
    return [float(item.std(correction=0)) / size for item, size in zip(inversion.noise, expected, strict=True)]


def outgrown(states: torch.Tensor, sigmas: torch.Tensor) -> Phrase | None:
    """A warning if a trajectory exceeds the range in which float64 represents its grid exactly.

    Mixing and gamma below 1 are inverted by division, which amplifies rounding errors and
    differences at every step.
    """
    limit = 2.0**52 * grid_of(sigmas)
    return None if float(max(state.abs().max() for state in states)) < limit else phrase("outgrown")


def describe_error(error: list[float] | None) -> Phrase | None:
    """A phrase with the relative error of the round trip; None if it was not measured."""
    return None if error is None else phrase("round_trip_error", listed(error, ".1e"))


def to_latent(model, inversion: Inversion) -> tuple[torch.Tensor, torch.Tensor]:
    """The noise as LATENT samples, and the SIGMAS with which stock samplers continue without adding
    noise.
    """
    sampling, sigmas = model.get_model_object("model_sampling"), inversion.sigmas.clone()
    if is_flow(sampling) and float(sigmas[0]) > FLOW_CAP:
        sigmas[0] = FLOW_CAP
    samples = sampling.inverse_noise_scaling(sigmas[0].reshape(1), inversion.noise.clone())
    return model.get_model_object("process_latent_out")(samples.float()), sigmas
