"""EditMetrics' numbers over folders of pictures (benchmarks.metrics), and batches of
predictions.
"""

import json
import math

import pytest
import safetensors.torch
import torch
from metric_cases import mask, pair

from lab import common


@pytest.fixture(scope="module")
def folders():
    from benchmarks import metrics

    return metrics


@pytest.fixture
def three(tmp_path, folders):
    """A cat with two edits and a dog with one, as files; the pictures are rounded to 8 bits."""
    source, edited = ((255 * batch).round() / 255 for batch in pair(2))
    folders.write_pictures(tmp_path / "source", {"cat": source[0], "dog": source[1]})
    folders.write_pictures(tmp_path / "edited", {"cat_0": edited[0], "cat_1": edited[1]})
    folders.write_pictures(tmp_path / "edited" / "dog", {"a": edited[1]})
    folders.write_pictures(tmp_path / "masks", {"mask": mask()[0].unsqueeze(-1).expand(-1, -1, 3)})
    return (tmp_path / "source", tmp_path / "edited", tmp_path / "masks"), source, edited


def test_folders_and_node_agree(three, folders, run, pack_module):
    """benchmarks/metrics.py on files gives the node's numbers on the same pictures."""
    places, source, edited = three
    result = folders.measure_folders(pack_module, *places, lpips="none")
    assert [(row["source"], row["edited"]) for row in result["rows"]] == [
        ("cat", "cat_0"),
        ("cat", "cat_1"),
        ("dog", "dog/a"),
    ]
    for row, (before, after) in zip(result["rows"], ((0, 0), (0, 1), (1, 1))):
        node = json.loads(
            run("EditMetrics", source=source[before : before + 1], edited=edited[after : after + 1], mask=mask()).args[
                -1
            ]
        )
        for convention in ("region", "PIE-Bench"):
            for name in ("psnr_outside", "ssim_inside", "mse_outside"):
                assert row[convention][name] == pytest.approx(node[convention][name]["mean"], rel=1e-6)
    means = result["means"]["region"]["psnr_outside"]
    assert means == pytest.approx(sum(row["region"]["psnr_outside"] for row in result["rows"]) / 3)
    assert "3 edits of 2 sources" in folders.report(result)
    assert "| PIE-Bench " in folders.report(result)
    assert (
        json.loads(json.dumps(common.without_nan(result), allow_nan=False))["means"]["region"]["lpips_outside"] is None
    )


def test_batch_precision_and_diversity(three, folders, pack_module, weights, tmp_path):
    """A classifier of the user's, in a file: its inputs are the masked predictions, and only
    correct ones count for diversity.
    """
    places, _, edited = three
    (tmp_path / "mine.py").write_text(
        "import torch\n\n\ndef classify(pictures):\n    assert pictures[:, 0].abs().max() == 0\n"
        "    return torch.eye(8)[[int(picture.mean() * 1e6) % 8 for picture in pictures]]\n",
        encoding="utf-8",
    )
    classify = folders.load_classifier(f"{tmp_path / 'mine.py'}:classify")
    shown = edited * mask().unsqueeze(-1)
    first = int(classify(shown[:1]).argmax())

    def classify_best(pictures):  # the best five: 0 to 4 and the highest
        return 10 * classify(pictures) - torch.arange(8.0)

    result = folders.measure_folders(pack_module, *places, classify=classify_best, classes={"cat": first, "dog": 0})
    right = pack_module("core.pictures.metrics").among_best(classify_best(shown), torch.tensor([first, first]))
    assert result["batches"]["sources"]["cat"]["precision"] == right.float().mean()
    assert right[0]
    both = folders.measure_folders(
        pack_module, *places, classify=lambda pictures: torch.eye(8)[[3] * len(pictures)], classes={"cat": 3, "dog": 3}
    )
    distance = pack_module("host.lpips").load_lpips("squeeze")
    assert both["batches"]["precision"] == 1
    assert both["batches"]["diversity"] == pytest.approx(float(distance(shown[:1], shown[1:])), rel=1e-5)
    assert math.isnan(both["batches"]["sources"]["dog"]["diversity"])
    assert both["batches"]["diversity"] > 0


def test_torchvisions_classifiers_need_their_weights_here(folders, weights):
    before, file = torch.hub.get_dir(), weights / "checkpoints" / "squeezenet1_1-b8a52dc0.safetensors"
    torch.save(safetensors.torch.load_file(file), file.with_suffix(".pth"))
    torch.hub.set_dir(str(weights))
    try:
        with torch.no_grad():
            assert folders.load_classifier("squeezenet1_1")(torch.rand(1, 48, 40, 3)).shape == (1, 1000)
        with pytest.raises(
            ValueError, match="weights of efficientnet_b0 are not there; put efficientnet_b0_.*pth into checkpoints"
        ):
            folders.load_classifier("efficientnet")
        with pytest.raises(ValueError, match="no model 'resnet'"):
            folders.load_classifier("resnet")
    finally:
        torch.hub.set_dir(before)


def test_files_that_belong_to_nothing_are_refused(three, folders, pack_module):
    places, _, edited = three
    folders.write_pictures(places[1], {"horse": edited[0]})
    with pytest.raises(ValueError, match="belong to no source .horse.png"):
        folders.measure_folders(pack_module, *places, lpips="none")
    (places[1] / "horse.png").unlink()
    (places[2] / "mask.png").unlink()
    with pytest.raises(ValueError, match="no mask for cat"):
        folders.measure_folders(pack_module, *places, lpips="none")
