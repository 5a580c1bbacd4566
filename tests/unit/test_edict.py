"""EDICT against an independent transcription of the paper in its own variables, and its numerical
exactness.
"""

import math

import edict_paper
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import floats, integers
from latent_cases import relative

BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
ABAR = torch.cumprod(1 - BETAS, 0)


@pytest.fixture(scope="module")
def edict(pack_module):
    return pack_module("core.sampling.edict")


def network(dtype=torch.float64, seed=0):
    """A nonlinear convolution ``f(x_vp, t)`` of bounded size, computed in ``dtype``."""
    weights = [
        torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / 6,
        torch.randn(4, 8, 3, 3, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64) / 8,
    ]

    def answer(x, t):
        hidden = torch.nn.functional.conv2d(x.to(dtype), weights[0].to(dtype), padding=1)
        hidden = torch.tanh(hidden + math.sin(t / 150))
        return torch.nn.functional.conv2d(hidden, weights[1].to(dtype), padding=1).to(x.dtype)

    return answer


def guided(net, scale):
    """A second, shifted prediction represents the other text."""
    return lambda x, t: net(x, t + 40) + scale * (net(x, t) - net(x, t + 40))


def timesteps(steps, strength):
    whole = [round(1000 / steps * k) for k in reversed(range(steps))]
    return whole[len(whole) - round(steps * strength) :]


def by_step(e, times):
    """A network and its alpha-bars in the form of :mod:`edict_paper`."""
    return lambda x, i: e(x, times[i]), [*ABAR[times].tolist(), 1.0]


def levels(times):
    sigma = torch.tensor([math.sqrt((1 - ABAR[t].item()) / ABAR[t].item()) for t in times] + [0.0], dtype=torch.float64)
    return sigma, {float(s): t for s, t in zip(sigma, times)}


def in_sigma_space(e, clock):
    return lambda x, sigma: e(x / math.sqrt(1 + sigma**2), clock[sigma])


def rescale(low, high):
    return math.sqrt((1 + high**2) / (1 + low**2))


def picture(seed=3):
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("steps, strength, mixing", [(50, 0.8, 0.93), (39, 1.0, 0.93), (30, 0.8, 0.97), (7, 1.0, 0.9)])
def test_trajectories_are_the_papers(edict, steps, strength, mixing):
    times, e, x0 = timesteps(steps, strength), guided(network(), 3.0), picture()
    sigmas, clock = levels(times)
    predict, (theirs, abar) = in_sigma_space(e, clock), by_step(e, times)
    paper_up = edict_paper.invert(theirs, x0, x0, abar, mixing)
    ours_up = edict.edict_invert(predict, (x0, x0), sigmas, mixing, rescale)
    for (x, y), (big_x, big_y), sigma in zip(paper_up, reversed(ours_up[:-1]), reversed(sigmas[:-1].tolist())):
        scale = math.sqrt(1 + sigma**2)
        assert relative(big_x, scale * x) < 1e-9
        assert relative(big_y, scale * y) < 1e-9
    noise = picture(4), picture(5)
    scale = math.sqrt(1 + sigmas[0].item() ** 2)
    seen = []
    end = edict.edict_sample(
        predict, (noise[0] * scale, noise[1] * scale), sigmas, mixing, rescale, callback=seen.append
    )
    x, y = edict_paper.generate(theirs, *noise, abar, mixing)[-1]
    assert relative(end[0], x) < 1e-9
    assert relative(end[1], y) < 1e-9
    assert [state["i"] for state in seen] == list(range(len(times)))


def test_without_the_papers_input_scale_it_is_another_trajectory(edict):
    times, e = timesteps(50, 0.8), network()
    sigmas, clock = levels(times)
    predict, (theirs, abar) = in_sigma_space(e, clock), by_step(e, times)
    ours = edict.edict_invert(predict, (picture(), picture()), sigmas, 0.93)[0][0] / math.sqrt(
        1 + sigmas[0].item() ** 2
    )
    assert relative(ours, edict_paper.invert(theirs, picture(), picture(), abar, 0.93)[-1][0]) > 1e-4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("steps, strength", [(50, 0.8), (39, 1.0), (30, 0.8), (1, 1.0)])
def test_round_trip_is_exact_whatever_the_network_computes_in(edict, dtype, steps, strength):
    sigmas, clock = levels(timesteps(steps, strength))
    predict, x0 = in_sigma_space(guided(network(dtype), 3.0), clock), picture()
    start = edict.edict_invert(predict, (x0, x0), sigmas, 0.93, rescale)[0]
    end = edict.edict_sample(predict, start, sigmas, 0.93, rescale)
    assert relative(end[0], x0) < 1e-12
    assert torch.equal(end[0], edict.snap(x0, edict.grid_of(sigmas)))
    assert torch.equal(end[0], end[1])


@pytest.mark.parametrize("mixing", [0.7, 0.9, 0.97, 1.0])
def test_round_trip_is_exact_for_any_mixing(edict, mixing):
    sigmas, clock = levels(timesteps(20, 1.0))
    predict, x0 = in_sigma_space(network(), clock), picture()
    end = edict.edict_sample(
        predict, edict.edict_invert(predict, (x0, x0), sigmas, mixing, rescale)[0], sigmas, mixing, rescale
    )
    assert relative(end[0], x0) < 1e-12


def test_a_picture_in_single_precision_comes_back_to_the_last_bit(edict):
    """Its values are on the grid above about 1e-5; plain float64 would differ by some 1e-10
    whenever a network's input is rounded the other way.
    """
    sigmas, clock = levels(timesteps(50, 0.8))
    predict = in_sigma_space(guided(network(torch.float32), 3.0), clock)
    x0 = torch.randn(8, 4, 64, 64, generator=torch.Generator().manual_seed(1)).double()
    x0 = torch.where(x0.abs() < 1e-4, 1e-4, x0).float().double()
    end = edict.edict_sample(
        predict, edict.edict_invert(predict, (x0, x0), sigmas, 0.93, rescale)[0], sigmas, 0.93, rescale
    )
    assert torch.equal(end[0], x0)
    assert torch.equal(end[1], x0)


@settings(max_examples=60, deadline=None)
@given(
    mixing=floats(0.501, 1.0),
    size=floats(1e-3, 4e3),
    apart=floats(1e-12, 1e3),
    top=floats(0.3, 5000.0),
    seed=integers(0, 10**6),
)
def test_mixing_is_undone_to_the_last_bit(edict, mixing, size, apart, top, seed):
    grid = edict.grid_of(torch.tensor([top, 0.0]))
    generator = torch.Generator().manual_seed(seed)
    x = edict.snap(torch.randn(500, generator=generator, dtype=torch.float64) * min(size, 40 * top), grid)
    y = edict.snap(x + torch.randn(500, generator=generator, dtype=torch.float64) * min(apart, 40 * top), grid)
    back = edict.mix(edict.unmix((x, y), mixing, grid), mixing, grid)
    assert torch.equal(back[0], x)
    assert torch.equal(back[1], y)
    inter = edict.unmix((x, y), mixing, grid)
    exact_y = (y - (1 - mixing) * x) / mixing
    assert ((inter[1] - exact_y).abs() <= 2 * grid + 1e-12 * exact_y.abs()).all()


def test_flow_models_have_no_input_scale_and_are_exact_too(edict):
    sigmas, net, x0 = torch.linspace(1, 0, 21, dtype=torch.float64), network(torch.float32), picture()

    def predict(x, sigma):
        return net(x, 1000 * sigma) - x / 3

    start = edict.edict_invert(predict, (x0, x0), sigmas)[0]
    assert torch.equal(edict.edict_sample(predict, start, sigmas)[0], edict.snap(x0, edict.grid_of(sigmas)))


def test_generated_pairs_are_inverted_exactly(edict):
    sigmas, clock = levels(timesteps(15, 1.0))
    predict = in_sigma_space(network(), clock)
    start = picture(4) * 14, picture(5) * 14
    x, y = edict.edict_sample(predict, start, sigmas, 0.93, rescale)
    assert edict.drift((x, y))[0] > 0
    states = edict.edict_invert(predict, (x, y), sigmas, 0.93, rescale)[0]
    assert relative(states[0], start[0]) < 1e-9
    assert relative(states[1], start[1]) < 1e-9


def test_the_network_is_asked_twice_a_step_and_never_at_zero(edict):
    sigmas, clock = levels(timesteps(10, 1.0))
    asked = []
    net = in_sigma_space(network(), clock)

    def predict(x, sigma):
        asked.append(sigma)
        return net(x, sigma)

    start = edict.edict_invert(predict, (picture(), picture()), sigmas, 0.93, rescale)[0]
    edict.edict_sample(predict, start, sigmas, 0.93, rescale)
    assert len(asked) == 2 * 2 * 10
    assert min(asked) > 0


def test_outside_the_mask_is_the_inversion_inside_is_free(edict):
    times = timesteps(20, 0.8)
    sigmas, clock = levels(times)
    source, target = in_sigma_space(network(), clock), in_sigma_space(network(seed=9), clock)
    x0, mask = picture(), torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    mask[..., 2:5, 3:7] = 1
    states = edict.edict_invert(source, (x0, x0), sigmas, 0.93, rescale)
    edited = edict.edict_sample(target, states[0], sigmas, 0.93, rescale, states.__getitem__, mask)
    outside = (mask == 0).expand_as(x0)
    assert relative(edited[0][outside], x0[outside]) < 1e-12
    assert relative(edited[1][outside], x0[outside]) < 1e-12
    assert relative(edited[0][~outside], x0[~outside]) > 1e-2
    again = edict.edict_sample(source, states[0], sigmas, 0.93, rescale, states.__getitem__, mask)
    assert relative(again[0], x0) < 1e-12


def test_a_broken_network_is_named_by_step_and_sequence(edict):
    sigmas, clock = levels(timesteps(10, 1.0))
    net, calls = in_sigma_space(network(), clock), []

    def predict(x, sigma):
        calls.append(sigma)
        return net(x, sigma) * (float("nan") if len(calls) == 4 else 1.0)

    with pytest.raises(ValueError, match=r"step 2 \(sigma .*for the sequence y"):
        edict.edict_sample(predict, (picture(), picture()), sigmas, 0.93, rescale)


def test_items_do_not_see_each_other(edict):
    sigmas, clock = levels(timesteps(10, 0.8))
    predict, x0 = in_sigma_space(network(), clock), picture()
    both = edict.edict_invert(predict, (x0, x0), sigmas, 0.93, rescale)[0]
    alone = edict.edict_invert(predict, (x0[1:], x0[1:]), sigmas, 0.93, rescale)[0]
    assert relative(both[0][1:], alone[0]) < 1e-12
    assert len(edict.drift(both)) == 2
