"""Predictions for exact inversion: float64 states, and the same output for the same input during
inversion and sampling.

The network runs in the dtype in which ComfyUI loaded it; exactness requires only the same output
for the same input. ComfyUI does not guarantee this: it batches the conditionings according to the
free memory, and the batching changes a network's output by rounding errors, which EDICT amplifies.
Therefore the batching is decided at the inversion and stored.
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
        options = dict(predictor.model_options)
        existing = predictor.model_options.get("sampler_calc_cond_batch_function")

        def calculate(args: dict) -> list[torch.Tensor]:
            args = {**args, "model": SteadyBatch(args["model"], together)}
            if existing is not None:
                return existing(args)
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
        # ComfyUI accepts float64 states and casts only the network's input. A device without
        # float64 gets float32, the same in both directions.
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
    """``x`` in float64, on its device if that supports float64, else on the CPU."""
    try:
        return x.to(torch.float64)
    except (TypeError, RuntimeError):
        return x.cpu().to(torch.float64)


def batches_together(predictor: Predictor, x0: torch.Tensor) -> bool:
    """Whether the conditional and the unconditional prediction fit into memory as one batch, by
    ComfyUI's estimate.
    """
    return affordable_batch(predictor, x0, 1, 2) == 2
