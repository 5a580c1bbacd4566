"""Jobs of `run.py batch`: rows from files and folders, and the handling of invalid rows."""

import argparse
import json
import re
import types

import graph_runner
import pytest

import nodes
from cli.batch import planning, rows
from cli.batch.fingerprint import differences, fingerprint
from cli.console import Problem
from cli.inside import definition_of
from lab import common


def test_csv_jsonl_and_parquet_give_the_same_rows(tmp_path):
    given = [{"id": "a", "image": "x.png", "target": "a cat"}, {"id": "b/ü", "image": "y.png", "target": "a, dog"}]
    (tmp_path / "job.jsonl").write_text("\n".join(map(json.dumps, given)), encoding="utf-8")
    (tmp_path / "job.csv").write_text('id,image,target\na,x.png,a cat\nb/ü,y.png,"a, dog"\n', encoding="utf-8-sig")
    read = {name: rows.read_job(tmp_path / name) for name in ("job.jsonl", "job.csv")}
    assert read["job.csv"] == read["job.jsonl"]
    assert [row.values for row in read["job.csv"]] == [
        {"image": "x.png", "target": "a cat"},
        {"image": "y.png", "target": "a, dog"},
    ]
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(given), tmp_path / "job.parquet")
    assert rows.read_job(tmp_path / "job.parquet") == read["job.csv"]


def test_a_folder_gives_a_row_for_every_picture_but_not_for_the_runs_own(tmp_path):
    for name in ("b.PNG", "a/c.jpg", "notes.txt", "out/pictures/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    result = rows.read_job(tmp_path, tmp_path / "out")
    assert [(row.id, row.values) for row in result] == [
        ("a/c.jpg", {"image": "a/c.jpg"}),
        ("b.PNG", {"image": "b.PNG"}),
    ]


IDS = ("a/b", "..", "../../etc/passwd", "con", "CON", ".", "a b", "ü", "日本語", "x" * 5000, "\n", "a\\b", "-rf", "%00")


@pytest.mark.parametrize("name", IDS, ids=lambda name: ascii(name)[:12])
def test_names_of_files_are_safe_on_every_system(name):
    safe = rows.safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{15,80}", safe)
    assert safe == rows.safe_name(name)


def test_names_differ_for_ids_that_differ_in_case_or_in_what_a_name_cannot_show():
    names = [rows.safe_name(name).lower() for name in ("a", "A", "a/", "a.", "a ", "ä", "a\u0308", *IDS)]
    assert len(set(names)) == len(names)


def test_a_second_row_of_an_id_is_kept_with_its_reason(tmp_path):
    job = tmp_path / "job.jsonl"
    job.write_text("".join(json.dumps({"id": "a", "image": name}) + "\n" for name in "xyz"), encoding="utf-8")
    first, second, third = rows.read_job(job)
    assert not first.problem
    assert "also the id of row 1" in second.problem
    assert len({first.key, second.key, third.key}) == 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "JSON"),
        ("[1]", "JSON list; expected an object"),
        ('{"id": {"a": 1}}', "text or a number"),
        ('{"target": "\\ud800"}', "not UTF-8"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_row_with_a_reason(tmp_path, line, reason):
    (tmp_path / "job.jsonl").write_text(f'{{"id": 7}}\n{line}\n{{"id": 8}}\n', encoding="utf-8")
    first, wrong, last = rows.read_job(tmp_path / "job.jsonl")
    assert (first.id, last.id) == ("7", "8")
    assert reason in wrong.problem


def test_cells_too_many_bytes_that_are_no_text_and_empty_cells_of_csv(tmp_path):
    data = b"id,image,target\n1,a.png,x,y\n2,a.png,\xff\xfe\n\n3,,z\n"
    (tmp_path / "job.csv").write_bytes(data)
    many, broken, empty = rows.read_job(tmp_path / "job.csv")
    assert "it has 4 cells, and the header has 3" in many.problem
    assert "not UTF-8" in broken.problem
    assert empty.values == {"target": "z"}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("job.csv", "id,id\n1,2\n", "'id' twice"),
        ("job.csv", "id,image\n", "has no row"),
        ("job.txt", "id\n1\n", ".csv, .jsonl or .parquet"),
    ],
)
def test_a_job_that_cannot_be_taken_is_refused(tmp_path, name, text, reason):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(Problem, match=re.escape(reason)):
        rows.read_job(tmp_path / name)
    with pytest.raises(Problem, match="no such file"):
        rows.read_job(tmp_path / "other.csv")


def test_each_change_of_a_run_is_named():
    row = rows.Row(1, "a", "a-1", {"target": "x"})
    old = fingerprint([row], {"steps": 20, "cfg": 7.5}, {"m.safetensors": {"sha256": "1"}})
    assert differences(old, fingerprint([row], {"steps": 20, "cfg": 7.5}, {"m.safetensors": {"sha256": "1"}}), []) == []
    settings = differences(old, fingerprint([row], {"steps": 30, "cfg": 7.5}, {"m.safetensors": {"sha256": "1"}}), [])
    assert settings == ["the setting steps has changed: 20 before, 30 now"]
    models = differences(old, fingerprint([row], {"steps": 20, "cfg": 7.5}, {"m.safetensors": {"sha256": "2"}}), [])
    assert models == ["the model file m.safetensors has changed"]
    other = rows.Row(1, "a", "a-1", {"target": "y"})
    job = differences(old, fingerprint([other], {"steps": 20, "cfg": 7.5}, {"m.safetensors": {"sha256": "1"}}), ["a"])
    assert job == ["the job has changed: new or changed are 'a'"]
    assert differences({**old, "pack": "0"}, {**old, "fingerprint": "x"}, []) == [
        f"the pack was 0 and is {old['pack']}"
    ]


def test_an_older_comfyui_without_cfg_override_runs_the_methods_that_use_it():
    """Guidance is then used in every step, as by `run.py edit`."""
    known = {"SaveImage", "EDICTInvert"}
    comfy = types.SimpleNamespace(
        provide=lambda kinds: None, definitions=lambda kinds: {kind: {"input": {}} for kind in kinds & known}
    )
    options = argparse.Namespace(workflow=None, map=[], set=[], result=None)
    graphs, _ = planning.make_templates(options, [], {"method": "edict"}, comfy)
    titles = {node["_meta"]["title"]: node for node in graphs["edict"].values()}
    assert "Guidance" not in titles
    assert titles["Invert"]["inputs"]["model"] == titles["Edit"]["inputs"]["model"]
    assert graphs["edict"][titles["Edit"]["inputs"]["model"][0]]["class_type"] == "CheckpointLoaderSimple"


@pytest.mark.parametrize(
    "mapping, words",
    [
        (["words=Edit.nothing"], "no input 'nothing'"),
        (["wrods=Edit.seed"], "no row has this column. The job has: photo, words"),
        (["words"], "expected COLUMN=NODE.INPUT"),
    ],
)
def test_a_mapping_onto_a_workflow_is_checked_before_anything_runs(mapping, words):
    graph_runner.load_extras()
    comfy = types.SimpleNamespace(
        provide=lambda kinds: None,
        definitions=lambda kinds: {kind: definition_of(nodes.NODE_CLASS_MAPPINGS[kind]) for kind in kinds},
    )
    workflow = common.PACK / "workflows" / "api" / "sdedit.json"
    options = argparse.Namespace(workflow=workflow, method=None, map=["photo=Image.image", *mapping], set=[])
    job = [rows.Row(1, "a", "a-1", {"photo": "a.png", "words": "a cat"})]
    with pytest.raises(Problem) as told:
        planning.make_templates(options, job, {}, comfy)
    assert words in str(told.value)
