"""The parts of one pass through a decoder: the recording, the tail, the memory plan."""

import pytest
import tiny_vaes
import torch


@pytest.fixture
def stages(pack_module):
    return pack_module("edits.background.decoder_stages")


@pytest.fixture
def tails(pack_module):
    return pack_module("edits.background.decoder_tail")


@pytest.fixture
def memory(pack_module):
    return pack_module("edits.background.decoder_memory")


@pytest.fixture
def record(pack_module, stages):
    """``record(vae)``: a recording of a private copy of the decoder on a random latent."""

    def recorded(vae, *shape):
        latent = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        return stages.record(pack_module("host.vae_copy").private_network(vae), latent)

    return recorded


def test_a_recording_holds_the_decode_and_leaves_no_hook(record):
    recording = record(tiny_vaes.taesd(), 1, 4, 8, 8)
    with torch.no_grad():
        assert torch.equal(recording.picture, recording.network.decode(recording.latent))
    heights = [stage.height for stage in recording.stages]
    assert heights == sorted(heights)
    assert (heights[0], heights[-1]) == (8, 64)
    assert recording.runs_once
    assert heights[recording.last_level] == 64
    assert heights[recording.last_level - 1] == 32
    assert not any(module._forward_hooks for module in recording.network.modules())


@pytest.mark.parametrize(
    "family, shape", [("TAESD", (1, 4, 4, 4)), ("AutoencoderKL", (1, 4, 4, 4)), ("Flux", (1, 16, 4, 4))]
)
def test_a_tail_gives_the_decoders_picture_after_every_level(record, tails, family, shape):
    recording = record(tiny_vaes.FAMILIES[family](), *shape)
    for index in (recording.last_level - 1, recording.last_level):
        tail, notes = tails.cut(recording, index)
        assert notes == []
        with torch.no_grad():
            assert torch.allclose(tail.decode(tail.head()), recording.picture, atol=1e-5)


def test_a_decoder_that_runs_frame_by_frame_has_no_tail(record, tails):
    recording = record(tiny_vaes.wan(), 1, 16, 2, 4, 4)
    assert not recording.runs_once
    assert tails.cut(recording, recording.last_level) == (None, [])


def test_there_is_no_tail_before_the_first_and_after_the_last_stage(record, tails):
    recording = record(tiny_vaes.taesd(), 1, 4, 4, 4)
    assert tails.cut(recording, -1) == (None, [])
    assert tails.cut(recording, len(recording.stages) - 1) == (None, [])


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (12, 12), (13, 4)])
def test_tiles_cover_every_pixel_once_and_lie_in_what_their_features_decode_to(memory, shape):
    """With a decoder that repeats every feature, the tiles together are the picture."""
    scale, features = 3, torch.arange(shape[0] * shape[1]).reshape(shape)
    picture = features.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    result, count = torch.zeros_like(picture), torch.zeros_like(picture)
    for window in memory.tiles(shape, 4, 2, scale):
        piece = features[window.features].repeat_interleave(scale, 0).repeat_interleave(scale, 1)
        result[window.pixels] = piece[window.inner]
        count[window.pixels] += 1
    assert torch.equal(result, picture)
    assert (count == 1).all()


@pytest.mark.parametrize(
    "size, wanted, kind",
    [
        (4, "auto", "off"),
        (4, "off", "off"),
        (4, "tiles", "checkpointing"),
        (4, "checkpointing", "checkpointing"),
        (8, "auto", "tiles"),
        (8, "off", "off"),
        (8, "tiles", "tiles"),
        (8, "checkpointing", "checkpointing"),
    ],
)
def test_which_plan_is_made(record, tails, memory, monkeypatch, size, wanted, kind):
    monkeypatch.setattr(memory, "TILE", 24)
    recording = record(tiny_vaes.taesd(), 1, 4, size, size)
    tail, _ = tails.cut(recording, recording.last_level - 1)
    plan = memory.plan_memory(wanted, recording, tail, cached=False)
    assert plan.kind == kind
    assert len(plan.windows) == (9 if kind == "tiles" else 0)
    assert bool(plan.recomputed) == (kind != "off")
    plan.release()
    assert not plan.recomputed


def test_release_leaves_forwards_of_instances_as_they_were(record, memory):
    """Regression: a forward that a patch had set on a block was lost with the checkpointing."""
    recording = record(tiny_vaes.taesd(), 1, 4, 4, 4)
    patched = next(stage.module for stage in recording.stages if any(True for _ in stage.module.parameters()))
    own = patched.forward = patched.forward
    plan = memory.plan_memory("checkpointing", recording, None, cached=False)
    assert any("forward" in stage.module.__dict__ for stage in recording.stages if stage.module is not patched)
    plan.release()
    assert patched.__dict__["forward"] is own
    assert not any("forward" in stage.module.__dict__ for stage in recording.stages if stage.module is not patched)
