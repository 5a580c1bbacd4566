"""Conditionings and model patches: at the same state and noise level a node's prediction is what
ComfyUI's own samplers compute.

A stock prediction is taken from SamplerCustom: one Euler step from sigma to 0 ends at the
    prediction of the clean latent. A node's predictions are
recorded by a wrapper around the guider's, or, where a node asks for its texts one by one, follow
from its result.
"""

import types

import analytic
import comfy.gligen
import comfy.hooks
import comfy.samplers
import comfy.sd
import node_helpers
import pytest
import tiny_models
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from comfy_extras.nodes_custom_sampler import SamplerCustom
from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion
from comfy_extras.nodes_freelunch import FreeU_V2
from comfy_extras.nodes_model_advanced import RescaleCFG

import nodes as comfyui_nodes

TEXTS = tiny_models.Texts()
CFG = 2.0


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain(family="sd15"):
    model = tiny_models.damp(tiny_models.FAMILIES[family].make())
    return types.SimpleNamespace(
        model=model,
        positive=TEXTS(family, "a cat"),
        negative=TEXTS(family, "a dog on a chair"),
        latent=tiny_models.latent(family),
    )


def guided_flux():
    """FluxGuidance."""
    kind = plain("flux")
    kind.positive, kind.negative = (
        node_helpers.conditioning_set_values(text, {"guidance": value})
        for text, value in ((kind.positive, 5.5), (kind.negative, 1.5))
    )
    return kind


def sdxl_sizes():
    """CLIPTextEncodeSDXL."""
    kind = plain("sdxl")
    kind.positive = node_helpers.conditioning_set_values(
        kind.positive,
        {"width": 512, "height": 768, "crop_w": 16, "crop_h": 8, "target_width": 1024, "target_height": 1024},
    )
    return kind


def controlnet():
    kind = plain()
    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(2))
    kind.positive, kind.negative = comfyui_nodes.ControlNetApplyAdvanced().apply_controlnet(
        kind.positive, kind.negative, tiny_models.controlnet(), image, 0.8, 0.0, 0.9
    )
    return kind


def controlnet_the_old_way():
    """ControlNetApply, on the positive text only: ComfyUI carries it to the negative."""
    kind, both = plain(), controlnet()
    old = comfyui_nodes.ControlNetApply().apply_controlnet(
        kind.positive,
        both.positive[0][1]["control"].copy(),
        torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(2)),
        0.8,
    )[0]
    kind.positive = old
    return kind


def lora_weights(model):
    key, weight = (
        "middle_block.1.transformer_blocks.0.attn1.to_q",
        model.model.diffusion_model.get_submodule("middle_block.1.transformer_blocks.0.attn1.to_q").weight,
    )
    return {
        f"diffusion_model.{key}.lora_up.weight": noise(weight.shape[0], 2),
        f"diffusion_model.{key}.lora_down.weight": noise(2, weight.shape[1], seed=2),
    }


def lora():
    kind = plain()
    kind.model = comfy.sd.load_lora_for_models(kind.model, None, lora_weights(kind.model), 1.0, 0.0)[0]
    assert kind.model.patches
    return kind


def lora_hook():
    kind = plain()
    hooks = comfy.hooks.create_hook_lora(lora_weights(kind.model), 1.0, 0.0)
    kind.positive = comfy.hooks.set_hooks_for_conditioning(kind.positive, hooks)
    return kind


def scheduled_lora_hook():
    """A LoRA whose strength changes on the way: inversions walk it backwards."""
    kind = plain()
    hooks = comfy.hooks.create_hook_lora(lora_weights(kind.model), 1.0, 0.0)
    keyframes = comfy.hooks.HookKeyframeGroup()
    for strength, start in ((0.0, 0.0), (2.0, 0.45), (0.7, 0.75)):
        keyframes.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=start, guarantee_steps=0))
    hooks.set_keyframes_on_hooks(keyframes)
    kind.positive = comfy.hooks.set_hooks_for_conditioning(kind.positive, hooks)
    return kind


def area():
    kind = plain()
    region = comfyui_nodes.ConditioningSetArea().append(TEXTS("sd15", "a hat"), 32, 32, 8, 16, 1.2)[0]
    kind.positive = comfyui_nodes.ConditioningCombine().combine(kind.positive, region)[0]
    return kind


def area_percentage():
    kind = plain()
    kind.positive = (
        kind.positive
        + comfyui_nodes.ConditioningSetAreaPercentage().append(TEXTS("sd15", "a hat"), 0.5, 0.5, 0.25, 0.25, 0.7)[0]
    )
    return kind


def masked():
    kind = plain()
    mask = (noise(1, 64, 64) > 0).float()
    kind.positive = (
        kind.positive + comfyui_nodes.ConditioningSetMask().append(TEXTS("sd15", "a hat"), mask, "default", 1.0)[0]
    )
    kind.negative = (
        kind.negative
        + comfyui_nodes.ConditioningSetMask().append(TEXTS("sd15", "rain"), 1 - mask, "mask bounds", 0.5)[0]
    )
    return kind


def timestep_range():
    kind = plain()
    ranged = comfyui_nodes.ConditioningSetTimestepRange()
    kind.positive = ranged.set_range(kind.positive, 0.0, 0.7)[0] + ranged.set_range(TEXTS("sd15", "a hat"), 0.4, 1.0)[0]
    return kind


def gligen():
    kind = plain()
    modules = [
        comfy.gligen.GatedSelfAttentionDense(width, 768, 8, width // 8) for width in (32, 64, 64, 64, 64, 32, 32)
    ]
    network = comfy.gligen.Gligen(modules, comfy.gligen.PositionNet(768, 768), 768)
    tiny_models.fill(network)
    with torch.no_grad():
        for module in modules:
            module.alpha_attn.fill_(0.5)
    patcher = comfy.model_patcher.ModelPatcher(network, load_device=tiny_models.CPU, offload_device=tiny_models.CPU)
    kind.positive = node_helpers.conditioning_set_values(
        kind.positive, {"gligen": ("position", patcher, [(noise(1, 768), 3, 4, 1, 2)])}
    )
    return kind


def unclip():
    kind = plain()
    kind.model = tiny_models.damp(tiny_models.unclip())
    seen = types.SimpleNamespace(image_embeds=noise(1, 64))
    kind.positive = comfyui_nodes.unCLIPConditioning().apply_adm(kind.positive, seen, 1.0, 0.2)[0]
    return kind


def reference_latents(family):
    kind = plain(family)
    kind.positive = node_helpers.conditioning_set_values(
        kind.positive, {"reference_latents": [tiny_models.latent(family, seed=4)["samples"]]}, append=True
    )
    return kind


def inpaint_concat():
    """InpaintModelConditioning."""
    kind = plain("sd15_inpaint")
    extra = {
        "concat_latent_image": tiny_models.latent("sd15", seed=4)["samples"],
        "concat_mask": torch.zeros(1, 1, 64, 64).index_fill_(3, torch.arange(20), 1.0),
    }
    kind.positive, kind.negative = (
        node_helpers.conditioning_set_values(text, extra) for text in (kind.positive, kind.negative)
    )
    return kind


def free_u():
    kind = plain()
    kind.model = FreeU_V2.execute(kind.model, 1.3, 1.4, 0.9, 0.2)[0]
    return kind


def guidance_patches():
    """Patches of the guidance itself: RescaleCFG, and a function after it."""
    kind = plain()
    kind.model = RescaleCFG().patch(kind.model, 0.7)[0]
    kind.model.set_model_sampler_post_cfg_function(
        lambda args: args["denoised"] + 0.1 * (args["cond_denoised"] - args["uncond_denoised"])
    )
    return kind


def network_wrapper():
    kind = plain()
    kind.model = kind.model.clone()
    kind.model.set_model_unet_function_wrapper(
        lambda apply, given: 0.9 * apply(given["input"], given["timestep"], **given["c"])
    )
    return kind


def context_windows():
    kind = plain("wan")
    kind.latent = {"samples": noise(1, 16, 7, 8, 8)}
    kind.model = ContextWindowsManualNode.execute(kind.model, 3, 1, "standard_static", 1, False, "pyramid", 2, False)[0]
    return kind


def many_texts():
    kind = plain()
    kind.positive = (
        kind.positive
        + TEXTS("sd15", "a hat")
        + comfyui_nodes.ConditioningSetAreaStrength().append(TEXTS("sd15", "snow"), 0.4)[0]
    )
    kind.negative = comfyui_nodes.ConditioningAverage().addWeighted(kind.negative, TEXTS("sd15", "rain"), 0.3)[0]
    return kind


def empty_text():
    kind = plain()
    kind.negative = TEXTS("sd15", "")
    return kind


KINDS = {
    "plain": plain,
    "v-prediction": lambda: plain("sd15_v"),
    "flow": lambda: plain("sd3"),
    "Flux guidance": guided_flux,
    "SDXL sizes": sdxl_sizes,
    "ControlNet": controlnet,
    "ControlNet on the positive": controlnet_the_old_way,
    "LoRA": lora,
    "LoRA hook": lora_hook,
    "scheduled LoRA hook": scheduled_lora_hook,
    "area": area,
    "area in percent": area_percentage,
    "masks": masked,
    "timestep range": timestep_range,
    "GLIGEN": gligen,
    "unCLIP": unclip,
    "reference latents, Flux": lambda: reference_latents("flux"),
    "reference latents, Qwen-Image": lambda: reference_latents("qwen_image"),
    "inpaint concat": inpaint_concat,
    "FreeU": free_u,
    "guidance patches": guidance_patches,
    "network wrapper": network_wrapper,
    "context windows": context_windows,
    "many texts": many_texts,
    "empty text": empty_text,
}
MADE: dict[str, types.SimpleNamespace] = {}


@pytest.fixture(params=list(KINDS))
def kind(request):
    if request.param not in MADE:
        MADE[request.param] = KINDS[request.param]()
    return MADE[request.param]


def recorded(kind):
    """The model with a wrapper around the guider's prediction, and the list of what it saw: state,
    noise level, answer.
    """
    model, seen = kind.model.clone(), []

    def wrapper(executor, x, timestep, *args, **kwargs):
        answer = executor(x, timestep, *args, **kwargs)
        seen.append((x.clone(), float(timestep[0]), answer.clone()))
        return answer

    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, "test", wrapper)
    return model, seen


def stock(kind, x, sigma, positive=None, negative=None, cfg=CFG):
    """What ComfyUI's own sampler predicts at ``x``: in model space."""
    sampling, level = kind.model.get_model_object("model_sampling"), torch.tensor([sigma])
    samples = kind.model.get_model_object("process_latent_out")(sampling.inverse_noise_scaling(level, x.float()))
    texts = kind.positive if positive is None else positive, kind.negative if negative is None else negative
    for entry in [*texts[0], *texts[1]]:
        for hook in entry[1]["hooks"].hooks if "hooks" in entry[1] else ():
            hook.hook_keyframe._curr_t = (
                -1.0
            )  # else a run that begins where the last one ended begins with the first keyframe
    with torch.inference_mode():
        end = SamplerCustom.execute(
            kind.model,
            False,
            0,
            cfg,
            *texts,
            comfy.samplers.sampler_object("euler"),
            torch.tensor([sigma, 0.0]),
            {"samples": samples},
        )[0]["samples"]
    return kind.model.get_model_object("process_latent_in")(end)


def assert_equal(found, wanted):
    assert torch.isfinite(found).all()
    assert float((found.float() - wanted).norm() / wanted.norm()) < 1e-5


def ddim(run, model, kind):
    run(
        "DDIMInvert",
        model=model,
        conditioning=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        cfg=CFG,
        steps=4,
        strength=0.8,
    )


def blend(run, model, kind):
    run(
        "LatentBlendSampler",
        model=model,
        positive=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        cfg=CFG,
        steps=2,
        denoise=0.5,
        sampler_name="heun",
        mask=torch.ones(1, 64, 64),
    )


def edict(run, model, kind):
    pair = run(
        "EDICTInvert",
        model=model,
        source=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        cfg=CFG,
        steps=3,
        strength=0.7,
    ).args[0]
    run("EDICTSampler", model=model, target=kind.positive, negative=kind.negative, pair=pair, cfg=CFG)


def exact(run, model, kind):
    found = run(
        "ExactInvert",
        model=model,
        source=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        cfg=CFG,
        steps=4,
        strength=0.8,
    ).args[0]
    run("ExactSampler", model=model, target=kind.positive, negative=kind.negative, inversion=found, cfg=CFG)


def edit_friendly(run, model, kind):
    run(
        "EditFriendlyInvert",
        model=model,
        source=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        cfg=CFG,
        steps=3,
        strength=0.7,
    )


GUIDED = [ddim, blend, edict, exact, edit_friendly]


@pytest.mark.parametrize("node", GUIDED, ids=lambda node: node.__name__)
def test_guided_predictions_are_the_stock_samplers(run, kind, node):
    model, seen = recorded(kind)
    node(run, model, kind)
    assert len({sigma for _, sigma, _ in seen}) > 1
    for x, sigma, answer in [*seen[:: 1 + len(seen) // 3], seen[-1]]:
        assert_equal(answer, stock(kind, x, sigma))


def model_space(kind):
    return kind.model.get_model_object("process_latent_in")(kind.latent["samples"])


WITHOUT_GUIDANCE = pytest.mark.parametrize(
    "kind", [name for name in KINDS if name != "guidance patches"], indirect=True
)


@WITHOUT_GUIDANCE
def test_diffedits_contrast_is_of_the_stock_predictions(run, room, kind):
    room("edits.masks.contrast").RECENT.clear()
    with torch.inference_mode():
        found = room("edits.masks.contrast").contrast_of_texts(
            kind.model, kind.negative, kind.positive, kind.latent, 5, 1, 0.5
        )
    sigma, shape = room("host.sampling").sigma_at_strength(kind.model, 0.5), kind.latent["samples"].shape
    x = kind.model.get_model_object("model_sampling").noise_scaling(
        torch.tensor([sigma]), noise(*shape, seed=5), model_space(kind)
    )
    wanted = (stock(kind, x, sigma, cfg=1.0) - stock(kind, x, sigma, cfg=0.0)).abs().mean(1) / sigma
    assert found.shape == wanted.shape
    assert wanted.max() > 1e-5
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-5 * float(x.abs().max()) / sigma)


@WITHOUT_GUIDANCE
def test_flow_edit_moves_by_the_stock_predictions(run, kind):
    edited = run(
        "FlowEdit",
        model=kind.model,
        source=kind.negative,
        target=kind.positive,
        negative=TEXTS("sdxl" if "SDXL" in type(kind.model.model).__name__ else "sd15", ""),
        latent=kind.latent,
        steps=2,
        strength=0.5,
        source_cfg=1.0,
        target_cfg=1.0,
        seed=5,
    ).args[0]["samples"]
    sigma = float(comfy.samplers.calculate_sigmas(kind.model.get_model_object("model_sampling"), "normal", 2)[1])
    x0 = model_space(kind)
    x = kind.model.get_model_object("model_sampling").noise_scaling(torch.tensor([sigma]), noise(*x0.shape, seed=5), x0)
    # One step from sigma to 0, without guidance: the source moves by the difference of the two
    # clean predictions. Regions, ControlNets and GLIGEN of one text go over to the other as from
    # positive to negative: guidance 0 is the negative alone.
    wanted = x0 + stock(kind, x, sigma, cfg=1.0) - stock(kind, x, sigma, cfg=0.0)
    assert_equal(kind.model.get_model_object("process_latent_in")(edited), wanted)


@pytest.mark.parametrize("family", ["sd15", "sd3", "wan"])
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m"])
def test_without_and_with_a_mask_the_result_is_ksamplers(run, family, sampler):
    """A soft mask at latent size, so that nothing is resized; the stock node blends the same way at
    every evaluation.
    """
    kind = plain(family)
    mask = noise(1, 1, 8, 8).sigmoid()
    inputs = (5, 4, CFG, sampler, "normal", kind.positive, kind.negative)
    with torch.inference_mode():
        wanted = comfyui_nodes.KSampler().sample(kind.model, *inputs, {**kind.latent, "noise_mask": mask}, 0.9)[0][
            "samples"
        ]
    found = run(
        "LatentBlendSampler",
        model=kind.model,
        positive=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        mask=mask[0],
        seed=5,
        steps=4,
        cfg=CFG,
        sampler_name=sampler,
        denoise=0.9,
    ).args[0]["samples"]
    assert_equal(found, wanted)


@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_differential_diffusion_is_ksamplers(run, strength):
    kind = plain()
    model = DifferentialDiffusion.execute(kind.model, strength)[0]
    mask = torch.linspace(0, 1, 8).expand(1, 8, 8).contiguous()
    with torch.inference_mode():
        wanted = comfyui_nodes.KSampler().sample(
            model,
            5,
            6,
            CFG,
            "euler",
            "normal",
            kind.positive,
            kind.negative,
            {**kind.latent, "noise_mask": mask.unsqueeze(1)},
            1.0,
        )[0]["samples"]
    found = run(
        "LatentBlendSampler",
        model=model,
        positive=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        mask=mask,
        seed=5,
        steps=6,
        cfg=CFG,
        sampler_name="euler",
    ).args[0]["samples"]
    assert_equal(found[..., 1:], wanted[..., 1:])
    assert torch.equal(
        found[..., 0], kind.latent["samples"][..., 0]
    )  # where the mask is 0 the stock node lets go in its last step


def test_the_inpainting_model_sees_the_mask(run):
    """Without InpaintModelConditioning ComfyUI gives the network the mask that is sampled with."""
    kind = plain("sd15_inpaint")
    mask = torch.zeros(1, 8, 8)
    mask[..., 4:] = 1
    with torch.inference_mode():
        wanted = comfyui_nodes.KSampler().sample(
            kind.model,
            5,
            3,
            CFG,
            "euler",
            "normal",
            kind.positive,
            kind.negative,
            {**kind.latent, "noise_mask": mask.unsqueeze(1)},
            1.0,
        )[0]["samples"]
    found = run(
        "LatentBlendSampler",
        model=kind.model,
        positive=kind.positive,
        negative=kind.negative,
        latent=kind.latent,
        mask=mask,
        seed=5,
        steps=3,
        cfg=CFG,
        sampler_name="euler",
    ).args[0]["samples"]
    assert_equal(found, wanted)


def test_a_conditioning_without_entries_is_answered_or_is_ksamplers(run):
    """A negative of no entries at all: ComfyUI predicts zeros for it, and so do the nodes; a mask
    cannot be made from it.
    """
    kind = plain()
    kind.negative = []
    model, seen = recorded(kind)
    for node in GUIDED:
        node(run, model, kind)
    for x, sigma, answer in seen:
        assert_equal(answer, stock(kind, x, sigma))
    with pytest.raises(ValueError, match="DiffEditMask: the source conditioning says nothing"):
        run("DiffEditMask", model=kind.model, source=[], target=kind.positive, latent=kind.latent)


def test_a_moving_mask_and_a_ramp_of_the_analytic_world_agree(run):
    """DifferentialDiffusion on the solved denoiser: cells that are let go late stay nearer to the
    source.
    """
    model, _ = analytic.denoiser()
    model = DifferentialDiffusion.execute(model)[0]
    latent, ramp = (
        analytic.latent(noise(1, 4, 8, 8, seed=3) * 0.6),
        torch.linspace(0, 1, 8).expand(1, 8, 8).contiguous(),
    )
    edited = run(
        "LatentBlendSampler",
        model=model,
        positive=analytic.text(3.0),
        negative=analytic.text(0),
        latent=latent,
        mask=ramp,
        steps=20,
        cfg=1.0,
    ).args[0]
    moved = (analytic.model_space(edited) - analytic.model_space(latent)).abs().mean((0, 1, 2))
    assert moved[0] == 0
    assert moved[1] < moved[4] < moved[7]
