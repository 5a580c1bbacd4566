"""Jobs and runs of `run.py batch` for tests: small pictures, the demo model, few steps."""

import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image

from lab import common

RUN = common.PACK / "run.py"
ROWS = int(os.environ.get("SEMANTIC_EDIT_TEST_BATCH_ROWS", "24"))
BAD = 5
"""Rows of a job that run, and those that cannot."""
CHECKPOINT = "semantic-edit-demo.safetensors"
QUICK = ("--cpu", "--method", "sdedit", "--steps", "1", "--size", "104", "--checkpoint", CHECKPOINT, "--lpips", "none")


def picture(number: int, side: int = 104) -> bytes:
    """A PNG whose pixels depend on the number."""
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    data = io.BytesIO()
    small.resize((side, side), Image.Resampling.BICUBIC).save(data, "PNG")
    return data.getvalue()


def make_job(folder: pathlib.Path, count: int, bad: bool = False) -> pathlib.Path:
    """Write job.jsonl with `count` valid rows; `bad` adds invalid rows between them. Returns its
    path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        (folder / f"{number}.png").write_bytes(picture(number))
        rows.append({"id": f"row/{number}", "image": f"{number}.png", "target": "a red ball on grass", "seed": number})
    if bad:
        (folder / "broken.png").write_bytes(picture(0)[:200])
        rows[5:5] = [
            {"id": "broken", "image": "broken.png", "target": "a cat"},
            {"id": "missing", "image": "nowhere.png", "target": "a cat"},
            {"id": "row/0", "image": "1.png", "target": "a second row of this id"},
            {"id": "steps", "image": "2.png", "target": "a cat", "steps": "many"},
            {"id": "no target", "image": "2.png"},
        ]
    (folder / "job.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / "job.jsonl"


def command(job: pathlib.Path, output: pathlib.Path, *options: str) -> list[str]:
    return [sys.executable, str(RUN), "--json", "batch", str(job), "--output", str(output), *QUICK, *options]


def environment(home: pathlib.Path) -> dict[str, str]:
    places = {"COMFYUI_PATH": str(common.find_comfyui()), "COMFYUI_PYTHON": sys.executable}
    return os.environ | places | {"SEMANTIC_EDIT_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


def run(job: pathlib.Path, output: pathlib.Path, *options: str, home: pathlib.Path | None = None) -> dict:
    """Run a job to its end; returns the JSON answer, with stderr under "said"."""
    done = subprocess.run(
        command(job, output, *options),
        capture_output=True,
        text=True,
        timeout=1200,
        cwd=output.parent,
        env=environment(home or output.parent / "home"),
    )
    assert done.stdout.strip(), done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1]) | {"said": done.stderr}


def journal(output: pathlib.Path) -> list[dict]:
    path = output / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def pixels(output: pathlib.Path) -> dict[str, bytes]:
    """The pixels of every edit by its row's id."""
    result = {}
    for record in journal(output):
        if record["status"] == "done":
            with Image.open(output / record["picture"]) as file:
                result[record["id"]] = np.asarray(file).tobytes()
    return result
