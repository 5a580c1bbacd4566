"""EditMetrics: the node's numbers are those of core.metrics, LPIPS is that of torchmetrics, and
unavailable metrics are left out with a reason.
"""

import hashlib
import json
import math
import pathlib
import sys

import pytest
import safetensors.torch
import torch
from metric_cases import NAMES, mask, named, pair


@pytest.mark.parametrize("convention", ["region", "PIE-Bench"])
def test_numbers_are_the_means_of_the_batch(run, pack_module, convention):
    (source, edited), masks = pair(3), mask(3)
    masks[1, 20:40] = 1
    given = run("EditMetrics", source=source, edited=edited, mask=masks, convention=convention)
    found, report = named(given), json.loads(given.args[-1])
    expected = pack_module("core.pictures.metrics").distances(source, edited, masks, convention)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value.mean().item(), rel=1e-6)
        assert report[convention][name]["each"] == pytest.approx(value.tolist())
    assert set(report) >= {"region", "PIE-Bench", "left_out", "convention"}
    assert report["convention"] == convention
    assert given.ui["report"][0]["text"].startswith("outside ")
    assert json.dumps(given.ui)


def test_what_is_missing_is_left_out_with_a_word(run, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    source, edited = pair()
    given = run("EditMetrics", source=source, edited=edited, mask=torch.zeros(1, 8, 8))
    found, left_out = named(given), json.loads(given.args[-1])["left_out"]
    assert all(
        math.isnan(found[name])
        for name in (
            "lpips_outside",
            "lpips_inside",
            "clip_whole",
            "clip_inside",
            "mask_iou",
            "psnr_inside",
            "ssim_inside",
        )
    )
    assert math.isfinite(found["psnr_outside"])
    assert "squeezenet1_1-b8a52dc0.pth: copy this file into models/lpips/checkpoints" in left_out["lpips"]
    assert "nothing is downloaded" in left_out["lpips"]
    assert "clip_rank_model" in left_out["clip"]
    assert "other_mask" in left_out["mask_iou"]
    assert "empty" in left_out["inside"]
    assert "left out: " in given.ui["report"][0]["text"]


def test_without_the_package_lpips_is_left_out(run, monkeypatch, weights):
    monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", None)
    source, edited = pair()
    given = run("EditMetrics", source=source, edited=edited, mask=mask())
    assert math.isnan(named(given)["lpips_outside"])
    assert "pip install torchmetrics" in json.loads(given.args[-1])["left_out"]["lpips"]


def test_lpips_is_torchmetrics_own_on_masked_pictures(run, weights):
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

    source, edited = pair(2)
    before = torch.hub.get_dir()
    given = run("EditMetrics", source=source, edited=edited, mask=mask(), convention="PIE-Bench")
    assert torch.hub.get_dir() == before
    inside = mask()
    inside[:, [0, -1]], inside[:, :, [0, -1]] = 1, 1
    torch.save(
        safetensors.torch.load_file(weights / "checkpoints" / "squeezenet1_1-b8a52dc0.safetensors"),
        weights / "checkpoints" / "squeezenet1_1-b8a52dc0.pth",
    )
    torch.hub.set_dir(str(weights))
    try:
        for side, region in (("inside", inside), ("outside", 1 - inside)):
            theirs = [
                learned_perceptual_image_patch_similarity(
                    *((one[item : item + 1] * region.unsqueeze(-1)).movedim(-1, 1) for one in (source, edited)),
                    "squeeze",
                    normalize=True,
                )
                for item in range(2)
            ]
            ours = json.loads(given.args[-1])["PIE-Bench"][f"lpips_{side}"]["each"]
            assert ours == pytest.approx([value.item() for value in theirs], rel=1e-5)
            assert min(ours) > 0
    finally:
        torch.hub.set_dir(before)


def test_lpips_can_be_switched_off_and_needs_some_pixels(run, weights):
    for source, edited, masks, net, word in (
        (*pair(), mask(), "none", "switched off"),
        (*pair(1, 24, 24), mask(1, 24, 24), "squeeze", "32 pixels"),
    ):
        given = run("EditMetrics", source=source, edited=edited, mask=masks, lpips=net)
        assert word in json.loads(given.args[-1])["left_out"]["lpips"]
        assert math.isfinite(named(given)["ssim_outside"])


def test_the_second_mask_gives_the_overlap(run):
    source, edited = pair()
    other = mask()
    other[:, 10:20] = 0  # half of it
    assert named(run("EditMetrics", source=source, edited=edited, mask=mask(), other_mask=other))[
        "mask_iou"
    ] == pytest.approx(0.5)


def test_batches_broadcast_and_masks_have_any_size(run):
    source, edited = pair(3)
    one = named(run("EditMetrics", source=source[:1], edited=edited, mask=mask()))
    each = named(run("EditMetrics", source=source[:1].expand(3, -1, -1, -1), edited=edited, mask=mask(3)))
    large = named(
        run(
            "EditMetrics",
            source=source[:1],
            edited=edited,
            mask=torch.nn.functional.interpolate(mask().unsqueeze(1), scale_factor=2)[0],
        )
    )
    assert all(
        one[name] == pytest.approx(each[name], nan_ok=True) and one[name] == pytest.approx(large[name], nan_ok=True)
        for name in NAMES[:-1]
    )


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"source": torch.zeros(2, 48, 40, 3)}, "got 2 items of source for 3 items of edited"),
        ({"mask": torch.ones(2, 4, 4)}, "got 2 masks for 3 images; give 1 or 3"),
        ({"source": torch.zeros(1, 48, 48, 3)}, "a source of 48 x 48 pixels and an edit of 40 x 48"),
        ({"mask": torch.full((1, 4, 4), torch.nan)}, "mask contains NaN"),
        ({"edited": torch.zeros(3, 48, 40)}, "expected .batch, height, width, 3."),
    ],
)
def test_refusals_say_both_numbers(run, changes, words):
    source, edited = pair(3)
    with pytest.raises(ValueError, match="EditMetrics: .*" + words):
        run("EditMetrics", **{"source": source, "edited": edited, "mask": mask(), **changes})


class Runs:
    """A call in a malicious pickle."""

    def __reduce__(self):
        return (pathlib.Path.touch, (pathlib.Path("it-ran"),))


@pytest.mark.parametrize("promised", ["b8a52dc0", "its own"])
def test_a_prepared_lpips_file_runs_nothing(run, pack_module, weights, monkeypatch, promised):
    """Neither a file whose name contradicts its digest nor one whose digest matches; LPIPS is left
    out with the reason.
    """
    monkeypatch.chdir(weights)
    lpips, folder = pack_module("host.lpips"), weights / "checkpoints"
    (folder / "squeezenet1_1-b8a52dc0.safetensors").unlink()
    torch.save({"features.0.weight": Runs()}, folder / "prepared")
    digest = promised if promised == "b8a52dc0" else hashlib.sha256((folder / "prepared").read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(lpips.FILES, "squeeze", f"squeezenet1_1-{digest}.pth")
    (folder / "prepared").rename(folder / lpips.FILES["squeeze"])
    source, edited = pair()
    given = run("EditMetrics", source=source, edited=edited, mask=mask())
    words = json.loads(given.args[-1])["left_out"]["lpips"]
    assert ("expected the one that its name states" if promised == "b8a52dc0" else "only tensors") in words
    assert not pathlib.Path("it-ran").exists()
    assert math.isfinite(named(given)["psnr_outside"])


def test_weights_of_another_network_are_named(run, weights):
    safetensors.torch.save_file(
        {"features.0.weight": torch.zeros(1)}, weights / "checkpoints" / "squeezenet1_1-b8a52dc0.safetensors"
    )
    source, edited = pair()
    left_out = json.loads(run("EditMetrics", source=source, edited=edited, mask=mask()).args[-1])["left_out"]["lpips"]
    assert "does not contain the weights of squeeze" in left_out
