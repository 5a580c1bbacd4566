"""Properties that hold for any input: mask arithmetic, schedules, trajectories, rankings."""

import comfy.samplers
import pytest
import tiny_models
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

SLOW = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
sizes = st.integers(1, 24)


@st.composite
def fields(draw, count=st.integers(1, 3), soft=True):
    """A mask [N, H, W] in 0..1, or hard."""
    shape = draw(count), draw(sizes), draw(sizes)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    field = torch.rand(shape, generator=generator)
    return field if soft and draw(st.booleans()) else (field > draw(st.floats(0, 1))).float()


@st.composite
def levels(draw, top=st.floats(0.2, 5000)):
    """Falling noise levels that end at 0."""
    steps = draw(st.lists(st.floats(0.01, 1), min_size=1, max_size=12))
    total = torch.tensor(steps, dtype=torch.float64).flip(0).cumsum(0).flip(0)
    return torch.cat([total / total[0] * draw(top), torch.zeros(1, dtype=torch.float64)])


# ---- masks ----


@SLOW
@given(mask=fields(), height=sizes, width=sizes)
def test_fitting_keeps_the_range_and_every_touched_cell(pack_module, mask, height, width):
    fitted = pack_module("core.masks.operations").fit_mask(mask, height, width)
    assert fitted.shape == (mask.shape[0], height, width)
    assert set(fitted.flatten().tolist()) <= set(mask.flatten().tolist())  # only values of the mask
    if height <= mask.shape[-2] and width <= mask.shape[-1]:
        assert torch.equal(fitted.amax((1, 2)), mask.amax((1, 2)))


@SLOW
@given(mask=fields(), height=sizes, width=sizes, brighter=st.floats(0, 1))
def test_fitting_keeps_order_and_items_apart(pack_module, mask, height, width, brighter):
    fit = pack_module("core.masks.operations").fit_mask
    assert (fit((mask + brighter).clamp(max=1), height, width) >= fit(mask, height, width)).all()
    assert torch.equal(fit(mask, height, width), torch.cat([fit(one[None], height, width) for one in mask]))


@SLOW
@given(mask=fields(), cells=st.integers(0, 4))
def test_growing_only_adds_shrinking_only_takes_and_they_enclose_the_mask(pack_module, mask, cells):
    grow = pack_module("core.masks.operations").grow_mask
    grown, shrunk = grow(mask, cells), grow(mask, -cells)
    assert (grown >= mask).all()
    assert (shrunk <= mask).all()
    assert (grow(grown, -cells) >= mask).all()
    assert (grow(shrunk, cells) <= mask).all()
    assert torch.equal(grow(1 - mask, cells), 1 - shrunk)


@SLOW
@given(mask=fields(), seed=st.integers(0, 99))
def test_blending_stays_between_and_is_exact_at_the_ends(pack_module, mask, seed):
    blend = pack_module("core.masks.operations").blend
    one, other = (torch.randn(mask.shape, generator=torch.Generator().manual_seed(seed + k)) for k in (0, 1))
    mixed = blend(one, other, mask)
    assert (mixed >= torch.minimum(one, other) - 1e-6).all()
    assert (mixed <= torch.maximum(one, other) + 1e-6).all()
    assert torch.equal(mixed[mask == 1], one[mask == 1])
    assert torch.equal(mixed[mask == 0], other[mask == 0])
    assert torch.allclose(mixed, blend(other, one, 1 - mask), atol=1e-6)
    assert torch.equal(blend(one, one, mask), one)


@SLOW
@given(mask=fields(), count=st.integers(1, 4))
def test_matching_batches_gives_the_number_or_refuses(pack_module, mask, count):
    match = pack_module("edits.pictures").broadcast
    if mask.shape[0] in (1, count):
        matched = match("masks", mask, count, "latents")
        assert matched.shape[0] == count
        assert all(torch.equal(matched[k], mask[k % mask.shape[0]]) for k in range(count))
    else:
        taken = "1" if count == 1 else f"1 or {count}"
        with pytest.raises(ValueError, match=f"got {mask.shape[0]} masks for {count} latents; give {taken}\\."):
            match("masks", mask, count, "latents")


@SLOW
@given(mask=fields(), sigma=st.floats(0, 3))
@example(mask=torch.full((1, 1, 1), 0.4963), sigma=3e-140)
def test_blurring_keeps_the_range(pack_module, mask, sigma):
    blurred = pack_module("core.masks.operations").gaussian_blur(mask, sigma)
    assert blurred.shape == mask.shape
    assert blurred.min() >= mask.min() - 1e-5
    assert blurred.max() <= mask.max() + 1e-5


@SLOW
@given(
    contrast=fields(soft=True),
    threshold=st.floats(0, 1),
    method=st.sampled_from(["clamp", "min-max", "quantile"]),
    scale=st.floats(0.01, 100),
    grow=st.integers(-2, 2),
)
def test_masks_of_a_contrast(pack_module, contrast, threshold, method, scale, grow):
    """Binary, no larger for a higher threshold, and independent of the contrast's unit."""
    from_contrast = pack_module("core.masks.diffedit").mask_from_contrast
    mask, heat = from_contrast(contrast + 0.01, threshold, method, 0.0, grow)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert heat.min() >= 0
    assert heat.max() <= 1
    assert (from_contrast(contrast + 0.01, min(1.0, threshold + 0.1), method, 0.0, grow)[0] <= mask).all()
    assert torch.allclose(from_contrast((contrast + 0.01) * scale, threshold, method, 0.0, grow)[1], heat, atol=1e-3)


# ---- schedules and trajectories ----

MODELS = {name: tiny_models.FAMILIES[name].make() for name in ("sd15", "sd15_zsnr", "edm", "sd3", "flux")}


@SLOW
@given(
    name=st.sampled_from(list(MODELS)),
    scheduler=st.sampled_from(comfy.samplers.SCHEDULER_NAMES),
    steps=st.integers(2, 60),
    strength=st.floats(0.01, 1),
)
def test_schedules_fall_to_the_picture_and_are_the_whole_ones_end(pack_module, name, scheduler, steps, strength):
    sampling = pack_module("host.sampling")
    part, whole = (sampling.schedule(MODELS[name], steps, scheduler, share) for share in (strength, 1.0))
    assert 2 <= len(part) <= len(whole)
    assert torch.equal(part, whole[-len(part) :])
    assert len(part) - 1 == max(1, round((len(whole) - 1) * strength))
    assert torch.isfinite(part).all()
    assert (part[1:] <= part[:-1]).all()
    assert part[-1] == 0


@SLOW
@given(name=st.sampled_from(list(MODELS)), strength=st.floats(0.01, 1), less=st.floats(0, 1))
def test_more_strength_is_more_noise(pack_module, name, strength, less):
    level = pack_module("host.sampling").sigma_at_strength
    assert (
        0 <= level(MODELS[name], strength * less) <= level(MODELS[name], strength) if strength * less > 0.001 else True
    )


@SLOW
@given(sigmas=levels(), share=st.floats(-0.1, 1.1), seed=st.integers(0, 99))
def test_states_between_levels_lie_between_states(pack_module, sigmas, share, seed):
    states = torch.randn(len(sigmas), 1, 2, generator=torch.Generator().manual_seed(seed))
    result = pack_module("core.sampling.ddim").state_at(float(sigmas[0]) * share, sigmas, states)
    assert (result >= states.amin(0) - 1e-6).all()
    assert (result <= states.amax(0) + 1e-6).all()
    for level, state in zip(sigmas.tolist(), states):
        assert torch.allclose(pack_module("core.sampling.ddim").state_at(level, sigmas, states), state, atol=1e-4)


def network(x, sigma):
    return torch.tanh(x * 1.3 - 0.2) / (1 + 0.1 * float(sigma))


@SLOW
@given(sigmas=levels(), mixing=st.floats(0.7, 1.0), seed=st.integers(0, 99))
def test_edict_comes_back_on_any_schedule(pack_module, sigmas, mixing, seed):
    edict, grid = pack_module("core.sampling.edict"), pack_module("core.sampling.reversible")
    x0 = grid.snap(
        torch.randn(1, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)),
        grid.grid_of(sigmas),
    )
    states = edict.edict_invert(network, (x0, x0), sigmas, mixing)
    for back in edict.edict_sample(network, states[0], sigmas, mixing):
        assert torch.equal(back, x0)


@SLOW
@given(sigmas=levels(), eta=st.floats(0.05, 1), flow=st.booleans(), seed=st.integers(0, 99))
def test_edit_friendly_comes_back_on_any_schedule(pack_module, sigmas, eta, flow, seed):
    friendly, grid = pack_module("core.sampling.edit_friendly"), pack_module("core.sampling.reversible")
    sigmas = sigmas / sigmas[0] * 0.95 if flow else sigmas
    generator = torch.Generator().manual_seed(seed)
    x0 = grid.snap(torch.randn(1, 3, 2, 2, dtype=torch.float64, generator=generator), grid.grid_of(sigmas))
    noises = torch.randn(len(sigmas) - 1, 1, 3, 2, 2, generator=generator)
    states, corrections = friendly.edit_friendly_invert(network, x0, noises, sigmas, flow, eta)
    assert torch.equal(
        friendly.edit_friendly_sample(network, states[0], sigmas, lambda i: corrections[i], flow, eta), x0
    )


# ---- rankings ----


@SLOW
@given(scores=st.lists(st.integers(-5, 5), min_size=1, max_size=24), groups=st.integers(1, 4))
def test_rankings_are_permutations_from_the_best_down(pack_module, scores, groups):
    """Each source separately; ties keep their order, and adding a constant to every score changes
    nothing.
    """
    table = torch.tensor(scores * groups, dtype=torch.float32)
    order = pack_module("core.pictures.ranking").order_within_sources(table, len(scores))
    assert order.shape == (groups, len(scores))
    for source, row in enumerate(order.tolist()):
        assert sorted(row) == list(range(source * len(scores), (source + 1) * len(scores)))
        assert all(
            table[one] > table[other] or table[one] == table[other] and one < other for one, other in zip(row, row[1:])
        )
    assert torch.equal(order, pack_module("core.pictures.ranking").order_within_sources(table + 100, len(scores)))
