"""Batches and shapes: N pictures and M masks, latents of every size, masks of any kind, and items
that do not depend on the rest of their batch.
"""

import collections

import calls
import pytest
import tiny_models
import torch

NODES = list(calls.CALLS)
TEXTED = [name for name in NODES if name not in ("EDICTSampler", "ExactSampler", "ProgressiveMaskShrink")]
MASKED = [name for name, call in calls.CALLS.items() if call.takes_mask]


@pytest.fixture(autouse=True)
def forget(pack_module):
    pack_module("edits.masks.contrast").RECENT.clear()


def masks(count, size=(8, 8)):
    """``count`` hard masks, each with a different half set."""
    made = torch.zeros(count, *size)
    for k in range(count):
        made[k, ..., k % size[1] :] = 1
    return made


@pytest.mark.parametrize("node", NODES)
def test_items_equal_their_single_runs_bit_for_bit_where_the_network_does(run, node):
    """The analytic network evaluates each item separately."""
    batch, call = calls.World(lambda *a, **k: run(*a, **k).args, count=3), calls.CALLS[node]
    together = call.result(call.run(batch))
    for k in range(3):
        assert torch.equal(together[k : k + 1], call.result(call.run(batch.item(k)))), k


def listening(model, answer):
    """A copy of ``model`` whose network's output is ``answer(network, x, rest)``; ``rest`` has the
    timesteps and the conditioning.
    """
    made = model.clone()
    made.set_model_unet_function_wrapper(
        lambda network, given: answer(
            lambda x, rest: network(x, rest["timestep"], **rest["c"]),
            given["input"],
            {"timestep": given["timestep"], "c": given["c"]},
        )
    )
    return made


def row_by_row(network, x, rest):
    """The network's output for each row in a separate call, so that no row can depend on another."""

    def row(value, k):
        if isinstance(value, dict):
            return {key: row(inner, k) for key, inner in value.items()}
        return (
            value[k : k + 1].clone()
            if isinstance(value, torch.Tensor) and value.ndim and value.shape[0] == len(x)
            else value
        )

    return torch.cat([network(row(x, k), row(rest, k)) for k in range(len(x))])


def guided(node, cfg):
    """The node's inputs that set its guidance, added to its valid call; DiffEditMask has none, and
    its ranks would hide or amplify rounding.
    """
    return {
        "DiffEditMask": {"normalisation": "clamp"},
        "FlowEdit": {"source_cfg": cfg, "target_cfg": cfg},
        "ProgressiveMaskShrink": {},
    }.get(node, {"cfg": cfg})


def with_negative(call, world, **changes):
    negative = {"negative": world.empty} if call.node == "DDIMInvert" else {}
    return call.result(call.run(world, **negative, **changes))


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("family", ["sd15", "wan"])
@pytest.mark.parametrize("node", NODES)
def test_items_equal_their_single_runs_bit_for_bit_where_the_network_answers_row_by_row(run, node, family, cfg):
    """Hence neither the pack's arithmetic nor its use of ComfyUI depends on the rest of the batch."""
    batch, call = calls.World(lambda *a, **k: run(*a, **k).args, family, count=2), calls.CALLS[node]
    batch.model = listening(batch.model, row_by_row)
    together, frames = with_negative(call, batch, **guided(node, cfg)), tiny_models.FAMILIES[family].frames or 1
    for k in range(2):
        alone = with_negative(call, batch.item(k), **guided(node, cfg))
        assert torch.equal(
            together[k * frames : (k + 1) * frames] if node == "DiffEditMask" else together[k : k + 1], alone
        ), k


@pytest.mark.parametrize("family", ["sd15", "wan"])
@pytest.mark.parametrize("node", [name for name in NODES if name != "ProgressiveMaskShrink"])
def test_batch_mates_do_no_more_than_the_networks_own_roundings(run, node, family):
    """A network's output for a row differs by float32 rounding with the number of rows in the
    batch. A method amplifies that like any noise of that size in the outputs (O-BELM most: its
    inversion divides by the ratio of successive steps), and so do the network's later evaluations.
    The result must not differ by more.
    """
    batch, call = calls.World(lambda *a, **k: run(*a, **k).args, family, count=2), calls.CALLS[node]
    network, frames, roundings = batch.model, tiny_models.FAMILIES[family].frames or 1, collections.defaultdict(float)

    def compared(network, x, rest):
        full, rows = network(x, rest), row_by_row(network, x, rest)
        level, apart = (
            float(rest["timestep"][0]),
            (full - rows).flatten(1).norm(dim=1) / (x - rows).flatten(1).norm(dim=1),
        )
        roundings[level] = max(roundings[level], float(apart.max()))
        return full

    def noisy(network, x, rest):
        answer = network(x, rest)
        noise = torch.randn(answer.shape, generator=generator, dtype=answer.dtype)
        return answer + roundings[float(rest["timestep"][0])] * (x - answer).norm() * noise / noise.norm()

    batch.model = listening(network, compared)
    together = with_negative(call, batch, **guided(node, 3.0)).double()
    assert max(roundings.values()) < 1e-4
    for k in range(2):
        single, generator = batch.item(k), torch.Generator().manual_seed(k)
        single.model = network
        alone = with_negative(call, single, **guided(node, 3.0)).double()
        single.model, single.made = listening(network, noisy), {}
        shaken = with_negative(call, single, **guided(node, 3.0)).double()
        rows = together[k * frames : (k + 1) * frames] if node == "DiffEditMask" else together[k : k + 1]
        assert (rows - alone).norm() < 2 * (shaken - alone).norm() + 1e-7 * alone.norm(), (
            k
        )  # measured: 0.4 to 0.8 of it


@pytest.mark.parametrize("node", TEXTED)
def test_one_text_for_each_picture(run, node):
    """A CONDITIONING of N rows belongs to N pictures, row by row, as in KSampler."""
    batch, call = calls.World(lambda *a, **k: run(*a, **k).args, count=2), calls.CALLS[node]
    texts = [batch.target, batch.empty]
    batch.target = [
        [
            torch.cat([text[0][0] for text in texts]),
            {"pooled_output": torch.cat([text[0][1]["pooled_output"] for text in texts])},
        ]
    ]
    if node.endswith("Invert"):
        batch.source = batch.target
    together = call.result(call.run(batch))
    for k in range(2):
        alone = batch.item(k)
        alone.target = texts[k]
        alone.source = texts[k] if node.endswith("Invert") else batch.source
        assert torch.equal(together[k : k + 1], call.result(call.run(alone))), k


@pytest.mark.parametrize("sampler", ["ddim", "euler_ancestral"])
def test_one_text_for_each_picture_and_many_predictions(run, sampler):
    batch, call = calls.World(lambda *a, **k: run(*a, **k).args, count=2), calls.CALLS["LatentBlendSampler"]
    texts = [batch.target, batch.empty]
    batch.target = [
        [
            torch.cat([text[0][0] for text in texts]),
            {"pooled_output": torch.cat([text[0][1]["pooled_output"] for text in texts])},
        ]
    ]
    together = call.result(call.run(batch, predictions=3, seed=5, sampler_name=sampler))
    for row, k in enumerate((0, 0, 0, 1, 1, 1)):
        alone = batch.item(k)
        alone.target, alone.latent["batch_index"] = texts[k], [0]
        assert torch.equal(together[row : row + 1], call.result(call.run(alone, seed=5 + row, sampler_name=sampler))), (
            row
        )


@pytest.mark.parametrize("node", MASKED)
@pytest.mark.parametrize("pictures, count", [(1, 1), (3, 1), (3, 3)])
def test_masks_go_to_their_pictures(run, node, pictures, count):
    world, call = calls.World(lambda *a, **k: run(*a, **k).args, count=pictures), calls.CALLS[node]
    given = masks(count)
    edited, source = call.result(call.run(world, mask=given)), world.latent["samples"]
    for k in range(pictures):
        kept = given[k % count] == 0
        assert torch.equal(edited[k][:, kept], source[k][:, kept])
        assert (edited[k] - source[k])[:, ~kept].abs().max() > 0


@pytest.mark.parametrize("node", MASKED)
@pytest.mark.parametrize("pictures, count", [(1, 2), (3, 2), (2, 3)])
def test_any_other_number_of_masks_is_refused_with_both_numbers(run, node, pictures, count):
    world, call = calls.World(lambda *a, **k: run(*a, **k).args, count=pictures), calls.CALLS[node]
    taken = "1" if pictures == 1 else f"1 or {pictures}"
    with pytest.raises(ValueError, match=f"{node}: got {count} masks for {pictures} latents; give {taken}\\."):
        call.run(world, mask=masks(count))


@pytest.mark.parametrize("node", MASKED)
@pytest.mark.parametrize("family, count", [("wan", 3), ("wan", 6), ("qwen_image", 2)])
def test_video_masks(run, node, family, count):
    """One mask for each frame, or for each frame of each video."""
    world, call, frames = (
        calls.World(lambda *a, **k: run(*a, **k).args, family, count=2),
        calls.CALLS[node],
        tiny_models.FAMILIES[family].frames,
    )
    given = masks(count)
    edited, source = call.result(call.run(world, mask=given)), world.latent["samples"]
    for k in range(2):
        for frame in range(frames):
            kept = given[(k * frames + frame) % count] == 0
            assert torch.equal(edited[k, :, frame][:, kept], source[k, :, frame][:, kept])


@pytest.mark.parametrize("node", MASKED)
@pytest.mark.parametrize("shape", [(64, 64), (8, 8), (100, 37), (3, 3), (1, 1), (1024, 5)])
def test_masks_of_any_size_and_rank(run, node, shape):
    world, call = calls.World(lambda *a, **k: run(*a, **k).args), calls.CALLS[node]
    mask = torch.zeros(shape)
    mask[shape[0] // 2 :] = 1
    results = [call.result(call.run(world, mask=mask.reshape(*leading, *shape))) for leading in ((), (1,), (1, 1))]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    kept = shape[0] > 1
    assert torch.equal(results[0][..., :4, :], world.latent["samples"][..., :4, :]) == (kept and shape[0] != 3)
    assert not torch.equal(results[0], world.latent["samples"])


@pytest.mark.parametrize("node", MASKED)
def test_soft_inverted_empty_and_full_masks(run, node):
    world, call = calls.World(lambda *a, **k: run(*a, **k).args), calls.CALLS[node]
    source, hard = world.latent["samples"], world.mask
    full, empty, soft = (call.result(call.run(world, mask=torch.full((1, 8, 8), value))) for value in (1.0, 0.0, 0.5))
    assert torch.equal(empty, source)
    assert not torch.equal(full, source)
    assert 0 < (soft - source).norm() < (full - source).norm()
    one, other = call.result(call.run(world, mask=hard)), call.result(call.run(world, mask=1 - hard))
    kept = (hard == 0).expand_as(source[0])
    assert torch.equal(one[0][kept], source[0][kept])
    assert torch.equal(other[0][~kept], source[0][~kept])
    # The analytic network works cell by cell, so each half equals that of an edit without a mask.
    assert torch.allclose(one[0][~kept], full[0][~kept], atol=1e-5)
    assert torch.allclose(other[0][kept], full[0][kept], atol=1e-5)


@pytest.mark.parametrize("node", MASKED)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_masks_that_are_not_numbers_are_refused(run, node, value):
    world = calls.World(lambda *a, **k: run(*a, **k).args)
    with pytest.raises(ValueError, match=f"{node}: the mask contains NaN or infinite values"):
        calls.CALLS[node].run(world, mask=torch.full((1, 8, 8), value))
