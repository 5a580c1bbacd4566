"""CLIPRankModelLoader: required and damaged files of folders, and that nothing in them causes a
network request.
"""

import json
import pathlib
import shutil

import folder_paths
import pytest
import safetensors.torch
import small_clip
import torch
from small_clip import SIZE, TEXT, VISION, pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with small_clip.known_folder(tmp_path_factory.mktemp("clip_rank")) as made:
        yield made


@pytest.fixture(scope="module")
def rank_model(folder, pack):
    with torch.inference_mode():
        return pack["CLIPRankModelLoader"].execute(folder="random-clip").args[0]


def test_the_loader_lists_folders(pack, pack_module, folder):
    assert pack_module("host.clip_files").list_folders()["random-clip"] == folder
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
    """Otherwise transformers initialises it randomly, and the order differs at every load."""
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
    """A call in a malicious pickle."""

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
        (lambda folder: (folder / "config.json").write_text("[1]"), "config.json of other contains a list"),
        (change_config(text_config=[1]), "the text_config in config.json of other is not a JSON object"),
        (change_config(vision_config={**VISION, "hidden_size": "wide"}), "cannot be built from its config.json"),
        (change_config(text_config={**TEXT, "hidden_act": "none of these"}), "cannot be built from its config.json"),
        (change_config(vision_config={**VISION, "patch_size": 4}), "cannot be built from its config.json"),
        (change_config(text_config={**TEXT, "num_hidden_layers": 3}), "lack text_model.encoder.layers.2"),
        (cut("model.safetensors", 2000), "model.safetensors of other cannot be read .* expected a complete file"),
        (cut("model.safetensors", 0), "model.safetensors of other cannot be read"),
        (
            change_weights(
                lambda weights: {
                    key: value * float("nan") if key == "text_projection.weight" else value
                    for key, value in weights.items()
                }
            ),
            "text_projection.weight of other contain NaN",
        ),
        (
            as_pickle({"logit_scale": Runs()}),
            "pytorch_model.bin of other cannot be read .* expected a complete file that contains only tensors",
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
