"""`run.py edit` with invalid input, a failing ComfyUI, and termination by a signal."""

import os
import signal
import socket
import sys

import pytest
from live_processes import alive, gone, needs_signals
from PIL import Image

from cli.server import free_port


@pytest.mark.parametrize(
    "mode, words",
    [
        ("dies", ["ComfyUI stopped by itself (exit code 7)", "MemoryError: no memory for tensors"]),
        ("dies at start", ["ComfyUI stopped by itself (exit code 1)", "No module named 'einops'"]),
        ("port taken", ["Port", "was taken by another program"]),
        ("node error", ["The node 'Image' (LoadImage, id 2) failed: ValueError: expected 4 channels, got 3"]),
        (
            "refuses",
            [
                "node 'Model' (CheckpointLoaderSimple, id 1), input 'steps': Value 20000 bigger than max",
                "input 'sampler': Value not in list: sampler: 'x'",
            ],
        ),
        ("no pack", ["no node of the type DiffEditMask", "(IMPORT FAILED): semantic-edit"]),
        ("no picture", ["returned no edited image"]),
    ],
)
def test_what_goes_wrong_in_comfyui_is_told(cli, mode, words):
    done = cli("edit", "--cpu", FAKE_COMFYUI=mode)
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr
    assert not (cli.work / "semantic-edit-output" / "edited.png").exists()
    assert gone([cli.recorded("start.json")["pid"]])
    assert cli.left_runs() == []


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--image", "none.png", "--source", "a", "--target", "b"], "none.png: no such file"),
        (["--image", "text.png", "--source", "a", "--target", "b"], "text.png is not a readable image"),
        (["--image", "ok.png", "--source", "a"], "--target is missing"),
        (["--image", "ok.png", "--target", "b"], "--source is missing"),
        (["--mask", "none.png"], "none.png: no such file"),
        (["--mask", "tall.png"], "another aspect ratio"),
        (["--method", "sdedit", "--threshold", "0.3"], "--threshold can only be used with --method diffedit"),
    ],
)
def test_wrong_input_is_answered_before_anything_starts(cli, arguments, words):
    (cli.work / "text.png").write_text("this is no picture")
    Image.new("RGB", (64, 48)).save(cli.work / "ok.png")
    Image.new("L", (10, 480)).save(cli.work / "tall.png")
    done = cli("edit", *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert not (cli.record / "start.json").exists()


def test_numbers_outside_their_limits_are_refused(cli):
    done = cli("edit", "--strength", "1.5")
    assert done.returncode == 2
    assert "'1.5' is not a number from 0.0 to 1.0" in done.stderr


def test_an_unknown_checkpoint_is_answered_with_the_known_ones(cli):
    done = cli("edit", "--cpu", "--checkpoint", "nope.safetensors")
    assert done.returncode == 1
    assert "nope.safetensors" in done.stderr
    assert "semantic-edit-demo.safetensors, other.safetensors" in done.stderr


def test_a_port_that_is_taken(cli):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = cli("ui", "--cpu", "--no-browser", "--port", port)
    assert done.returncode == 1
    assert f"Port {port} is used by another program" in done.stderr


def test_a_comfyui_that_someone_else_started_on_the_port_is_not_used(cli):
    done = cli("edit", "--cpu", FAKE_COMFYUI="another has the port")
    assert done.returncode == 0, done.stderr
    assert "was taken by another program; trying another one" in done.stderr
    assert cli.left_runs() == []


def test_a_chosen_port_that_another_comfyui_took_meanwhile_is_told(cli):
    done = cli("ui", "--cpu", "--no-browser", "--port", free_port(), FAKE_COMFYUI="another has the port")
    assert done.returncode == 1
    assert "was taken by another program while ComfyUI started" in done.stderr
    assert gone([cli.recorded("start.json")["pid"]])
    assert cli.left_runs() == []


def test_a_wrong_comfyui_path(cli):
    done = cli("edit", COMFYUI_PATH=str(cli.work))
    assert done.returncode == 1
    assert "which is not ComfyUI" in done.stderr
    assert "main.py" in done.stderr


@pytest.mark.parametrize("kind", ["absent", "no python", "no torch"])
def test_an_unusable_comfyui_python(cli, kind):
    given = cli.work / "python"
    if kind == "no python":
        given.write_text("not a program")
    elif kind == "no torch":
        if os.name == "nt":
            pytest.skip("a shell script stands in for Python")
        given.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
        given.chmod(0o755)
    done = cli("edit", COMFYUI_PYTHON=str(given))
    assert done.returncode == 1
    assert f"COMFYUI_PYTHON is {given}" in done.stderr
    assert "cannot be used" in done.stderr


@needs_signals
@pytest.mark.parametrize(
    "number, code, words", [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_ctrl_c_and_termination_stop_the_whole_tree(cli, number, code, words):
    process = cli.start("edit", "--cpu", FAKE_COMFYUI="hangs")
    pids = cli.recorded("pids.json", patience=120)
    assert all(map(alive, pids))
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert words in err
    assert "Traceback" not in err
    assert gone(pids)
    assert cli.left_runs() == []
