"""CLIPRank in a graph, with missing or inconsistent inputs, and with pairs of ComfyUI's CLIP and
CLIP_VISION that cannot rank.
"""

import pytest
import small_clip
import tiny_models as tiny
import torch
from small_clip import VISION, mask, pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with small_clip.known_folder(tmp_path_factory.mktemp("clip_rank")) as made:
        yield made


@pytest.fixture(scope="module")
def comfy_pair(folder):
    return small_clip.comfy_pair(folder)


@pytest.fixture(scope="module")
def rank_model(folder, pack):
    with torch.inference_mode():
        return pack["CLIPRankModelLoader"].execute(folder="random-clip").args[0]


def test_in_a_graph_lists_spread_and_missing_inputs_do_no_harm(tmp_path, folder):
    """ComfyUI's own executor: because of `order` the next node runs once for each kept picture, and
    a missing latent stops nothing.
    """
    from graph_runner import GraphRunner, folders_at

    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 40, "height": 48, "batch_size": 4, "color": 255}},
        "2": {"class_type": "CLIPRankModelLoader", "inputs": {"folder": "random-clip"}},
        "3": {
            "class_type": "CLIPRank",
            "inputs": {
                "images": ["1", 0],
                "clip_rank_model": ["2", 0],
                "text": "a star",
                "region": "whole",
                "background": 0.0,
                "per_source": 0,
                "keep": 3,
                "pick": 3,
                "first_seed": 0,
                "margin": 0.15,
            },
        },
        "4": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": ["3", 4]}},
        "5": {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}},
        "6": {"class_type": "PreviewImage", "inputs": {"images": ["3", 1]}},
    }
    for key, node in graph.items():
        node["_meta"] = {"title": key}
    runner = GraphRunner(tmp_path)
    with folders_at(tmp_path, tmp_path / "no checkpoints"):
        shown = runner.run(graph)
    assert len(shown["5"]) == 3
    assert len(shown["6"]) == 1
    assert len(shown["3"]) == 4


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"text": "  "}, "empty text"),
        ({"per_source": 4}, "6 images and 4 per source"),
        ({"pick": 6}, "pick 6, but there are 6"),
        ({"keep": 7}, "keep 7, but there are 6"),
        ({"mask": None}, "no mask for region masked"),
        ({"mask": torch.zeros(1, 8, 8)}, "got an empty mask"),
        ({"mask": torch.ones(4, 8, 8)}, "4 masks for 6 predictions"),
        ({"mask": torch.full((1, 8, 8), torch.nan)}, "NaN"),
        ({"images": torch.full((2, 8, 8, 3), torch.inf)}, "infinite"),
        ({"images": torch.zeros(0, 8, 8, 3)}, "at least one"),
        ({"background": 0.5}, "without the source"),
        ({"source": torch.zeros(1, 9, 9, 3)}, "9 x 9 pixels for predictions of 40 x 48"),
        ({"source": torch.zeros(2, 48, 40, 3)}, "2 source images for 6"),
        ({"latent": {"samples": torch.zeros(5, 4, 6, 5)}}, "5 latents for 6 images"),
        ({"clip_rank_model": None}, "got no CLIP model"),
    ],
)
def test_refusals_come_before_any_model_runs(run, changes, words):
    towers = {"clip_rank_model": object()}  # fails if it is used
    with pytest.raises(ValueError, match="CLIPRank: .*" + words):
        run("CLIPRank", **{"images": pictures(), "text": "a star", "mask": mask(), **towers, **changes})


def test_half_a_pair_and_two_kinds_are_refused(run, comfy_pair, rank_model):
    clip, vision = comfy_pair
    shared = dict(images=pictures(2), text="a star", region="whole")
    with pytest.raises(ValueError, match="got only clip;"):
        run("CLIPRank", clip=clip, **shared)
    with pytest.raises(ValueError, match="got only clip_vision"):
        run("CLIPRank", clip_vision=vision, **shared)
    with pytest.raises(ValueError, match="both a CLIP_RANK_MODEL and a CLIP_VISION"):
        run("CLIPRank", clip_vision=vision, clip_rank_model=rank_model, **shared)


def vision_of(**changes):
    config = {**VISION, "num_channels": 3, "hidden_act": "quick_gelu", "model_type": "clip_vision_model", **changes}
    made = tiny.clip_vision({key: value for key, value in config.items() if value is not None})
    tiny.fill(made.model)
    return made


def test_vision_models_without_a_text_beside_them_are_refused(run, comfy_pair):
    shared = dict(images=pictures(2), text="a star", region="whole", clip=comfy_pair[0])
    with pytest.raises(ValueError, match="siglip_vision_model, whose embeddings cannot be compared"):
        run("CLIPRank", clip_vision=vision_of(model_type="siglip_vision_model", projection_dim=None), **shared)
    with pytest.raises(
        ValueError, match="64 dimensions and a CLIP with the text models: clip_l of 32.*CLIPRankModelLoader"
    ):
        run("CLIPRank", clip_vision=vision_of(projection_dim=64), **shared)


def test_sdxls_wide_tower_is_the_one_that_fits_a_wide_vision_model(run):
    clip = tiny.clip(xl=True)
    outputs = run(
        "CLIPRank",
        images=pictures(3),
        text="a star",
        region="whole",
        clip=clip,
        clip_vision=vision_of(projection_dim=1280),
    )
    assert len(outputs.args[3]) == 3
    assert all(abs(score) < 1 for score in outputs.args[3])


@pytest.mark.parametrize("garbage", [0.0, torch.nan, 6e4])
def test_a_clip_without_text_projection_is_refused(run, comfy_pair, garbage):
    """ComfyUI leaves uninitialised memory or zeros if the file has none."""
    clip, vision = tiny.clip(), vision_of(projection_dim=64)
    with torch.no_grad():
        clip.cond_stage_model.clip_l.transformer.text_projection.weight.fill_(garbage)
    with pytest.raises(ValueError, match="no text projection.*clip_l.safetensors.*CLIPRankModelLoader"):
        run("CLIPRank", images=pictures(2), text="a star", region="whole", clip=clip, clip_vision=vision)


def test_a_checkpoints_clip_is_known_by_its_file(run):
    """The demo checkpoint is of SD1.5's kind: no projection in the file, whatever the memory
    contains.
    """
    import nodes

    with torch.inference_mode():
        clip = nodes.CheckpointLoaderSimple().load_checkpoint("semantic-edit-demo.safetensors")[1]
    with torch.no_grad(), torch.inference_mode():
        clip.cond_stage_model.clip_l.transformer.text_projection.weight.copy_(torch.eye(128))
    with pytest.raises(ValueError, match="no text projection"):
        run(
            "CLIPRank",
            images=pictures(2),
            text="a star",
            region="whole",
            clip=clip,
            clip_vision=vision_of(projection_dim=128),
        )


def test_long_texts_are_cut_and_said_to_be(run, comfy_pair, rank_model):
    long, images = "a red circle " * 60, pictures(2)
    for towers in ({"clip_rank_model": rank_model}, dict(zip(("clip", "clip_vision"), comfy_pair))):
        report = run("CLIPRank", images=images, text=long, region="whole", **towers).ui["report"][0]
        assert "is ignored" in report["warning"]
        assert "is ignored" in report["text"]
        assert not run("CLIPRank", images=images, text="a red circle", region="whole", **towers).ui["report"][0][
            "warning"
        ]
