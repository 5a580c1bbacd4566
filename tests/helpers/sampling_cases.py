"""Networks, pictures and noise levels for tests of the algorithms in core.sampling."""

import math

import torch

BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2

ABAR = torch.cumprod(1 - BETAS, 0)

FLOW = torch.linspace(1, 0, 13, dtype=torch.float64)


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
