"""Outputs of the nodes for the editor besides text: files and numbers; no failure there may stop a
run or change a result.
"""

import base64
import pathlib

import calls
import folder_paths
import numpy as np
import pytest
import tiny_models
import tiny_vaes
import torch
from PIL import Image

STEPS = dict(steps=4, strength=0.75)


@pytest.fixture(scope="module", autouse=True)
def temp_folder(tmp_path_factory):
    before = folder_paths.get_temp_directory()
    folder_paths.set_temp_directory(str(tmp_path_factory.mktemp("temp")))
    yield
    folder_paths.set_temp_directory(before)


@pytest.fixture(scope="module")
def scene():
    text = [[torch.randn(1, 77, 64, generator=torch.Generator().manual_seed(1)), {}]]
    other = [[torch.randn(1, 77, 64, generator=torch.Generator().manual_seed(2)), {}]]
    mask = torch.zeros(1, 64, 64)
    mask[:, :32] = 1
    return dict(
        model=tiny_models.damp(tiny_models.sd15()),
        text=text,
        other=other,
        latent=tiny_models.latent("sd15", batch=2),
        vae=tiny_models.taesd(),
        mask=mask,
    )


def pictures(files: list[dict]) -> list[np.ndarray]:
    assert all(
        file["type"].value == "temp" if hasattr(file["type"], "value") else file["type"] == "temp" for file in files
    )
    return [
        np.array(Image.open(pathlib.Path(folder_paths.get_temp_directory()) / file["subfolder"] / file["filename"]))
        for file in files
    ]


def shown(result) -> dict:
    """The pictures and numbers of a node's view."""
    [own] = result.ui["semantic_edit"]
    return own


def blend(run, scene, **changes):
    return run(
        "LatentBlendSampler",
        **{
            **dict(
                model=scene["model"],
                positive=scene["text"],
                negative=scene["other"],
                latent=scene["latent"],
                mask=scene["mask"],
                steps=2,
                predictions=2,
                sampler_name="euler",
            ),
            **changes,
        },
    )


def test_before_and_after_are_the_latents_decoded(run, scene):
    result = blend(run, scene, vae=scene["vae"])
    before, after = pictures(shown(result)["before"]), pictures(shown(result)["images"])
    names = [file["filename"] for file in shown(result)["before"]]
    assert len(before) == len(after) == 4, "two sources, two predictions each"
    assert names[0] == names[1] != names[2] == names[3], "two sources, two predictions each"
    with torch.inference_mode():
        expected = scene["vae"].decode(result.args[0]["samples"])
    assert np.array_equal(after[3], (expected[3] * 255).clamp(0, 255).numpy().astype(np.uint8))


def test_of_many_results_each_shown_has_its_own_source(run, scene):
    """Two sources, ten predictions each, of which sixteen are shown."""
    result = blend(run, scene, vae=scene["vae"], predictions=10, steps=1)
    names = [file["filename"] for file in shown(result)["before"]]
    assert len(names) == len(shown(result)["images"]) == 16
    assert len(set(names[:10])) == len(set(names[10:])) == 1
    assert names[0] != names[10]


def test_a_picture_cropped_by_encoding_is_shown_cropped(pack_module, tmp_path):
    reports, before = pack_module("host.previews"), torch.rand(1, 70, 66, 3)
    shown = reports.images_before_after(None, before, torch.rand(3, 64, 64, 3))
    assert len(shown["before"]) == 3
    assert np.array_equal(pictures(shown["before"])[2], (before[0, 3:67, 1:65] * 255).numpy().astype(np.uint8))


def test_frames_of_several_predictions_have_their_own_frame_before(pack_module):
    """Two videos of three frames, two predictions each."""
    before = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 4, 4, 3) / 10
    shown = pack_module("host.previews").images_before_after(None, before, torch.zeros(12, 4, 4, 3), each=2, frames=3)
    assert [round(float(picture[0, 0, 0]) / 25.5) for picture in pictures(shown["before"])] == [
        0,
        1,
        2,
        0,
        1,
        2,
        3,
        4,
        5,
        3,
        4,
        5,
    ]


def test_pictures_of_one_channel_are_shown_as_grey(pack_module):
    [shown] = pictures(pack_module("host.previews").files(None, torch.full((1, 8, 8, 1), 0.5)))
    assert shown.shape == (8, 8, 3)
    assert (shown == 127).all()


def test_a_preview_changes_no_result(run, scene):
    with_preview, without = blend(run, scene, vae=scene["vae"]), blend(run, scene)
    assert torch.equal(with_preview.args[0]["samples"], without.args[0]["samples"])
    assert without.ui.keys() == {"report"}


@pytest.mark.parametrize("node, inputs", [("EDICTInvert", "EDICTSampler"), ("ExactInvert", "ExactSampler")])
def test_exact_edits_show_the_inverted_picture_as_before(run, scene, node, inputs):
    texts = dict(negative=scene["other"], cfg=1.0)
    inverted = run(node, model=scene["model"], source=scene["text"], latent=scene["latent"], **texts, **STEPS)
    given = {"EDICTSampler": "pair", "ExactSampler": "inversion"}[inputs]
    edited = run(
        inputs, model=scene["model"], target=scene["text"], vae=scene["vae"], **{given: inverted.args[0]}, **texts
    )
    for before, after in zip(pictures(shown(edited)["before"]), pictures(shown(edited)["images"])):
        assert np.abs(before.astype(int) - after).max() <= 1, "the same text gives the picture back"


@pytest.mark.parametrize(
    "node, extra", [("DDIMInvert", {}), ("EDICTInvert", {}), ("ExactInvert", {}), ("EditFriendlyInvert", {})]
)
def test_a_filmstrip_goes_from_the_picture_to_the_noise(run, scene, node, extra):
    text = (
        {"conditioning": scene["text"]}
        if node == "DDIMInvert"
        else {"source": scene["text"], "negative": scene["other"]}
    )
    result = run(node, model=scene["model"], latent=scene["latent"], vae=scene["vae"], cfg=1.0, **text, **STEPS)
    frames, captions = pictures(shown(result)["images"]), shown(result)["captions"]
    assert len(frames) == len(captions) == 4
    assert captions[0] == "\u03c3 0"
    assert sorted(captions, key=lambda caption: float(caption.split()[1])) == captions
    with torch.inference_mode():
        source = scene["vae"].decode(scene["latent"]["samples"][:1])[0]
    assert np.abs((source * 255).numpy() - frames[0]).max() <= 2, "the first frame is the picture itself"


def test_a_filmstrip_of_a_video_shows_its_first_frame(run, pack_module):
    model, states = tiny_models.wan(), torch.randn(4, 1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        shown = pack_module("host.previews").filmstrip(
            None, tiny_vaes.wan(), model, states, torch.tensor([0.9, 0.6, 0.3, 0.0])
        )
    assert len(pictures(shown["images"])) == len(shown["captions"]) == 4


def test_long_inversions_show_seven_frames_with_both_ends(run, scene, pack_module):
    result = run(
        "DDIMInvert",
        model=scene["model"],
        conditioning=scene["text"],
        latent=scene["latent"],
        vae=scene["vae"],
        steps=20,
        strength=1.0,
    )
    sigmas = result.args[1].sigmas
    assert len(shown(result)["images"]) == pack_module("host.previews").FRAMES == 7
    assert shown(result)["captions"][0] == "\u03c3 0"
    assert shown(result)["captions"][-1] == f"\u03c3 {float(sigmas[0]):.2g}"


def test_a_vae_that_does_not_fit_costs_the_preview_only(run, scene, caplog):
    result = blend(run, scene, vae=tiny_models.taesd(16))
    assert result.ui.keys() == {"report"}
    assert "check that the VAE belongs to the model" in caplog.text
    assert torch.equal(result.args[0]["samples"], blend(run, scene).args[0]["samples"])


def test_interrupting_the_preview_stops_the_run(run, scene, monkeypatch):
    from comfy.model_management import InterruptProcessingException

    def stop(samples):
        raise InterruptProcessingException

    monkeypatch.setattr(scene["vae"], "decode", stop)
    with pytest.raises(InterruptProcessingException):
        blend(run, scene, vae=scene["vae"])


def test_the_mask_sends_its_heat_map_exactly(run, scene, pack_module):
    image = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(3))
    result = run(
        "DiffEditMask",
        model=scene["model"],
        source=scene["text"],
        target=scene["other"],
        latent=scene["latent"],
        noises=2,
        threshold=0.4,
        grow=1,
        image=image,
    )
    contrast = pack_module("edits.masks.contrast").contrast_of_texts(
        scene["model"], scene["text"], scene["other"], scene["latent"], 0, 2, 0.5
    )
    _, heat = pack_module("core.masks.diffedit").mask_from_contrast(contrast.size, 0.4, "clamp", 0.0, 1)
    assert [(one["width"], one["height"]) for one in shown(result)["heat"]] == [(8, 8)] * 2
    for one, expected in zip(shown(result)["heat"], heat):
        assert np.array_equal(np.frombuffer(base64.b64decode(one["values"]), "<f4").reshape(8, 8), expected.numpy())
    assert shown(result)["used"] == [{"threshold": 0.4, "grow": 1, "mask_mode": "intersection"}]
    assert len(pictures(shown(result)["picture"])) == 1
    assert np.array_equal(pictures(shown(result)["picture"])[0], (image[0] * 255).numpy().astype(np.uint8))


def every_call(run):
    """A valid call of every node that shows pictures, with a VAE if the node needs it for them."""
    world, others = calls.World(lambda *a, **k: run(*a, **k).args, "sd15"), calls.Pictures(run)
    for name, call in calls.CALLS.items():
        vae = {} if name in ("DiffEditMask", "ProgressiveMaskShrink") else {"vae": tiny_models.taesd()}
        yield name, call.inputs(world) | vae
    for name in ("DecoderFinetune", "BackgroundRestore"):
        yield name, calls.OTHERS[name].inputs(others)
    ranker = run("CLIPRankModelLoader", folder="semantic-edit-demo").args[0]
    yield "CLIPRank", calls.OTHERS["CLIPRank"].inputs(others) | {"clip_rank_model": ranker}


def test_a_temp_folder_that_cannot_be_written_costs_the_pictures_only(run, tmp_path, caplog):
    """Every node that shows pictures returns its result and a warning."""
    before, blocked = folder_paths.get_temp_directory(), tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    results = {name: run(name, **inputs) for name, inputs in every_call(run)}
    assert all("images" in shown(result) for result in results.values()), "without a fault every node shows pictures"
    folder_paths.set_temp_directory(str(blocked / "temp"))
    try:
        for name, inputs in every_call(run):
            caplog.clear()
            result = run(name, **inputs)
            assert len(result.args) == len(results[name].args), name
            assert "images" not in result.ui.get("semantic_edit", [{}])[0], name
            assert "check that ComfyUI can write to its temp folder" in caplog.text, name
            assert result.ui["report"], name
    finally:
        folder_paths.set_temp_directory(before)


def test_the_mask_keeps_its_slider_where_no_picture_can_be_saved(run, scene, tmp_path):
    before, blocked = folder_paths.get_temp_directory(), tmp_path / "file"
    blocked.write_text("")
    folder_paths.set_temp_directory(str(blocked / "temp"))
    try:
        result = run(
            "DiffEditMask",
            model=scene["model"],
            source=scene["text"],
            target=scene["other"],
            latent=scene["latent"],
            noises=2,
        )
    finally:
        folder_paths.set_temp_directory(before)
    assert len(shown(result)["heat"]) == 2
    assert shown(result)["used"]


def test_a_live_preview_that_fails_costs_itself_only(run, scene, pack_module, monkeypatch, caplog):
    class Broken:
        asked = 0

        def decode_latent_to_preview_image(self, kind, denoised):
            Broken.asked += 1
            raise RuntimeError("no such layer")

    monkeypatch.setattr(pack_module("host.progress"), "_previewer", lambda model: Broken())
    result = blend(run, scene, steps=3)
    assert torch.isfinite(result.args[0]["samples"]).all()
    assert Broken.asked == 1
    assert "no such layer" in caplog.text
