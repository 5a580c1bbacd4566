"""Trade-off curves: on a user's own files with the demo model, and the plots."""

import csv
import json
import math
import xml.etree.ElementTree as xml

import pytest
import torch
from PIL import Image

from benchmarks import curves
from lab import edit_sets, plots

CHECKPOINT = "semantic-edit-demo.safetensors"


@pytest.fixture
def own(tmp_path):
    """Two pictures of 260 x 262 pixels (cropped to 256 x 256) with their edits as CSV."""
    from demo.world.render import render
    from demo.world.scenes import Scene, Thing, caption

    folder, rows = tmp_path / "images", []
    folder.mkdir()
    for kind, other in (("car", "penguin"), ("apple", "dog")):
        scenes = [Scene((Thing(one, "red" if one == "car" else None, 0.5, 0.5, 0.6),), "snow") for one in (kind, other)]
        pixels = (255 * render(scenes[0])[0].movedim(0, -1)).round().byte().numpy()
        sheet = Image.new("RGB", (260, 262), "white")
        sheet.paste(Image.fromarray(pixels), (2, 3))
        sheet.save(folder / f"{kind}.png")
        rows.append(
            {"image": f"{kind}.png", "source": caption(scenes[0]), "target": caption(scenes[1]), "class": other}
        )
    with (tmp_path / "edits.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path


def command(own, *more):
    return [
        "--images", str(own / "images"), "--edits", str(own / "edits.csv"), "--checkpoint", CHECKPOINT,
        "--clip", str(curves.common.PACK / "models" / "clip_rank" / "semantic-edit-demo"), "--out", str(own / "out"),
        "--steps", "4", "--noises", "2", *more,
    ]  # fmt: skip


def test_curves_of_a_users_own_model_and_pictures(own, capsys):
    arguments = command(own, "--methods", "diffedit", "sdedit", "--values", "0.5", "1")
    points = curves.main(arguments)
    assert [(point["method"], point["value"]) for point in points] == [
        ("diffedit", 0.5), ("diffedit", 1.0), ("sdedit", 0.5), ("sdedit", 1.0)
    ]  # fmt: skip
    by = {(point["method"], point["value"]): point for point in points}
    assert by["diffedit", 0.5]["evaluations"] == 2 * 2 + 2 + 2 * 2
    assert by["diffedit", 1.0]["evaluations"] == 2 * 2 + 4 + 2 * 4
    assert by["sdedit", 1.0]["evaluations"] == 2 * 4
    assert by["sdedit", 0.5]["rmse"] < by["sdedit", 1.0]["rmse"]
    assert all(point["edits"] == 2 and point["fid"] > 0 and point["clip"] >= 0 for point in points)
    assert all(math.isnan(point["accepted"]) for point in points)
    out = own / "out"
    said = capsys.readouterr().out
    assert "not Inception" in said
    assert "left out: lpips" in said
    assert len(list((out / "pictures").rglob("*.png"))) == 8
    with Image.open(out / "pictures" / "sdedit" / "strength 1" / "00001.png") as made:
        assert made.size == (256, 256)
    assert json.loads((out / "protocol.json").read_text())["fixed"]["model"]["settings"]["steps"] == 4
    assert (out / "curves.png").stat().st_size > 5000
    times = {path: path.stat().st_mtime_ns for path in (out / "pictures").rglob("*.png")}
    lines = (out / "records.csv").read_text().splitlines(keepends=True)
    (out / "records.csv").write_text("".join(lines[:-1]))
    again = curves.main(arguments)
    assert sum(path.stat().st_mtime_ns != before for path, before in times.items()) == 1
    for before, after in zip(points, again, strict=True):
        assert after["rmse"] == pytest.approx(before["rmse"])
    with pytest.raises(SystemExit, match="another varied; give another --out"):
        curves.main(command(own, "--vary", "noises", "--values", "1"))


def test_a_real_folder_with_classes_gives_class_conditional_fid(own):
    for kind in ("penguin", "dog"):
        folder = own / "real" / kind
        folder.mkdir(parents=True)
        for name in ("car", "apple"):
            with Image.open(own / "images" / f"{name}.png") as image:
                image.rotate(90 if kind == "dog" else 0).save(folder / f"{name}.png")
    [point] = curves.main(command(own, "--methods", "sdedit", "--values", "0.5", "--real", str(own / "real")))
    assert point["fid"] > 0
    assert math.isnan(point["fid_by_class"])  # one edit per class: no covariance


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("e.csv", "image,target\ncar.png,\n", "row 1: got image 'car.png' and target ''"),
        ("e.json", '[{"image": "no.png", "target": "x"}]', "row 1: got image 'no.png'"),
        ("e.jsonl", '{"image": "car.png", "target": "x"}\n{', "cannot be read"),
        ("e.json", "[]", "holds no rows"),
    ],
)
def test_rows_that_are_wrong_are_named(own, name, text, words):
    (own / name).write_text(text)
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        edit_sets.of_files(own / "images", own / name)


def test_the_world_of_things_judges_its_edits():
    [edit, _] = edit_sets.of_things(2, 0)
    perfect = edit_sets.real_things(2, 0)[edit.kind][0]
    judged = edit.judge(perfect[None])
    assert judged["accepted"] == 1
    assert judged["background"] > 25
    assert edit.judge(edit.picture())["accepted"] == 0
    assert edit.judge(torch.rand(edit.picture().shape))["background"] < 15


def test_plots_place_points_in_proportion_in_both_files(tmp_path):
    panel = plots.Panel("x & y", "up", {"a": [(0, 0, "p"), (1, 2, "q"), (math.nan, 1, "r"), (2, 4, "")], "b": []})
    svg, png = plots.save([panel, plots.Panel("x", "y", {"b": [(1, math.nan, "")]})], tmp_path / "chart")
    root = xml.fromstring(svg.read_text())
    space = "{http://www.w3.org/2000/svg}"
    dots = [(float(one.get("cx")), float(one.get("cy"))) for one in root.iter(f"{space}circle")]
    points = dots[:3]  # then the legend's
    assert points[1] == pytest.approx([(points[0][k] + points[2][k]) / 2 for k in (0, 1)], abs=0.11)
    assert points[0][0] < points[2][0]
    assert points[0][1] > points[2][1]
    words = [one.text for one in root.iter(f"{space}text")]
    assert {"x & y", "up", "p", "q", "a", "b", "not measured"} <= set(words)
    assert "r" not in words
    with Image.open(png) as image:
        assert image.size == (2 * int(root.get("width")), 2 * int(root.get("height")))
        x, y = points[1]
        assert image.getpixel((round(2 * x), round(2 * y))) == (0, 0x72, 0xB2)


@pytest.mark.parametrize("low, high", [(0, 1), (-3, 17), (0.123, 0.125), (5, 5), (1e-6, 3e-6)])
def test_ticks_are_round_and_few(low, high):
    result = plots.ticks(low, high)
    assert 1 <= len(result) <= 7
    assert all(low - 1e-9 <= one <= high + 1e-9 for one in result)
