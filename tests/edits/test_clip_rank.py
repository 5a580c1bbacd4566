"""CLIPRank and CLIPRankModelLoader: both backends against transformers' own CLIPModel, order and
refusals.
"""

import json
import pathlib
import shutil

import folder_paths
import pytest
import small_clip
import torch
from comfy_execution.graph import ExecutionBlocker
from small_clip import SIZE, mask, pictures
from transformers import CLIPModel

WORDS = ["a red circle", "two (yellow) stars on a blue background", "x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with small_clip.known_folder(tmp_path_factory.mktemp("clip_rank")) as made:
        yield made


@pytest.fixture(scope="module")
def comfy_pair(folder):
    return small_clip.comfy_pair(folder)


@pytest.fixture(scope="module")
def reference(folder):
    """``reference(text, pictures [N, S, S, 3])``: cosines by transformers' own CLIPModel, with
    independent preprocessing.
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
def rank_model(folder, pack):
    with torch.inference_mode():
        return pack["CLIPRankModelLoader"].execute(folder="random-clip").args[0]


# ---- both backends against transformers ----


@pytest.mark.parametrize("text", WORDS)
@pytest.mark.parametrize("backend", ["folder", "comfyui"])
def test_scores_are_those_of_transformers(backend, text, run, reference, rank_model, comfy_pair):
    towers = {"clip_rank_model": rank_model} if backend == "folder" else dict(zip(("clip", "clip_vision"), comfy_pair))
    images = pictures()
    plain = (
        text.replace("(", "").replace(")", "") if backend == "comfyui" else text
    )  # ComfyUI's weights in brackets have no effect on the embedding
    for region, shown in (("masked", images * mask().unsqueeze(-1)), ("whole", images)):
        outputs = run("CLIPRank", images=images, text=text, region=region, mask=mask(), **towers)
        expected = reference(plain, shown)
        order, scores = outputs.args[4], torch.tensor(outputs.args[3])
        assert order == expected.argsort(descending=True).tolist()
        assert torch.allclose(scores, expected[order], atol=1e-4), (scores - expected[order]).abs().max()
    assert expected.std() > 1e-3  # the random towers distinguish the pictures


def test_the_clips_own_options_are_as_before(run, comfy_pair):
    clip, vision = comfy_pair
    before = clip.encode_from_tokens(clip.tokenize("a star"), return_pooled=True)[1]
    run("CLIPRank", images=pictures(2), text="a star", region="whole", clip=clip, clip_vision=vision)
    assert not clip.cond_stage_model.clip_l.return_projected_pooled
    assert torch.equal(before, clip.encode_from_tokens(clip.tokenize("a star"), return_pooled=True)[1])


def test_both_generations_of_transformers_are_taken(pack_module):
    plain = torch.ones(1, 4)
    assert pack_module("host.clip_folder").projected(plain) is plain
    assert pack_module("host.clip_folder").projected(type("Output", (), {"pooler_output": plain})) is plain


def test_half_precision_folders_are_read_in_full(folder, tmp_path, pack_module, rank_model):
    CLIPModel.from_pretrained(folder, local_files_only=True).half().save_pretrained(tmp_path / "half")
    for file in ("vocab.json", "merges.txt"):
        shutil.copy(folder / file, tmp_path / "half")
    folder_paths.add_model_folder_path("clip_rank", str(tmp_path))
    try:
        half = pack_module("host.clip_folder").load_clip_folder("half")
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
    assert one == pytest.approx(whole, abs=1e-6)  # with one source, two lines are one text


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


# ---- refusals ----
