"""The use cases: each workflow on a scene of shapes, with a mask painted as by the editor, judged
by its picture.
"""

import pathlib

import pytest
import torch
from workflow_graphs import Graph, disc, picture_of, psnr, ring, scene, shape_modules

from demo.world import judge as things_judge
from demo.world.scenes import Scene, Thing
from tools import make_samples

STEPS = 30


@pytest.fixture(scope="module")
def use(runner):
    """``use(name, before, mask, texts)``: the workflow's pictures on a scene. ``texts`` are
    captions by title, ``widgets`` changes by title.
    """

    def run(
        name: str,
        before: torch.Tensor,
        mask: torch.Tensor | None = None,
        texts: dict | None = None,
        widgets: dict | None = None,
        extra=None,
    ) -> dict:
        graph = Graph(name)
        runner.put_picture(f"{name}.png", before, mask)
        for node in graph.nodes.values():
            if "steps" in node["inputs"] and node["class_type"] == "LatentBlendSampler":
                node["inputs"]["steps"] = STEPS
        graph.fill(f"{name}.png", before.shape[-1], texts or {}, widgets or {})
        graph.add_reconstruction()
        if extra is not None:
            extra(graph)
        return {
            title: [runner.picture(entry) for entry in entries] for title, entries in runner.run(graph.nodes).items()
        }

    return run


def near(mask: torch.Tensor, pixels: int) -> torch.Tensor:
    """The mask and its surroundings up to ``pixels`` away: the decoder's receptive field."""
    return torch.nn.functional.max_pool2d(mask[None, None], 2 * pixels + 1, 1, pixels)[0, 0] > 0


def assert_kept(edited: torch.Tensor, before: torch.Tensor, mask: torch.Tensor) -> None:
    """Assert that every pixel outside the mask is the source's."""
    assert torch.equal(edited[:, mask == 0], (before * 255).round()[:, mask == 0] / 255)


def accepted(picture: torch.Tensor, wanted) -> bool:
    _, judge = shape_modules()
    return judge.edit_accepted(picture, wanted)


def test_add_an_object(use):
    scenes, judge = shape_modules()
    before, after = scene(), scene(("circle", "blue", 0.45, 0.5, 0.24, 0.0))
    mask = disc(0.45, 0.5, 0.36)  # large enough for all of it: the background is restored outside the mask
    made = use("add_object", picture_of(before), mask, {"Target text": scenes.caption(after)}, {"Edit": {"seed": 2}})
    edited = made["Edited picture"][0]
    assert judge.caption_accepted(edited, after), judge.recognise(edited)
    assert psnr(made["Decoded"][0], made["Reconstruction"][0], ~near(mask, 16)) > 40
    assert_kept(edited, picture_of(before), mask)


def test_replace_an_object_that_the_texts_find(use):
    scenes, judge = shape_modules()
    before, after = scene(("circle", "red", 0.45, 0.5, 0.24, 0.0)), scene(("circle", "blue", 0.45, 0.5, 0.24, 0.0))
    made = use(
        "replace_object",
        picture_of(before),
        None,
        {"Source text": scenes.caption(before), "Target text": scenes.caption(after)},
        {"Edit": {"seed": 2}, "Mask": {"smoothing": 0.0, "grow": 1}},
    )
    edited, mask = made["Edited picture"][0], made["Save mask"][0][0]
    assert judge.caption_accepted(edited, after), judge.recognise(edited)
    assert psnr(made["Decoded"][0], made["Reconstruction"][0], ~near(mask, 16)) > 40
    assert_kept(edited, picture_of(before), mask)


def test_replace_the_background(use):
    """The painted area stays unchanged, and the ground changes its colour."""
    scenes, judge = shape_modules()
    before, after = (
        scene(("circle", "red", 0.45, 0.5, 0.24, 0.0)),
        scene(("circle", "red", 0.45, 0.5, 0.24, 0.0), ground="yellow"),
    )
    kept = disc(0.45, 0.5, 0.24)
    made = use("replace_background", picture_of(before), kept, {"Target text": scenes.caption(after)})
    edited = made["Edited picture"][0]
    assert torch.equal(edited[:, kept > 0.5], (picture_of(before) * 255).round()[:, kept > 0.5] / 255)
    assert judge.recognise(edited).ground == "yellow", judge.recognise(edited)


def test_a_scribble_leads(use):
    """Flat, crooked paint becomes a shape of the same colour and place."""
    scenes, judge = shape_modules()
    before, after = picture_of(scene()), scene(("circle", "blue", 0.5, 0.5, 0.24, 0.0))
    blob = (disc(0.42, 0.5, 0.16) + disc(0.56, 0.46, 0.17) + disc(0.5, 0.6, 0.14)).clamp(max=1)
    scribbled = torch.where(blob > 0, torch.tensor(scenes.COLOURS["blue"])[:, None, None], before)
    mask = disc(0.5, 0.5, 0.33)
    made = use("scribble_edit", scribbled, mask, {"Target text": scenes.caption(after)})
    edited = made["Edited picture"][0]
    assert judge.caption_accepted(edited, after), judge.recognise(edited)
    assert psnr(made["Decoded"][0], made["Reconstruction"][0], ~near(mask, 16)) > 40
    assert_kept(edited, scribbled, mask)


def test_a_thin_mask_gets_its_edit(use):
    scenes, mask = shape_modules()[0], ring(0.5, 0.5, 0.22)
    made = use(
        "thin_mask",
        picture_of(scene(ground="black")),
        mask,
        {"Target text": "a orange ring on a black background"},
        {"Shrink": {"kernels": "5, 3"}, "Edit": {"seed": 3}},
    )
    edited, stages = made["Edited picture"][0], made["Save stages"]
    orange = (edited - torch.tensor(scenes.COLOURS["orange"])[:, None, None]).norm(dim=0) < 0.35
    assert orange[mask > 0].float().mean() > 0.3, f"{orange[mask > 0].float().mean():.0%} of the mask is painted"
    assert len(stages) == 3
    assert stages[0].mean() > stages[1].mean() > stages[2].mean() >= mask.mean()
    assert psnr(made["Decoded"][0], made["Reconstruction"][0], ~near(mask, 16)) > 40
    assert_kept(edited, picture_of(scene(ground="black")), mask)


def test_the_best_of_many_with_a_perfect_background(runner):
    """Unchanged, on the demo's models, with fewer steps: the first by rank is accepted by the
    judge.
    """
    sample = make_samples.samples()["lawn"]
    graph = Graph("best_of_many")
    runner.put_picture("best_of_many.png", sample.picture, sample.mask)
    graph["Image"]["image"], graph["Edit"]["steps"], graph["Finetune"]["steps"] = "best_of_many.png", 16, 20
    made = {title: [runner.picture(entry) for entry in entries] for title, entries in runner.run(graph.nodes).items()}
    ranked, edited = made["All pictures"], made["Edited picture"][0]
    assert len(ranked) == 6
    [seen] = things_judge.recognise(ranked[0][None])
    assert seen.shows(Scene((Thing("cat", None, 0.5, 0.5, 0.5),), "grass")), seen
    outside = sample.mask < 0.5
    plain, tuned = psnr(ranked[0], sample.picture, outside), psnr(edited, sample.picture, outside)
    assert tuned > plain + 5, f"background {plain:.1f} dB before and {tuned:.1f} dB after"
    assert psnr(edited, ranked[0], ~outside) > 18, "the tuned decoder removed the edit"


def test_three_edits_in_a_row_leave_each_other_alone(use, runner):
    """Outside each mask the pixels of the picture before stay unchanged, and so does the latent,
    bit for bit.
    """
    scenes, judge = shape_modules()
    places = {
        "First": ("circle", "red", 0.25, 0.27, 0.16, 0.0),
        "Second": ("square", "blue", 0.74, 0.3, 0.16, 0.0),
        "Third": ("circle", "yellow", 0.5, 0.75, 0.16, 0.0),
    }
    masks = {name: disc(item[2], item[3], 0.22) for name, item in places.items()}
    before = picture_of(scene(ground="green"))
    texts, widgets, so_far = {}, {}, []
    for number, (name, item) in enumerate(places.items()):
        runner.put_picture(f"session-{name}.png", before, masks[name])
        so_far.append(item)
        texts[f"{name} text"] = scenes.caption(scene(*so_far))
        widgets |= {f"{name} place": {"image": f"session-{name}.png"}, f"{name} edit": {"seed": 11 + number}}

    def watch(graph):
        for name in places:
            graph.add(
                f"{name} saved", "SaveLatent", samples=[graph.ids[f"{name} edit"], 0], filename_prefix=f"latents/{name}"
            )
            graph.add(
                f"{name} picture", "SaveImage", images=[graph.ids[f"{name} keep"], 0], filename_prefix=f"session/{name}"
            )

    made = use("edit_session", before, None, texts, widgets, watch)
    pictures = [(before * 255).round() / 255, *(made[f"{name} picture"][0] for name in places)]
    latents = [load_latent(runner.folder, name) for name in places]
    for number, name in enumerate(places):
        outside = masks[name] < 0.5
        assert torch.equal(pictures[number + 1][:, outside], pictures[number][:, outside]), name
        assert not torch.equal(pictures[number + 1], pictures[number]), f"{name}: nothing was edited"
        if number:
            cells = torch.nn.functional.max_pool2d(masks[name][None, None], 8)[0, 0] == 0
            assert torch.equal(latents[number][..., cells], latents[number - 1][..., cells]), name
    assert torch.equal(made["Edited picture"][0], pictures[-1])
    assert judge.recognise(pictures[-1]).ground == "green", judge.recognise(pictures[-1])
    assert len(judge.recognise(pictures[-1]).objects) >= 3, judge.recognise(pictures[-1])


def load_latent(folder: pathlib.Path, name: str) -> torch.Tensor:
    import safetensors.torch

    [file] = (folder / "output" / "latents").glob(f"{name}*.latent")
    return safetensors.torch.load_file(file)["latent_tensor"]
