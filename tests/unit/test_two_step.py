"""O-BELM, BDIA, edit-friendly DDPM inversion and FlowEdit against their published forms, and their
exactness.
"""

import math

import pytest
import torch

BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
ABAR = torch.cumprod(1 - BETAS, 0)
FLOW = torch.linspace(1, 0, 13, dtype=torch.float64)


@pytest.fixture(scope="module")
def exact(room):
    return room("core.sampling.two_step")


@pytest.fixture(scope="module")
def friendly(room):
    return room("core.sampling.edit_friendly")


def network(dtype=torch.float32, seed=0):
    """``f(x, sigma)``: a bounded nonlinear convolution computed in ``dtype``."""
    weight = torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype) / 6
    return lambda x, sigma: torch.tanh(
        torch.nn.functional.conv2d((x / math.sqrt(1 + sigma**2)).to(dtype), weight, padding=1) + math.sin(sigma)
    ).to(x.dtype)


def picture(seed=3):
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed)).double()


def levels(steps):
    times = [round(999 - 1000 / steps * k) for k in range(steps)]
    return torch.tensor([math.sqrt((1 - ABAR[t].item()) / ABAR[t].item()) for t in times] + [0.0], dtype=torch.float64)


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


def weights(exact):
    return {"obelm": exact.obelm_weight, "bdia": exact.bdia_weight(0.96), "bdia 1": exact.bdia_weight(1.0)}


def test_obelm_is_the_published_recursion(exact):
    """In VP form: x_{i+1} from x_i and x_{i-1} with the squared ratio of the steps h and the
    alphas.
    """
    sigmas, e = levels(20), network(torch.float64)
    alpha = 1 / (1 + sigmas**2).sqrt()
    first, second = picture(4) * sigmas[0], picture(4) * sigmas[1]
    x_previous, x = first * alpha[0], second * alpha[1]
    for i in range(1, 20):
        h, h_next = sigmas[i] - sigmas[i - 1], sigmas[i + 1] - sigmas[i]
        eps = e(x / alpha[i], sigmas[i].item())
        x_previous, x = (
            x,
            (
                (h_next / h) ** 2 * alpha[i + 1] / alpha[i - 1] * x_previous
                + (h**2 - h_next**2) / h**2 * alpha[i + 1] / alpha[i] * x
                + h_next * (h + h_next) / h * alpha[i + 1] * eps
            ),
        )
    assert relative(exact.two_step_sample(e, first, second, sigmas, exact.obelm_weight), x) < 1e-9


@pytest.mark.parametrize("gamma", [1.0, 0.96])
def test_bdia_is_the_published_recursion(exact, gamma):
    """z_next = g z_previous - g DDIM(z -> previous) + DDIM(z -> next), with DDIM in VP form."""
    sigmas, e = levels(20), network(torch.float64)
    alpha = 1 / (1 + sigmas**2).sqrt()

    def ddim(z, i, k, eps):
        clean = (z - (1 - alpha[i] ** 2).sqrt() * eps) / alpha[i]
        return alpha[k] * clean + (1 - alpha[k] ** 2).sqrt() * eps

    first, second = picture(4) * sigmas[0], picture(4) * sigmas[1]
    previous, z = first, second  # sigma space: z = alpha * Z
    for i in range(1, 20):
        eps = e(z, sigmas[i].item())
        following = (gamma * previous * alpha[i - 1] - gamma * ddim(z * alpha[i], i, i - 1, eps)) * alpha[
            i + 1
        ] / alpha[i - 1] + ddim(z * alpha[i], i, i + 1, eps)
        previous, z = z, following / alpha[i + 1]
    assert relative(exact.two_step_sample(e, first, second, sigmas, exact.bdia_weight(gamma)), z) < 1e-9


SCHEDULES = {
    "50": levels(50),
    "39": levels(39),
    "2": levels(2),
    "growing": 3 * FLOW / (1 + 2 * FLOW),
    "karras": torch.cat(
        [
            (torch.linspace(14.6 ** (1 / 7), 0.03 ** (1 / 7), 30, dtype=torch.float64)) ** 7,
            torch.zeros(1, dtype=torch.float64),
        ]
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["obelm", "bdia", "bdia 1"])
@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_two_step_schemes_come_back_to_the_last_bit_at_one_prediction_a_step(exact, name, dtype, schedule):
    sigmas, e, x0, asked = SCHEDULES[schedule], network(dtype), picture(), []
    steps, weight = len(sigmas) - 1, weights(exact)[name]

    def predict(x, sigma):
        asked.append(sigma)
        return e(x, sigma)

    states, remainders = exact.two_step_invert(predict, x0, sigmas, weight)
    assert len(asked) == steps
    assert min(asked) > 0
    assert len(states) == steps + 1
    assert len(remainders) == steps
    end = exact.two_step_sample(predict, states[0], states[1], sigmas, weight, remainders.__getitem__)
    assert len(asked) == 2 * steps - 1
    assert torch.equal(end, states[-1])
    assert relative(end, x0) < 1e-12
    assert max(float(remainder.abs().max()) for remainder in remainders) < 1e-10
    if name != "obelm":
        assert not any(remainder.any() for remainder in remainders)


def test_second_order_where_ddim_is_first(exact, room):
    """On an ODE with a known solution, halving the steps' size divides O-BELM's error by about
    four.
    """
    spread, errors = 0.5, {}
    x0 = picture()

    def e(x, sigma):
        return x * sigma / (spread**2 + sigma**2)

    for steps in (100, 200):
        sigmas = torch.linspace(5, 0, steps + 1, dtype=torch.float64)
        wanted = x0 * (1 + (sigmas[0] / spread) ** 2) ** 0.5
        start = wanted, x0 * (1 + (sigmas[1] / spread) ** 2) ** 0.5
        errors[steps] = relative(exact.two_step_sample(e, *start, sigmas, exact.obelm_weight), x0)
        errors[-steps] = relative(room("core.sampling.ddim").ddim_sample(e, wanted, sigmas), x0)
    assert 3 < errors[100] / errors[200] < 5
    assert errors[200] < 0.1 * errors[-200] < 0.07 * errors[-100]


def test_two_step_outside_the_mask_is_the_inversion(exact):
    sigmas, x0, mask = levels(20), picture(), torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    mask[..., 4:] = 1
    states, _ = exact.two_step_invert(network(), x0, sigmas, exact.obelm_weight)
    edited = exact.two_step_sample(
        network(seed=5), states[0], states[1], sigmas, exact.obelm_weight, background=states.__getitem__, mask=mask
    )
    assert torch.equal(edited[..., :4], states[-1][..., :4])
    assert relative(edited[..., 4:], x0[..., 4:]) > 1e-2


@pytest.mark.parametrize("eta", [1.0, 0.5])
def test_ddpm_mean_is_the_posteriors(friendly, eta):
    """Song et al. 2020, eq. 12 and 16, in VP form."""
    t, s = 600, 560
    at, as_ = ABAR[t], ABAR[s]
    high, low = ((1 - at) / at).sqrt(), ((1 - as_) / as_).sqrt()
    x, eps = picture(1), picture(2)
    deviation = eta * ((1 - as_) / (1 - at) * (1 - at / as_)).sqrt()
    clean = (x - (1 - at).sqrt() * eps) / at.sqrt()
    wanted = as_.sqrt() * clean + (1 - as_ - deviation**2).sqrt() * eps
    found = friendly.ddpm_mean(x / at.sqrt(), eps, high.item(), low.item(), False, eta) * as_.sqrt()
    assert relative(found, wanted) < 1e-12


@pytest.mark.parametrize("is_flow", [False, True])
def test_edit_friendly_comes_back_to_the_last_bit(friendly, is_flow):
    sigmas = FLOW if is_flow else levels(25)
    x0, e = picture(), network()
    noises = torch.randn(len(sigmas) - 1, *x0.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    states, corrections = friendly.edit_friendly_invert(e, x0, noises, sigmas, is_flow)
    middle = len(sigmas) // 2
    level = sigmas[middle].item()
    assert relative(states[middle], (1 - level if is_flow else 1) * x0 + level * noises[middle]) < 1e-9
    end = friendly.edit_friendly_sample(e, states[0], sigmas, corrections.__getitem__, is_flow)
    assert torch.equal(end, states[-1])
    assert relative(end, x0) < 1e-12
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    edited = friendly.edit_friendly_sample(
        network(seed=5), states[0], sigmas, corrections.__getitem__, is_flow, background=states.__getitem__, mask=mask
    )
    assert torch.equal(edited, states[-1])


def test_flow_edit_is_the_papers_algorithm(room):
    flow_edit = room("core.sampling.flowedit").flow_edit
    source, target, x0 = network(seed=1), network(seed=2), picture()
    noises = [picture(seed) for seed in range(20, 44)]
    found = flow_edit(source, target, x0, lambda sigma, draw: (1 - sigma) * x0 + sigma * noises[draw], FLOW, averages=2)
    edited = x0
    for i in range(12):
        t, t_next = FLOW[i].item(), FLOW[i + 1].item()
        direction = 0
        for noise in noises[2 * i : 2 * i + 2]:
            z_source = (1 - t) * x0 + t * noise
            direction = direction + 0.5 * (target(edited + z_source - x0, t) - source(z_source, t))
        edited = edited + (t_next - t) * direction
    assert relative(found, edited) < 1e-12
    assert torch.equal(flow_edit(source, source, x0, lambda sigma, draw: x0, FLOW), x0)
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    assert torch.equal(flow_edit(source, target, x0, lambda sigma, draw: noises[0], FLOW, mask=mask), x0)


def test_flow_edit_without_its_additions_is_the_same_bit_for_bit(room):
    """The loop as it was before source_term and predict_beside came, with its order of operations."""
    flow_edit = room("core.sampling.flowedit").flow_edit
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
    found = flow_edit(source, target, x0, add_noise, FLOW, averages=2, mask=mask, source_term=0.0)
    assert torch.equal(found, edited)
    assert torch.equal(found * (1 - mask), x0 * (1 - mask))


def test_the_source_term_is_flow_aligns(room):
    """Its published update: the velocities' difference, and zeta times the difference of the clean
    predictions at the source's and the edit's state.
    """
    flow_edit = room("core.sampling.flowedit").flow_edit
    source, target, x0 = network(seed=1), network(seed=2), picture()
    noises = [picture(seed) for seed in range(20, 32)]
    found = flow_edit(source, target, x0, lambda t, draw: (1 - t) * x0 + t * noises[draw], FLOW, source_term=0.03)
    edited = x0
    for i in range(12):
        t, t_next = FLOW[i].item(), FLOW[i + 1].item()
        at_source = (1 - t) * x0 + t * noises[i]
        at_edit = edited + at_source - x0
        v_source, v_edit = source(at_source, t), target(at_edit, t)
        clean_source, clean_edit = at_source - t * v_source, at_edit - t * v_edit
        edited = edited + (t_next - t) * (v_edit - v_source) + 0.03 * (clean_source - clean_edit)
    assert relative(found, edited) < 1e-12
    whole = flow_edit(source, target, x0, lambda t, draw: (1 - t) * x0 + t * noises[draw], FLOW)
    assert relative(found, x0) < relative(whole, x0)


def test_adaptive_guidance_is_vags(room):
    """Written out item by item: a pilot by the noise level alone, its cosine with the source, and the
    guidance that follows.
    """
    adaptive = room("core.sampling.flowedit").adaptive_guidance
    texted, empty, source = (torch.cat([picture(seed), picture(seed + 50)]) for seed in (1, 2, 3))
    for signal in (0.1, 0.5, 0.95):
        found = adaptive(texted, empty, source, 4.0, 0.9, signal)
        for item in range(2):
            pilot = empty[item] + 4.0 * math.exp(0.9 * (2 * signal - 1)) * (texted[item] - empty[item])
            cosine = float((source[item] * pilot).sum() / (source[item].norm() * pilot.norm()))
            scale = 4.0 * math.exp(0.9 * (2 * signal - 1) * cosine)
            assert relative(found[item], empty[item] + scale * (texted[item] - empty[item])) < 1e-12
    plain = empty + 4.0 * (texted - empty)
    assert relative(adaptive(texted, empty, source, 4.0, 0.0, 0.1), plain) < 1e-12
    assert relative(adaptive(texted, empty, source, 4.0, 0.9, 0.5), plain) < 1e-12


@pytest.mark.parametrize("is_flow", [True, False])
def test_direct_edit_returns_to_the_last_bit_and_departs_as_flow_edit_does(room, is_flow):
    offset = room("core.sampling.offset")
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


def test_broken_networks_are_named_by_step(exact, friendly, room):
    def broken(x, sigma):
        return x * (float("nan") if sigma < 1 else 1e-3)

    finite = room("core.sampling.prediction")
    with pytest.raises(finite.NotFinite, match="step 20 "):
        exact.two_step_invert(broken, picture(), levels(20), exact.obelm_weight)
    with pytest.raises(finite.NotFinite, match="at step 2 "):
        friendly.edit_friendly_sample(broken, picture(), FLOW, lambda i: 0.0, True)
    with pytest.raises(finite.NotFinite, match="at step 2 "):
        room("core.sampling.flowedit").flow_edit(broken, broken, picture(), lambda sigma, draw: picture(), FLOW)
