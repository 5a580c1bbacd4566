"""Ways to edit by DiffEdit: fewer evaluations, an inversion of second order, which the nodes do not
offer, guidance in only a part of the steps, and other settings of the mask.
"""

import importlib
import re
from dataclasses import dataclass, replace

import torch

from lab import common
from lab.methods import ALONG_EDGES

from .diffedit_quality import CLOSED, Bench

SCHEMES = ("ddim", "refined", "2m", "o-belm")
"""Inversion and sampler: DDIM both ways; DDIM with one refinement of every step of the inversion,
which approaches the exact inverse of sampling; DPM-Solver++(2M) both ways; O-BELM, which is exactly
invertible.
"""
MASKS: dict[str, dict] = {
    "plain": {},
    "closed": CLOSED,
    "edges": ALONG_EDGES,
    "edges-0.5": {**ALONG_EDGES, "threshold": 0.5},
    "edges-0.55": {**ALONG_EDGES, "threshold": 0.55},
    "margin": {**ALONG_EDGES, "grow": 2},
    "true": {},
}
"""Settings of DiffEditMask. "margin" is that of the templates; "true" is no mask of the node, but the
latent cells of the old and the new thing.
"""
MASK_WORDS = {
    "plain": "default mask",
    "closed": "closed mask",
    "edges": "mask along edges",
    "edges-0.5": "mask along edges, threshold 0.5",
    "edges-0.55": "mask along edges, threshold 0.55",
    "margin": "mask along edges, grow 2",
    "true": "true mask",
}
FORM = re.compile(r"(\d+)x(\d+)((?::[^:]+)*)")
EXPECTED = (
    f"steps x noises, with :SCHEME (one of {', '.join(SCHEMES[1:])}), :FIRST-LAST or :MASK (one of "
    f"{', '.join(MASKS)}), such as 10x4:0-0.5:edges"
)


@dataclass(frozen=True)
class Way:
    """``steps`` of the whole schedule and ``noises`` of the mask. Guidance acts from the share
    ``first`` to the share ``last`` of the steps, counted from the noisy end. ``mask`` is a name of
    ``MASKS``, or empty for the one of the whole benchmark.
    """

    steps: int
    noises: int
    scheme: str = "ddim"
    first: float = 0.0
    last: float = 1.0
    mask: str = ""

    @classmethod
    def read(cls, text: str) -> "Way":
        """Parse "10x4", "10x4:2m", "10x4:edges" or "10x4:0-0.5".

        Raises:
            ValueError: the text has none of these forms.
        """
        match = FORM.fullmatch(text)
        if not match or not min(int(match[1]), int(match[2])):
            raise ValueError(f"got {text!r}; expected {EXPECTED}")
        way = cls(int(match[1]), int(match[2]))
        for option in match[3].split(":")[1:]:
            shares = re.fullmatch(r"([\d.]+)-([\d.]+)", option)
            if option in SCHEMES:
                way = replace(way, scheme=option)
            elif option in MASKS:
                way = replace(way, mask=option)
            elif shares and 0 <= float(shares[1]) < float(shares[2]) <= 1:
                way = replace(way, first=float(shares[1]), last=float(shares[2]))
            else:
                raise ValueError(f"got {option!r} in {text!r}; expected {EXPECTED}")
        return way

    @property
    def words(self) -> str:
        """The way as text, for tables."""
        scheme = {"ddim": "", "refined": ", one refinement", "2m": ", DPM-Solver++(2M)", "o-belm": ", O-BELM"}
        part = "" if (self.first, self.last) == (0, 1) else f", guided {self.first:.0%} to {self.last:.0%}"
        mask = f", {MASK_WORDS[self.mask]}" if self.mask else ""
        return f"{self.steps} steps, {self.noises} noises{scheme[self.scheme]}{part}{mask}"


def guided_between(model, sigmas: torch.Tensor, first: float, last: float):
    """A clone of a MODEL that is guided only in the steps from the share ``first`` to the share
    ``last`` of the falling ``sigmas``, by ComfyUI's CFG Override; in the others the network is
    evaluated for the positive text alone.
    """
    override = importlib.import_module("comfy_extras.nodes_custom_sampler").CFGOverride
    sampling, place = model.get_model_object("model_sampling"), common.pack_module("host.sampling").place_in_noise_range
    steps = len(sigmas) - 1

    def before(step: int) -> float:
        """The place in the noise range between a step and the one before it."""
        if step in (0, steps):
            return float(step > 0)
        return place(sampling, float((sigmas[step - 1] * sigmas[step]).sqrt()))

    begin, end = before(round(first * steps)), before(round(last * steps))
    for start, stop in ((0.0, begin), (end, 1.0)):
        if start < stop:
            model = common.call(override, model=model, cfg=1.0, start_percent=start, end_percent=stop)[0]
    return model


def levels_of(model, steps: int, strength: float) -> torch.Tensor:
    """The falling sigmas of an edit at ``strength``, of the normal scheduler with ``steps`` steps."""
    return common.pack_module("host.sampling").schedule(model, steps, "normal", strength)


def guided_until(model, steps: int, strength: float, share: float):
    """The MODEL with guidance in the first ``share`` of the steps taken; with a share of 1 the MODEL itself."""
    return guided_between(model, levels_of(model, steps, strength), 0.0, share)


def second_order_states(denoise, x0: torch.Tensor, sigmas: torch.Tensor, rescale) -> list[torch.Tensor]:
    """DPM-Solver++(2M) from ``x0`` at sigma 0 up to ``sigmas[0]``, one evaluation a step: the
    states in the order of ``sigmas``. ``denoise(x, sigma)`` is the prediction of the clean latent.

    The first step is DDIM's inversion, because the solver's variable, -log sigma, is infinite at 0;
    the second has no earlier prediction at its own level and is of first order.
    """
    levels = sigmas.tolist()[::-1]
    guess = x0 * rescale(levels[0], levels[1])
    x = x0 + guess - denoise(guess, levels[1])
    states, before, length = [x0, x], None, 0.0
    for low, high in zip(levels[1:], levels[2:]):
        clean = denoise(x, low)
        step = torch.tensor(low / high).log().item()
        used = clean if before is None else clean + (clean - before) * step / (2 * length)
        x = x * (high / low) - (high / low - 1) * used
        before, length = clean, step
        states.append(x)
    return states[::-1]


def inverted(bench: Bench, way: Way, strength: float):
    """The inversion of a batch of edits under the empty text, by the way's scheme."""
    if way.scheme == "o-belm":
        texts = {"source": bench.empty, "negative": bench.empty, "cfg": 1.0, "method": "O-BELM"}
        return bench.run(
            "ExactInvert", model=bench.model, latent=bench.latent, steps=way.steps, strength=strength, **texts
        )[0]
    inputs = {"latent": bench.latent, "steps": way.steps, "strength": strength}
    if way.scheme == "2m":
        host = common.pack_module("host.sampling"), common.pack_module("host.latents")
        base = common.pack_module("edits.inversion.base")
        sigmas = base.levels(bench.model, way.steps, "normal", strength)

        def run(predictor, x0):
            rescale = host[1].input_rescale(predictor.model_sampling)
            return second_order_states(predictor.denoised, x0, sigmas, rescale)

        samples = host[1].read_latent(bench.latent, bench.model)
        with torch.inference_mode():
            states = host[0].run_algorithm(host[0].make_guider(bench.model, bench.empty), samples, sigmas, run)
        kind = common.pack_module("edits.inversion.ddim").DdimInversion
        identity = common.pack_module("host.model_identity").ModelIdentity.of(bench.model)
        stacked = torch.stack([state.cpu() for state in states])
        return kind(states=stacked, sigmas=sigmas, model=base.model_kind(bench.model), identity=identity)
    more = {"refinements": 1} if way.scheme == "refined" else {}
    return bench.run("DDIMInvert", model=bench.model, conditioning=bench.empty, **inputs, **more)[1]


def edited(bench: Bench, way: Way, mask: torch.Tensor, inversion, cfg: float) -> torch.Tensor:
    """The IMAGEs after the edit along an inversion, inside a MASK."""
    model = bench.model
    if (way.first, way.last) != (0, 1):
        model = guided_between(model, inversion.sigmas, way.first, way.last)
    if way.scheme == "o-belm":
        texts = {"target": bench.target, "negative": bench.empty, "cfg": cfg}
        outputs = bench.run("ExactSampler", model=model, inversion=inversion, mask=mask, **texts)
        return bench.decode(outputs[0])
    texts = {"positive": bench.target, "negative": bench.empty, "cfg": cfg}
    sampler = {"sampler_name": "dpmpp_2m"} if way.scheme == "2m" else {}
    inputs = {"latent": bench.latent, "mask": mask, "inversion": inversion}
    outputs = bench.run("LatentBlendSampler", model=model, **inputs, **texts, **sampler)
    return bench.decode(outputs[0])
