"""Trajectories in memory and, past the limit, on disk: the same to the bit, and gone when they are."""
import os
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
def test_on_disk_as_in_memory(run, room, monkeypatch, temp, node):
    world = calls.World(lambda *a, **k: run(*a, **k).args, "sd3")
    in_memory, mapped = calls.CALLS[node].run(world)[INVERTING[node]], []
    monkeypatch.setattr(room("host.trajectory"), "affordable_bytes", lambda: 0)
    from_file = torch.from_file
    monkeypatch.setattr(torch, "from_file", lambda path, **settings: mapped.append(path) or from_file(path, **settings))
    on_disk = calls.CALLS[node].run(world)[INVERTING[node]]
    assert mapped and all(os.path.dirname(path) == str(temp) for path in mapped) and not os.listdir(temp)
    assert torch.equal(on_disk.states, in_memory.states) and on_disk.states.dtype == in_memory.states.dtype
    if node in ("EDICTInvert", "ExactInvert"):
        sampler = "EDICTSampler" if node == "EDICTInvert" else "ExactSampler"
        ends = []
        for found in (in_memory, on_disk):
            world.made[node] = found
            ends.append(calls.CALLS[sampler].result(calls.CALLS[sampler].run(world)))
        assert torch.equal(*ends)


def test_without_room_anywhere_the_node_says_so(run, room, monkeypatch, temp):
    world = calls.World(lambda *a, **k: run(*a, **k).args)
    monkeypatch.setattr(room("host.trajectory"), "affordable_bytes", lambda: 0)
    monkeypatch.setattr(room("host.trajectory").shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=100))
    with pytest.raises(ValueError, match="DDIMInvert: the trajectory of 4 states takes .* take fewer steps"):
        calls.CALLS["DDIMInvert"].run(world)
    assert not os.listdir(temp)


def test_states_leave_the_device_one_by_one(room):
    """What an inversion keeps is a copy: the state that it goes on with may be anywhere."""
    kept, state = room("host.trajectory").Trajectory("DDIMInvert", 3, torch.float32, backwards=True), torch.ones(2, 4, dtype=torch.float64)
    row = kept(state)
    state += 1
    assert kept.states.shape == (3, 2, 4) and row.dtype == torch.float32 and torch.equal(kept.states[2], torch.ones(2, 4)) and row.data_ptr() == kept.states[2].data_ptr()
