"""The folder of a batch: after a crash at any point of a commit, nothing is lost and nothing is
duplicated.
"""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from cli.batch import worker
from cli.batch.rows import Row, safe_name
from cli.batch.store import Store
from cli.batch.tables import COLUMNS, read
from cli.console import Problem
from lab.common import PACK

RUN = {"fingerprint": "f", "job": {"rows": 3, "sha256": ""}, "settings": {}, "models": {}, "pack": "1"}


def row(number: int) -> Row:
    return Row(number, f"r/{number}", safe_name(f"r/{number}"), {"target": "x"})


ROWS = [row(number) for number in (1, 2, 3)]


def outcome(of: Row, shade: int = 7, fingerprint: str = "f") -> worker.Outcome:
    record = {"key": of.key, "id": of.id, "row": of.number, "row_digest": of.digest(), "status": "done"}
    record |= {"picture": f"pictures/{of.key}.png", "seed": 2**64 - 1, "psnr_outside": 30.5}
    pixels = np.full((8, 8, 3), shade, np.uint8)
    data = worker.encoded(pixels, {"fingerprint": fingerprint, "record": record})
    files = [(f"masks/{of.key}.png", worker.encoded(pixels)), (record["picture"], data)]
    return worker.Outcome(of.key, record, files)


def opened(folder) -> Store:
    store = Store(folder)
    document = store.hold()
    store.read_journal()
    store.begin(document, RUN, {})
    store.repair(ROWS, ["f"])
    return store


@pytest.fixture
def folder(tmp_path):
    """A run in which two of three rows are done."""
    store = opened(tmp_path / "run")
    for of in ROWS[:2]:
        store.commit(outcome(of))
    store.close()
    return tmp_path / "run"


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_a_run_goes_on_with_the_rows_that_are_left(folder):
    store = opened(folder)
    assert store.left(ROWS, again=False) == ROWS[2:]
    store.commit(worker.failed(ROWS[2], "edit", "why"))
    assert store.left(ROWS, again=False) == []
    assert store.left(ROWS, again=True) == ROWS[2:]
    assert store.counts(ROWS) == {"rows": 3, "done": 2, "failed": 1, "left": 0}
    store.commit(outcome(ROWS[2]))
    assert store.counts(ROWS) == {"rows": 3, "done": 3, "failed": 0, "left": 0}
    store.close()


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_half_a_line_is_cut_off_and_its_row_comes_back_from_its_picture(folder, cut):
    before = lines(folder)
    data = (folder / "journal.jsonl").read_bytes()
    (folder / "journal.jsonl").write_bytes(data[:-cut])
    store = opened(folder)
    assert store.repaired == 1
    assert store.left(ROWS, again=False) == ROWS[2:]
    store.close()
    after = lines(folder)
    assert [line["id"] for line in after] == [line["id"] for line in before]
    assert {**after[1], "repaired": None} == {**before[1], "repaired": None}


def test_a_picture_without_its_line_is_not_made_again(folder):
    made = outcome(ROWS[2])
    for place, data in made.files:
        (folder / place).write_bytes(data)
    store = opened(folder)
    assert (store.repaired, store.left(ROWS, again=False)) == (1, [])
    store.close()
    assert lines(folder)[-1]["bytes"] == len(made.files[-1][1])


@pytest.mark.parametrize("harm", ["no line and half a picture", "of another run", "of another row"])
def test_a_picture_that_is_not_this_rows_whole_edit_is_made_again(folder, harm):
    made = outcome(ROWS[2], fingerprint="other" if harm == "of another run" else "f")
    data = made.files[-1][1]
    if harm == "of another row":
        data = outcome(ROWS[1]).files[-1][1]
    (folder / made.files[-1][0]).write_bytes(data[: len(data) // 2] if "half" in harm else data)
    store = opened(folder)
    assert store.left(ROWS, again=False) == ROWS[2:]
    store.commit(outcome(ROWS[2], shade=99))
    assert store.left(ROWS, again=False) == []
    store.close()
    assert Image.open(folder / made.files[-1][0]).getpixel((0, 0)) == (99, 99, 99)


def test_a_line_whose_picture_is_gone_or_of_another_size_no_longer_counts(folder):
    (folder / "pictures" / f"{ROWS[0].key}.png").unlink()
    (folder / "pictures" / f"{ROWS[1].key}.png").write_bytes(b"")
    store = opened(folder)
    assert (store.lost, store.left(ROWS, again=False)) == (2, ROWS)
    store.close()


def test_temporary_files_of_a_killed_run_go(folder):
    left = [folder / name / ".x-1.part" for name in (".", "pictures", "masks")]
    for path in left:
        path.write_bytes(b"x")
    opened(folder).close()
    assert not any(path.exists() for path in left)


def test_somebody_elses_picture_of_that_name_stays(folder):
    place = folder / "pictures" / f"{ROWS[2].key}.png"
    Image.new("RGB", (4, 4), "red").save(place)
    before = place.read_bytes()
    store = opened(folder)
    record = store.commit(outcome(ROWS[2]))
    store.close()
    assert record["status"] == "failed"
    assert "was not written by this run" in record["reason"]
    assert place.read_bytes() == before


def test_one_run_at_a_time_and_only_in_a_folder_of_its_own(folder, tmp_path):
    store = opened(folder)
    with pytest.raises(Problem, match="Another batch runs"):
        Store(folder).hold()
    store.close()
    (tmp_path / "mine" / "pictures").mkdir(parents=True)
    with pytest.raises(Problem, match="it is not the folder of a batch"):
        Store(tmp_path / "mine").hold()
    (tmp_path / "mine" / "job.json").write_text("{}")
    with pytest.raises(Problem, match="is not the file of a batch"):
        Store(tmp_path / "mine").hold()


def test_a_changed_row_runs_again_and_the_others_stay(folder):
    store = opened(folder)
    changed = Row(1, ROWS[0].id, ROWS[0].key, {"target": "y"})
    assert store.left([changed, *ROWS[1:]], again=False) == [changed, ROWS[2]]
    store.commit(outcome(changed, shade=50))
    assert store.left([changed, *ROWS[1:]], again=False) == [ROWS[2]]
    store.close()


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_the_table_has_a_row_for_each_edit_in_the_jobs_order(folder, kind, monkeypatch):
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    else:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    store = opened(folder)
    store.commit(worker.failed(ROWS[2], "edit", "why, and\n what"))
    table = store.write_table(ROWS[::-1])
    store.close()
    assert table.name == f"metrics.{kind}"
    result = read(table)
    assert [(line["row"], line["status"]) for line in result] == [(3, "failed"), (2, "done"), (1, "done")]
    assert list(result[0]) == list(COLUMNS)
    assert (result[0]["reason"], result[1]["psnr_outside"], result[1]["seed"]) == (
        "why, and\n what",
        30.5,
        str(2**64 - 1),
    )


FILL = """
import pathlib, sys
import test_batch_store as t
store = t.opened(pathlib.Path(sys.argv[1]))
made = 0
try:
    for number in range(1, 100_000):
        store.commit(t.outcome(t.row(number)))
        made += 1
except OSError as error:
    print(error.errno, made)
store.close()
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("unshare"), reason="a small disk of its own needs Linux"
)
def test_a_full_disk_ends_the_run_with_whole_files_and_it_goes_on_with_room(tmp_path):
    """In a file system of 256 kB: everything committed is complete, and no partial file remains."""
    script = tmp_path / "fill.py"
    script.write_text(FILL, encoding="utf-8")
    small, kept = tmp_path / "small", tmp_path / "kept"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=256k none {small}"
    run = f"{sys.executable} {script} {small}/run && cp -r {small}/run {kept}"
    paths = os.pathsep.join((str(PACK), str(PACK / "tests" / "cli")))
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{mount} && {run}"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"cannot mount a separate file system: {done.stderr.strip()[:80]}")
    number, made = map(int, done.stdout.split())
    assert number == 28
    assert made > 5
    assert [line["row"] for line in lines(kept)] == list(range(1, made + 1))
    assert not list(kept.rglob("*.part"))
    for line in lines(kept):
        assert (kept / line["picture"]).stat().st_size == line["bytes"]
    store = Store(kept)
    store.hold()
    store.read_journal()
    store.repair([row(number) for number in range(1, made + 3)], ["f"])
    left = store.left([row(number) for number in range(1, made + 3)], again=False)
    assert {of.number for of in left} <= {made + 1, made + 2}
    store.close()
