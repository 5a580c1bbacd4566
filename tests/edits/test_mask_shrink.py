"""ProgressiveMaskShrink through real samplers: the network's mask at each step, and thin strokes
that survive.
"""

import comfy.sampler_helpers
import comfy.samplers
import pytest
import tiny_models
import torch

import nodes as comfyui_nodes

TEXTS = tiny_models.Texts()
NAME = "ProgressiveMaskShrink"


def ring(size=128):
    """A circle's outline, two pixels wide."""
    axis = torch.arange(size) + 0.5 - size / 2
    reach = torch.hypot(axis[:, None], axis[None])
    return ((reach - 0.3 * size).abs() < 1).float()[None]


def watched(model, seen):
    """Adds a mask function that records its input in ``seen`` and returns it."""
    model = model.clone()

    def watch(sigma, denoise_mask, extra_options):
        seen.append((float(sigma[0]), denoise_mask[:1, :1].clone()))
        return denoise_mask

    model.set_model_denoise_mask_function(watch)
    return model


def stock_sample(model, latent, sampler="euler", steps=8, denoise=1.0):
    text = TEXTS("sd15", "a dog")
    return comfyui_nodes.KSampler().sample(model, 0, steps, 1.0, sampler, "normal", text, text, latent, denoise)[0][
        "samples"
    ]


@pytest.mark.parametrize("sampler", ["euler", "ddim", "heun", "dpmpp_2m", "euler_ancestral", "uni_pc"])
@pytest.mark.parametrize("denoise", [1.0, 0.6])
def test_a_stock_sampler_is_given_each_stage_in_its_quarter(run, pack_module, sampler, denoise):
    seen, latent, shrink = [], tiny_models.latent("sd15", size=16), pack_module("core.masks.shrink")
    model = watched(tiny_models.sd15(), seen)
    patched, masked, stages = run(NAME, model=model, latent=latent, mask=ring(), kernels="7, 5, 3").args
    stock_sample(patched, masked, sampler, 8, denoise)
    wanted = shrink.shrinking_masks(masked["noise_mask"])
    order = []
    for _, mask in seen:
        order.append([torch.equal(mask, stage) for stage in wanted].index(True))
    assert order == sorted(order)
    assert set(order) == {0, 1, 2, 3}
    if sampler in ("euler", "ddim", "dpmpp_2m", "euler_ancestral"):
        assert order == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(
        stages, torch.nn.functional.interpolate(torch.cat(wanted), (128, 128), mode="nearest-exact")[:, 0]
    )


def test_latent_blend_sampler_shrinks_too_and_keeps_the_source_outside_the_given_mask(run, pack_module):
    seen, latent, shrink = [], tiny_models.latent("sd15", size=16), pack_module("core.masks.shrink")
    patched, masked, _ = run(
        NAME, model=watched(tiny_models.sd15(), seen), latent=latent, mask=ring(), kernels="5 3"
    ).args
    text = TEXTS("sd15", "a dog")
    inputs = dict(model=patched, positive=text, negative=text, latent=masked, steps=6, cfg=1.0)
    edited = run("LatentBlendSampler", **inputs).args[0]["samples"]
    wanted = shrink.shrinking_masks(masked["noise_mask"], (5, 3))
    assert [[torch.equal(mask, stage) for stage in wanted].index(True) for _, mask in seen] == [0, 0, 1, 1, 2, 2]
    kept = (masked["noise_mask"] == 0).expand_as(edited)
    assert torch.equal(edited[kept], latent["samples"][kept])
    plain = run("LatentBlendSampler", **inputs | {"model": tiny_models.sd15()}).args[0]["samples"]
    assert not torch.allclose(plain, edited, atol=1e-3), "shrinking changed nothing"


def test_differential_diffusion_goes_on_working_on_the_dilated_mask(run):
    """If one patch replaced the other, the order of patching would matter; here the threshold of
    the one applies to the dilation of the other.
    """
    model, latent = tiny_models.sd15(), tiny_models.latent("sd15", size=16)
    import comfy_extras.nodes_differential_diffusion as differential

    soft = ring() * 0.5
    both, masked, _ = run(
        NAME,
        model=differential.DifferentialDiffusion.execute(model, strength=1.0).args[0],
        latent=latent,
        mask=soft,
        kernels="7 5 3",
    ).args
    function = both.model_options["denoise_mask_function"]
    sigmas = comfy.samplers.KSampler(model, 8, "cpu", "euler", "normal", 1.0, {}).sigmas

    class Guider:
        inner_model = model.model

    masks = [function(sigma[None], masked["noise_mask"], {"model": Guider, "sigmas": sigmas}) for sigma in sigmas[:-1]]
    assert set(torch.cat(masks).unique().tolist()) == {0.0, 1.0}, "Differential Diffusion makes masks of two values"
    assert float(masks[0].sum()) == 0, "at the first level no cell of 0.5 is free"
    assert masks[5].sum() > masks[6].sum() > 0, "later the dilated mask is free, and it shrinks"
    finished = stock_sample(both, masked)
    assert torch.isfinite(finished).all()


@pytest.mark.parametrize("kind", ["horizontal", "vertical", "diagonal"])
@pytest.mark.parametrize("size", [512, 1024])
def test_every_cell_that_a_stroke_touches_reaches_the_sampler(pack_module, size, kind):
    """At every offset, one to six pixels wide, through ComfyUI's own preparation of the noise mask."""
    model, latent = tiny_models.sd15(), {"samples": torch.zeros(1, 4, size // 8, size // 8)}
    shrink, plan, lost_by_comfyui = (
        pack_module("edits.masks.shrink"),
        pack_module("edits.masks.shrink").Plan.read("7 5 3", ""),
        0,
    )
    for width in range(1, 7):
        for offset in range(8, 16):
            mask = torch.zeros(1, size, size)
            if kind == "diagonal":
                rows = torch.arange(size - 32)
                for shift in range(width):
                    mask[0, rows, rows + offset + shift] = 1
            else:
                mask[:, offset : offset + width] = 1
                mask = mask if kind == "horizontal" else mask.transpose(1, 2).contiguous()
            touched = torch.nn.functional.max_pool2d(mask, 8) > 0
            given = shrink.masked_latent(model, latent, mask, plan)[0]["noise_mask"]
            used = comfy.sampler_helpers.prepare_mask(given, latent["samples"].shape, torch.device("cpu"))
            assert torch.equal(used[:, 0] == 1, touched)
            assert torch.equal(used[:, 0] > 0, touched)
            stock = comfy.sampler_helpers.prepare_mask(mask[:, None], latent["samples"].shape, torch.device("cpu"))
            lost_by_comfyui += bool((stock[:, 0][touched] == 0).any())
    assert lost_by_comfyui > 0, "ComfyUI itself keeps every cell: the node's pooling is no longer needed"


def test_video_latents_shrink_in_every_frame(run):
    latent = {"samples": torch.zeros(1, 16, 3, 8, 8)}
    patched, masked, stages = run(NAME, model=tiny_models.wan(), latent=latent, mask=ring(64), kernels="3").args
    assert stages.shape[0] == 2
    assert masked["noise_mask"].shape[-2:] == (8, 8)
    function = patched.model_options["denoise_mask_function"]
    mask = comfy.sampler_helpers.prepare_mask(masked["noise_mask"], latent["samples"].shape, torch.device("cpu"))
    sigmas = torch.tensor([1.0, 0.5, 0.0])
    first, last = (function(torch.tensor([level]), mask, {"sigmas": sigmas, "model": None}) for level in (1.0, 0.5))
    assert first.shape == mask.shape
    assert torch.equal(last, mask)
    assert (first >= mask).all()
    assert first.sum() > mask.sum()
    assert torch.equal(first[:, :, 0], first[:, :, 1])


def test_nothing_given_is_changed(run):
    model, latent, mask = tiny_models.sd15(), tiny_models.latent("sd15", size=16), ring()
    before, options = {**latent}, dict(model.model_options)
    run(NAME, model=model, latent=latent, mask=mask, kernels="7 5 3")
    assert model.model_options == options
    assert latent.keys() == before.keys()
    assert latent["samples"] is before["samples"]
    assert torch.equal(mask, ring())


def test_the_latents_own_noise_mask_serves_without_a_mask(run):
    model, latent = tiny_models.sd15(), tiny_models.latent("sd15", size=16)
    with_mask = run(NAME, model=model, latent=latent, mask=ring(), kernels="7 5 3").args[1]
    without = run(NAME, model=model, latent={**latent, "noise_mask": ring()[:, None]}, kernels="7 5 3").args[1]
    assert torch.equal(with_mask["noise_mask"], without["noise_mask"])


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"kernels": "7, 4, 3"}, "odd numbers"),
        ({"kernels": "3, 5"}, "largest to the smallest"),
        ({"kernels": ""}, "odd numbers"),
        ({"kernels": "wide"}, "odd numbers"),
        ({"kernels": "-3"}, "odd numbers"),
        ({"kernels": "257"}, "up to 255"),
        ({"kernels": "5 5 3"}, "largest to the smallest"),
        ({"stages": "0.5"}, "3 ascending fractions"),
        ({"stages": "0.5, 0.4, 0.6"}, "ascending"),
        ({"stages": "0, 0.5, 0.6"}, "between 0 and 1"),
        ({"stages": "a b c"}, "expected fractions of the steps"),
        ({"stages": "0.2, 0.5, 1"}, "between 0 and 1"),
        ({"mask": None}, "no mask"),
        ({"mask": torch.full((1, 16, 16), torch.nan)}, "NaN"),
        ({"mask": torch.zeros(0, 16, 16)}, "which is empty"),
        ({"mask": torch.zeros(3, 16, 16)}, "got 3 masks for 1 latents"),
        ({"latent": {"samples": torch.ones(1, 16, 8, 8)}}, "16 channels"),
    ],
)
def test_wrong_inputs_are_answered(run, changes, says):
    inputs = (
        dict(model=tiny_models.sd15(), latent=tiny_models.latent("sd15", size=16), mask=ring(), kernels="7, 5, 3")
        | changes
    )
    with pytest.raises(ValueError, match=NAME) as caught:
        run(NAME, **{key: value for key, value in inputs.items() if value is not None})
    assert says in str(caught.value)
