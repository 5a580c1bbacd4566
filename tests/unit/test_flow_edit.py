"""FlowEdit, its additions (FlowAlign, VAGS) and DirectEdit against their published forms."""

import math

import pytest
import torch
from latent_cases import relative
from sampling_cases import FLOW, levels, network, picture


def test_flow_edit_is_the_papers_algorithm(pack_module):
    flow_edit = pack_module("core.sampling.flowedit").flow_edit
    source, target, x0 = network(seed=1), network(seed=2), picture()
    noises = [picture(seed) for seed in range(20, 44)]
    result = flow_edit(
        source, target, x0, lambda sigma, draw: (1 - sigma) * x0 + sigma * noises[draw], FLOW, averages=2
    )
    edited = x0
    for i in range(12):
        t, t_next = FLOW[i].item(), FLOW[i + 1].item()
        direction = 0
        for noise in noises[2 * i : 2 * i + 2]:
            z_source = (1 - t) * x0 + t * noise
            direction = direction + 0.5 * (target(edited + z_source - x0, t) - source(z_source, t))
        edited = edited + (t_next - t) * direction
    assert relative(result, edited) < 1e-12
    assert torch.equal(flow_edit(source, source, x0, lambda sigma, draw: x0, FLOW), x0)
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    assert torch.equal(flow_edit(source, target, x0, lambda sigma, draw: noises[0], FLOW, mask=mask), x0)


def test_flow_edit_without_its_additions_is_the_same_bit_for_bit(pack_module):
    """The loop before source_term and predict_beside existed, with the same order of operations."""
    flow_edit = pack_module("core.sampling.flowedit").flow_edit
    source, target, x0 = network(seed=1), network(seed=2), picture()
    noises = [picture(seed) for seed in range(20, 44)]
    mask = (picture(3)[:, :1] > 0).double()

    def add_noise(sigma, draw):
        return (1 - sigma) * x0 + sigma * noises[draw]

    edited, levels = x0, FLOW.double().tolist()
    for i, (high, low) in enumerate(zip(levels, levels[1:])):
        total = torch.zeros_like(x0)
        for draw in (2 * i, 2 * i + 1):
            noised = add_noise(high, draw)
            total = total + (target(edited + noised - x0, high) - source(noised, high))
        edited = edited + (low - high) * total / 2
        edited = mask * edited + (1 - mask) * x0
    result = flow_edit(source, target, x0, add_noise, FLOW, averages=2, mask=mask, source_term=0.0)
    assert torch.equal(result, edited)
    assert torch.equal(result * (1 - mask), x0 * (1 - mask))


def test_the_source_term_is_flow_aligns(pack_module):
    """Its published update: the velocities' difference, and zeta times the difference of the clean
    predictions at the source's and the edit's state.
    """
    flow_edit = pack_module("core.sampling.flowedit").flow_edit
    source, target, x0 = network(seed=1), network(seed=2), picture()
    noises = [picture(seed) for seed in range(20, 32)]
    result = flow_edit(source, target, x0, lambda t, draw: (1 - t) * x0 + t * noises[draw], FLOW, source_term=0.03)
    edited = x0
    for i in range(12):
        t, t_next = FLOW[i].item(), FLOW[i + 1].item()
        at_source = (1 - t) * x0 + t * noises[i]
        at_edit = edited + at_source - x0
        v_source, v_edit = source(at_source, t), target(at_edit, t)
        clean_source, clean_edit = at_source - t * v_source, at_edit - t * v_edit
        edited = edited + (t_next - t) * (v_edit - v_source) + 0.03 * (clean_source - clean_edit)
    assert relative(result, edited) < 1e-12
    whole = flow_edit(source, target, x0, lambda t, draw: (1 - t) * x0 + t * noises[draw], FLOW)
    assert relative(result, x0) < relative(whole, x0)


def test_adaptive_guidance_is_vags(pack_module):
    """Written out per item: a pilot step from the noise level alone, its cosine with the source,
    and the resulting guidance.
    """
    adaptive = pack_module("core.sampling.flowedit").adaptive_guidance
    texted, empty, source = (torch.cat([picture(seed), picture(seed + 50)]) for seed in (1, 2, 3))
    for signal in (0.1, 0.5, 0.95):
        result = adaptive(texted, empty, source, 4.0, 0.9, signal)
        for item in range(2):
            pilot = empty[item] + 4.0 * math.exp(0.9 * (2 * signal - 1)) * (texted[item] - empty[item])
            cosine = float((source[item] * pilot).sum() / (source[item].norm() * pilot.norm()))
            scale = 4.0 * math.exp(0.9 * (2 * signal - 1) * cosine)
            assert relative(result[item], empty[item] + scale * (texted[item] - empty[item])) < 1e-12
    plain = empty + 4.0 * (texted - empty)
    assert relative(adaptive(texted, empty, source, 4.0, 0.0, 0.1), plain) < 1e-12
    assert relative(adaptive(texted, empty, source, 4.0, 0.9, 0.5), plain) < 1e-12


@pytest.mark.parametrize("is_flow", [True, False])
def test_direct_edit_returns_to_the_last_bit_and_departs_as_flow_edit_does(pack_module, is_flow):
    offset = pack_module("core.sampling.offset")
    sigmas, x0 = (FLOW, picture()) if is_flow else (levels(20), picture())
    rescale = None if is_flow else lambda low, high: math.sqrt((1 + high**2) / (1 + low**2))
    source, target = network(torch.float64, 1), network(torch.float64, 2)
    states = offset.offset_invert(source, x0, sigmas, rescale)
    assert relative(states[-1], x0) < 1e-12
    assert torch.equal(offset.offset_sample(source, states.__getitem__, sigmas, rescale), states[-1])
    edited = offset.offset_sample(target, states.__getitem__, sigmas, rescale)
    # The departure grows by the difference of the predictions, with the inverted path as the source.
    departed, path = torch.zeros_like(x0), sigmas.double().tolist()
    for i, (high, low) in enumerate(zip(path, path[1:])):
        scale = 1.0 if rescale is None else rescale(low, high)
        below = states[i + 1]
        difference = target((below + departed) * scale, high) - source(below * scale, high)
        departed = departed + (low - high) * difference
    assert relative(edited, states[-1] + departed) < 1e-9
    assert relative(edited, x0) > 1e-3
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    mask[..., :4] = 1
    half = offset.offset_sample(target, states.__getitem__, sigmas, rescale, mask)
    assert torch.equal(half[..., 4:], states[-1][..., 4:])
    assert not torch.equal(half[..., :4], states[-1][..., :4])
