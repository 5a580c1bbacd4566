"""DDIM and its inversion against an ODE with an analytic solution, and against the papers' VP form."""

import pytest
import torch

MEAN, SPREAD = 0.7, 0.5
BETA = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
ABAR = torch.cumprod(1 - BETA, 0)
SIGMA = ((1 - ABAR) / ABAR).sqrt()


@pytest.fixture(scope="module")
def ddim(pack_module):
    return pack_module("core.sampling.ddim")


def gaussian_eps(x, sigma):
    """The exact prediction for data ~ N(MEAN, SPREAD^2) under x = x0 + sigma * n."""
    return sigma * (x - MEAN) / (SPREAD**2 + sigma**2)


def gaussian_solution(x, sigma_from, sigma_to):
    return MEAN + (x - MEAN) * ((SPREAD**2 + sigma_to**2) / (SPREAD**2 + sigma_from**2)) ** 0.5


def flow_velocity(x, sigma):
    """The exact velocity for the same data under x = (1 - sigma) * x0 + sigma * n."""
    variance = (1 - sigma) ** 2 * SPREAD**2 + sigma**2
    return (sigma - (1 - sigma) * SPREAD**2) / variance * (x - (1 - sigma) * MEAN) - MEAN


def flow_solution(x, sigma_from, sigma_to):
    def spread(sigma):
        return ((1 - sigma) ** 2 * SPREAD**2 + sigma**2) ** 0.5

    return (1 - sigma_to) * MEAN + (x - (1 - sigma_from) * MEAN) * spread(sigma_to) / spread(sigma_from)


def levels(steps, top=10.0, bottom=0.0):
    return torch.linspace(top**0.5, bottom, steps + 1, dtype=torch.float64) ** 2


def start(seed=0, shape=(2, 4, 5, 6)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    "predict, solution, top",
    [(gaussian_eps, gaussian_solution, 10.0), (flow_velocity, flow_solution, 1.0)],
    ids=["eps", "flow"],
)
def test_sampling_and_inverting_converge_to_the_ode_in_first_order(ddim, predict, solution, top):
    x = start()
    down, up = [], []
    for steps in (100, 200, 400):
        sigmas = levels(steps, top)
        down.append(
            (ddim.ddim_sample(predict, x * sigmas[0], sigmas) - solution(x * sigmas[0], sigmas[0], 0.0))
            .abs()
            .max()
            .item()
        )
        up.append((ddim.ddim_invert(predict, x, sigmas)[0] - solution(x, 0.0, sigmas[0])).abs().max().item())
    for errors in (down, up):
        assert errors[0] / errors[1] == pytest.approx(2, rel=0.15)
        assert errors[1] / errors[2] == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("predict, top", [(gaussian_eps, 10.0), (flow_velocity, 1.0)], ids=["eps", "flow"])
def test_round_trip_error_falls_with_steps_and_with_refinements(ddim, predict, top):
    x = start()

    def error(steps, refinements):
        sigmas = levels(steps, top)
        return max(
            ddim.relative_error(
                ddim.ddim_sample(predict, ddim.ddim_invert(predict, x, sigmas, refinements=refinements)[0], sigmas), x
            )
        )

    assert error(80, 0) < 0.6 * error(40, 0) < 0.36 * error(20, 0)
    assert error(40, 1) < 0.5 * error(40, 0)
    assert error(40, 3) < 0.2 * error(40, 1)
    assert error(40, 60) < 1e-9


def test_trajectory_is_aligned_with_the_levels(ddim):
    x, sigmas = start(), levels(300)
    trajectory = ddim.ddim_invert(gaussian_eps, x, sigmas, refinements=3)
    assert len(trajectory) == len(sigmas)
    assert torch.equal(trajectory[-1], x)
    for state, sigma in zip(trajectory[::50], sigmas[::50]):
        assert torch.allclose(state, gaussian_solution(x, 0.0, sigma), rtol=0.05, atol=0.01)


def network(x_vp, t):
    """A function of a VP state and a timestep that depends on both, like a U-Net."""
    return torch.tanh(x_vp * (1 + t / 700)) + 0.2 * x_vp.roll(1, -1)


def timestep_of(sigma):
    return int((SIGMA - sigma).abs().argmin())


def ve_predict(x, sigma):
    return network(x / (1 + sigma**2) ** 0.5, timestep_of(sigma))


def test_equals_the_published_vp_loops(ddim):
    """Sampling: the DDIM update. Inversion: the published convention, the lower level's state at
    the upper timestep.
    """
    timesteps = list(range(981, 0, -20))
    sigmas = torch.cat([SIGMA[timesteps], torch.zeros(1, dtype=torch.float64)])
    abar = torch.cat([ABAR[timesteps], torch.ones(1, dtype=torch.float64)])

    def move(x, eps, high, low):
        clean = (x - (1 - abar[high]).sqrt() * eps) / abar[high].sqrt()
        return abar[low].sqrt() * clean + (1 - abar[low]).sqrt() * eps

    x = wanted = start(1)
    for i in range(50):
        wanted = move(wanted, network(wanted, timesteps[i]), i, i + 1)
    result = ddim.ddim_sample(ve_predict, x / abar[0].sqrt(), sigmas)
    assert torch.allclose(result, wanted, atol=1e-9)

    states = [x]
    for i in reversed(range(50)):
        eps = network(states[-1], timesteps[i])
        clean = (states[-1] - (1 - abar[i + 1]).sqrt() * eps) / abar[i + 1].sqrt()
        states.append(abar[i].sqrt() * clean + (1 - abar[i]).sqrt() * eps)

    def rescale(low, high):
        return float(((1 + high**2) / (1 + low**2)) ** 0.5)

    trajectory = ddim.ddim_invert(ve_predict, x, sigmas, rescale)
    for state, wanted, level in zip(trajectory, reversed(states), abar):
        assert torch.allclose(state * level.sqrt(), wanted, atol=1e-5)


def test_the_lower_levels_scale_is_the_better_guess(ddim):
    sigmas = torch.cat([SIGMA[list(range(981, 0, -20))], torch.zeros(1, dtype=torch.float64)])
    x = start(2)

    def predict(x, sigma):  # the exact prediction by a network of the VP state and the timestep
        scale = (1 + sigma**2) ** 0.5
        return gaussian_eps((x / scale) * scale, sigma)

    def error(rescale):
        return max(
            ddim.relative_error(ddim.ddim_sample(predict, ddim.ddim_invert(predict, x, sigmas, rescale)[0], sigmas), x)
        )

    assert error(lambda low, high: float(((1 + high**2) / (1 + low**2)) ** 0.5)) < 0.7 * error(None)


def test_state_at_is_exact_at_levels_and_linear_between(ddim):
    sigmas, states = torch.tensor([4.0, 2.0, 1.0, 0.0]), torch.tensor([40.0, 20.0, 12.0, 5.0]).view(4, 1, 1, 1, 1)
    for sigma, wanted in [(4.0, 40), (2.0, 20), (1.0, 12), (0.0, 5), (3.0, 30), (0.5, 8.5), (9.0, 40), (-1.0, 5)]:
        assert float(ddim.state_at(sigma, sigmas, states)) == pytest.approx(wanted)
    for sigma, state in zip(sigmas, states):
        assert torch.equal(ddim.state_at(float(sigma), sigmas, states), state)


def test_callbacks_count_the_steps(ddim):
    seen = []
    ddim.ddim_sample(gaussian_eps, start(), levels(7), lambda state: seen.append(state["i"]))
    ddim.ddim_invert(gaussian_eps, start(), levels(7), callback=lambda state: seen.append(state["i"]))
    assert seen == [*range(7), *range(7)]
