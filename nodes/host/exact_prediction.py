"""Predictions for exact inversion: a float64 state, and the same output for the same input on the
way up and on the way down.

The network runs in the dtype in which ComfyUI loaded it; exactness only needs the same output for
the same input. ComfyUI alone does not guarantee this: it batches the conditionings by the memory
that is free at the moment, and a network's output depends on its batch by a few float roundings,
which EDICT amplifies. So the batching is decided once, at the inversion, and stored.
"""

import math

import comfy.samplers
import torch

from .sampling import Predictor, affordable_batch


class SteadyBatch:
    """A model with a fixed memory estimate for ComfyUI's batching: none (``together``: all
    conditionings in one batch) or unlimited (each by itself).
    """

    def __init__(self, model, together: bool):
        self.model, self.together = model, together

    def __getattr__(self, name):
        return getattr(self.model, name)

    def memory_required(self, *args, **kwargs) -> float:
        return 0.0 if self.together else math.inf


class ExactPredictor(Predictor):
    """A predictor whose output depends on its input only: x [B, C, ...] float64 to eps, float64,
    guidance included.
    """

    def __init__(self, predictor: Predictor, together: bool):
        options, theirs = dict(predictor.model_options), predictor.model_options.get("sampler_calc_cond_batch_function")

        def calculate(args: dict) -> list[torch.Tensor]:
            args = {**args, "model": SteadyBatch(args["model"], together)}
            if theirs is not None:
                return theirs(args)
            return comfy.samplers.calc_cond_batch(
                args["model"], args["conds"], args["input"], args["sigma"], args["model_options"]
            )

        options["sampler_calc_cond_batch_function"] = calculate
        super().__init__(predictor.guider, options, predictor.seed)
        self.device = predictor.guider.model_patcher.load_device

    def eps(
        self,
        x: torch.Tensor,
        sigma: float,
        conditioning: str | None = None,
        cfg: float | None = None,
        against: str = "negative",
    ) -> torch.Tensor:
        """The guided derivative at ``x``. ``conditioning``, ``cfg`` and ``against`` replace the
        guider's positive, its guidance and its negative.
        """
        # ComfyUI keeps a float64 state (only the network's own input is cast); devices without
        # float64 get float32, the same in both directions.
        network_state = x if x.device == self.device else x.to(self.device, torch.float32)
        if conditioning is None:
            clean = self.denoised(network_state, sigma)
        else:
            conds = self.guider.conds
            levels = self._levels(network_state, sigma)
            clean = comfy.samplers.sampling_function(
                self.model,
                network_state.clone(),
                levels,
                conds.get(against),
                conds[conditioning],
                cfg,
                self.model_options,
                self.seed,
            )
        return (network_state.to(x) - clean.to(x)) / sigma


def exact_state(x: torch.Tensor) -> torch.Tensor:
    """``x`` in float64, on its own device if that supports float64, else on the CPU."""
    try:
        return x.to(torch.float64)
    except (TypeError, RuntimeError):
        return x.cpu().to(torch.float64)


def batches_together(predictor: Predictor, x0: torch.Tensor) -> bool:
    """Whether the conditional and the unconditional prediction fit into one batch, by ComfyUI's own
    estimate.
    """
    return affordable_batch(predictor, x0, 1, 2) == 2
