"""Trajectories in memory and, above the limit, on disk: equal bit for bit, and removed with their
inversion.
"""

import ast
import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import types

import calls
import folder_paths
import pytest
import torch

INVERTING = {name: call.inversion for name, call in calls.CALLS.items() if call.inversion is not None}


@pytest.fixture
def temp(tmp_path):
    before = folder_paths.get_temp_directory()
    folder_paths.set_temp_directory(str(tmp_path))
    yield tmp_path
    folder_paths.set_temp_directory(before)


@pytest.mark.parametrize("node", list(INVERTING))
def test_on_disk_as_in_memory(run, pack_module, monkeypatch, temp, node):
    world = calls.World(lambda *a, **k: run(*a, **k).args, "sd3")
    in_memory, mapped = calls.CALLS[node].run(world)[INVERTING[node]], []
    monkeypatch.setattr(pack_module("host.trajectory"), "affordable_bytes", lambda: 0)
    from_file = torch.from_file
    monkeypatch.setattr(torch, "from_file", lambda path, **settings: mapped.append(path) or from_file(path, **settings))
    on_disk = calls.CALLS[node].run(world)[INVERTING[node]]
    assert mapped
    assert all(os.path.dirname(path) == str(temp) for path in mapped)
    assert not os.listdir(temp)
    assert torch.equal(on_disk.states, in_memory.states)
    assert on_disk.states.dtype == in_memory.states.dtype
    if node in ("EDICTInvert", "ExactInvert"):
        sampler = "EDICTSampler" if node == "EDICTInvert" else "ExactSampler"
        ends = []
        for result in (in_memory, on_disk):
            world.made[node] = result
            ends.append(calls.CALLS[sampler].result(calls.CALLS[sampler].run(world)))
        assert torch.equal(*ends)


def test_without_room_anywhere_the_node_says_so(run, pack_module, monkeypatch, temp):
    world = calls.World(lambda *a, **k: run(*a, **k).args)
    monkeypatch.setattr(pack_module("host.trajectory"), "affordable_bytes", lambda: 0)
    monkeypatch.setattr(
        pack_module("host.trajectory").shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=100)
    )
    with pytest.raises(ValueError, match="DDIMInvert: the trajectory of 4 states takes .* use fewer steps"):
        calls.CALLS["DDIMInvert"].run(world)
    assert not os.listdir(temp)


def test_states_leave_the_device_one_by_one(pack_module):
    """An inversion stores copies; the current state may be on any device."""
    kept, state = (
        pack_module("host.trajectory").Trajectory(3, torch.float32, backwards=True),
        torch.ones(2, 4, dtype=torch.float64),
    )
    row = kept(state)
    state += 1
    assert kept.states.shape == (3, 2, 4)
    assert row.dtype == torch.float32
    assert torch.equal(kept.states[2], torch.ones(2, 4))
    assert row.data_ptr() == kept.states[2].data_ptr()


# ---- full disks and killed processes ----

INVERT = """
import os, torch
from lab import common
common.pack_nodes(cpu=True)
import folder_paths
folder_paths.set_temp_directory(os.environ["STATES"])
trajectory = common.pack_module("host.trajectory")
trajectory.affordable_bytes = lambda: 0
kept = []
"""


def in_a_process(code: str, folder) -> subprocess.CompletedProcess:
    """Run ``code`` in a separate Python that has the pack loaded as ``trajectory`` and its states
    in ``folder``.
    """
    pack = pathlib.Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(pack), "STATES": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", INVERT + code], env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def small_disk(tmp_path):
    """8 MiB."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_disk_that_fills_is_an_error_and_not_the_end_of_the_server(small_disk):
    """Two trajectories of 3 and 5 MiB on a disk of 8. Regression: the second one's pages could not
    be written, and the system killed the process.
    """
    result = in_a_process(
        """
for size in (3, 5):
    try:
        states = trajectory.room_for((size, 2 ** 18), torch.float32)
        if size == 3:
            open(os.path.join(os.environ["STATES"], "another program"), "wb").write(bytes(2 ** 20 * 4 // 10))
        kept.append(states)
    except ValueError as error:
        print(error)
for states in kept:
    states.fill_(1)
print("alive", len(kept), sorted(os.listdir(os.environ["STATES"])))
""",
        small_disk,
    )
    assert result.returncode == 0, (result.returncode, result.stderr[-2000:])
    assert (
        "the trajectory of 5 states takes 0.0 GiB; expected at most 0.0 GiB of memory or 0.0 GiB on the disk"
        in result.stdout
    )
    assert result.stdout.strip().endswith("alive 1 ['another program']")  # the failed trajectory left no file


def test_the_space_is_taken_before_anything_is_written(pack_module, temp, monkeypatch):
    trajectory = pack_module("host.trajectory")
    monkeypatch.setattr(trajectory, "affordable_bytes", lambda: 0)
    monkeypatch.setattr(trajectory, "_remove", lambda path: None)
    monkeypatch.setattr(
        os, "unlink", lambda path: (_ for _ in ()).throw(PermissionError(path))
    )  # as on Windows, where a mapped file cannot be removed
    for way in ("reserved", "written"):
        if way == "written":
            monkeypatch.delattr(os, "posix_fallocate", raising=False)
        states = trajectory.room_for((4, 2**20), torch.float32)
        blocks = [file.stat().st_blocks * 512 for file in temp.iterdir() if hasattr(file.stat(), "st_blocks")]
        assert all(size >= states.numel() * 4 for size in blocks), way


@pytest.mark.parametrize(
    "number, words",
    [
        (errno.ENOSPC, "takes .* GiB; expected .* on the disk of ComfyUI's temp folder"),
        (errno.EFBIG, "on the disk of"),
        (errno.EROFS, "cannot be written to ComfyUI's temp folder"),
    ],
)
def test_a_file_that_cannot_be_made_leaves_nothing(pack_module, temp, monkeypatch, number, words):
    trajectory = pack_module("host.trajectory")
    monkeypatch.setattr(trajectory, "affordable_bytes", lambda: 0)

    def refuse(handle, size):
        os.write(handle, b"some")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(trajectory, "_reserve", refuse)
    with pytest.raises(ValueError, match=f"^the trajectory of 4 states .*{words}"):
        trajectory.room_for((4, 2**10), torch.float32)
    assert not os.listdir(temp)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_a_killed_process_leaves_nothing_that_the_next_start_does_not_remove(tmp_path, pack_module):
    """States are unnamed files in ComfyUI's temp folder, whose space is freed with the process. If
    it is killed while a file is created, the file is where ComfyUI cleans up at its start.
    """
    base = tmp_path / "temp"
    killed = in_a_process(
        "kept.append(trajectory.room_for((3, 2 ** 18), torch.float32).fill_(1))\nos.kill(os.getpid(), 9)", base
    )
    assert killed.returncode == -signal.SIGKILL
    assert not os.listdir(base)
    early = in_a_process(
        "trajectory.torch.from_file = lambda *given, **more: os.kill(os.getpid(), 9)\ntrajectory.room_for((3, 2 ** "
        "18), torch.float32)",
        base,
    )
    [left] = os.listdir(base)
    assert early.returncode == -signal.SIGKILL
    assert left.startswith(pack_module("host.trajectory").PREFIX)
    assert left.endswith(".states")
    main = ast.parse(pathlib.Path(os.environ["COMFYUI_PATH"], "main.py").read_text(encoding="utf-8"))
    [cleanup] = [part for part in main.body if isinstance(part, ast.FunctionDef) and part.name == "cleanup_temp"]
    names = {"folder_paths": types.SimpleNamespace(get_temp_directory=lambda: str(base)), "os": os, "shutil": shutil}
    exec(compile(ast.Module([cleanup], []), "main.py", "exec"), names)  # noqa: S102  ComfyUI's own cleanup
    names["cleanup_temp"]()
    assert not base.exists()
