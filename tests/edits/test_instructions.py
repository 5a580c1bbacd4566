"""Edits by instruction, with models that have the picture as an input: the mask of one instruction,
given masks, and the kept part of an edit.
"""

import analytic
import instruct_models
import pytest
import tiny_models
import torch
from comfy_extras.nodes_edit_model import ReferenceLatent

import nodes as comfyui_nodes


@pytest.fixture(autouse=True)
def forget(pack_module):
    pack_module("edits.masks.contrast").RECENT.clear()


def region():
    cells = torch.zeros(8, 8)
    cells[2:5, 3:7] = 1
    return cells


def pixels(cells):
    return cells.repeat_interleave(8, -2).repeat_interleave(8, -1)


def picture(batch=1, seed=3):
    return analytic.latent(torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed)))


def asked(run, change=0.7, batch=1, **inputs):
    """DiffEditMask of one instruction that changes :func:`region`; its outputs, and the batch
    sizes.
    """
    model, calls = instruct_models.changer(region())
    shown = picture(batch)
    given = dict(model=model, target=instruct_models.told(change, shown), latent=shown, normalisation="adaptive")
    return run("DiffEditMask", **given | inputs).args, calls


def test_one_instruction_finds_what_it_changes_at_half_the_evaluations(run):
    (mask, heat, masked), calls = asked(run, batch=3, noises=7)
    assert torch.equal(mask, pixels(region()).expand(3, -1, -1))
    assert torch.equal(masked["noise_mask"][:, 0], region().expand(3, -1, -1))
    assert heat.shape == mask.shape
    assert sum(calls) == 7 * 3


@pytest.mark.parametrize("noise_strength", [0.3, 0.7, 1.0])
def test_the_contrast_is_the_predicted_change_over_the_noise_level(pack_module, noise_strength):
    """ALGORITHMS: ``eps - n = (x0 - D) / sigma``. The model changes four channels by 0.7."""
    model, _ = instruct_models.changer(region())
    shown = picture(2)
    contrast = pack_module("edits.masks.contrast").contrast_of_texts(
        model, None, instruct_models.told(0.7, shown), shown, 0, 3, noise_strength
    )
    sigma = pack_module("host.sampling").sigma_at_strength(model, noise_strength)
    assert torch.allclose(contrast.size, 0.7 * region().expand(2, -1, -1) / sigma, atol=1e-5 / sigma + 1e-6)


def test_an_instruction_that_changes_nothing_gives_an_empty_mask_and_a_warning(run):
    (mask, _, _), _ = asked(run, change=0.0)
    assert mask.count_nonzero() == 0


def test_the_empty_instruction_as_source_contrasts_two_instructions(run):
    shown = picture()
    (mask, _, _), calls = asked(run, source=instruct_models.told(0.0, shown), noises=4)
    assert torch.equal(mask[0], pixels(region()))
    assert sum(calls) == 2 * 4


@pytest.mark.parametrize("family", instruct_models.FAMILIES)
def test_every_family_that_sees_the_picture_takes_one_instruction(run, family):
    shown = instruct_models.latent(family)
    target = instruct_models.instruction(family, "make the cat a dog", shown)
    mask, heat, masked = run(
        "DiffEditMask", model=instruct_models.make(family), target=target, latent=shown, noises=2
    ).args
    assert torch.isfinite(heat).all()
    assert heat.max() > 0
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(masked["samples"], shown["samples"])


def blind(kind):
    """Models and conditionings that do not form an edit by instruction."""
    shown = tiny_models.latent("sd15")
    texts = tiny_models.Texts()
    if kind == "caption model":
        return tiny_models.sd15(), texts("sd15", "a dog"), shown
    if kind == "reference that the model does not read":
        return tiny_models.sd15(), ReferenceLatent.execute(texts("sd15", "a dog"), shown)[0], shown
    if kind == "model without its reference":
        return tiny_models.flux(), texts("flux", "make it a dog"), tiny_models.latent("flux")
    if kind == "InstructPix2Pix without its picture":
        return instruct_models.ip2p(), texts("sd15", "make it a dog"), shown
    conditioning = instruct_models.with_channels(texts("sd15", "a dog"), shown)
    for _, entry in conditioning:
        entry["concat_mask"] = torch.ones(1, 1, 64, 64)
    return tiny_models.sd15_inpaint(), conditioning, shown


@pytest.mark.parametrize(
    "kind",
    [
        "caption model",
        "reference that the model does not read",
        "model without its reference",
        "InstructPix2Pix without its picture",
        "inpainting model",
    ],
)
def test_without_a_picture_in_the_target_two_texts_are_asked_for(run, kind):
    model, target, shown = blind(kind)
    with pytest.raises(ValueError, match="DiffEditMask: got a target without a source.*expected two texts"):
        run("DiffEditMask", model=model, target=target, latent=shown)


def test_a_picture_of_another_size_in_the_conditioning_is_a_warning(run):
    small, shown = instruct_models.latent("flux"), instruct_models.latent("flux", size=10)
    model = instruct_models.make("flux")
    target = instruct_models.instruction("flux", "make it a dog", small)
    result = run("DiffEditMask", model=model, target=target, latent=shown, noises=1)
    [warning] = result.ui["report"][0]["warnings"]
    assert warning["key"] == "other_picture_size"
    assert warning["values"] == ["8 x 8", "10 x 10"]
    fits = instruct_models.instruction("flux", "make it a dog", shown)
    assert not run("DiffEditMask", model=model, target=fits, latent=shown, noises=1).ui["report"][0]["warnings"]


# ---- a mask from elsewhere ----


def soft_mask():
    """Half of the region and half of the rest, not aligned to the grid of cells."""
    mask = torch.zeros(1, 64, 64)
    mask[:, 20:50, 10:44] = 0.6
    return mask


@pytest.mark.parametrize("mode, combine", [("intersection", torch.minimum), ("union", torch.maximum)])
def test_a_given_mask_is_combined_pixel_by_pixel_and_stays_soft(run, mode, combine):
    (mask, _, masked), _ = asked(run, mask=soft_mask(), mask_mode=mode)
    wanted = combine(pixels(region())[None], soft_mask())
    assert torch.equal(mask, wanted)
    assert torch.equal(masked["noise_mask"][:, 0], torch.nn.functional.max_pool2d(wanted, 8))


def test_only_the_given_mask_does_not_call_the_model(run):
    (mask, heat, masked), calls = asked(run, mask=soft_mask(), mask_mode="only")
    assert not calls
    assert torch.equal(mask, soft_mask())
    assert torch.equal(masked["noise_mask"][:, 0], torch.nn.functional.max_pool2d(soft_mask(), 8))


def test_only_without_a_mask_says_what_to_do(run):
    with pytest.raises(ValueError, match="DiffEditMask: got no mask with mask_mode only.*connect one"):
        asked(run, mask_mode="only")


def test_each_picture_has_its_own_given_mask_and_wrong_numbers_are_refused(run):
    each = torch.cat([torch.ones(1, 64, 64), torch.zeros(1, 64, 64)])
    (mask, _, _), _ = asked(run, batch=2, mask=each)
    assert torch.equal(mask[0], pixels(region()))
    assert mask[1].count_nonzero() == 0
    with pytest.raises(ValueError, match="got 3 masks for 2 latents"):
        asked(run, batch=2, mask=torch.ones(3, 64, 64))


def test_the_view_gets_the_given_mask_on_the_grid(run):
    model, _ = instruct_models.changer(region())
    shown = picture()
    target = instruct_models.told(0.7, shown)
    result = run("DiffEditMask", model=model, target=target, latent=shown, mask=soft_mask(), mask_mode="union")
    [view] = result.ui["semantic_edit"]
    assert (view["given"][0]["width"], view["given"][0]["height"]) == (8, 8)
    assert view["used"][0]["mask_mode"] == "union"


# ---- the edit ----


@pytest.mark.parametrize("family", instruct_models.FAMILIES)
@pytest.mark.parametrize("predictions", [1, 2])
def test_outside_the_mask_every_family_keeps_the_latent_bit_for_bit(run, family, predictions):
    model, shown = instruct_models.make(family), instruct_models.latent(family)
    ratio = getattr(model.get_model_object("latent_format"), "spacial_downscale_ratio", 8)
    mask = region().repeat_interleave(ratio, 0).repeat_interleave(ratio, 1)[None]
    edited = run(
        "LatentBlendSampler",
        model=model,
        positive=instruct_models.instruction(family, "make the cat a dog", shown),
        negative=instruct_models.instruction(family, "", shown),
        latent=shown,
        mask=mask,
        steps=3,
        cfg=2.0,
        sampler_name="euler",
        predictions=predictions,
    ).args[0]["samples"]
    source, inside = shown["samples"].expand(predictions, *shown["samples"].shape[1:]), region().bool()
    assert torch.equal(edited[..., ~inside], source[..., ~inside])
    assert (edited - source)[..., inside].abs().max() > 0


def test_the_prediction_is_the_stock_samplers_where_everything_may_change(run):
    """The picture in the conditioning reaches the network in LatentBlendSampler as in KSampler."""
    model, shown = instruct_models.make("ip2p"), instruct_models.latent("ip2p")
    texts = {
        name: instruct_models.instruction("ip2p", words, shown)
        for name, words in (("positive", "make the cat a dog"), ("negative", ""))
    }
    inputs = dict(model=model, seed=5, steps=4, cfg=3.0, sampler_name="euler", scheduler="normal", **texts)
    ours = run("LatentBlendSampler", latent=shown, mask=torch.ones(1, 64, 64), denoise=1.0, **inputs).args[0]
    with torch.inference_mode():
        stock = comfyui_nodes.KSampler().sample(latent_image=shown, denoise=1.0, **inputs)[0]
    assert torch.allclose(ours["samples"], stock["samples"], atol=1e-4)


def test_the_sampler_warns_of_a_picture_of_another_size(run):
    model, shown = instruct_models.make("flux"), instruct_models.latent("flux", size=10)
    target = instruct_models.instruction("flux", "make it a dog", instruct_models.latent("flux"))
    result = run(
        "LatentBlendSampler",
        model=model,
        positive=target,
        negative=target,
        latent=shown,
        mask=torch.ones(1, 80, 80),
        steps=1,
        cfg=1.0,
    )
    assert [one["key"] for one in result.ui["report"][0]["warnings"]] == ["other_picture_size"]
