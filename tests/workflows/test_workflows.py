"""The example workflows: ComfyUI accepts them, and with the demo model they have the described
results.
"""

import copy

import pytest
import torch
from graph_runner import Evaluations
from older_comfyui import needs_cfg_override, runnable
from workflow_graphs import Graph, easy_scene, picture_of, psnr, shape_modules, shapes_graph

METHODS = ("diffedit", "fast_edit", "edict_edit", "edict_reconstruction", "direct_edit", "encode_decode", "sdedit")
"""The methods on one picture without a drawn mask; the others are use cases, which
test_use_cases.py runs.
"""


@pytest.fixture(scope="module")
def served(runner):
    """Each workflow's pictures on the easy scene, run once: ``served("diffedit")["Edited
    picture"]`` is [3, H, W] in 0..1.
    """
    cache = {}

    def serve(name: str) -> dict[str, torch.Tensor]:
        if name not in cache:
            listed = runner.run(shapes_graph(name, 25 if name == "edict_reconstruction" else 50).nodes)
            cache[name] = {title: runner.picture(entries[0]) for title, entries in listed.items()}
        return cache[name]

    return serve


@pytest.mark.parametrize("name", runnable(METHODS))
def test_comfyui_accepts_it(runner, name):
    valid, error, outputs, errors = runner.validate(shapes_graph(name).nodes)
    assert valid, (error, errors)
    assert not errors, (error, errors)
    assert set(outputs) == {key for key, node in shapes_graph(name).nodes.items() if node["class_type"] == "SaveImage"}


@pytest.mark.parametrize("name", runnable(METHODS))
def test_it_gives_a_picture_of_the_right_size(served, name):
    scenes, _ = shape_modules()
    for title, picture in served(name).items():
        assert picture.shape == (3, scenes.SIZE, scenes.SIZE), title
        assert picture.isfinite().all()
    assert served(name)["Edited picture"].std() > 0.02, "the picture is blank"


@pytest.mark.parametrize("name", runnable(sorted(set(METHODS) - {"edict_reconstruction"})))
def test_the_edit_is_the_one_asked_for(served, name):
    _, judge = shape_modules()
    # SDEdit starts from noise and does not keep positions; after an inversion the object must be
    # where it was.
    accepted = judge.caption_accepted if name == "sdedit" else judge.edit_accepted
    assert accepted(served(name)["Edited picture"], easy_scene()[1]), judge.recognise(served(name)["Edited picture"])


def test_edict_gives_back_the_vaes_own_picture(served):
    """All 8-bit values are equal, and the workflow shows both pictures for comparison."""
    pictures = served("edict_reconstruction")
    assert torch.equal(pictures["Edited picture"], pictures["Reconstruction"])
    assert torch.equal(pictures["Picture through the VAE"], pictures["Reconstruction"])


def test_diffedit_shows_mask_and_heat_map(served):
    """The mask is black and white and covers the object; the heat map is higher there than
    elsewhere.
    """
    scenes, _ = shape_modules()
    pictures = served("diffedit")
    mask, heat = pictures["Save mask"][0], pictures["Save heat map"][0]
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    truth = scenes.render(easy_scene()[0])[1][0] > 0.5
    common = float(((mask > 0.5) & truth).sum() / ((mask > 0.5) | truth).sum())
    assert common > 0.5, (
        f"the mask covers {float(mask.mean()):.1%} of the picture, intersection over union with the object {common:.2f}"
    )
    assert heat[truth].mean() > 2 * heat[~truth].mean()
    assert pictures["Mask"].shape == pictures["Edited picture"].shape, "the overlay in the node"


def test_diffedit_keeps_what_is_outside_the_mask(served):
    """The pixels there are the source's, and those of the decoded latent are the VAE's
    reconstruction outside the decoder's receptive field of the mask.
    """
    pictures, source = served("diffedit"), (picture_of(easy_scene()[0]) * 255).round() / 255
    outside = pictures["Save mask"][0] == 0
    assert torch.equal(pictures["Edited picture"][:, outside], source[:, outside])
    far = torch.nn.functional.max_pool2d(pictures["Save mask"][None, :1], 2 * 16 + 1, 1, 16)[0, 0] == 0
    assert far.float().mean() > 0.1, "the mask leaves too little outside"
    kept = psnr(pictures["Decoded"], pictures["Reconstruction"], far)
    baseline = served("sdedit")
    moved = psnr(baseline["Edited picture"], baseline["Reconstruction"], far)
    assert kept > 40, f"outside the mask: DiffEdit {kept:.1f} dB, SDEdit {moved:.1f} dB"
    assert kept > moved + 10, f"outside the mask: DiffEdit {kept:.1f} dB, SDEdit {moved:.1f} dB"


def test_turning_the_threshold_asks_the_model_nothing_new(runner, pack_module):
    """In a running ComfyUI: the mask's evaluations are cached by the node, the inversion by
    ComfyUI, and only the edit is computed again.
    """
    pack_module("edits.masks.contrast").RECENT.clear()
    graph = shapes_graph("diffedit", steps=5)
    graph["Mask"]["seed"] = 5
    looser = copy.deepcopy(graph)
    looser["Mask"]["threshold"] = 0.3
    with Evaluations(runner.executor.server) as first:
        before = runner.run(graph.nodes)
    with Evaluations(runner.executor.server) as second:
        after = runner.run(looser.nodes)
    assert {title for title in ("Mask", "Invert", "Edit") if first.by_node[graph.ids[title]] > 0} == {
        "Mask",
        "Invert",
        "Edit",
    }
    assert {title for title in ("Mask", "Invert", "Edit") if second.by_node[graph.ids[title]] > 0} == {"Edit"}
    narrow, wide = (runner.picture(result["Save mask"][0]) for result in (before, after))
    assert wide.mean() > narrow.mean()
    assert (wide >= narrow).all()
    reseeded = copy.deepcopy(looser)
    reseeded["Mask"]["seed"] = 6
    with Evaluations(runner.executor.server) as third:
        runner.run(reseeded.nodes)
    assert third.by_node[graph.ids["Mask"]] == first.by_node[graph.ids["Mask"]], "another seed needs new evaluations"


@needs_cfg_override
def test_the_fast_edit_takes_40_evaluations_instead_of_140(runner):
    """As the files have them: mask, inversion and edit together, conditional and unconditional
    predictions counted singly.
    """
    totals = {}
    for seed, name in enumerate(("diffedit", "fast_edit")):
        graph = shapes_graph(name, steps=Graph(name)["Invert"]["steps"])
        graph["Mask"]["seed"] = 100 + seed  # not from the cache of an earlier run
        with Evaluations(runner.executor.server) as counted:
            runner.run(graph.nodes)
        totals[name] = sum(counted.latents.values())
    assert totals == {"diffedit": 140, "fast_edit": 40}
