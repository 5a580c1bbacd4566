"""Every kind of conditioning and of model patch, on tiny models."""

import types

import comfy.gligen
import comfy.hooks
import comfy.samplers
import comfy.sd
import node_helpers
import tiny_models
import torch
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
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
    """ControlNetApply on the positive text only: ComfyUI copies it to the negative."""
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
    """A LoRA whose strength changes during sampling; an inversion has the strengths in reverse
    order.
    """
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
    """Patches of the guidance: RescaleCFG, and a function after it."""
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
