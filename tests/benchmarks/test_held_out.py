"""Measurements that resume, and the held-out edits on which they are made."""

import argparse
import json
import math
import re

import pytest
import torch

from benchmarks import held_out, instructed_masks, thin_masks
from benchmarks.fewer_evaluations import report, summarise
from demo.world.render import render_batch
from lab.records import JsonRecords


def test_a_run_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "found.json"
    first = JsonRecords(path, {"seed": 0, "strengths": (0.5, 0.8)})
    first.add([{"key": "a", "value": 1}, {"key": "b", "value": 2}])
    second = JsonRecords(path, {"seed": 0, "strengths": (0.5, 0.8)})
    assert second.has("a", "b")
    assert not second.has("a", "c")
    second.add([{"key": "b", "value": 3}, {"key": "c", "value": 4}])
    second.write(summary={"mean": 2.5})
    document = json.loads(path.read_text())
    assert [(row["key"], row["value"]) for row in document["records"]] == [("a", 1), ("b", 3), ("c", 4)]
    assert document["summary"] == {"mean": 2.5}
    assert {"torch", "comfyui"} <= set(document["versions"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["found.json"]


def test_records_of_other_settings_are_left_alone(tmp_path):
    path = tmp_path / "found.json"
    JsonRecords(path, {"seed": 0}).add([{"key": "a"}])
    before = path.read_bytes()
    with pytest.raises(SystemExit, match=r"made with \{'seed': 0\}, this run has \{'seed': 1\}"):
        JsonRecords(path, {"seed": 1})
    assert path.read_bytes() == before
    path.write_text("[]")
    with pytest.raises(SystemExit, match="holds no records"):
        JsonRecords(path, {"seed": 0})


def test_records_without_a_file_stay_in_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = JsonRecords(None, {})
    kept.add([{"key": "a"}])
    assert kept.has("a")
    assert not list(tmp_path.iterdir())


def test_a_held_out_edit_changes_the_picture_where_its_masks_say():
    edits = held_out.make_edits(4, 3)
    drawn = held_out.draw(edits)
    assert [edit.kind for edit in edits] == ["replace", "recolour"] * 2
    difference = (drawn.before - drawn.after).abs().amax(-1)
    for number, edit in enumerate(edits):
        inside = drawn.either[number] > 0.5
        assert (drawn.thing[number] <= drawn.either[number]).all()
        assert drawn.either[number][:: held_out.CELL, :: held_out.CELL].sum() * 64 == inside.sum()
        assert difference[number][inside].mean() > 20 * difference[number][~inside].mean() + 0.01, edit.target


def test_the_render_of_the_target_is_accepted_in_place_and_the_source_is_not():
    edits = held_out.make_edits(6, 1)
    drawn = held_out.draw(edits)
    right = held_out.judged(drawn.after, drawn.before, edits, drawn.either)
    wrong = held_out.judged(drawn.before, drawn.before, edits, drawn.either)
    moved = held_out.judged(drawn.after, drawn.before, edits, 1 - drawn.either)
    assert sum(row["accepted"] for row in right) >= 5
    assert [row["in place"] for row in right] == [row["accepted"] for row in right]
    assert not any(row["accepted"] for row in wrong)
    assert all(row["background"] == 100 for row in wrong)
    assert not any(row["in place"] for row in moved)


def test_thin_masks_are_as_thin_as_they_say():
    for kind in ("stroke", "outline"):
        for width in thin_masks.WIDTHS:
            mask = thin_masks.make_edit(kind, width, 0, 0).mask
            inner = mask
            for _ in range(width):
                inner = 1 - torch.nn.functional.max_pool2d(1 - inner[None, None], 3, 1, 1)[0, 0]
            assert mask.sum() > 50
            assert not inner.any(), (kind, width)


def test_paint_counts_where_it_is_nearer_than_the_ground():
    edit = thin_masks.make_edit("stroke", 8, 1, 0)
    thing = edit.wanted.things[0]
    assert thin_masks.painted(edit.picture, edit.picture, edit.mask, thing.colour) == 0
    result = edit.picture.clone()
    result[edit.mask > 0.5] = torch.tensor(
        thin_masks.rgb(torch.tensor(thin_masks.COLOURS[thing.colour])[None].double().numpy())[0]
    ).float()
    assert thin_masks.painted(result, edit.picture, edit.mask, thing.colour) == 1


def test_a_thing_that_is_drawn_in_its_mask_appears():
    edit = thin_masks.make_edit("thing", 96, 0, 0)
    drawn = render_batch([edit.wanted]).pictures[0].movedim(0, -1)
    assert thin_masks.found("thing", drawn, edit.picture, edit)["appears"] == 1
    assert thin_masks.found("thing", edit.picture, edit.picture, edit) == {"appears": 0, "painted": 0}


def way_rows(**verdicts):
    """Records of ways with these verdicts; the background of every edit is 30 dB plus its number."""
    return [
        {
            "index": index,
            "kind": "replace" if index % 2 else "ground",
            "way": way,
            "evaluations": 140 if way == "50x10" else 32,
            "accepted": accepted,
            "in place": 0.0,
            "background": None if index % 2 == 0 else 30.0 + index,
            "iou": math.nan if index % 2 == 0 else 0.5,
            "same mask": 1.0,
        }
        for way, own in verdicts.items()
        for index, accepted in enumerate(own)
    ]


def test_ways_are_averaged_and_compared_edit_by_edit_with_the_first():
    rows = way_rows(**{"10x4": (0.0, 1.0, 0.0, 1.0), "50x10": (1.0, 0.0, 1.0, 1.0)})
    points = summarise(rows, ["50x10", "10x4", "16x4"])
    result = [(point["way"], point["edits"], point["accepted"], point["lost"], point["won"]) for point in points]
    assert result == [("50x10", 4, 0.75, 0, 0), ("10x4", 4, 0.5, 2, 1)]
    assert points[1]["background"] == 32
    assert points[1]["iou"] == 0.5
    assert points[1]["kinds"] == {"ground": 0.0, "replace": 1.0}
    mean, low, high = points[1]["more accepted"]
    assert mean == -0.25
    assert low < -0.5 < 0 < high
    assert points[1]["more background"] == [0, 0, 0]


def test_the_curves_table_names_every_way():
    points = summarise(way_rows(**{"50x10": (1.0, 1.0), "10x4:0-0.5": (1.0, 0.0)}), ["50x10", "10x4:0-0.5"])
    text = re.sub(" +", " ", report(points, argparse.Namespace(strength=0.8, plain_mask=False)))
    assert "| 50 steps, 10 noises | 2 | 140 | 100% | - | 0 / 0 | 31.0 | - | 0.50 | 1.00 |" in text
    assert "| 10 steps, 4 noises, guided 0% to 50% | 2 | 32 | 50% | -50 (-100 to +0) | 1 / 0 | 31.0 |" in text


def test_the_background_of_a_new_ground_is_not_measured():
    edits = held_out.make_edits(1, 0, ("ground",))
    drawn = held_out.draw(edits)
    [result] = held_out.judged(drawn.after, drawn.before, edits, drawn.either)
    assert math.isnan(result["background"])


def test_the_best_mask_of_cells_is_found():
    """Two whole cells can be covered exactly; beside them 40 and 10 of 64 pixels: the first cell is
    worth it, the second is not.
    """
    truth = torch.zeros(32, 32)
    truth[:8, :16] = 1
    assert instructed_masks.best_of_cells(truth) == 1
    truth[16:21, 16:24] = 1
    truth[24, :8], truth[25, :2] = 1, 1
    assert instructed_masks.best_of_cells(truth) == pytest.approx((128 + 40) / (192 + 10))
    assert instructed_masks.best_of_thresholds(truth, truth) == pytest.approx((128 + 40) / (192 + 10))
    assert instructed_masks.best_of_thresholds(-truth, truth) == pytest.approx(float(truth.mean()))
