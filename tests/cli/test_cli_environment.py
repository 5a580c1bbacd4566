"""The private environment's steps, downloads and locks, and the messages when they fail. Nothing is
installed here.
"""

import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import pytest

from cli import __main__ as commands
from cli import environment, files, install, scripts
from cli.console import Problem

# ---- places ----


def test_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SEMANTIC_EDIT_HOME", str(tmp_path))
    assert files.home_folder() == tmp_path
    monkeypatch.delenv("SEMANTIC_EDIT_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    if sys.platform != "darwin":
        assert files.home_folder() == tmp_path / "cache" / "semantic-edit"


def test_environment_is_named_by_its_pins(run, home, monkeypatch):
    before = run.PrivateHome().folder
    assert before.parent == home
    assert run.PrivateHome().folder == before
    monkeypatch.setenv("SEMANTIC_EDIT_TORCH", "cu130")
    assert run.PrivateHome().folder != before
    monkeypatch.delenv("SEMANTIC_EDIT_TORCH")
    monkeypatch.setattr(run, "lock_digest", lambda *names: "another")
    assert run.PrivateHome().folder != before


def test_the_pinned_tree_is_the_one_that_runs_here(run):
    tree = pathlib.Path(os.environ["COMFYUI_PATH"])
    if f'"{run.COMFYUI_VERSION}"' not in (tree / "comfyui_version.py").read_text():
        pytest.skip("the tests run with another release")
    assert install.difference(tree, install.comfyui_files()) == ""


def test_python_of_a_users_comfyui_is_found(home, tmp_path, monkeypatch):
    tree = tmp_path / "ComfyUI"
    own = files.venv_python(tree / "venv")
    own.parent.mkdir(parents=True)
    own.touch()
    monkeypatch.setattr(environment, "unusable", lambda python: "" if python == own else "it has no torch")
    assert environment.user_python(tree) == own
    monkeypatch.setattr(environment, "unusable", lambda python: "it has no torch")
    with pytest.raises(Problem, match="Set COMFYUI_PYTHON"):
        environment.user_python(tree)


def test_torchs_threads_sleep_soon_unless_the_user_decides(monkeypatch, tmp_path):
    made = environment.Environment(tmp_path / "python", tmp_path, private=True)
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    assert made.variables()["GOMP_SPINCOUNT"] == environment.SPINS
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert made.variables()["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert "GOMP_SPINCOUNT" not in made.variables()


def test_packages_of_an_extra(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(
        '[project.optional-dependencies]\ntest = [\n  "a>=1",\n  "b[c]",\n]\nbench = ["c"]\n'
    )
    monkeypatch.setattr(scripts, "ROOT", tmp_path)
    assert scripts.extra_packages("test") == ["a>=1", "b[c]"]
    assert scripts.extra_packages("bench") == ["c"]
    assert scripts.extra_packages("none") == []


@pytest.mark.parametrize(
    ("arguments", "cores", "expected"),
    [
        ("", 2, "-n 3 --dist loadfile"),
        ("-q tests/edits -k edict", 4, "-n 5 --dist loadfile"),
        ("", 64, "-n 8 --dist loadfile"),
        ("", 1, ""),
        ("tests/edits/test_edict_nodes.py", 2, ""),
        ("tests/edits/test_edict_nodes.py::test_x", 2, ""),
        ("-n 3", 2, ""),
        ("-nauto", 2, ""),
        ("--dist=load -n0", 2, ""),
        ("-p no:xdist", 2, ""),
        ("--pdb -x", 2, ""),
        ("-s", 2, ""),
        ("--no-header -x", 2, "-n 3 --dist loadfile"),
    ],
)
def test_the_suite_runs_on_all_cores_unless_the_arguments_choose(monkeypatch, arguments, cores, expected):
    monkeypatch.setattr(scripts, "installed", lambda package: True)
    monkeypatch.setattr(scripts.os, "cpu_count", lambda: cores)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    assert " ".join(scripts.side_by_side(arguments.split())) == expected
    monkeypatch.setenv("PYTEST_ADDOPTS", arguments)
    assert " ".join(scripts.side_by_side([])) == expected


def test_the_suite_runs_in_one_process_without_xdist(monkeypatch):
    monkeypatch.setattr(scripts, "installed", lambda package: package != "pytest-xdist")
    assert scripts.side_by_side([]) == []


# ---- steps ----


def test_steps_are_done_once_and_shown(private, capsys):
    private.prepare(private.test_steps)
    assert private.done == ["one", "two", "three"]
    shown = capsys.readouterr().err
    assert "[2/3] two ..." in shown
    assert "[3/3] three: done in" in shown
    private.prepare(private.test_steps)
    assert private.done == ["one", "two", "three"]
    assert capsys.readouterr().err == ""


def test_an_interrupted_step_is_done_again_and_the_finished_are_not(run, private):
    def interrupt():
        raise KeyboardInterrupt

    broken = [private.test_steps[0], run.Step("two", "two", interrupt), private.test_steps[2]]
    with pytest.raises(KeyboardInterrupt):
        private.prepare(broken)
    private.prepare(private.test_steps)
    assert private.done == ["one", "two", "three"]


def test_everything_is_done_again_when_python_is_gone(private):
    private.prepare(private.test_steps)
    shutil.rmtree(private.venv)
    private.prepare(private.test_steps)
    assert private.done == ["one", "two", "three"] * 2


def test_two_runs_at_once_take_turns(run, private, capsys):
    holder = (
        "import pathlib, sys, time\nfrom cli.files import Lock\n"
        "lock = Lock(pathlib.Path(sys.argv[1]))\nassert lock.try_acquire()\nprint('held', flush=True)\ntime.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(private.folder / "lock")], stdout=subprocess.PIPE, text=True, cwd=files.ROOT
    )
    try:
        assert process.stdout.readline() == "held\n"
        waiting = threading.Thread(target=private.prepare, args=(private.test_steps,))
        waiting.start()
        time.sleep(0.7)
        assert private.done == []
        assert waiting.is_alive()
    finally:
        process.kill()  # the lock is released when its holder ends, however that happens
        process.communicate()
    waiting.join(60)
    assert private.done == ["one", "two", "three"]
    assert "another run is preparing" in capsys.readouterr().err


# ---- disks and links ----


def inside(run, monkeypatch, command) -> int:
    """The exit code of `edit` as run by the environment's Python, with this command in its place."""
    monkeypatch.setitem(commands.COMMANDS, "edit", command)
    monkeypatch.setenv(environment.INSIDE, json.dumps({"comfyui": "ComfyUI", "private": False}))
    monkeypatch.setattr(run, "catch_signals", lambda: None)
    return run.main(["edit"])


def test_a_full_disk_is_told(run, monkeypatch, tmp_path, capsys):
    def full(options, environment):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "edited.png"))

    assert inside(run, monkeypatch, full) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: The disk is full ({tmp_path / 'edited.png'}). Free some space")


def test_too_small_a_disk_is_told_before_the_download(run, home, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1_000_000_000))
    with pytest.raises(Problem, match="1.00 GB free; the environment needs about"):
        install.check_free_space(tmp_path)


def test_a_mistake_in_run_is_reported_without_a_traceback(run, home, monkeypatch, capsys):
    assert inside(run, monkeypatch, lambda options, environment: 1 / 0) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "Traceback" not in said
    assert "Traceback" in (home / "last-error.txt").read_text()
