"""Predictions of ComfyUI's own samplers, for comparison with a node's."""

import comfy.gligen
import comfy.hooks
import comfy.samplers
import comfy.sd
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_custom_sampler import SamplerCustom
from conditioning_kinds import CFG


def recorded(kind):
    """The model with a wrapper around the guider's prediction, and the list of its calls: state,
    noise level, prediction.
    """
    model, seen = kind.model.clone(), []

    def wrapper(executor, x, timestep, *args, **kwargs):
        answer = executor(x, timestep, *args, **kwargs)
        seen.append((x.clone(), float(timestep[0]), answer.clone()))
        return answer

    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, "test", wrapper)
    return model, seen


def stock(kind, x, sigma, positive=None, negative=None, cfg=CFG):
    """The prediction of ComfyUI's own sampler at ``x``, in model space."""
    sampling, level = kind.model.get_model_object("model_sampling"), torch.tensor([sigma])
    samples = kind.model.get_model_object("process_latent_out")(sampling.inverse_noise_scaling(level, x.float()))
    texts = kind.positive if positive is None else positive, kind.negative if negative is None else negative
    for entry in [*texts[0], *texts[1]]:
        for hook in entry[1]["hooks"].hooks if "hooks" in entry[1] else ():
            # otherwise a run that starts at the level where the previous one ended keeps the first keyframe
            hook.hook_keyframe._curr_t = -1.0
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


def model_space(kind):
    return kind.model.get_model_object("process_latent_in")(kind.latent["samples"])
