"""Faults found in real use of run.py: lost files, wrong masks, pipes, invalid workflow files,
killed runs.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from cli import processes, workflow
from cli.files import Lock, sha256_of

posix_only = pytest.mark.skipif(os.name == "nt", reason="signals, pipes and shell scripts as POSIX systems have them")
GRAPH = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8}, "_meta": None},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
}


def is_alive(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return not os.path.isdir("/proc/self")
    return state != "Z"


def wait_until(condition, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


# -- the user's files ----------------------------------------------------------------------------


def test_the_persons_files_in_the_output_folder_stay(cli):
    names = ("mask.png", "heatmap.png", "edited.png", "overview.png", "edit.json")
    for name in names:
        (cli.work / name).write_bytes(name.encode())
    done = cli("edit", "--cpu", "--method", "sdedit", "--output", ".")
    assert done.returncode == 0, done.stderr
    assert [(cli.work / name).read_bytes() for name in names] == [name.encode() for name in names]
    assert sorted(done.stdout.split()) == ["edited-2.png", "overview-2.png"]
    report = json.loads((cli.work / "edit-2.json").read_text())
    assert report["files"] == {name: sha256_of(cli.work / name) for name in ("edited-2.png", "overview-2.png")}


def test_earlier_results_are_replaced_but_not_those_that_were_changed(cli):
    output = cli.work / "out"
    assert cli("edit", "--cpu", "--output", "out").returncode == 0
    first = sorted(path.name for path in output.iterdir())
    assert cli("edit", "--cpu", "--output", "out").returncode == 0
    assert sorted(path.name for path in output.iterdir()) == first
    (output / "mask.png").write_bytes(b"painted on by hand")
    assert cli("edit", "--cpu", "--output", "out", "--method", "sdedit").returncode == 0
    assert (output / "mask.png").read_bytes() == b"painted on by hand"
    assert (output / "edited-2.png").is_file()


def test_a_picture_that_is_edited_is_not_overwritten_by_its_edit(cli):
    assert cli("edit", "--cpu").returncode == 0
    image = cli.work / "semantic-edit-output" / "edited.png"
    Image.new("RGB", (16, 16), "green").save(cli.work / "elsewhere.png")
    before = image.read_bytes()
    texts = ("--source", "a", "--target", "b")
    assert cli("edit", "--cpu", "--image", image, *texts).returncode == 0
    assert image.read_bytes() == before
    assert image.with_name("edited-2.png").is_file()


@pytest.mark.parametrize("command", ["edit", "workflow"])
@pytest.mark.parametrize("output", ["file.txt", "file.txt/deeper", 300 * "x"])
def test_an_unusable_output_is_answered_before_anything_starts(cli, command, output):
    (cli.work / "file.txt").write_text("mine")
    (cli.work / "g.json").write_text(json.dumps(GRAPH))
    arguments = ["g.json"] if command == "workflow" else []
    done = cli(command, *arguments, "--cpu", "--output", output)
    assert done.returncode == 1
    assert f"--output {output} cannot be used" in done.stderr
    assert not (cli.record / "start.json").exists()
    assert sorted(path.name for path in cli.work.iterdir()) == ["file.txt", "g.json"]


def test_a_run_that_fails_leaves_no_empty_folder(cli):
    assert cli("edit", "--cpu", "--output", "a/b", FAKE_COMFYUI="node error").returncode == 1
    assert not (cli.work / "a").exists()


# -- masks ---------------------------------------------------------------------------------------


# -- unsuitable files ----------------------------------------------------------------------------


@posix_only
@pytest.mark.parametrize(
    "arguments",
    [
        ["edit", "--image", "pipe", "--source", "a", "--target", "b"],
        ["edit", "--mask", "pipe"],
        ["edit", "--checkpoint", "pipe"],
        ["workflow", "pipe"],
    ],
)
def test_a_pipe_is_refused_and_not_waited_for(cli, arguments):
    os.mkfifo(cli.work / "pipe")
    process = cli.start(*arguments, "--cpu")
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "pipe is a pipe, socket or device; expected a plain file" in err


@posix_only
def test_kill_9_leaves_nothing_running_after_the_next_run(cli):
    process = cli.start("edit", "--cpu", FAKE_COMFYUI="hangs")
    comfyui, sleeper = cli.recorded("pids.json", patience=120)
    [folder] = cli.left_runs()
    process.kill()
    process.communicate()
    if sys.platform == "linux":
        assert wait_until(lambda: not is_alive(comfyui))
    assert is_alive(sleeper)
    assert folder.exists()
    assert cli("edit", "--cpu").returncode == 0
    assert not is_alive(comfyui)
    assert not is_alive(sleeper)
    assert cli.left_runs() == []


def test_only_processes_of_the_left_run_are_ended(tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    mine, other = (
        subprocess.Popen(command, env=os.environ | {processes.MARK: str(tmp_path / name)})
        for name in ("run-a", "run-b")
    )
    try:
        wait_until(lambda: is_alive(mine.pid) and is_alive(other.pid))
        time.sleep(0.5)
        processes.end_left(tmp_path / "run-a")
        assert mine.poll() is not None
        assert other.poll() is None
    finally:
        for process in (mine, other):
            process.kill()
            process.wait()


@posix_only
def test_pip_that_outlives_its_run_keeps_the_environments_lock(tmp_path):
    slow = tmp_path / "python"
    slow.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 0\ntouch "{tmp_path}/started"\nexec sleep 600\n')
    slow.chmod(0o755)
    script = (
        "import pathlib, sys\nfrom cli import files, install\nfolder = pathlib.Path(sys.argv[1])\n"
        "lock = files.Lock(folder / 'lock')\nlock.try_acquire()\n"
        "install.run_pip(folder / 'python', ['install', 'x'], folder, dict(PATH='/usr/bin:/bin'), lock)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=workflow.ROOT)
    lock = Lock(tmp_path / "lock")
    try:
        assert wait_until((tmp_path / "started").exists)
        holder.kill()
        holder.wait()
        assert not lock.try_acquire()
    finally:
        holder.kill()
        for path in pathlib.Path("/proc").glob("[0-9]*"):  # the sleeping process, identified by its environment
            try:
                if f"TMPDIR={tmp_path}".encode() in (path / "environ").read_bytes().split(b"\0"):
                    os.kill(int(path.name), signal.SIGKILL)
            except OSError:
                continue
    assert wait_until(lock.try_acquire)
    lock.release()


@posix_only
@pytest.mark.parametrize("module", ["tarfile", "aiohttp"])
def test_ctrl_c_during_the_imports_gives_a_line_and_no_traceback(cli, module):
    """tarfile is imported before the environment exists, aiohttp by the environment's Python."""
    slow = cli.folder / "slow"
    slow.mkdir()
    (slow / f"{module}.py").write_text(
        f"import pathlib, time\npathlib.Path({str(cli.record)!r}, 'importing.json').write_text('1')\ntime.sleep(600)\n"
    )
    process = cli.start("edit", "--cpu", PYTHONPATH=str(slow))
    cli.recorded("importing.json", patience=120)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err + out


# -- other ComfyUIs ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["option", "variable"])
def test_the_base_directory_of_the_desktop_app_is_passed_on(cli, way):
    base = cli.folder / "base"
    (base / "models" / "checkpoints").mkdir(parents=True)
    (base / "input").mkdir()
    installed = base / "custom_nodes" / "my-edit"
    installed.parent.mkdir()
    installed.symlink_to(cli.clone, target_is_directory=True)
    option = ["--base-directory", base] if way == "option" else []
    variable = {"COMFYUI_BASE_DIRECTORY": str(base)} if way == "variable" else {}
    done = cli("edit", "--cpu", *option, **variable)
    assert done.returncode == 0, done.stderr
    started = cli.recorded("start.json")
    assert started["argv"][started["argv"].index("--base-directory") + 1] == str(base)
    assert started["packs"] == {}  # the pack is already installed there and is not loaded twice
    Image.new("RGB", (8, 8)).save(base / "input" / "mine.png")
    graph = {"1": {"class_type": "LoadImage", "inputs": {"image": "mine.png"}}}
    (cli.work / "g.json").write_text(json.dumps(graph))
    assert cli("workflow", "g.json", "--cpu", *option, **variable).returncode == 0


def test_a_base_directory_that_is_none_is_told(cli):
    done = cli("edit", "--cpu", "--base-directory", "nowhere")
    assert done.returncode == 1
    assert "--base-directory nowhere is not a folder" in done.stderr
    assert not (cli.record / "start.json").exists()


def test_the_suite_runs_against_another_tree(cli):
    other = cli.folder / "other"
    other.mkdir()
    for name in ("main.py", "comfyui_version.py"):
        (other / name).write_text("")
    (cli.clone / "pyproject.toml").write_text('[project]\nname = "semantic-edit"\n')
    (cli.clone / "tests").mkdir()
    (cli.clone / "tests" / "test_tree.py").write_text(
        f"import os\n\ndef test_tree():\n    assert os.environ['COMFYUI_PATH'] == {str(other)!r}\n"
    )
    done = cli("test", "--comfyui", other, "-q", "-p", "no:cacheprovider", COMFYUI_PATH=None)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "which is not ComfyUI" in cli("test", "--comfyui", cli.work).stderr
