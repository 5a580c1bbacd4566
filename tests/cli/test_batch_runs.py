"""`run.py batch` in one process with the real ComfyUI: the pictures equal those of the graphs,
invalid rows do not stop the others, a killed run continues, and changes are named.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import batch_jobs
import graph_runner
import numpy as np
import pytest
from batch_jobs import BAD, ROWS
from PIL import Image

from cli.batch import tables
from lab import common

GRAPH = common.PACK / "workflows" / "api" / "sdedit.json"


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return batch_jobs.make_job(tmp_path_factory.mktemp("job"), ROWS, bad=True)


@pytest.fixture(scope="module")
def through(job, tmp_path_factory):
    """A complete run: (its folder, its answer)."""
    output = tmp_path_factory.mktemp("through") / "run"
    return output, batch_jobs.run(job, output, "--threads", "1")


def test_rows_that_cannot_run_are_recorded_and_do_not_stop_the_others(through):
    output, answer = through
    counted = {name: answer[name] for name in ("ok", "rows", "done", "failed", "left")}
    assert counted == {"ok": True, "rows": ROWS + BAD, "done": ROWS, "failed": BAD, "left": 0}
    reasons = {
        record["id"] + record["stage"]: record["reason"]
        for record in batch_jobs.journal(output)
        if record["status"] == "failed"
    }
    assert "is not a readable image" in reasons["brokenread"]
    assert "is not a file" in reasons["missingcheck"]
    assert "also the id of row 1" in reasons["row/0check"]
    assert "'many' is not a whole number" in reasons["stepscheck"]
    assert "no target" in reasons["no targetcheck"]


def test_every_row_has_its_picture_its_measures_and_a_line_of_progress(through):
    output, answer = through
    table = tables.read(output / os.path.basename(answer["table"]))
    assert len(table) == ROWS + BAD
    for record in table:
        if record["status"] == "done":
            with Image.open(output / record["picture"]) as picture:
                assert picture.size == (record["width"], record["height"])
            assert 0 < record["psnr_inside"] < 100
            assert record["seconds_edit"] > 0
    events = [json.loads(line) for line in (output / "progress.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events[:1] + events[-1:]] == ["begin", "end"]
    assert sum(event["event"] == "failed" for event in events) == BAD
    assert (events[-1]["done"], events[-1]["left"]) == (ROWS, 0)


def test_the_summary_needs_no_network_and_shows_failures_and_measures(through):
    page = (through[0] / "summary.html").read_text(encoding="utf-8")
    assert "http" not in page
    assert "<script" not in page
    assert f"{ROWS} of {ROWS + BAD} edits done" in page
    assert "is not a file" in page
    assert "PSNR of the whole image" in page  # the job has no masks
    assert page.count("<svg") >= 4
    with Image.open(through[0] / "contact.jpg") as sheet:
        assert sheet.width > 500


@pytest.fixture
def runner(tmp_path):
    runner = graph_runner.GraphRunner(tmp_path)
    with graph_runner.folders_at(tmp_path, common.PACK / "models" / "checkpoints"):
        graph_runner.load_extras()
        yield runner


def test_the_pictures_are_those_that_comfyui_saves(through, job, runner):
    """The same graph through ComfyUI's executor with its own SaveImage gives the same pixels."""
    made = batch_jobs.pixels(through[0])
    assert len(made) == ROWS
    for number in (0, 7, ROWS - 1):
        (runner.folder / "input" / f"{number}.png").write_bytes((job.parent / f"{number}.png").read_bytes())
        graph = json.loads(GRAPH.read_text())
        inputs = {node["_meta"]["title"]: node["inputs"] for node in graph.values()}
        inputs["Model"]["ckpt_name"], inputs["Image"]["image"] = batch_jobs.CHECKPOINT, f"{number}.png"
        inputs["Size"]["megapixels"] = 104**2 / 1024**2
        inputs["Target text"]["text"] = "a red ball on grass"
        inputs["Edit"] |= {"seed": number, "steps": 1}
        [entry] = runner.run(graph)["Edited picture"]
        with Image.open(runner.folder / entry["type"] / entry["subfolder"] / entry["filename"]) as picture:
            assert np.asarray(picture).tobytes() == made[f"row/{number}"]


def test_a_second_run_does_nothing_and_changes_are_named(through, job, tmp_path):
    output = tmp_path / "copy"
    shutil.copytree(through[0], output)
    shutil.copytree(job.parent, tmp_path / "job")
    before = (output / "journal.jsonl").read_bytes()
    again = batch_jobs.run(job, output, "--threads", "1")
    assert (again["done"], again["failed"]) == (ROWS, BAD), "failed rows are left alone"
    assert "0 to run" in again["said"]
    assert (output / "journal.jsonl").read_bytes() == before
    lines = job.read_text().splitlines()
    changed = json.loads(lines[-1]) | {"target": "a blue ball on grass"}
    other = tmp_path / "job" / job.name
    other.write_text("\n".join([*lines[:-1], json.dumps(changed)]))
    named = batch_jobs.run(other, output, "--threads", "1", "--steps", "2")
    assert not named["ok"]
    assert "the setting steps has changed: 1 before, 2 now" in named["error"]
    assert f"the job has changed: new or changed are 'row/{ROWS - 1}'" in named["error"]
    assert (output / "journal.jsonl").read_bytes() == before
    # Continued on purpose: the changed row runs, and, as is asked, the failed ones, of which one can now be read.
    (tmp_path / "job" / "broken.png").write_bytes(batch_jobs.picture(0))
    taken = batch_jobs.run(other, output, "--threads", "1", "--allow-change", "--retry-failed")
    assert f"{1 + BAD} to run" in taken["said"]
    assert (taken["done"], taken["failed"]) == (ROWS + 1, BAD - 1)
    assert len(batch_jobs.journal(output)) == ROWS + BAD + 1 + BAD


def test_a_run_that_is_killed_at_random_moments_loses_nothing_and_repeats_nothing(through, job, tmp_path):
    """kill -9 after a random number of rows and a random delay, then the same command again."""
    output, rng = tmp_path / "run", random.Random(20261127)
    for _ in range(ROWS // 12):
        wanted = len(batch_jobs.journal(output)) + rng.randint(1, 12)
        process = subprocess.Popen(
            batch_jobs.command(job, output, "--threads", "1"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
            env=batch_jobs.environment(tmp_path / "home"),
        )
        while len(batch_jobs.journal(output)) < wanted and process.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.random() / 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    answer = batch_jobs.run(job, output, "--threads", "1")
    assert (answer["done"], answer["failed"], answer["left"]) == (ROWS, BAD, 0)
    keys = [record["key"] for record in batch_jobs.journal(output)]
    assert len(keys) == len(set(keys)) == ROWS + BAD
    assert len(list((output / "pictures").iterdir())) == ROWS
    assert batch_jobs.pixels(output) == batch_jobs.pixels(through[0])


def own_workflow(tmp_path):
    """The graph of SDEdit under other titles than the pack's."""
    workflow = json.loads(GRAPH.read_text())
    for node in workflow.values():
        if node["class_type"] == "CheckpointLoaderSimple":
            node["inputs"]["ckpt_name"] = batch_jobs.CHECKPOINT
        node["_meta"]["title"] = f"my {node['_meta']['title']}"
    (tmp_path / "mine.json").write_text(json.dumps(workflow))
    return tmp_path / "mine.json"


def run_workflow(tmp_path, output, *options):
    """Run a workflow without the pack's titles, so that every column has to be mapped."""
    words = [word for word in batch_jobs.command(tmp_path / "job.csv", output, *options)]
    for name in ("--method", "--steps", "--size", "--checkpoint"):
        place = words.index(name)
        del words[place : place + 2]
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=tmp_path, env=batch_jobs.environment(tmp_path / "home")
    )
    return json.loads(done.stdout.splitlines()[-1]) | {"said": done.stderr}


def test_a_workflow_of_ones_own_takes_columns_by_a_mapping(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(batch_jobs.picture(number))
    (tmp_path / "job.csv").write_text("photo,words,my Edit.steps\n0.png,a cat,1\n1.png,a dog,many\n")
    options = ["--workflow", str(own_workflow(tmp_path)), "--set", "my Size.megapixels=0.01"]
    mapping = ["--map", "photo=my Image.image", "--map", "words=my Target text.text"]
    answer = run_workflow(tmp_path, tmp_path / "run", *options, *mapping)
    assert (answer["done"], answer["failed"]) == (1, 1), answer
    made, failed = sorted(batch_jobs.journal(tmp_path / "run"), key=lambda record: record["row"])
    assert made["method"] == "workflow"
    assert made["psnr_inside"] > 0
    assert "'many' is not a whole number" in failed["reason"]
