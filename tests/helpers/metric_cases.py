"""Pictures, masks and outputs for the tests of EditMetrics."""

import torch

NAMES = [
    "psnr_outside",
    "ssim_outside",
    "mse_outside",
    "lpips_outside",
    "psnr_inside",
    "ssim_inside",
    "mse_inside",
    "lpips_inside",
    "clip_whole",
    "clip_inside",
    "mask_iou",
    "report",
]


def pair(count=1, height=48, width=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    source = torch.nn.functional.interpolate(
        torch.rand((count, 3, 6, 6), generator=generator), (height, width), mode="bilinear"
    ).movedim(1, -1)
    return source, (source + 0.1 * torch.randn(source.shape, generator=generator)).clamp(0, 1)


def mask(count=1, height=48, width=40):
    made = torch.zeros(count, height, width)
    made[:, 10:30, 8:28] = 1
    return made


def named(outputs):
    return dict(zip(NAMES, outputs.args))
