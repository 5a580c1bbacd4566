"""Predictions for exact inversion: a float64 state, and the same answer to the same question on the way up and on the way down.

The network runs in whatever ComfyUI loaded it in; that costs no exactness as long as it answers the same twice. ComfyUI alone does not guarantee this: it
batches the conditionings by the memory that happens to be free, and a network's answer depends on its batch by a few float roundings, which EDICT
amplifies. So the batching is decided once, when inverting, and kept.
"""
import contextlib
import math

import comfy.samplers
import torch

from ...core.errors import NodeError
from ...core.sampling.prediction import NotFinite
from ...core.sampling.reversible import grid_of
from ...host.latents import read_latent
from ...host.reports import Phrase, phrase
from ...host.sampling import Predictor, affordable_batch
from ...host.trajectory import is_finite
from ..words import listed
from .ddim import check_same_model, is_falling, model_kind


class SteadyBatch:
    """A model as ComfyUI's batching sees it, that needs no memory (``together``: all conditionings in one batch) or endlessly much (each by itself)."""

    def __init__(self, model, together: bool):
        self.model, self.together = model, together

    def __getattr__(self, name):
        return getattr(self.model, name)

    def memory_required(self, *args, **kwargs) -> float:
        return 0.0 if self.together else math.inf


class ExactPredictor(Predictor):
    """A predictor whose answers are functions of its questions: x [B, C, ...] float64 to eps, float64, guidance included."""

    def __init__(self, predictor: Predictor, together: bool):
        options, theirs = dict(predictor.model_options), predictor.model_options.get("sampler_calc_cond_batch_function")

        def calculate(args: dict) -> list[torch.Tensor]:
            args = {**args, "model": SteadyBatch(args["model"], together)}
            if theirs is not None:
                return theirs(args)
            return comfy.samplers.calc_cond_batch(args["model"], args["conds"], args["input"], args["sigma"], args["model_options"])

        options["sampler_calc_cond_batch_function"] = calculate
        super().__init__(predictor.guider, options, predictor.seed)
        self.device = predictor.guider.model_patcher.load_device

    def eps(self, x: torch.Tensor, sigma: float, conditioning: str | None = None, cfg: float | None = None) -> torch.Tensor:
        """The guided derivative at ``x``; under another of the guider's conditionings and another guidance, if they are named."""
        # ComfyUI keeps a float64 state (only the network's own input is cast); devices without float64 get float32, the same in both directions.
        shown = x if x.device == self.device else x.to(self.device, torch.float32)
        if conditioning is None:
            clean = self.denoised(shown, sigma)
        else:
            conds = self.guider.conds
            levels = self._levels(shown, sigma)
            clean = comfy.samplers.sampling_function(self.model, shown.clone(), levels, conds.get("negative"),
                                                     conds[conditioning], cfg, self.model_options, self.seed)
        return (shown.to(x) - clean.to(x)) / sigma


def exact_state(x: torch.Tensor) -> torch.Tensor:
    """``x`` in float64, on its own device where that has float64, else on the CPU."""
    try:
        return x.to(torch.float64)
    except (TypeError, RuntimeError):
        return x.cpu().to(torch.float64)


def batches_together(predictor: Predictor, x0: torch.Tensor) -> bool:
    """Whether the conditional and the unconditional prediction fit into one batch, by ComfyUI's own estimate."""
    return affordable_batch(predictor, x0, 1, 2) == 2


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
