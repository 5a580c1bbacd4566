"""Edit-friendly DDPM inversion against the posterior of DDPM, and its exactness; NaN in a network's
output is reported with its step by every inversion.
"""

import pytest
import torch
from latent_cases import relative
from sampling_cases import ABAR, FLOW, levels, network, picture


@pytest.fixture(scope="module")
def friendly(pack_module):
    return pack_module("core.sampling.edit_friendly")


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
    result = friendly.ddpm_mean(x / at.sqrt(), eps, high.item(), low.item(), False, eta) * as_.sqrt()
    assert relative(result, wanted) < 1e-12


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


def test_broken_networks_are_named_by_step(friendly, pack_module):
    exact = pack_module("core.sampling.two_step")

    def broken(x, sigma):
        return x * (float("nan") if sigma < 1 else 1e-3)

    finite = pack_module("core.sampling.prediction")
    with pytest.raises(finite.NotFinite, match="step 20 "):
        exact.two_step_invert(broken, picture(), levels(20), exact.obelm_weight)
    with pytest.raises(finite.NotFinite, match="at step 2 "):
        friendly.edit_friendly_sample(broken, picture(), FLOW, lambda i: 0.0, True)
    with pytest.raises(finite.NotFinite, match="at step 2 "):
        pack_module("core.sampling.flowedit").flow_edit(broken, broken, picture(), lambda sigma, draw: picture(), FLOW)
