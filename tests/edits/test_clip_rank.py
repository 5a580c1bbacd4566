"""CLIPRank and CLIPRankModelLoader: both backends against transformers' own CLIPModel, order and
refusals.
"""

import json
import os
import pathlib
import shutil

import comfy.clip_vision
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import folder_paths
import pytest
import safetensors.torch
import tiny_models as tiny
import torch
from comfy_execution.graph import ExecutionBlocker
from transformers import CLIPConfig, CLIPModel

WIDTH, SIZE = 32, 32
VISION = dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=SIZE,
    patch_size=8,
    projection_dim=WIDTH,
)
TEXT = dict(
    vocab_size=49408,
    hidden_size=WIDTH,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=77,
    eos_token_id=49407,
    bos_token_id=49406,
    pad_token_id=49407,
    projection_dim=WIDTH,
)
WORDS = ["a red circle", "two (yellow) stars on a blue background", "x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random CLIP as Hugging Face folders hold it, with ComfyUI's own SD1 tokenizer files beside
    it, where ComfyUI looks for CLIP rank models.
    """
    root = tmp_path_factory.mktemp("clip_rank")
    model = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=WIDTH))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim >= 2:
                value.copy_(
                    torch.randn(value.shape, generator=generator)
                    * (0.3 if "embedding" in name else 1.5 / value[0].numel() ** 0.5)
                )
            value.copy_(value.half().float())  # ComfyUI holds encoders in float16
    model.save_pretrained(root / "random-clip")
    for file in pathlib.Path(os.environ["COMFYUI_PATH"], "comfy", "sd1_tokenizer").iterdir():
        shutil.copy(file, root / "random-clip")
    folder_paths.add_model_folder_path("clip_rank", str(root))
    yield root / "random-clip"
    folder_paths.folder_names_and_paths["clip_rank"][0].remove(str(root))


@pytest.fixture(scope="module")
def reference(folder):
    """``reference(text, pictures [N, S, S, 3])``: cosines by transformers' own CLIPModel,
    preprocessing written out.
    """
    from transformers import CLIPTokenizer

    model, tokenizer = (
        CLIPModel.from_pretrained(folder, local_files_only=True).float().eval(),
        CLIPTokenizer.from_pretrained(folder),
    )

    @torch.no_grad()
    def cosines(text, pictures):
        resized = torch.nn.functional.interpolate(pictures.movedim(-1, 1), (SIZE, SIZE), mode="bicubic", antialias=True)
        mean, std = (
            torch.tensor(values).view(3, 1, 1)
            for values in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
        )
        pixels = ((255 * resized).clamp(0, 255).round() / 255 - mean) / std
        output = model(input_ids=tokenizer([text], return_tensors="pt")["input_ids"], pixel_values=pixels)
        return output.image_embeds @ output.text_embeds[0]

    return cosines


@pytest.fixture(scope="module")
def comfy_pair(folder):
    """The same weights as ComfyUI's CLIP and CLIP_VISION."""
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    small = {key: TEXT[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")}

    class Clip(comfy.sd1_clip.SD1ClipModel):
        def __init__(self, device="cpu", dtype=None, model_options={}):
            super().__init__(device=device, dtype=dtype, model_options={**model_options, "clip_l_model_config": small})

    state = {name: value for name, value in weights.items() if name.startswith("text_")}
    clip = comfy.sd.CLIP(
        comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, Clip), embedding_directory=None
    )
    missing, _ = clip.cond_stage_model.clip_l.load_sd(state)
    assert not [name for name in missing if "logit" not in name]
    vision = tiny.clip_vision(
        {**VISION, "num_channels": 3, "hidden_act": "quick_gelu", "model_type": "clip_vision_model"}
    )
    missing, _ = vision.load_sd({name: value for name, value in weights.items() if name.startswith("vis")})
    assert not missing
    return clip, vision


@pytest.fixture(scope="module")
def rank_model(folder, pack):
    with torch.inference_mode():
        return pack["CLIPRankModelLoader"].execute(folder="random-clip").args[0]


def pictures(count=6, height=48, width=40, seed=0):
    return torch.rand((count, height, width, 3), generator=torch.Generator().manual_seed(seed))


def mask(count=1, height=48, width=40):
    made = torch.zeros(count, height, width)
    made[:, 10:30, 8:28] = 1
    return made


# ---- both backends against transformers ----


@pytest.mark.parametrize("text", WORDS)
@pytest.mark.parametrize("backend", ["folder", "comfyui"])
def test_scores_are_those_of_transformers(backend, text, run, reference, rank_model, comfy_pair):
    towers = {"clip_rank_model": rank_model} if backend == "folder" else dict(zip(("clip", "clip_vision"), comfy_pair))
    images = pictures()
    plain = (
        text.replace("(", "").replace(")", "") if backend == "comfyui" else text
    )  # brackets are ComfyUI's weights, which do not reach the embedding
    for region, shown in (("masked", images * mask().unsqueeze(-1)), ("whole", images)):
        outputs = run("CLIPRank", images=images, text=text, region=region, mask=mask(), **towers)
        expected = reference(plain, shown)
        order, scores = outputs.args[4], torch.tensor(outputs.args[3])
        assert order == expected.argsort(descending=True).tolist()
        assert torch.allclose(scores, expected[order], atol=1e-4), (scores - expected[order]).abs().max()
    assert expected.std() > 1e-3  # random towers, but not blind ones


def test_the_clips_own_options_are_as_before(run, comfy_pair):
    clip, vision = comfy_pair
    before = clip.encode_from_tokens(clip.tokenize("a star"), return_pooled=True)[1]
    run("CLIPRank", images=pictures(2), text="a star", region="whole", clip=clip, clip_vision=vision)
    assert not clip.cond_stage_model.clip_l.return_projected_pooled
    assert torch.equal(before, clip.encode_from_tokens(clip.tokenize("a star"), return_pooled=True)[1])


def test_both_generations_of_transformers_are_taken(room):
    plain = torch.ones(1, 4)
    assert room("host.clip_folder").projected(plain) is plain
    assert room("host.clip_folder").projected(type("Output", (), {"pooler_output": plain})) is plain


def test_half_precision_folders_are_read_in_full(folder, tmp_path, room, rank_model):
    CLIPModel.from_pretrained(folder, local_files_only=True).half().save_pretrained(tmp_path / "half")
    for file in ("vocab.json", "merges.txt"):
        shutil.copy(folder / file, tmp_path / "half")
    folder_paths.add_model_folder_path("clip_rank", str(tmp_path))
    try:
        half = room("host.clip_folder").load("half")
        assert next(half.patcher.model.parameters()).dtype == torch.float32
        assert torch.allclose(half.embed_text("a star"), rank_model.embed_text("a star"), atol=1e-5)
    finally:
        folder_paths.folder_names_and_paths["clip_rank"][0].remove(str(tmp_path))


# ---- one order for everything ----


def test_everything_comes_in_one_order(run, rank_model):
    images, masks = pictures(), mask(6) * torch.linspace(0.6, 1, 6).view(6, 1, 1)
    latent = {
        "samples": torch.arange(6.0).view(6, 1, 1, 1).expand(6, 4, 6, 5),
        "noise_mask": torch.arange(6.0).view(6, 1, 1, 1) / 6,
        "batch_index": [10, 11, 12, 13, 14, 15],
        "kept": "as it is",
    }
    outputs = run(
        "CLIPRank",
        images=images,
        text="a star",
        mask=masks,
        latent=latent,
        clip_rank_model=rank_model,
        keep=4,
        pick=2,
        first_seed=100,
    )
    ranked, best, ranked_latent, scores, order, ranked_masks, seeds, best_latent = outputs.args
    assert len(order) == len(scores) == len(seeds) == 4
    assert scores == sorted(scores, reverse=True)
    assert torch.equal(ranked, images[order])
    assert torch.equal(ranked_masks, masks[order])
    assert seeds == [100 + number for number in order]
    assert ranked_latent["samples"][:, 0, 0, 0].tolist() == order
    assert ranked_latent["batch_index"] == [10 + number for number in order]
    assert torch.equal(ranked_latent["noise_mask"], latent["noise_mask"][order])
    assert ranked_latent["kept"] == "as it is"
    assert torch.equal(best, images[[order[2]]])
    assert best_latent["samples"][0, 0, 0, 0] == order[2]
    assert latent["samples"][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert len(latent["batch_index"]) == 6
    report = outputs.ui["report"][0]
    assert report["order"][:4] == order
    assert len(report["order"]) == len(outputs.ui["semantic_edit"][0]["images"]) == 6
    assert report["scores"][:4] == scores
    assert report["seeds"] == [100 + number for number in report["order"]]
    assert report["pick"] == 2
    assert json.dumps(report)


def test_each_source_is_ranked_by_itself(run, rank_model):
    images, together = pictures(6), []
    for start in (0, 3):
        part = run("CLIPRank", images=images[start : start + 3], text="a star", mask=mask(), clip_rank_model=rank_model)
        together += [start + number for number in part.args[4]]
    both = run("CLIPRank", images=images, text="a star", mask=mask(), clip_rank_model=rank_model, per_source=3)
    assert both.args[4] == together
    first = run("CLIPRank", images=images, text="a star", mask=mask(), clip_rank_model=rank_model, per_source=3, keep=1)
    assert first.args[4] == [together[0], together[3]]
    assert torch.equal(first.args[0], first.args[1])
    assert first.args[1].shape[0] == 2


def test_each_source_may_have_its_own_text(run, rank_model):
    images, texts = pictures(6), ["a star", "two blue rings"]
    both = run("CLIPRank", images=images, text="\n".join(texts), mask=mask(), clip_rank_model=rank_model, per_source=3)
    scores = []
    for start, text in zip((0, 3), texts):
        scores += run(
            "CLIPRank", images=images[start : start + 3], text=text, mask=mask(), clip_rank_model=rank_model
        ).args[3]
    assert both.args[3] == pytest.approx(scores, abs=1e-6)
    one = run("CLIPRank", images=images, text="a star\ntwo blue rings", mask=mask(), clip_rank_model=rank_model).args[3]
    whole = run("CLIPRank", images=images, text="a star two blue rings", mask=mask(), clip_rank_model=rank_model).args[
        3
    ]
    assert one == pytest.approx(whole, abs=1e-6)  # two lines for one source are one text


def test_a_predictions_score_does_not_depend_on_its_batch(run, rank_model):
    images = pictures(20)
    whole = run("CLIPRank", images=images, text="a star", region="whole", clip_rank_model=rank_model)
    alone = run("CLIPRank", images=images[7:8], text="a star", region="whole", clip_rank_model=rank_model)
    assert alone.args[3][0] == pytest.approx(whole.args[3][whole.args[4].index(7)], abs=1e-6)


def test_masks_of_any_size_one_for_all_one_per_source_or_one_each(run, rank_model):
    images = pictures(4)
    single = run("CLIPRank", images=images, text="a star", mask=mask(), clip_rank_model=rank_model).args
    large = torch.nn.functional.interpolate(mask().unsqueeze(1), scale_factor=3)[:, 0]
    for other in (mask(4), mask(2), large):
        same = run(
            "CLIPRank",
            images=images,
            text="a star",
            mask=other,
            clip_rank_model=rank_model,
            per_source=2 if len(other) == 2 else 0,
        ).args
        assert sorted(same[3]) == pytest.approx(sorted(single[3]), abs=1e-6)


def test_background_adds_fidelity_outside_the_mask(run, rank_model):
    source = pictures(1)
    images = source.expand(3, -1, -1, -1).clone()
    images[0, :5], images[1, 12:20, 12:20] = 0, 0.5  # outside; inside
    plain = run("CLIPRank", images=images, text="a star", mask=mask(), source=source, clip_rank_model=rank_model)
    heavy = run(
        "CLIPRank",
        images=images,
        text="a star",
        mask=mask(),
        source=source,
        clip_rank_model=rank_model,
        background=10.0,
    )
    assert heavy.args[4][-1] == 0  # the spoiled background comes last
    fidelity = dict(zip(heavy.ui["report"][0]["order"], heavy.ui["report"][0]["fidelity"]))
    clip = dict(zip(plain.args[4], plain.args[3]))
    assert fidelity[1] == fidelity[2] == 1
    assert fidelity[0] < 1
    assert all(
        score == pytest.approx(clip[number] + 10 * fidelity[number], abs=1e-5)
        for number, score in zip(heavy.args[4], heavy.args[3])
    )


def test_turning_pick_does_not_call_the_model_again(run, rank_model, monkeypatch):
    images = pictures(5, seed=9)
    first = run("CLIPRank", images=images, text="a pink ring", mask=mask(), clip_rank_model=rank_model)
    monkeypatch.setattr(rank_model.patcher.model.clip, "forward", None)
    for name in ("get_text_features", "get_image_features"):
        monkeypatch.setattr(rank_model.patcher.model.clip, name, None)
    second = run("CLIPRank", images=images, text="a pink ring", mask=mask(), clip_rank_model=rank_model, pick=3, keep=2)
    assert torch.equal(second.args[1], first.args[0][3:4])
    assert second.args[4] == first.args[4][:2]


def test_outputs_without_their_inputs_stop_only_what_needs_them(run, rank_model):
    outputs = run("CLIPRank", images=pictures(2), text="a star", region="whole", clip_rank_model=rank_model).args
    assert isinstance(outputs[0], torch.Tensor)
    assert isinstance(outputs[1], torch.Tensor)
    for place, word in ((2, "latent"), (5, "mask"), (7, "latent")):
        assert isinstance(outputs[place], ExecutionBlocker)
        assert word in outputs[place].message


def test_large_predictions_are_shown_small(run, rank_model):
    from PIL import Image

    outputs = run("CLIPRank", images=pictures(2, 600, 900), text="a star", region="whole", clip_rank_model=rank_model)
    file = outputs.ui["semantic_edit"][0]["images"][0]
    with Image.open(pathlib.Path(folder_paths.get_temp_directory()) / file["subfolder"] / file["filename"]) as shown:
        assert shown.size == (512, 341)
    assert outputs.args[0].shape[1:3] == (600, 900)


def test_in_a_graph_lists_spread_and_missing_inputs_do_no_harm(tmp_path, folder):
    """ComfyUI's own executor: `order` makes the next node run once for each picture kept, and a
    latent that is not there stops nothing.
    """
    from graph_runner import Kitchen, folders_at

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
    kitchen = Kitchen(tmp_path)
    with folders_at(tmp_path, tmp_path / "no checkpoints"):
        shown = kitchen.run(graph)
    assert len(shown["5"]) == 3
    assert len(shown["6"]) == 1
    assert len(shown["3"]) == 4


# ---- refusals ----


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"text": "  "}, "empty text"),
        ({"per_source": 4}, "6 images and 4 per source"),
        ({"pick": 6}, "pick 6, but there are 6"),
        ({"keep": 7}, "keep 7, but there are 6"),
        ({"mask": None}, "no mask for region masked"),
        ({"mask": torch.zeros(1, 8, 8)}, "nothing in it"),
        ({"mask": torch.ones(4, 8, 8)}, "4 masks for 6 predictions"),
        ({"mask": torch.full((1, 8, 8), torch.nan)}, "NaN"),
        ({"images": torch.full((2, 8, 8, 3), torch.inf)}, "infinite"),
        ({"images": torch.zeros(0, 8, 8, 3)}, "at least one"),
        ({"background": 0.5}, "without the source"),
        ({"source": torch.zeros(1, 9, 9, 3)}, "9 x 9 pixels for predictions of 40 x 48"),
        ({"source": torch.zeros(2, 48, 40, 3)}, "2 source images for 6"),
        ({"latent": {"samples": torch.zeros(5, 4, 6, 5)}}, "5 latents for 6 images"),
        ({"clip_rank_model": None}, "neither"),
    ],
)
def test_refusals_come_before_any_model_runs(run, changes, words):
    towers = {"clip_rank_model": object()}  # would fail as soon as it is used
    with pytest.raises(ValueError, match="CLIPRank: .*" + words):
        run("CLIPRank", **{"images": pictures(), "text": "a star", "mask": mask(), **towers, **changes})


def test_half_a_pair_and_two_kinds_are_refused(run, comfy_pair, rank_model):
    clip, vision = comfy_pair
    shared = dict(images=pictures(2), text="a star", region="whole")
    with pytest.raises(ValueError, match="only the CLIP;"):
        run("CLIPRank", clip=clip, **shared)
    with pytest.raises(ValueError, match="only the CLIP_VISION"):
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
    with pytest.raises(ValueError, match="siglip_vision_model, which shares no space"):
        run("CLIPRank", clip_vision=vision_of(model_type="siglip_vision_model", projection_dim=None), **shared)
    with pytest.raises(
        ValueError, match="64 dimensions and a CLIP with the text towers: clip_l of 32.*CLIPRankModelLoader"
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
    """As ComfyUI leaves it when the file has none: unset memory, or zeros."""
    clip, vision = tiny.clip(), vision_of(projection_dim=64)
    with torch.no_grad():
        clip.cond_stage_model.clip_l.transformer.text_projection.weight.fill_(garbage)
    with pytest.raises(ValueError, match="no text projection.*clip_l.safetensors.*CLIPRankModelLoader"):
        run("CLIPRank", images=pictures(2), text="a star", region="whole", clip=clip, clip_vision=vision)


def test_a_checkpoints_clip_is_known_by_its_file(run):
    """The demo checkpoint is of SD1.5's kind: no projection in the file, whatever stands in memory."""
    import nodes

    with torch.inference_mode():
        clip = nodes.CheckpointLoaderSimple().load_checkpoint("semantic-edit-demo.safetensors")[1]
    with torch.no_grad(), torch.inference_mode():
        clip.cond_stage_model.clip_l.transformer.text_projection.weight.copy_(torch.eye(64))
    with pytest.raises(ValueError, match="no text projection"):
        run(
            "CLIPRank",
            images=pictures(2),
            text="a star",
            region="whole",
            clip=clip,
            clip_vision=vision_of(projection_dim=64),
        )


def test_long_texts_are_cut_and_said_to_be(run, comfy_pair, rank_model):
    long, images = "a red circle " * 60, pictures(2)
    for towers in ({"clip_rank_model": rank_model}, dict(zip(("clip", "clip_vision"), comfy_pair))):
        report = run("CLIPRank", images=images, text=long, region="whole", **towers).ui["report"][0]
        assert "not seen" in report["warning"]
        assert "not seen" in report["text"]
        assert not run("CLIPRank", images=images, text="a red circle", region="whole", **towers).ui["report"][0][
            "warning"
        ]


# ---- the loader ----


def test_the_loader_lists_folders(pack, room, folder):
    assert room("host.clip_folder").list_folders()["random-clip"] == folder
    assert "random-clip" in pack["CLIPRankModelLoader"].define_schema().inputs[0].options


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda made: (made / "vocab.json").unlink(), "no tokenizer"),
        (lambda made: (made / "model.safetensors").unlink(), "no weights"),
        (lambda made: (made / "config.json").write_text('{"model_type": "siglip"}'), "type 'siglip'"),
        (lambda made: shutil.rmtree(made), "got 'broken'; expected a folder below models/clip_rank"),
    ],
)
def test_the_loader_says_what_a_folder_lacks(run, folder, tmp_path, spoil, words):
    shutil.copytree(folder, tmp_path / "broken")
    spoil(tmp_path / "broken")
    folder_paths.add_model_folder_path("clip_rank", str(tmp_path))
    try:
        with pytest.raises(ValueError, match="CLIPRankModelLoader: .*" + words):
            run("CLIPRankModelLoader", folder="broken")
    finally:
        folder_paths.folder_names_and_paths["clip_rank"][0].remove(str(tmp_path))


# ---- folders that are damaged, incomplete, or ask for the network ----


@pytest.fixture
def other(folder, tmp_path, pack):
    """``other(change)``: a copy of the random CLIP, changed by ``change(folder)``, loaded."""
    folder_paths.add_model_folder_path("clip_rank", str(tmp_path))

    def load(change):
        shutil.copytree(folder, tmp_path / "other", dirs_exist_ok=True)
        change(tmp_path / "other")
        return pack["CLIPRankModelLoader"].execute(folder="other").args[0]

    yield load
    folder_paths.folder_names_and_paths["clip_rank"][0].remove(str(tmp_path))


def change_config(**changes):
    def change(folder):
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}), encoding="utf-8")

    return change


def change_weights(change):
    def rewrite(folder):
        weights = safetensors.torch.load_file(folder / "model.safetensors")
        safetensors.torch.save_file(
            change({key: value.clone() for key, value in weights.items()}), folder / "model.safetensors"
        )

    return rewrite


@pytest.mark.parametrize(
    "part",
    [
        "text_projection.weight",
        "visual_projection.weight",
        "text_model.encoder.layers.1.mlp.fc1.bias",
        "vision_model.post_layernorm.weight",
    ],
)
def test_a_clip_without_one_of_its_weights_is_refused_by_name(other, part):
    """Else transformers draws it at random, and ranks in another order at every load."""
    with pytest.raises(
        ValueError, match="^CLIPRankModelLoader: the weights of other lack .*" + part.rsplit(".", 2)[-2]
    ):
        other(change_weights(lambda weights: {key: value for key, value in weights.items() if key != part}))


def test_a_folder_gives_the_same_embedding_at_every_load_and_needs_no_logit_scale(other, rank_model):
    again = other(
        change_weights(lambda weights: {key: value for key, value in weights.items() if key != "logit_scale"})
    )
    assert torch.equal(again.embed_text("a star"), rank_model.embed_text("a star"))
    assert torch.equal(
        again.embed_pictures(pictures(2, SIZE, SIZE)), rank_model.embed_pictures(pictures(2, SIZE, SIZE))
    )


def test_nothing_in_a_folder_makes_it_ask_the_network(other, rank_model, monkeypatch):
    import socket

    asked = []
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: asked.append(host) or (_ for _ in ()).throw(socket.gaierror(host)),
    )
    kernel = "kernels-community/flash-attn2"
    towers = {
        key: {**settings, "attn_implementation": kernel, "_attn_implementation": kernel}
        for key, settings in (("text_config", TEXT), ("vision_config", VISION))
    }
    clip = other(
        lambda folder: (
            change_config(
                attn_implementation=kernel,
                _attn_implementation=kernel,
                quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True},
                auto_map={"AutoModel": "someone/else--code.Model"},
                fusion_config={"patch_embeddings": True},
                **towers,
            )(folder),
            (folder / "adapter_config.json").write_text(
                json.dumps({"base_model_name_or_path": "someone/else", "peft_type": "LORA"}), encoding="utf-8"
            ),
        )
    )
    assert not asked
    assert clip.patcher.model.clip.config._attn_implementation == "sdpa"
    assert torch.equal(clip.embed_text("a star"), rank_model.embed_text("a star"))


def cut(file: str, size: int = 100):
    return lambda folder: (folder / file).write_bytes((folder / file).read_bytes()[:size])


def as_pickle(content):
    def change(folder):
        (folder / "model.safetensors").unlink()
        torch.save(content, folder / "pytorch_model.bin")

    return change


class Runs:
    """What a prepared pickle may hold: a call."""

    def __reduce__(self):
        return (pathlib.Path.touch, (pathlib.Path("it-ran"),))


def a_shard_is_missing(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"logit_scale": "model-00001-of-00002.safetensors"}}), encoding="utf-8"
    )


def a_shard_lies_elsewhere(folder):
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"logit_scale": "../elsewhere.safetensors"}}), encoding="utf-8"
    )


@pytest.mark.parametrize(
    "change, words",
    [
        (cut("config.json"), "config.json of other cannot be read .* expected a JSON file"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe"), "config.json of other cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "config.json of other holds list"),
        (change_config(text_config=[1]), "text_config that is no JSON object"),
        (change_config(vision_config={**VISION, "hidden_size": "wide"}), "cannot be built from its config.json"),
        (change_config(text_config={**TEXT, "hidden_act": "none of these"}), "cannot be built from its config.json"),
        (change_config(vision_config={**VISION, "patch_size": 4}), "cannot be built from its config.json"),
        (change_config(text_config={**TEXT, "num_hidden_layers": 3}), "lack text_model.encoder.layers.2"),
        (cut("model.safetensors", 2000), "model.safetensors of other cannot be read .* expected a whole file"),
        (cut("model.safetensors", 0), "model.safetensors of other cannot be read"),
        (
            change_weights(
                lambda weights: {
                    key: value * float("nan") if key == "text_projection.weight" else value
                    for key, value in weights.items()
                }
            ),
            "text_projection.weight of other hold NaN",
        ),
        (
            as_pickle({"logit_scale": Runs()}),
            "pytorch_model.bin of other cannot be read .* expected a whole file of tensors and nothing else",
        ),
        (as_pickle([1, 2]), "pytorch_model.bin of other cannot be read"),
        (a_shard_is_missing, "other lacks model-00001-of-00002.safetensors"),
        (a_shard_lies_elsewhere, "other lacks ../elsewhere.safetensors"),
        (cut("vocab.json"), "the tokenizer of other cannot be read"),
        (cut("tokenizer_config.json", 20), "the tokenizer of other cannot be read"),
        (
            change_weights(
                lambda weights: {
                    key: value[:100] if "token_embedding" in key else value for key, value in weights.items()
                }
            ),
            "cannot be built from",
        ),
        (
            lambda folder: (folder / "preprocessor_config.json").write_text("{"),
            "preprocessor_config.json of other cannot be read",
        ),
        (
            lambda folder: (folder / "preprocessor_config.json").write_text('{"image_std": [0.5, 0.5, 0]}'),
            "image_std .* expected three numbers, above 0",
        ),
        (
            lambda folder: (folder / "preprocessor_config.json").write_text('{"image_mean": 0.5}'),
            "image_mean .* expected three numbers",
        ),
    ],
)
def test_damaged_folders_are_answered_in_our_words(other, change, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"^CLIPRankModelLoader: .*{words}"):
        other(change)
    assert not pathlib.Path("it-ran").exists()


def test_weights_in_pickles_and_shards_are_read(other, folder, rank_model):
    def split(folder):
        weights, parts = safetensors.torch.load_file(folder / "model.safetensors"), {}
        (folder / "model.safetensors").unlink()
        for number, names in enumerate((sorted(weights)[::2], sorted(weights)[1::2])):
            parts |= dict.fromkeys(names, f"part-{number}.safetensors")
            safetensors.torch.save_file({name: weights[name] for name in names}, folder / f"part-{number}.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}), encoding="utf-8")

    wanted = rank_model.embed_text("a star")
    assert torch.allclose(
        other(as_pickle(safetensors.torch.load_file(folder / "model.safetensors"))).embed_text("a star"),
        wanted,
        atol=1e-6,
    )
    assert torch.allclose(other(split).embed_text("a star"), wanted, atol=1e-6)
