"""Several pictures in one batch, each with its own hints, references, texts and masks: every result
equals that of the stock KSampler on that picture alone.

ComfyUI pairs the rows of a batched condition with the batch's pictures. LatentBlendSampler must do
so with every sampler, including those that add noise at each step, and each picture must get the
noise of its own seed.
"""

import types

import comfy.hooks
import comfy.samplers
import node_helpers
import pytest
import tiny_models
import torch

import nodes as comfyui_nodes

TEXTS = tiny_models.Texts()
COUNT, STEPS, CFG, SEED = 3, 2, 2.0, 40
FEW = ["euler", "heun", "euler_ancestral", "euler_ancestral_cfg_pp", "dpmpp_sde_gpu", "lcm", "sa_solver"]
ADAPTIVE = {"dpm_adaptive"}
"""Its step sizes depend on the error of the whole batch, in ComfyUI too."""


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rows(value, k):
    """Row ``k`` of a tensor that has a row for each picture, otherwise all of it."""
    return value if k is None else value[k : k + 1]


def half_masks():
    """[COUNT, 8, 8]: a different part for every picture."""
    made = torch.zeros(COUNT, 8, 8)
    for k in range(COUNT):
        made[k, :, 2 * k : 2 * k + 4] = 1
    return made


def case(family, condition):
    """``texts(k)``: the conditionings of picture ``k``, or of all in one batch (None)."""
    model = tiny_models.damp(tiny_models.FAMILIES[family].make(), 0.2)
    latent = tiny_models.latent(family, batch=COUNT)["samples"]
    positive, negative = TEXTS(family, "a cat"), TEXTS(family, "")
    return types.SimpleNamespace(family=family, model=model, latent=latent, texts=condition(positive, negative))


def control_chain():
    """Two ControlNets one after the other, three hints each."""
    first, second, (hints, others) = (
        tiny_models.controlnet(),
        tiny_models.controlnet(seed=1),
        (3 * noise(COUNT, 1, 1, 3, seed=s).expand(-1, 64, 64, -1) for s in (2, 3)),
    )

    def condition(positive, negative):
        def texts(k):
            both = comfyui_nodes.ControlNetApplyAdvanced().apply_controlnet(
                positive, negative, first, rows(hints, k), 6.0, 0.0, 1.0
            )
            return comfyui_nodes.ControlNetApplyAdvanced().apply_controlnet(
                *both, second, rows(others, k), 4.0, 0.0, 1.0
            )

        return texts

    return case("sd15", condition)


def reference_latents():
    """Two lists of references, a row for each picture."""
    references = [noise(COUNT, 16, 8, 8, seed=s) for s in (4, 5)]

    def condition(positive, negative):
        def texts(k):
            extra = {"reference_latents": [rows(reference, k) for reference in references]}
            return node_helpers.conditioning_set_values(positive, extra), negative

        return texts

    return case("flux", condition)


def inpaint_concat():
    """InpaintModelConditioning of three pictures: ComfyUI repeats these as a whole, not each in
    turn.
    """
    pictures, masks = noise(COUNT, 4, 8, 8, seed=6) * 5, (noise(COUNT, 1, 64, 64, seed=7) > 0).float()

    def condition(positive, negative):
        def texts(k):
            extra = {"concat_latent_image": rows(pictures, k), "concat_mask": rows(masks, k)}
            return tuple(node_helpers.conditioning_set_values(text, extra) for text in (positive, negative))

        return texts

    return case("sd15_inpaint", condition)


def texts_with_regions():
    """A text for each picture, and a second text in another region of each."""
    words, regions = ("a cat", "a dog on a chair", "rain"), half_masks()

    def condition(positive, negative):
        encoded = [TEXTS("sd15", text)[0] for text in words]

        def texts(k):
            own = encoded if k is None else encoded[k : k + 1]
            text = [
                [
                    torch.cat([entry[0] for entry in own]),
                    {"pooled_output": torch.cat([entry[1]["pooled_output"] for entry in own])},
                ]
            ]
            return text + comfyui_nodes.ConditioningSetMask().append(
                TEXTS("sd15", "snow"), rows(regions, k), "default", 1.0
            )[0], negative

        return texts

    return case("sd15", condition)


def lora_hook_on_one_text():
    """Hooks apply to their own entry, even if others have rows."""
    made = control_chain()
    key = "middle_block.1.transformer_blocks.0.attn1.to_q"
    weight = made.model.model.diffusion_model.get_submodule(key).weight
    lora = {
        f"diffusion_model.{key}.lora_up.weight": noise(weight.shape[0], 2),
        f"diffusion_model.{key}.lora_down.weight": noise(2, weight.shape[1], seed=2),
    }
    hooks, plain = comfy.hooks.create_hook_lora(lora, 1.0, 0.0), made.texts

    def texts(k):
        positive, negative = plain(k)
        return comfy.hooks.set_hooks_for_conditioning(positive, hooks), negative

    made.texts = texts
    return made


CASES = {
    made.__name__: made
    for made in (control_chain, reference_latents, inpaint_concat, texts_with_regions, lora_hook_on_one_text)
}
MADE: dict[str, types.SimpleNamespace] = {}


def made(name):
    if name not in MADE:
        MADE[name] = CASES[name]()
    return MADE[name]


def stock(world, k, sampler, seed, hint=None):
    """KSampler on picture ``k`` alone, under its own conditionings or those of picture ``hint``.

    ComfyUI's "ddim" is euler with different noise outside the mask, where LatentBlendSampler uses
    that of the run.
    """
    sampler = "euler" if sampler == "ddim" else sampler
    positive, negative = world.texts(k if hint is None else hint)
    latent = {"samples": world.latent[k : k + 1], "noise_mask": half_masks()[k : k + 1].unsqueeze(1)}
    with torch.inference_mode():
        return comfyui_nodes.KSampler().sample(
            world.model, seed, STEPS, CFG, sampler, "normal", positive, negative, latent, 1.0
        )[0]["samples"]


def blended(run, world, sampler, **changes):
    positive, negative = world.texts(None)
    return run(
        "LatentBlendSampler",
        **dict(
            model=world.model,
            positive=positive,
            negative=negative,
            latent={"samples": world.latent},
            mask=half_masks(),
            seed=SEED,
            steps=STEPS,
            cfg=CFG,
            sampler_name=sampler,
        )
        | changes,
    ).args[0]["samples"]


def apart(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


def assert_paired(world, results, sampler, predictions=1):
    for row, result in enumerate(results.split(1)):
        k, wanted = row // predictions, stock(world, row // predictions, sampler, SEED + row)
        kept = (half_masks()[k : k + 1].unsqueeze(1) == 0).expand_as(result)
        assert apart(result[~kept], wanted[~kept]) < (0.05 if sampler in ADAPTIVE else 1e-3), (k, row)
        assert torch.equal(result[kept], world.latent[k : k + 1][kept])


@pytest.mark.parametrize("sampler", comfy.samplers.SAMPLER_NAMES)
def test_every_sampler_gives_each_picture_its_own_hint_as_ksampler_does(run, sampler):
    world = made("control_chain")
    assert_paired(world, blended(run, world, sampler), sampler)


@pytest.mark.parametrize("sampler", FEW)
@pytest.mark.parametrize("name", [name for name in CASES if name != "control_chain"])
def test_whatever_has_a_row_for_each_picture_goes_to_its_picture(run, name, sampler):
    assert_paired(made(name), blended(run, made(name), sampler), sampler)


@pytest.mark.parametrize("sampler", FEW)
@pytest.mark.parametrize("name", ["control_chain", "inpaint_concat"])
def test_predictions_of_several_pictures_keep_their_pairs_and_seeds(run, name, sampler):
    assert_paired(made(name), blended(run, made(name), sampler, predictions=2), sampler, predictions=2)


@pytest.mark.parametrize("name", CASES)
def test_another_pictures_conditioning_would_be_seen(name):
    """The comparisons above detect a wrong pair."""
    world = made(name)
    assert apart(stock(world, 1, "euler_ancestral", SEED, hint=0), stock(world, 1, "euler_ancestral", SEED)) > 5e-3


def test_a_batch_of_pictures_is_sampled_whole_with_a_noisy_sampler(run):
    """As many network calls as for one picture."""
    world, calls = made("control_chain"), []
    model = world.model.clone()
    model.set_model_unet_function_wrapper(
        lambda apply, given: calls.append(len(given["input"])) or apply(given["input"], given["timestep"], **given["c"])
    )
    positive, negative = world.texts(None)
    run(
        "LatentBlendSampler",
        model=model,
        positive=positive,
        negative=negative,
        latent={"samples": world.latent},
        mask=half_masks(),
        steps=STEPS,
        cfg=1.0,
        sampler_name="euler_ancestral",
    )
    assert calls == [COUNT] * STEPS


def test_a_noisy_sampler_of_another_pack_without_a_noise_sampler_still_takes_the_batch(run, pack_module, monkeypatch):
    """It draws one noise for the whole batch, as in KSampler."""

    def sample_mine_ancestral(model, x, sigmas, extra_args=None, callback=None, disable=None):
        generator = torch.Generator().manual_seed(extra_args["seed"])
        for i in range(len(sigmas) - 1):
            denoised = model(x, sigmas[i] * x.new_ones(len(x)), **extra_args)
            x = denoised + sigmas[i + 1] * torch.randn(x.shape, generator=generator)
        return x

    monkeypatch.setattr(comfy.k_diffusion.sampling, "sample_mine_ancestral", sample_mine_ancestral, raising=False)
    monkeypatch.setattr(comfy.samplers, "SAMPLER_NAMES", [*comfy.samplers.SAMPLER_NAMES, "mine_ancestral"])
    world = made("control_chain")
    positive, negative = world.texts(None)
    sampling = pack_module("edits.blend")
    source = sampling.Source.read(world.model, {"samples": world.latent}, half_masks(), 1)
    levels = pack_module("edits.blend_levels").read_levels(
        world.model, None, torch.tensor([8.0, 2.0, 0.0]), {}, 0, 10000, False
    )
    with torch.inference_mode():
        edited = sampling.edit_with_noise(world.model, positive, negative, source, levels, SEED, CFG, "mine_ancestral")
    assert torch.isfinite(edited).all()
    assert len({float(item.sum()) for item in edited}) == COUNT
