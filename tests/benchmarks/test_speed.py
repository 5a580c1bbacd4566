"""The benchmarks of speed on the smallest networks: what they count, that they resume, how growth is
summarised.
"""

import json

import comfy.model_management
import pytest

from benchmarks import diffusers_peer, growth, peers

SMALL = ["--width", "32", "--side", "64", "--steps", "5", "--noises", "2"]


def test_the_nodes_ask_no_more_than_their_peers(tmp_path, capsys):
    file = tmp_path / "peers.json"
    [round_] = peers.main([*SMALL, "--rounds", "1", "--json", str(file)])
    counts = {name: spent["evaluations"] for name, spent in round_["spent"].items()}
    assert counts["ours"] == counts["peer"] == 2 * 5
    assert [counts[f"ours {stage}"] for stage in peers.STAGES] == [2 * 2, 4, 2 * 4]
    if diffusers_peer.version():
        assert [counts[f"peer {stage}"] for stage in peers.STAGES] == [4 * 2, 4, 2 * 4]
        assert round_["apart"] < 1e-4
    else:
        assert "diffusers: it is not installed" in capsys.readouterr().out
    assert all(0 < spent["network"] < spent["seconds"] for spent in round_["spent"].values())
    first = json.loads(file.read_text())["records"]
    rounds = peers.main([*SMALL, "--rounds", "2", "--json", str(file)])
    assert rounds[:1] == first
    assert len(rounds) == 2


def test_growth_of_every_node_is_measured_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(comfy.model_management, "get_free_memory", comfy.model_management.get_free_memory)
    file, plots = tmp_path / "growth.json", tmp_path / "growth"
    points = growth.main(["--quick", "--width", "32", "--vary", "steps", "--json", str(file), "--plots", str(plots)])
    by = {point["node"]: point for point in points}
    assert list(by) == [name for name in growth.NODES if name != "DiffEditMask"]
    asked = {name: 2 for name in ("KSampler", "LatentBlendSampler", "ProgressiveMaskShrink")}
    asked |= {"DDIMInvert": 1, "EDICTInvert": 4, "EDICTSampler": 4, "FlowEdit": 4}
    for name, point in by.items():
        assert point["evaluations"] == [asked[name] * steps for steps in (2, 4)]
        assert point["peak_growth"] < 1.2
    assert {path.name for path in tmp_path.iterdir()} >= {"growth-time.png", "growth-memory.svg"}
    records = json.loads(file.read_text())["records"]
    growth.main(["--quick", "--width", "32", "--vary", "steps", "--json", str(file)])
    assert json.loads(file.read_text())["records"] == records


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_found(power):
    amounts = [4, 8, 16, 32]
    assert growth.exponent(amounts, [3 * value**power for value in amounts]) == pytest.approx(power)
