"""O-BELM and BDIA against their published forms, and their exactness."""

import pytest
import torch
from latent_cases import relative
from sampling_cases import FLOW, levels, network, picture


@pytest.fixture(scope="module")
def exact(pack_module):
    return pack_module("core.sampling.two_step")


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


def test_second_order_where_ddim_is_first(exact, pack_module):
    """On an ODE with a known solution, halving the step size divides O-BELM's error by about four."""
    spread, errors = 0.5, {}
    x0 = picture()

    def e(x, sigma):
        return x * sigma / (spread**2 + sigma**2)

    for steps in (100, 200):
        sigmas = torch.linspace(5, 0, steps + 1, dtype=torch.float64)
        wanted = x0 * (1 + (sigmas[0] / spread) ** 2) ** 0.5
        start = wanted, x0 * (1 + (sigmas[1] / spread) ** 2) ** 0.5
        errors[steps] = relative(exact.two_step_sample(e, *start, sigmas, exact.obelm_weight), x0)
        errors[-steps] = relative(pack_module("core.sampling.ddim").ddim_sample(e, wanted, sigmas), x0)
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
