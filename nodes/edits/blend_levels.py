"""The noise levels of LatentBlendSampler: from its widgets, from SIGMAS or from an inversion, and
the part of them that a run covers.
"""

from dataclasses import dataclass

import torch

from ..core.errors import NodeError
from ..host.reports import Phrase, phrase
from ..host.sampling import ksampler_sigmas
from .inversion.ddim import DdimInversion

ALL_STEPS = 10000
"""The ``end_at_step`` of a run to the last level."""
REPLACED_BY = {
    "sigmas": ("steps", "scheduler", "denoise"),
    "inversion": ("steps", "scheduler", "denoise", "seed", "background_noise"),
}
"""Widgets that are not used while an input is connected; js/overridden.js shows the same ones
disabled.
"""


@dataclass(frozen=True)
class Levels:
    """``sigmas`` [steps + 1], descending, a part of ``whole``.

    Attributes:
        origin: the input that they come from, "sigmas" or "inversion"; None for the widgets.
        unused: the widgets that are not used.
        is_partial: whether the run has further levels that ``whole`` does not contain.
    """

    sigmas: torch.Tensor
    whole: torch.Tensor
    origin: str | None
    unused: tuple[str, ...]
    is_partial: bool

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    @property
    def is_finished(self) -> bool:
        """Whether no noise is left at the end."""
        return float(self.sigmas[-1]) == 0

    def describe(self) -> list[Phrase]:
        """Phrases for the node's report; none for an ordinary run from the widgets."""
        says = []
        if self.origin is not None:
            says.append(phrase("levels_from", self.steps, self.origin, ", ".join(self.unused)))
        elif self.steps < len(self.whole) - 1:
            says.append(phrase("part_of_steps", self.steps, len(self.whole) - 1))
        if not self.is_finished:
            says.append(phrase("noise_left", f"{float(self.sigmas[-1]):.4g}"))
        return says


def read_levels(
    model,
    inversion: DdimInversion | None,
    sigmas: torch.Tensor | None,
    widgets: dict,
    start: int,
    end: int,
    continues: bool,
) -> Levels:
    """The levels of a run.

    Args:
        sigmas: SIGMAS that replace the schedule and the levels of the inversion.
        widgets: ``steps``, ``sampler_name``, ``scheduler`` and ``denoise``, for a run with neither
            SIGMAS nor inversion.
        start, end: the first step to run, and the step before which the run stops, as in
            KSamplerAdvanced.
        continues: whether an earlier part of the run precedes this one.

    Raises:
        ValueError: SIGMAS that do not descend, or a part without a step.
    """
    used = {"sigmas": sigmas, "inversion": inversion}
    origin = next((name for name, given in used.items() if given is not None), None)
    unused = tuple(
        dict.fromkeys(widget for name, given in used.items() if given is not None for widget in REPLACED_BY[name])
    )
    if sigmas is not None:
        whole = _given(sigmas, inversion)
    elif inversion is not None:
        whole = inversion.sigmas.clone()
    else:
        whole = ksampler_sigmas(model, **widgets)
        if len(whole) < 2:
            raise NodeError(
                f"got denoise {widgets['denoise']} with steps {widgets['steps']}; expected values that leave at least "
                "one step; raise denoise or steps."
            )
    part = whole[start : end + 1]
    if len(part) < 2:
        raise NodeError(
            f"got start_at_step {start} and end_at_step {end} for {len(whole) - 1} steps; expected at least one step "
            f"between them; lower start_at_step below {min(end, len(whole) - 1)} or raise end_at_step."
        )
    is_partial = sigmas is not None and ((continues and start == 0) or float(whole[-1]) > 0)
    if is_partial:
        whole = _to_both_ends(whole, float(model.get_model_object("model_sampling").sigma_max))
    return Levels(part.clone(), whole, origin, unused, is_partial)


def _to_both_ends(sigmas: torch.Tensor, highest: float) -> torch.Tensor:
    """The levels, with the highest level of the model and 0 added if they are missing."""
    above = [highest] if highest > float(sigmas[0]) * (1 + 1e-5) else []
    return torch.tensor([*above, *sigmas.tolist(), *([0.0] if float(sigmas[-1]) > 0 else [])], dtype=sigmas.dtype)


def _given(sigmas: torch.Tensor, inversion: DdimInversion | None) -> torch.Tensor:
    """SIGMAS from another node, checked."""
    if not isinstance(sigmas, torch.Tensor) or sigmas.ndim != 1:
        is_tensor = isinstance(sigmas, torch.Tensor)
        received = f"a tensor of shape {tuple(sigmas.shape)}" if is_tensor else type(sigmas).__name__
        raise NodeError(
            f"got {received} as sigmas; expected SIGMAS, a 1-D tensor of descending noise levels; connect the output "
            "of a scheduler node."
        )
    levels = sigmas.detach().float().cpu().clone()
    first = [round(float(level), 4) for level in levels[:8]]
    if len(levels) < 2:
        raise NodeError(
            f"got sigmas {first}; expected at least two noise levels (one step); raise denoise or steps of the "
            "scheduler node."
        )
    if not torch.isfinite(levels).all() or bool((levels[1:] >= levels[:-1]).any()) or float(levels[-1]) < 0:
        raise NodeError(
            f"got sigmas {first}{' ...' if len(levels) > 8 else ''}; expected finite, descending noise levels, none "
            "below 0; remove Flip Sigmas, or connect another scheduler node."
        )
    if (
        inversion is not None
        and isinstance(inversion, DdimInversion)
        and float(levels[0]) > float(inversion.sigmas[0]) * (1 + 1e-4)
    ):
        raise NodeError(
            f"got sigmas that start at {float(levels[0]):.4g} with an inversion that starts at "
            f"{float(inversion.sigmas[0]):.4g}; expected levels within the range of the inversion; connect the SIGMAS "
            "of DDIMInvert or a part of them, or invert with a higher strength."
        )
    return levels
