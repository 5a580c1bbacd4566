"""LATENTs of every size and precision, with keys of other packs, and pictures with alpha."""

import calls
import pytest
import torch

NODES = list(calls.CALLS)
MASKED = [name for name, call in calls.CALLS.items() if call.takes_mask]
SIZES = [(7, 9), (1, 3), (13, 2)]


@pytest.mark.parametrize(
    "family, sizes",
    [
        ("sd15", SIZES),
        ("sd3", SIZES),
        ("flux2", SIZES[:1]),
        ("lumina", SIZES[:2]),
        ("qwen_image", SIZES),
        ("wan", SIZES),
    ],
)
@pytest.mark.parametrize("node", NODES)
def test_latents_of_every_size(run, node, family, sizes):
    for size in sizes:
        world, call = calls.World(lambda *a, **k: run(*a, **k).args, family, size=size), calls.CALLS[node]
        result = call.result(call.run(world))
        assert torch.isfinite(result).all()
        if node != "DiffEditMask":
            assert result.shape[-2:] == size
        if node in MASKED and size[1] > 1:
            assert torch.equal(result[..., : size[1] // 2], world.latent["samples"][..., : size[1] // 2])


def test_a_picture_with_alpha_under_the_mask(run):
    world = calls.World(lambda *a, **k: run(*a, **k).args, count=2)
    for picture in (torch.rand(2, 64, 64, 4), torch.rand(1, 40, 24, 4), torch.rand(2, 64, 64, 3)):
        assert torch.isfinite(calls.CALLS["DiffEditMask"].run(world, image=picture)[0]).all()


INVERTING = ("DDIMInvert", "EDICTInvert", "ExactInvert", "EditFriendlyInvert")
"""Their LATENT is noise, so that other packs' keys for the picture do not apply to it."""


@pytest.mark.parametrize("node", NODES)
def test_other_keys_of_a_latent_go_through(run, node):
    """A foreign key of a LATENT is in the output too, unless the latent is inverted; the inputs are
    unchanged.
    """
    world, call = calls.World(lambda *a, **k: run(*a, **k).args), calls.CALLS[node]
    world.latent |= {"note": "kept", "downscale_ratio_spacial": 8}
    before = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in world.latent.items()}
    outputs = call.run(world)
    assert set(world.latent) == set(before)
    assert torch.equal(world.latent["samples"], before["samples"])
    for output in outputs:
        if isinstance(output, dict) and "samples" in output:
            assert output.get("note") == (None if node in INVERTING else "kept")
            assert output is not world.latent


@pytest.mark.parametrize("node", NODES)
def test_half_precision_latents(run, node):
    world, call = calls.World(lambda *a, **k: run(*a, **k).args), calls.CALLS[node]
    world.latent["samples"] = world.latent["samples"].half()
    assert torch.isfinite(call.result(call.run(world)).float()).all()
