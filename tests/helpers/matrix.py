"""Every node on every model family: the calls and their checks, for the matrix test and the support
table.

An entry of ``NODES`` takes a :class:`Bench` and returns a cell's text: "yes", or the relative error
of a round trip. A new node needs one line there and its function.
"""

from collections.abc import Callable

import comfy.samplers
import tiny_models
import torch
from comfy_extras.nodes_custom_sampler import SamplerCustom, SamplerCustomAdvanced

import nodes as comfyui_nodes

TEXTS = tiny_models.Texts()
KEPT = "yes"
EXACT = 1e-10
"""Maximum relative error of the exact inversions."""


class Bench:
    """One family's model with the inputs of all nodes. ``run(name, **inputs)`` calls a node of the
    pack and returns its outputs.
    """

    def __init__(self, family: str, run: Callable):
        self.family, self.run = family, run
        self.model = tiny_models.damp(tiny_models.FAMILIES[family].make(), 0.05)
        self.source, self.target, self.empty = (TEXTS(family, words) for words in ("a cat", "a dog on a chair", ""))
        self.latent = tiny_models.latent(family)
        self.ratio = getattr(self.model.get_model_object("latent_format"), "spacial_downscale_ratio", 8)
        self.mask = torch.zeros(1, 8 * self.ratio, 8 * self.ratio)
        self.mask[:, 2 * self.ratio : 6 * self.ratio, 2 * self.ratio : 6 * self.ratio] = 1
        self.inside = torch.zeros(8, 8, dtype=torch.bool)
        self.inside[2:6, 2:6] = True

    def inverted(self, name: str, **settings) -> tuple:
        return self.run(name, model=self.model, latent=self.latent, **settings)

    def assert_kept(self, edited: torch.Tensor) -> None:
        """Assert that the latent outside the mask equals the source bit for bit, differs inside,
        and is finite.
        """
        source = self.latent["samples"]
        assert edited.shape == source.shape
        assert torch.isfinite(edited).all()
        assert torch.equal(edited[..., ~self.inside], source[..., ~self.inside])
        assert (edited - source)[..., self.inside].abs().max() > 0

    def apart(self, latent: dict) -> float:
        return relative(latent["samples"], self.latent["samples"])


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.float() - wanted).norm() / wanted.norm())


def guider(model, positive, negative=None, cfg: float = 1.0):
    """ComfyUI's own."""
    made = comfy.samplers.CFGGuider(model)
    made.set_conds(positive, positive if negative is None else negative)
    made.set_cfg(cfg)
    return made


def digits(error: float) -> str:
    return "0" if error == 0 else f"{error:.0e}"


# ---- the nodes ----


def mask_of_texts(bench: Bench) -> str:
    shared = {"model": bench.model, "source": bench.source, "latent": bench.latent, "noises": 2}
    texts = {**shared, "target": bench.target, "normalisation": "min-max"}
    mask, heat, masked = bench.run("DiffEditMask", **texts)
    frames, pixels = bench.latent["samples"].shape[2] if bench.latent["samples"].ndim == 5 else 1, 8 * bench.ratio
    assert mask.shape == heat.shape == (frames, pixels, pixels)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert 0 < mask.mean() < 1
    assert masked["noise_mask"].shape[-2:] == (8, 8)
    assert torch.equal(masked["samples"], bench.latent["samples"])
    along, _, _ = bench.run("DiffEditMask", **texts, edge_radius=2)
    assert along.shape == mask.shape
    assert 0 < along.mean() < 1
    assert not torch.equal(along, mask)
    again, _, _ = bench.run("DiffEditMask", **shared, target=bench.source)
    assert again.count_nonzero() == 0
    return KEPT


def returns_from_ddim(bench: Bench) -> str:
    return digits(max(_returns(bench, strength) for strength in (0.8, 1.0)))


def _returns(bench: Bench, strength: float) -> float:
    """Stock samplers return from the inversion as well as the pack's own loop. At strength 1 a flow
    model's LATENT starts just below sigma 1.
    """
    steps, euler, text = 16, comfy.samplers.sampler_object("euler"), bench.empty
    noise_latent, inversion, noise, sigmas = bench.inverted(
        "DDIMInvert", conditioning=text, steps=steps, strength=strength, refinements=4, measure_error=True
    )
    own = inversion.error[0]
    assert own < 0.02, f"the pack's own round trip is off by {own:.3g}"
    empty = {"samples": torch.zeros_like(bench.latent["samples"])}
    with torch.inference_mode():
        ends = {
            "SamplerCustom": SamplerCustom.execute(bench.model, False, 0, 1.0, text, text, euler, sigmas, noise_latent)[
                0
            ],
            "SamplerCustomAdvanced": SamplerCustomAdvanced.execute(
                noise, guider(bench.model, text), euler, inversion.sigmas, bench.latent
            )[0],
            "SamplerCustomAdvanced, empty latent": SamplerCustomAdvanced.execute(
                noise, guider(bench.model, text), euler, inversion.sigmas, empty
            )[0],
        }
        start = steps - len(sigmas) + 1
        if start > 0 or torch.equal(sigmas, inversion.sigmas):  # a flow model's LATENT cannot start at sigma 1
            ends["KSamplerAdvanced"] = comfyui_nodes.KSamplerAdvanced().sample(
                bench.model,
                "disable",
                0,
                steps,
                1.0,
                "euler",
                "normal",
                text,
                text,
                noise_latent,
                start,
                steps,
                "disable",
            )[0]
    capped = not torch.equal(sigmas, inversion.sigmas)
    for name, end in ends.items():
        assert bench.apart(end) < 1.5 * own + (0.03 if capped and name == "SamplerCustom" else 1e-4), (
            f"{name} ends {bench.apart(end):.3g} away, the pack's own loop {own:.3g}"
        )
    return max(map(bench.apart, ends.values()))


def blends(bench: Bench) -> str:
    texts = dict(
        model=bench.model, positive=bench.target, negative=bench.empty, latent=bench.latent, mask=bench.mask, cfg=3.0
    )
    bench.assert_kept(bench.run("LatentBlendSampler", **texts, steps=4)[0]["samples"])
    inversion = bench.inverted("DDIMInvert", conditioning=bench.empty, steps=5)[1]
    bench.assert_kept(bench.run("LatentBlendSampler", **texts, inversion=inversion)[0]["samples"])
    return KEPT


def edict_round_trip(bench: Bench) -> str:
    errors = []
    for strength in (0.8, 1.0):
        pair, noise_latent, sigmas = bench.inverted(
            "EDICTInvert",
            source=bench.source,
            negative=bench.empty,
            steps=5,
            strength=strength,
            cfg=3.0,
            measure_error=True,
        )
        assert torch.isfinite(noise_latent["samples"]).all()
        assert len(sigmas) == round(5 * strength) + 1
        errors += pair.error
    assert max(errors) < EXACT, errors
    return digits(max(errors))


def edict_edits(bench: Bench) -> str:
    pair = bench.inverted("EDICTInvert", source=bench.source, negative=bench.empty, steps=5, cfg=3.0)[0]
    back = bench.run("EDICTSampler", model=bench.model, target=bench.source, negative=bench.empty, pair=pair, cfg=3.0)[
        0
    ]
    bench.assert_kept(
        bench.run(
            "EDICTSampler",
            model=bench.model,
            target=bench.target,
            negative=bench.empty,
            pair=pair,
            cfg=3.0,
            mask=bench.mask,
        )[0]["samples"]
    )
    assert bench.apart(back) < 1e-5
    return KEPT


def exact_round_trip(bench: Bench) -> str:
    errors = []
    for settings in (
        dict(method="O-BELM"),
        dict(method="BDIA"),
        dict(method="DirectEdit"),
        dict(method="O-BELM", strength=1.0, cfg=3.0),
    ):
        errors += bench.inverted(
            "ExactInvert", source=bench.source, negative=bench.empty, steps=5, measure_error=True, **settings
        )[0].error
    assert max(errors) < EXACT, errors
    return digits(max(errors))


def exact_edits(bench: Bench) -> str:
    for node, settings in (("ExactInvert", {}), ("EditFriendlyInvert", {})):
        inversion = bench.inverted(node, source=bench.source, negative=bench.empty, steps=5, cfg=1.0, **settings)[0]
        texts = dict(model=bench.model, negative=bench.empty, inversion=inversion)
        assert bench.apart(bench.run("ExactSampler", target=bench.source, cfg=1.0, **texts)[0]) < 1e-5
        bench.assert_kept(
            bench.run("ExactSampler", target=bench.target, cfg=3.0, mask=bench.mask, **texts)[0]["samples"]
        )
    return KEPT


def friendly_round_trip(bench: Bench) -> str:
    errors = []
    for strength in (0.6, 1.0):
        errors += bench.inverted(
            "EditFriendlyInvert",
            source=bench.source,
            negative=bench.empty,
            steps=5,
            strength=strength,
            cfg=3.0,
            measure_error=True,
        )[0].error
    assert max(errors) < EXACT, errors
    return digits(max(errors))


def flow_edits(bench: Bench) -> str:
    inputs = dict(model=bench.model, source=bench.source, negative=bench.empty, latent=bench.latent, steps=6)
    same = bench.run("FlowEdit", target=bench.source, source_cfg=2.0, target_cfg=2.0, **inputs)[0]
    assert bench.apart(same) < 1e-5
    bench.assert_kept(bench.run("FlowEdit", target=bench.target, mask=bench.mask, **inputs)[0]["samples"])
    return KEPT


def shrinks(bench: Bench) -> str:
    """A stock sampler with the node's model and latent keeps the background to float precision,
    LatentBlendSampler bit for bit.
    """
    model, masked, stages = bench.run(
        "ProgressiveMaskShrink", model=bench.model, latent=bench.latent, mask=bench.mask, kernels="5, 3"
    )
    assert stages.shape == (3, 8 * bench.ratio, 8 * bench.ratio)
    with torch.inference_mode():
        edited = comfyui_nodes.KSampler().sample(
            model, 1, 4, 3.0, "euler", "normal", bench.target, bench.empty, masked, 1.0
        )[0]["samples"]
    source = bench.latent["samples"]
    assert torch.allclose(edited[..., ~bench.inside], source[..., ~bench.inside], atol=1e-4)
    assert (edited - source)[..., bench.inside].abs().max() > 1e-3
    bench.assert_kept(
        bench.run(
            "LatentBlendSampler",
            model=model,
            positive=bench.target,
            negative=bench.empty,
            latent=masked,
            steps=4,
            cfg=3.0,
        )[0]["samples"]
    )
    return KEPT


NODES: dict[str, Callable[[Bench], str]] = {
    "DiffEditMask": mask_of_texts,
    "DDIMInvert": returns_from_ddim,
    "LatentBlendSampler": blends,
    "EDICTInvert": edict_round_trip,
    "EDICTSampler": edict_edits,
    "ExactInvert": exact_round_trip,
    "EditFriendlyInvert": friendly_round_trip,
    "ExactSampler": exact_edits,
    "FlowEdit": flow_edits,
    "ProgressiveMaskShrink": shrinks,
}
