"""EditMetrics: the node's numbers are those of core.metrics, LPIPS is torchmetrics' own, and what is missing is left out with a word."""
import json
import math
import pathlib

import folder_paths
import pytest
import torch

NAMES = ["psnr_outside", "ssim_outside", "mse_outside", "lpips_outside", "psnr_inside", "ssim_inside", "mse_inside", "lpips_inside", "clip_whole", "clip_inside",
         "mask_iou", "report"]


def pair(count=1, height=48, width=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    source = torch.nn.functional.interpolate(torch.rand((count, 3, 6, 6), generator=generator), (height, width), mode="bilinear").movedim(1, -1)
    return source, (source + 0.1 * torch.randn(source.shape, generator=generator)).clamp(0, 1)


def mask(count=1, height=48, width=40):
    made = torch.zeros(count, height, width)
    made[:, 10:30, 8:28] = 1
    return made


def named(outputs):
    return dict(zip(NAMES, outputs.args))


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A SqueezeNet with random weights, where the node looks for the real one."""
    from torchvision.models import squeezenet1_1
    (tmp_path / "checkpoints").mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    folder_paths.add_model_folder_path("lpips", str(tmp_path), is_default=True)
    yield tmp_path
    folder_paths.folder_names_and_paths["lpips"][0].remove(str(tmp_path))


@pytest.mark.parametrize("convention", ["region", "PIE-Bench"])
def test_numbers_are_the_means_of_the_batch(run, room, convention):
    (source, edited), masks = pair(3), mask(3)
    masks[1, 20:40] = 1
    given = run("EditMetrics", source=source, edited=edited, mask=masks, convention=convention)
    found, report = named(given), json.loads(given.args[-1])
    expected = room("core.metrics").distances(source, edited, masks, convention)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value.mean().item(), rel=1e-6)
        assert report[convention][name]["each"] == pytest.approx(value.tolist())
    assert set(report) >= {"region", "PIE-Bench", "left_out", "convention"} and report["convention"] == convention
    assert given.ui["report"][0]["text"].startswith("outside ") and json.dumps(given.ui)


def test_what_is_missing_is_left_out_with_a_word(run, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    source, edited = pair()
    given = run("EditMetrics", source=source, edited=edited, mask=torch.zeros(1, 8, 8))
    found, left_out = named(given), json.loads(given.args[-1])["left_out"]
    assert all(math.isnan(found[name]) for name in ("lpips_outside", "lpips_inside", "clip_whole", "clip_inside", "mask_iou", "psnr_inside", "ssim_inside"))
    assert math.isfinite(found["psnr_outside"])
    assert "squeezenet1_1-b8a52dc0.pth: put that file into models/lpips/checkpoints" in left_out["lpips"] and "nothing is downloaded" in left_out["lpips"]
    assert "clip_rank_model" in left_out["clip"] and "other_mask" in left_out["mask_iou"] and "empty" in left_out["inside"]
    assert "Left out: " in given.ui["report"][0]["text"]


def test_without_the_package_lpips_is_left_out(run, monkeypatch, weights):
    import sys
    monkeypatch.setitem(sys.modules, "torchmetrics.image.lpip", None)
    source, edited = pair()
    given = run("EditMetrics", source=source, edited=edited, mask=mask())
    assert math.isnan(named(given)["lpips_outside"]) and "pip install torchmetrics" in json.loads(given.args[-1])["left_out"]["lpips"]


def test_lpips_is_torchmetrics_own_on_masked_pictures(run, weights):
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity
    source, edited = pair(2)
    before = torch.hub.get_dir()
    given = run("EditMetrics", source=source, edited=edited, mask=mask(), convention="PIE-Bench")
    assert torch.hub.get_dir() == before
    inside = mask()
    inside[:, [0, -1]], inside[:, :, [0, -1]] = 1, 1
    torch.hub.set_dir(str(weights))
    try:
        for side, region in (("inside", inside), ("outside", 1 - inside)):
            theirs = [learned_perceptual_image_patch_similarity(*((one[item:item + 1] * region.unsqueeze(-1)).movedim(-1, 1) for one in (source, edited)), "squeeze", normalize=True)
                      for item in range(2)]
            ours = json.loads(given.args[-1])["PIE-Bench"][f"lpips_{side}"]["each"]
            assert ours == pytest.approx([value.item() for value in theirs], rel=1e-5) and min(ours) > 0
    finally:
        torch.hub.set_dir(before)


def test_lpips_can_be_switched_off_and_needs_some_pixels(run, weights):
    for source, edited, masks, net, word in ((*pair(), mask(), "none", "switched off"), (*pair(1, 24, 24), mask(1, 24, 24), "squeeze", "32 pixels")):
        given = run("EditMetrics", source=source, edited=edited, mask=masks, lpips=net)
        assert word in json.loads(given.args[-1])["left_out"]["lpips"] and math.isfinite(named(given)["ssim_outside"])


def test_the_second_mask_gives_the_overlap(run):
    source, edited = pair()
    other = mask()
    other[:, 10:20] = 0  # half of it
    assert named(run("EditMetrics", source=source, edited=edited, mask=mask(), other_mask=other))["mask_iou"] == pytest.approx(0.5)


def test_batches_broadcast_and_masks_have_any_size(run):
    source, edited = pair(3)
    one = named(run("EditMetrics", source=source[:1], edited=edited, mask=mask()))
    each = named(run("EditMetrics", source=source[:1].expand(3, -1, -1, -1), edited=edited, mask=mask(3)))
    large = named(run("EditMetrics", source=source[:1], edited=edited, mask=torch.nn.functional.interpolate(mask().unsqueeze(1), scale_factor=2)[0]))
    assert all(one[name] == pytest.approx(each[name], nan_ok=True) and one[name] == pytest.approx(large[name], nan_ok=True) for name in NAMES[:-1])


@pytest.mark.parametrize("changes, words", [
    ({"source": torch.zeros(2, 48, 40, 3)}, "2 of source for 3 of edited"),
    ({"mask": torch.ones(2, 4, 4)}, "2 of mask for 3 of source"),
    ({"source": torch.zeros(1, 48, 48, 3)}, "a source of 48 x 48 pixels and an edit of 40 x 48"),
    ({"mask": torch.full((1, 4, 4), torch.nan)}, "mask holds NaN"),
    ({"edited": torch.zeros(3, 48, 40)}, "expected .batch, height, width, 3."),
])
def test_refusals_say_both_numbers(run, changes, words):
    source, edited = pair(3)
    with pytest.raises(ValueError, match="EditMetrics: .*" + words):
        run("EditMetrics", **{"source": source, "edited": edited, "mask": mask(), **changes})


def test_folders_and_node_agree(tmp_path, run, room):
    """benchmarks/metrics.py on files gives the node's numbers on the same pictures."""
    import sys
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "benchmarks"))
    import metrics as folders
    source, edited = pair(2)
    source, edited, masks = (255 * source).round() / 255, (255 * edited).round() / 255, mask(2)
    folders.write_pictures(tmp_path / "source", {"cat": source[0], "dog": source[1]})
    folders.write_pictures(tmp_path / "edited", {"cat_0": edited[0], "cat_1": edited[1], "dog": edited[1]})
    folders.write_pictures(tmp_path / "masks", {"cat": masks[0].unsqueeze(-1).expand(-1, -1, 3), "dog": masks[1].unsqueeze(-1).expand(-1, -1, 3)})
    found = folders.measure_folders(room, tmp_path / "source", tmp_path / "edited", tmp_path / "masks", lpips="none")
    assert [row["edited"] for row in found["rows"]] == ["cat_0", "cat_1", "dog"] and [row["source"] for row in found["rows"]] == ["cat", "cat", "dog"]
    for row, (before, after) in zip(found["rows"], ((0, 0), (0, 1), (1, 1))):
        node = json.loads(run("EditMetrics", source=source[before:before + 1], edited=edited[after:after + 1], mask=masks[:1]).args[-1])
        for convention in ("region", "PIE-Bench"):
            for name in ("psnr_outside", "ssim_inside", "mse_outside"):
                assert row[convention][name] == pytest.approx(node[convention][name]["mean"], rel=1e-6)
    means = found["means"]["region"]["psnr_outside"]
    assert means == pytest.approx(sum(row["region"]["psnr_outside"] for row in found["rows"]) / 3)
