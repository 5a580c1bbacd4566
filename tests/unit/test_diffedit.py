"""DiffEdit's mask for known answers, and each of its rules."""

import pytest
import torch


@pytest.fixture(scope="module")
def diffedit(pack_module):
    return pack_module("core.masks.diffedit")


def known_world(region, strength=1.0, background=0.1):
    """Two predictions that differ by ``strength`` inside ``region`` and by noise of size
    ``background`` outside, for any noised latent.
    """

    def predict_both(x):
        generator = torch.Generator().manual_seed(0)
        source = torch.tanh(x)
        difference = strength * region + background * torch.rand(x.shape, generator=generator)
        return source, source + difference * torch.where(torch.rand(x.shape, generator=generator) < 0.5, -1.0, 1.0)

    return predict_both


def a_region(size=16):
    region = torch.zeros(size, size)
    region[4:9, 3:11] = 1
    return region


def contrast_of(diffedit, region, noises=10, chunk=4, items=1, **world):
    drawn = torch.randn(noises, items, 4, *region.shape, generator=torch.Generator().manual_seed(1))
    return diffedit.noise_contrast(known_world(region, **world), lambda noise: noise, drawn, chunk).size


@pytest.mark.parametrize(
    "method, threshold", [("clamp", 0.5), ("min-max", 0.5), ("quantile", 1 - 40 / 256), ("adaptive", 0.5)]
)
def test_finds_the_known_region(diffedit, method, threshold):
    region = a_region()
    mask, heat = diffedit.mask_from_contrast(contrast_of(diffedit, region), threshold, method)
    assert torch.equal(mask[0], region)
    assert 0 <= heat.min()
    assert heat.max() <= 1


def test_differences_of_either_sign_add_up(diffedit):
    """The absolute value is taken before averaging: noises with opposite signs must not cancel in
    the size, and do in the change.
    """

    def predict_both(x):
        sign = torch.where(torch.arange(len(x)) % 2 == 0, 1.0, -1.0).view(-1, 1, 1, 1)
        return torch.zeros_like(x), sign * torch.ones_like(x)

    contrast = diffedit.noise_contrast(predict_both, lambda noise: noise, torch.zeros(10, 1, 4, 3, 3), 10)
    assert torch.equal(contrast.size, torch.ones(1, 3, 3))
    assert torch.equal(contrast.change, torch.zeros(1, 4, 3, 3))


@pytest.mark.parametrize("chunk", [1, 3, 10, 99])
def test_chunks_do_not_matter(diffedit, chunk):
    drawn = torch.randn(10, 2, 4, 6, 6, generator=torch.Generator().manual_seed(3))

    def predict_both(x):
        return torch.tanh(x), torch.sin(2 * x)

    whole = diffedit.noise_contrast(predict_both, lambda noise: noise, drawn, 10)
    in_chunks = diffedit.noise_contrast(predict_both, lambda noise: noise, drawn, chunk)
    difference = torch.sin(2 * drawn) - torch.tanh(drawn)
    for part, other, by_hand in zip(whole, in_chunks, (difference.abs().mean((0, 2)), difference.mean(0)), strict=True):
        assert torch.allclose(part, by_hand, atol=1e-6)
        assert torch.allclose(other, by_hand, atol=1e-6)


def test_clamp_is_half_again_the_mean_and_never_more_than_two_thirds(diffedit):
    contrast = torch.rand(5, 12, 12, generator=torch.Generator().manual_seed(2)) ** 3
    mask, _ = diffedit.mask_from_contrast(contrast)
    assert torch.equal(mask.bool(), contrast > 1.5 * contrast.mean((1, 2), keepdim=True))
    wide = torch.zeros(1, 10, 10)
    wide[:, :7] = 1
    assert diffedit.mask_from_contrast(wide)[0].sum() == 0
    assert diffedit.mask_from_contrast(wide, method="min-max")[0].sum() == 70


@pytest.mark.parametrize("method", ["clamp", "min-max", "quantile"])
def test_no_contrast_gives_an_empty_mask(diffedit, method):
    mask, heat = diffedit.mask_from_contrast(torch.zeros(2, 8, 8), 0.5, method)
    assert mask.sum() == 0
    assert heat.sum() == 0
    assert torch.isfinite(heat).all()


@pytest.mark.parametrize("method", ["clamp", "min-max", "quantile"])
def test_statistics_are_per_item(diffedit, method):
    contrast = torch.stack([torch.rand(9, 9, generator=torch.Generator().manual_seed(k)) * 10**k for k in range(3)])
    together = diffedit.mask_from_contrast(contrast, 0.4, method, smoothing=0.7, grow=1)
    alone = [diffedit.mask_from_contrast(item[None], 0.4, method, smoothing=0.7, grow=1) for item in contrast]
    for part in (0, 1):
        assert torch.allclose(together[part], torch.cat([result[part] for result in alone]), atol=1e-6)


def test_video_contrast_keeps_its_frames(diffedit):
    contrast = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    mask, heat = diffedit.mask_from_contrast(contrast, smoothing=1.0, grow=1)
    assert mask.shape == heat.shape == contrast.shape


def test_unknown_normalisation_is_named(diffedit):
    with pytest.raises(ValueError, match="'mean'.*clamp, min-max, quantile"):
        diffedit.normalise(torch.rand(1, 4, 4), "mean")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
def test_adaptive_finds_changes_of_any_size_with_holes(diffedit, share):
    """Low values within the changed region, as where the new texture happens to equal the old one."""
    rows = max(2, round(32 * share))
    contrast = 0.05 * torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(5))
    contrast[:, :rows] += 1.0
    contrast[:, 0, 1::4] = 0.05
    contrast[:, 1, ::6] = 0.05
    mask, heat = diffedit.mask_from_contrast(contrast, method="adaptive")
    wanted = torch.zeros(1, 32, 32)
    wanted[:, :rows] = 1
    assert (mask != wanted).float().mean() < 0.01
    assert torch.equal(mask, (heat > 0.5).float())


@pytest.mark.parametrize("is_flow", [False, True])
def test_the_picture_as_source_is_the_added_noise(diffedit, is_flow):
    """A network that leaves the picture unchanged predicts no contrast; one that changes it by
    ``c`` predicts a contrast of ``c / sigma``, for both kinds of noising.
    """
    generator, sigma = torch.Generator().manual_seed(6), 0.7
    x0 = torch.randn(2, 4, 5, 5, generator=generator)
    noises = torch.randn(6, 2, 4, 5, 5, generator=generator)
    change = torch.rand(5, 5, generator=generator)
    for size in (0.0, 1.0):

        def predict(x, size=size):
            clean = x0.repeat(len(x) // 2, 1, 1, 1) + size * change
            return (x - clean) / sigma

        contrast = diffedit.noise_contrast(
            diffedit.picture_as_source(predict, x0, sigma),
            lambda noise: (1 - sigma) * x0 + sigma * noise if is_flow else x0 + sigma * noise,
            noises,
            4,
        )
        assert torch.allclose(contrast.size, (size * change / sigma).expand(2, -1, -1), atol=1e-6)
