"""Calculations for the papers' tables: intervals, ranking by fifths, kept detail, means with
errors.
"""

import math

import pytest
import torch

from benchmarks import background, edict_tables, paper_pictures, ranking_tables
from benchmarks.clip_ranking import diversity
from lab.common import Demo
from lab.compute import compute_in
from lab.sheet import FRAME, FRAMES, SPACE, ranked_rows
from lab.uncertainty import share_interval, share_text, standard_error


def test_the_interval_of_a_share_is_wilsons():
    for share, count in ((0.5, 8), (0.1, 40), (1.0, 6)):
        for bound in share_interval(share, count):
            if not 1e-9 < bound < 1 - 1e-9:
                continue
            # limits at which the score test just accepts the share
            assert abs(share - bound) == pytest.approx(1.96 * math.sqrt(bound * (1 - bound) / count), abs=1e-9)
    assert share_interval(0.0, 10)[0] == 0
    assert share_interval(1.0, 10)[1] == pytest.approx(1)
    assert share_text(0.5, 8) == "50 % (22 to 78)"


def test_the_standard_error_of_a_mean_leaves_out_what_was_not_measured():
    values = [1.0, 4.0, math.nan, 7.0]
    assert standard_error(values) == pytest.approx(torch.tensor([1.0, 4.0, 7.0]).std().item() / math.sqrt(3))
    assert math.isnan(standard_error([2.0, math.nan]))


def test_a_ranking_is_judged_by_its_first_and_last_fifth():
    right, wrong = [True] * 5 + [False] * 5, [False] * 5 + [True] * 5
    good = ranking_tables.summarise([right, right])
    assert (good["top fifth"], good["bottom fifth"], good["fifths"], good["pairs"]) == (1, 0, 1, 1)
    assert (good["top"], good["bottom"], good["gain"]) == (1, 0, 0.5)
    mixed = ranking_tables.summarise([right, wrong])
    assert (mixed["fifths"], mixed["gain"], mixed["pairs"]) == (0, 0, 0.5)
    assert mixed["fifths error"] == pytest.approx(1)
    assert ranking_tables.fifth(10) == ranking_tables.fifth(8) == 2
    assert ranking_tables.fifth(3) == 1
    half = ranking_tables.summarise([[True, False, *[False] * 8]])
    assert half["top fifth"] == 0.5


def test_predictions_of_a_batch_differ_inside_the_mask_only():
    pictures = torch.zeros(3, 4, 4, 3)
    pictures[1, :2], pictures[:, 2:] = 0.5, torch.rand(3, 2, 4, 3)
    inside = torch.zeros(4, 4, dtype=torch.bool)
    inside[:2] = True
    assert diversity(pictures, inside) == pytest.approx((0.5 + 0 + 0.5) / 3)


def test_another_colour_keeps_all_detail_and_another_pattern_none():
    stripes = torch.zeros(64, 64, 3)
    stripes[:, ::4] = 0.5
    inside = torch.zeros(64, 64, dtype=torch.bool)
    inside[16:48, 16:48] = True
    brighter = stripes * torch.tensor([0.2, 1.0, 0.4]) + 0.3
    assert paper_pictures.detail_kept(brighter, stripes, inside) == pytest.approx(1, abs=1e-5)
    across = stripes.transpose(0, 1)
    assert abs(paper_pictures.detail_kept(across, stripes, inside)) < 0.05


def test_what_gets_a_hat_is_an_animal_of_pairs_that_training_never_saw():
    edits = paper_pictures.hat_edits(4, 0)
    assert [edit.index for edit in edits] == [0, 1, 2, 3]
    for edit in edits:
        assert " wearing a" in edit.target
        assert "wearing" not in edit.source
    assert [edit.target for edit in edits] == [edit.target for edit in paper_pictures.hat_edits(4, 0)]


def test_methods_that_few_edits_took_say_of_how_many():
    def row(method, outside):
        return {"method": method, "outside": outside, "seam": 1.0, "colour shift": 0.0, "time": 2.0}

    result = background.summarise([row("stitch", 30.0), row("stitch", 34.0), row(background.PAPER, 50.0)])
    assert result["stitch"]["edits"] == 2
    assert (result["stitch"]["outside"], result["stitch"]["outside error"]) == (32, 2)
    assert result[background.PAPER]["edits"] == 1
    lines = background.report(result).splitlines()
    assert "32.00 +- 2.00" in lines[2]
    assert "50.00 +- nan" not in lines[3]


def test_tables_of_edict_take_each_ways_own_rows():
    def row(way, lost):
        return {"way": way, "evaluations": 10.0, "error": lost, "to vae": 1000 * lost, "to source": 0.0}

    lines = edict_tables.reconstruction_table([row("DDIM", 0.01), row("EDICT", 0.0), row("DDIM", 0.03)]).splitlines()
    assert lines[2].startswith("| DDIM ")
    assert "2.0e-02" in lines[2]
    assert "20.00 +- 10.00" in lines[2]
    assert "0.0e+00" in lines[3]


def test_a_frame_shows_the_verdict():
    picture = torch.full((8, 8, 3), 0.5)
    sheet = ranked_rows([[picture, picture, picture]], [[None, True, False]], ["words"], side=20)
    step = 20 + 2 * FRAME + SPACE
    middle = sheet.height - SPACE - step // 2
    for column, verdict in enumerate((None, True, False)):
        assert sheet.getpixel((SPACE + column * step + 1, middle)) == FRAMES[verdict]
        assert sheet.getpixel((SPACE + column * step + FRAME + 10, middle)) == (128, 128, 128)


def test_a_network_computes_in_the_type_that_was_asked_for():
    demo = Demo()
    half = compute_in(demo.model, "bf16")
    assert compute_in(demo.model, "default") is demo.model
    seen = []

    def watch(apply_model, given):
        seen.append(half.model.get_dtype_inference())
        return apply_model(given["input"], given["timestep"], **given["c"])

    half.set_model_unet_function_wrapper(watch)
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    given = {"positive": demo.texts("a dog on grass"), "negative": demo.texts(""), "latent_image": latent}
    given |= {"seed": 0, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal"}
    demo.run("KSampler", model=half, **given)
    assert set(seen) == {torch.bfloat16}
