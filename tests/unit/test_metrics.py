"""The metrics in closed form, and against torchmetrics."""

import math

import pytest
import torch
import torchmetrics.functional as library
import torchmetrics.functional.image as library_image


@pytest.fixture(scope="module")
def metrics(pack_module):
    return pack_module("core.pictures.metrics")


def pair(count=2, height=40, width=52, noise=0.1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    base = (
        torch.nn.functional.interpolate(
            torch.rand((count, 3, 6, 6), generator=generator), (height, width), mode="bicubic"
        )
        .clamp(0, 1)
        .movedim(1, -1)
    )
    return base, (base + noise * torch.randn(base.shape, generator=generator)).clamp(0, 1)


def some_mask(count=2, height=40, width=52):
    mask = torch.zeros(count, height, width)
    mask[:, 8:26, 12:40] = 1
    mask[1:, 4:9, 2:50] = 1
    return mask


def full(count=2, height=40, width=52):
    return torch.ones(count, height, width)


def as_theirs(a, b, region=None):
    return tuple((one * region.unsqueeze(-1) if region is not None else one).movedim(-1, 1) for one in (a, b))


# ---- closed form ----


def test_mse_and_psnr_of_a_known_difference(metrics):
    a, region = torch.full((1, 20, 20, 3), 0.5), torch.zeros(1, 20, 20)
    region[:, :5] = 1  # a quarter of the frame
    b = a + 0.1 * region.unsqueeze(-1)
    assert metrics.mse(a, b, region).item() == pytest.approx(0.01, rel=1e-5)
    assert metrics.psnr(a, b, region).item() == pytest.approx(20.0, abs=1e-4)
    assert metrics.mse(a, b, region, "PIE-Bench").item() == pytest.approx(0.0025, rel=1e-5)
    assert metrics.psnr(a, b, region, "PIE-Bench").item() == pytest.approx(20 + 10 * math.log10(4), abs=1e-4)
    assert metrics.mse(a, b, 1 - region).item() == 0
    assert metrics.psnr(a, b, 1 - region).item() == metrics.CEILING


def test_ssim_of_constants_is_its_light_term(metrics):
    a, b = torch.full((1, 24, 24, 3), 0.6), torch.full((1, 24, 24, 3), 0.4)
    expected = (2 * 0.6 * 0.4 + 1e-4) / (0.6**2 + 0.4**2 + 1e-4)
    for convention in metrics.CONVENTIONS:
        assert metrics.ssim(a, b, torch.ones(1, 24, 24), convention).item() == pytest.approx(expected, abs=1e-6)
        assert metrics.ssim(a, a, torch.ones(1, 24, 24), convention).item() == pytest.approx(1.0, abs=1e-9)


def test_region_counts_nothing_from_outside_and_pie_bench_dilutes(metrics):
    a, b = pair()
    region = some_mask()
    elsewhere = torch.where(
        region.unsqueeze(-1) > 0, b, torch.rand(b.shape, generator=torch.Generator().manual_seed(3))
    )
    for measure in (metrics.mse, metrics.psnr, metrics.ssim):
        for convention in metrics.CONVENTIONS:
            assert torch.equal(measure(a, b, region, convention), measure(a, elsewhere, region, convention))
    assert (metrics.mse(a, b, region, "PIE-Bench") < metrics.mse(a, b, region)).all()
    share = region.flatten(1).mean(1)
    assert torch.allclose(metrics.mse(a, b, region, "PIE-Bench"), share * metrics.mse(a, b, region), rtol=1e-5)


def test_region_does_not_depend_on_the_frame_around(metrics):
    """The same strip alone and within a larger picture: equal over its own pixels, different over
    the full frame.
    """
    a, b = pair(1, 30, 30)
    wide = [torch.nn.functional.pad(one, (0, 0, 20, 10, 5, 15), value=0.3) for one in (a, b)]
    region = torch.nn.functional.pad(torch.ones(1, 30, 30), (20, 10, 5, 15))
    for measure in (metrics.mse, metrics.psnr, metrics.ssim):
        assert measure(*wide, region).item() == pytest.approx(measure(a, b, full(1, 30, 30)).item(), rel=1e-5)
        assert measure(*wide, region, "PIE-Bench").item() != pytest.approx(
            measure(a, b, full(1, 30, 30), "PIE-Bench").item(), rel=1e-3
        )


def test_pictures_of_a_batch_are_measured_each_by_itself(metrics):
    a, b = pair()
    for convention in metrics.CONVENTIONS:
        whole = metrics.distances(a, b, some_mask(), convention)
        assert set(whole) == {f"{name}_{side}" for name in ("psnr", "ssim", "mse") for side in ("inside", "outside")}
        for item in range(2):
            alone = metrics.distances(a[item : item + 1], b[item : item + 1], some_mask()[item : item + 1], convention)
            assert all(torch.allclose(alone[name][0], whole[name][item], rtol=1e-6) for name in whole)


def test_nothing_to_measure_is_nan(metrics):
    a, b = pair()
    result = metrics.distances(a, b, torch.zeros_like(some_mask()))
    assert all(
        result[f"{name}_inside"].isnan().all() and result[f"{name}_outside"].isfinite().all()
        for name in ("psnr", "ssim", "mse")
    )
    assert metrics.ssim(a[:, :5, :8], b[:, :5, :8], full(2, 5, 8)).isnan().all()


def test_pie_bench_counts_the_border_as_edited(metrics):
    inside = metrics.regions_of(some_mask(), "PIE-Bench")["inside"]
    assert inside[:, 0].all()
    assert inside[:, -1].all()
    assert inside[:, :, 0].all()
    assert inside[:, :, -1].all()
    assert torch.equal(inside[:, 1:-1, 1:-1], some_mask()[:, 1:-1, 1:-1])
    assert torch.equal(metrics.regions_of(some_mask(), "region")["outside"], 1 - some_mask())
    with pytest.raises(ValueError, match="'mean'"):
        metrics.regions_of(some_mask(), "mean")


def test_mask_iou(metrics):
    a, b = torch.zeros(4, 4, 4), torch.zeros(4, 4, 4)
    a[0, :2], b[0, 1:3] = 1, 1  # 4 of 12
    a[1], b[1] = 1, 1
    a[2, 0] = 1  # nothing in common; 3: both empty
    assert metrics.mask_iou(a, b).tolist() == pytest.approx([1 / 3, 1.0, 0.0, 1.0])


def test_among_best_and_diversity(metrics):
    logits = torch.tensor([[5.0, 4, 3, 2, 1, 0], [0.0, 1, 2, 3, 4, 5]])
    assert metrics.among_best(logits, torch.tensor([4, 0])).tolist() == [True, False]
    assert metrics.among_best(logits, torch.tensor([1, 4]), best=1).tolist() == [False, False]
    points = torch.tensor([[0.0], [1.0], [3.0]])
    assert metrics.diversity(points, lambda a, b: (a - b).abs()[:, 0]) == pytest.approx(2.0)  # 1, 3 and 2
    assert math.isnan(metrics.diversity(points[:1], lambda a, b: a))


def test_clip_score_is_a_hundred_cosines_and_never_negative(metrics):
    a, b = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.6, 0.8], [-1.0, 0.0]])
    assert metrics.clip_score(a, b).tolist() == pytest.approx([60.0, 0.0])


# ---- against torchmetrics ----


@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_pie_bench_is_torchmetrics_on_masked_pictures(metrics, noise):
    """Ju et al.'s evaluation multiplies by the mask and calls torchmetrics; the results are the
    same.
    """
    a, b = pair(noise=noise)
    region = some_mask()
    for item in range(2):
        theirs = as_theirs(a[item : item + 1], b[item : item + 1], region[item : item + 1])
        ours = [
            measure(a, b, region, "PIE-Bench")[item].item() for measure in (metrics.mse, metrics.psnr, metrics.ssim)
        ]
        assert ours[0] == pytest.approx(library.mean_squared_error(*(one.flatten() for one in theirs)).item(), rel=1e-5)
        assert ours[1] == pytest.approx(library_image.peak_signal_noise_ratio(*theirs, data_range=1.0).item(), abs=1e-3)
        assert ours[2] == pytest.approx(
            library_image.structural_similarity_index_measure(*theirs, data_range=1.0).item(), abs=2e-5
        )


def test_ssim_of_a_region_is_torchmetrics_away_from_its_border(metrics):
    """Where every window is inside the region, weighted windows equal plain ones: a change there
    alone changes both means by the same sum.
    """
    a, b = pair(1)
    changed = b.clone()
    changed[:, 18:21, 24:28] = a[:, 18:21, 24:28]
    region = torch.zeros(1, 40, 52)
    region[:, 5:34, 8:44] = 1
    ours = [metrics.ssim(a, other, region).item() * float(region.sum()) for other in (b, changed)]
    theirs = [
        library_image.structural_similarity_index_measure(*as_theirs(a.double(), other.double()), data_range=1.0).item()
        * 40
        * 52
        for other in (b, changed)
    ]
    assert theirs[1] - theirs[0] > 2
    assert ours[1] - ours[0] == pytest.approx(theirs[1] - theirs[0], rel=1e-3)
