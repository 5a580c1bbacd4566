"""AlignToSource: random trials of benchmarks/align.py, its reports, and its refusals."""

import functools
import json

import pytest
import torch

from benchmarks import align as trials

MATCHING, OTHERS = (0, 2, 3), (4, 9)
make = functools.cache(trials.make)


def inputs(trial) -> dict:
    return {"image": trial.source.movedim(0, -1)[None], "edited": trial.edited.movedim(0, -1)[None]}


@pytest.mark.parametrize("seed", MATCHING)
def test_a_random_edit_is_brought_back(run, pack_module, seed):
    """Translation, scale and colours in the report are within the limits of the benchmark."""
    trial = make(seed)
    result = pack_module("core.pictures.registration").register(trial.source, trial.edited)
    verdict, errors = trials.judge(trial, result)
    assert verdict.startswith("right"), errors
    aligned, changed, report = run("AlignToSource", **inputs(trial)).args
    entry = json.loads(report)["pictures"][0]
    assert (entry["right"], entry["down"]) == pytest.approx(result.offset(tuple(trial.source.shape[1:])), abs=1e-6)
    assert entry["delta_e_after"] < 0.5 < entry["delta_e_before"]
    assert aligned.shape[1:3] == changed.shape[1:] == trial.source.shape[1:]
    kept = changed[0] == 0
    apart = (aligned[0].movedim(-1, 0) - trial.source).abs().mean(0)
    assert apart[kept].mean() < 0.02
    assert changed.mean() == pytest.approx(trial.share, abs=0.1)


@pytest.mark.parametrize("seed", OTHERS)
def test_another_picture_is_refused_in_words(run, seed):
    with pytest.raises(ValueError, match="AlignToSource: the edited image matches the source in .* connect a mask"):
        run("AlignToSource", **inputs(make(seed, matching=False)))


def test_a_mirrored_floor_of_tiles_is_refused_in_words(run):
    """Trial 1004 of the benchmark, which was once aligned by its tiles."""
    with pytest.raises(
        ValueError, match="matches the source in .* but it matches a mirrored or rotated source as well"
    ):
        run("AlignToSource", **inputs(make(1004, matching=False)))


def test_colours_that_are_known_roughly_are_told(run):
    """Trial 1101: the position is right, the colours are wrong by 0.8 Delta E."""
    report = json.loads(run("AlignToSource", **inputs(make(1101))).args[2])
    assert "the colours are accurate to only" in report["warning"]
    assert report["pictures"][0]["colour_uncertainty"] > 0.5


def test_background_restore_then_makes_the_rest_exact(run):
    given = inputs(make(3))
    aligned, changed, _ = run("AlignToSource", **given).args
    restored = run("BackgroundRestore", image=given["image"], mask=changed, edited=aligned, method="stitch").args[0]
    outside = changed[0] == 0
    assert torch.equal(restored[0][outside], given["image"][0][outside])
    assert not torch.equal(restored[0][~outside], given["image"][0][~outside])


def test_the_mask_of_changes_stays_inside_a_given_mask(run):
    given = inputs(make(8))
    mask = torch.zeros(given["image"].shape[:3])
    mask[:, :, : mask.shape[2] // 3] = 1
    outputs = run("AlignToSource", **given, mask=mask)
    assert (outputs.args[1] * (1 - mask)).sum() == 0
    assert json.loads(outputs.args[2])["pictures"][0]["changed_outside"] is not None


def test_a_picture_of_a_batch_equals_the_one_alone(run):
    given = inputs(make(3))
    second = given["edited"].roll(2, 1)
    batch = run("AlignToSource", image=given["image"], edited=torch.cat([given["edited"], second])).args
    alone = run("AlignToSource", image=given["image"], edited=second).args
    assert torch.equal(batch[0][1], alone[0][0])
    assert torch.equal(batch[1][1], alone[1][0])


def test_an_untouched_picture_comes_back_bit_for_bit(run):
    image = inputs(make(3))["image"]
    aligned, changed, report = run("AlignToSource", image=image, edited=image, colour="off").args
    assert torch.equal(aligned, image)
    assert changed.sum() == 0
    assert json.loads(report)["pictures"][0]["changed"] == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"edited": torch.rand(1, 20, 40, 3)}, "got edited of 40 x 20 pixels; expected at least 32 x 32"),
        ({"edited": torch.rand(3, 64, 64, 3), "image": torch.rand(2, 64, 64, 3)}, "got 2 source images for 3"),
        ({"colour": "sepia"}, "got colour 'sepia'; expected one of gain and offset"),
    ],
)
def test_wrong_inputs_are_answered(run, changes, words):
    picture = torch.rand(1, 64, 64, 3)
    with pytest.raises(ValueError, match=words):
        run("AlignToSource", **{"image": picture, "edited": picture} | changes)
