"""Benchmarks on photographs: reading a folder, trials of Align to Source, and collecting from
packages. The pictures are noise that is made here.
"""

import json
import random
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import align, large_photo, photograph_crops
from lab import photographs
from tools import photographs as collecting


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pictures: in colour, grey and with a transparent part."""
    place = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for name, size, mode in (("a.png", (40, 30), "RGB"), ("b.jpg", (50, 50), "L"), ("deep/c.webp", (30, 40), "RGBA")):
        (place / name).parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8))
        coarse.resize((8 * size[0], 8 * size[1]), Image.Resampling.BICUBIC).convert(mode).save(place / name)
    (place / "readme.txt").write_text("no picture")
    return place


def test_pictures_of_a_folder_are_found_and_a_folder_of_one_is_refused(folder, tmp_path):
    paths = photographs.photographs_of(str(folder))
    assert [path.name for path in paths] == ["a.png", "b.jpg", "c.webp"]
    assert all(photographs.photograph(path).shape[0] == 3 for path in paths)
    Image.new("RGB", (9, 9)).save(tmp_path / "alone.png")
    with pytest.raises(SystemExit, match="has 1 pictures.*expected two or more"):
        photographs.photographs_of(str(tmp_path))


def test_large_photographs_are_scaled_down_and_small_windows_enlarged(folder):
    [path, *_] = photographs.photographs_of(str(folder))
    assert photographs.photograph(path, longest=100).shape == (3, 75, 100)
    picture = photographs.photograph(path)
    part = photographs.window(picture, random.Random(0), 100, 120)
    assert any(torch.equal(part, picture[:, top : top + 100, left : left + 120].float() / 255)
               for top in range(141) for left in range(201))  # fmt: skip
    assert photographs.window(picture, random.Random(0), 480, 320).shape == (3, 480, 320)


def test_a_trial_is_a_pair_of_one_photograph_and_repeats(folder):
    paths = photographs.photographs_of(str(folder))
    for seed in range(6):
        trial, again = (align.make(seed, pictures=paths) for _ in range(2))
        assert torch.equal(trial.edited, again.edited)
        assert trial.matrix is not None
        assert trial.name in [path.name for path in paths]
        largest = photographs.photograph(next(path for path in paths if path.name == trial.name)).shape
        assert all(own <= most for own, most in zip(trial.source.shape, largest, strict=True))
    assert align.make(4, False, paths).matrix is None


def test_the_tint_that_jpeg_gives_a_picture_belongs_to_the_cast(folder, monkeypatch):
    """JPEG rounds chroma: half a level or more, the same in every block of a grey picture."""
    paths, tints = [folder / "a.png", folder / "b.jpg"], []
    for tint in (0.0, 0.01):
        monkeypatch.setattr(photographs, "through_jpeg", lambda picture, _, tint=tint: picture + tint)
        tints.append(torch.stack([align.make(seed, pictures=paths).offset for seed in range(8)]))
    added = tints[1] - tints[0]
    assert {round(float(one), 4) for one in added.flatten()} == {0.0, 0.01}


def test_the_benchmark_runs_on_a_folder(folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "trials.json"
    words = ["align", "--photographs", str(folder), "--first", "3", "--trials", "2", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    align.main()
    printed = capsys.readouterr().out
    entries = json.loads(out.read_text())
    assert entries["3"]["verdict"] == "right"
    assert entries["4"]["verdict"] == "refused rightly"
    assert f"seed 3 {entries['3']['name']}: right" in printed
    assert "| refused rightly |      1 |" in printed


def test_photographs_are_collected_from_wheels(tmp_path, monkeypatch, capsys):
    with zipfile.ZipFile(tmp_path / "scikit_image-1-none-any.whl", "w") as wheel:
        wheel.writestr("skimage/data/coffee.png", b"coffee")
        wheel.writestr("skimage/data/logo.png", b"a drawing")
    monkeypatch.setattr(sys, "argv", ["photographs", str(tmp_path / "to"), "--packages", str(tmp_path)])
    collecting.main()
    assert [path.name for path in (tmp_path / "to").rglob("*.png")] == ["coffee.png"]
    assert (tmp_path / "to" / "pypi" / "coffee.png").read_bytes() == b"coffee"
    assert capsys.readouterr().out.startswith("1 photographs in ")


def test_wallpapers_of_one_file_name_get_their_own(tmp_path):
    for name in ("Kite", "Path"):
        file = tmp_path / "usr/share/wallpapers" / name / "contents/images/2560x1600.jpg"
        file.parent.mkdir(parents=True)
        file.write_bytes(name.encode())
    assert collecting.collect(tmp_path, collecting.DEBIAN, tmp_path / "to") == ["Kite.jpg", "Path.jpg"]
    assert (tmp_path / "to" / "Path.jpg").read_bytes() == b"Path"


@pytest.mark.parametrize("size", [0, 64])
def test_crops_leave_the_bits_of_a_photograph(pack, folder, monkeypatch, size):
    monkeypatch.setattr(photograph_crops, "HOLE", (40, 60))
    monkeypatch.setattr(photograph_crops, "ENLARGED", 90e3)
    row = photograph_crops.measure(folder / "a.png", True, size)
    assert row["photograph"] == "a, enlarged"
    assert row["megapixels"] == pytest.approx(0.09, rel=0.01)
    assert row["in the crop"]
    assert row["changed in the mask"] > 0.9
    assert row["outside the crop"] is (True if size else None)
    line = photograph_crops.table([row]).splitlines()[-1]
    assert "bit-equal" in line
    assert "differs" not in line


def test_rows_are_of_large_photographs_and_the_largest_enlarged(folder, monkeypatch):
    with pytest.raises(SystemExit, match="no photograph of 12 megapixels; the largest has 0.2"):
        photograph_crops.jobs(str(folder))
    monkeypatch.setattr(photograph_crops, "LEAST", 76e3)
    rows = photograph_crops.jobs(str(folder))
    assert [(path.name, enlarged, size) for path, enlarged, size in rows[:2]] == [
        ("a.png", False, 1024),
        ("a.png", False, 0),
    ]
    assert rows[-4:] == [(folder / "b.jpg", True, size) for size in (512, 1024, 2048, 0)]


def test_small_things_in_large_pictures_are_edited_once(tmp_path, monkeypatch, capsys):
    """The three ways keep what is outside the mask, and a second run reads their numbers."""
    command = ["large_photo", "--edits", "1", "--side", "512", "--json", str(tmp_path / "edits.json")]
    monkeypatch.setattr("sys.argv", command)
    large_photo.main()
    table = capsys.readouterr().out
    records = json.loads((tmp_path / "edits.json").read_text())["records"]
    assert [row["way"] for row in records] == list(large_photo.WAYS)
    assert all(row["outside"] == 0 and row["seconds"] > 0 for row in records)
    sharpness = [row["sharpness"] for row in records]
    assert max(sharpness[1:]) < sharpness[0]
    monkeypatch.setattr(large_photo, "edit", None)
    large_photo.main()
    assert capsys.readouterr().out == table
