"""What the exact inversions share: whether an inversion can be retraced, and what is said about it."""
import contextlib

import torch

from ...core.errors import NodeError
from ...core.sampling.prediction import NotFinite
from ...core.sampling.reversible import grid_of
from ...host.latents import read_latent
from ...host.reports import Phrase, phrase
from ...host.trajectory import is_finite
from ..words import listed
from .ddim import check_same_model, is_falling, model_kind


def kind_and_levels(model) -> tuple[str, ...]:
    """What a model must share with the one that inverted: its kind and its range of noise levels."""
    sampling = model.get_model_object("model_sampling")
    return *model_kind(model), f"sigma {float(sampling.sigma_min):.4g} to {float(sampling.sigma_max):.4g}"


def check_retraceable(what: str, found, model) -> torch.Tensor:
    """Refuse an inversion (named ``what``) of another kind of model or without sound levels and states, and give the samples that it is of."""
    check_same_model(what, found.model, kind_and_levels(model))
    if not is_falling(found.sigmas) or not is_finite(found.states):
        raise NodeError(f"the {what} has no falling noise levels or holds NaN or infinite values; invert again.")
    return read_latent(found.latent, model)


def outgrown(states: torch.Tensor, sigmas: torch.Tensor) -> Phrase | None:
    """A warning where a trajectory has grown past what doubles on its grid hold exactly.

    Mixing and gamma below 1 are undone by division, which makes rounding errors and differences grow at every step.
    """
    limit = 2.0 ** 52 * grid_of(sigmas)
    return None if float(max(state.abs().max() for state in states)) < limit else phrase("outgrown")


def describe_error(error: list[float] | None) -> Phrase | None:
    """The round trip's relative error; nothing where it was not measured."""
    return None if error is None else phrase("round_trip_error", listed(error, ".1e"))


@contextlib.contextmanager
def with_a_way_out():
    """Puts a way out on the errors of a network that breaks down."""
    try:
        yield
    except NotFinite as error:
        raise NodeError(f"{error}; try another precision for the model, a lower strength, or less guidance.") from error
