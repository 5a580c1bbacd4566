"""Structure distance: DINO's computations against plain transcriptions and transformers' own ViT."""

import math

import pytest
import torch
from safetensors.torch import save_file

from lab import dino, weights


def plain_keys(tensors, inputs):
    """The keys of the last layer of DINO's ViT, computed in float64 for one picture, head and pair
    of tokens at a time.
    """
    w = {name: value.double() for name, value in tensors.items()}
    layers = 1 + max(int(name.split(".")[1]) for name in w if name.startswith("blocks."))
    patch, width = w["patch_embed.proj.weight"].shape[-1], w["cls_token"].shape[-1]
    inputs = inputs.double()
    tokens = [w["cls_token"][0, 0]]
    for top in range(0, inputs.shape[1], patch):
        for left in range(0, inputs.shape[2], patch):
            cut = inputs[:, top : top + patch, left : left + patch].flatten()
            tokens.append(w["patch_embed.proj.weight"].flatten(1) @ cut + w["patch_embed.proj.bias"])
    x = torch.stack(tokens) + w["pos_embed"][0]

    def norm(name, x):
        spread = ((x - x.mean(1, keepdim=True)) ** 2).mean(1, keepdim=True)
        return (x - x.mean(1, keepdim=True)) / (spread + 1e-6).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    for layer in range(layers):
        block = f"blocks.{layer}"
        q, k, v = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", x)).split(width, 1)
        if layer == layers - 1:
            return k
        heads = []
        for start in range(0, width, 64):
            part = slice(start, start + 64)
            heads.append((q[:, part] @ k[:, part].T / math.sqrt(64)).softmax(1) @ v[:, part])
        x = x + linear(f"{block}.attn.proj", torch.cat(heads, 1))
        hidden = linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x))
        x = x + linear(f"{block}.mlp.fc2", 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2))))


def pictures(seed, side=40):
    return torch.rand((2, side, side, 3), generator=torch.Generator().manual_seed(seed))


def test_keys_and_distance_are_a_plain_transcriptions(vit):
    model = dino.Dino(vit)
    a, b = pictures(0), pictures(1)
    result = model.structure_distance(a, b)
    for item in range(2):
        maps = []
        for picture in (a[item], b[item]):
            # White is 255, as in the published tables, and ImageNet's statistics are for 1.
            planes = (255 * picture.movedim(-1, 0) - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
                [0.229, 0.224, 0.225]
            )[:, None, None]
            keys = plain_keys(vit, planes)
            rows = [[float(one @ other / (one.norm() * other.norm())) for other in keys] for one in keys]
            maps.append(torch.tensor(rows, dtype=torch.float64))
        wanted = ((maps[0] - maps[1]) ** 2).mean()
        assert wanted > 1e-4
        assert abs(result[item] - wanted) < 2e-5 * wanted + 1e-8


def test_transformers_vit_gives_the_same_keys(vit):
    """The published network in transformers, with DINO's epsilon in its layer norms."""
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=512,
        image_size=40,
        patch_size=8,
        layer_norm_eps=1e-6,
        attn_implementation="eager",
    )
    with torch.random.fork_rng():
        model = ViTModel(config, add_pooling_layer=False).eval()
    state = model.state_dict()
    for theirs, part in {
        "embeddings.cls_token": "cls_token",
        "embeddings.position_embeddings": "pos_embed",
        "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
        "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    }.items():
        state[theirs].copy_(vit[part])
    keys = {}
    modules = dict(model.named_modules())
    for layer in range(3):
        parts = {kind: vit[f"blocks.{layer}.attn.qkv.{kind}"].chunk(3) for kind in ("weight", "bias")}
        block = next(name for name in modules if name.endswith(f"layer.{layer}") or name.endswith(f"layers.{layer}"))
        inner = {name.removeprefix(f"{block}."): module for name, module in modules.items() if name.startswith(block)}
        linears = [module for module in inner.values() if isinstance(module, torch.nn.Linear)]
        norms = [module for module in inner.values() if isinstance(module, torch.nn.LayerNorm)]
        for number in range(3):
            linears[number].weight.data, linears[number].bias.data = parts["weight"][number], parts["bias"][number]
        for linear, part in zip(linears[3:], ("attn.proj", "mlp.fc1", "mlp.fc2"), strict=True):
            linear.weight.data = vit[f"blocks.{layer}.{part}.weight"]
            linear.bias.data = vit[f"blocks.{layer}.{part}.bias"]
        for norm, part in zip(norms, ("norm1", "norm2"), strict=True):
            norm.weight.data = vit[f"blocks.{layer}.{part}.weight"]
            norm.bias.data = vit[f"blocks.{layer}.{part}.bias"]
        linears[1].register_forward_hook(lambda _, __, output, layer=layer: keys.update({layer: output}))
    inputs = dino.Dino(vit).prepare(pictures(2))
    with torch.no_grad():
        model(inputs)
        torch.testing.assert_close(dino.Dino(vit).keys(inputs), keys[2], atol=1e-4, rtol=1e-4)


def under_hugging_faces_names(tensors):
    result = {}
    for name, value in tensors.items():
        for own, theirs in dino.NAMES.items():
            if name.startswith(own):
                result[name.replace(own, theirs)] = value
        if name.startswith("blocks."):
            _, layer, rest = name.split(".", 2)
            part, kind = rest.rsplit(".", 1)
            if part == "attn.qkv":
                for word, chunk in zip(("query", "key", "value"), value.chunk(3)):
                    result[f"encoder.layer.{layer}.attention.attention.{word}.{kind}"] = chunk.clone()
            else:
                result[f"encoder.layer.{layer}.{dino.LAYER_NAMES[part]}.{kind}"] = value
    return result


def test_a_hugging_face_file_is_read_as_dinos_own(vit, tmp_path):
    save_file(under_hugging_faces_names(vit), tmp_path / "model.safetensors")
    torch.save(vit, tmp_path / "own.pth")
    a, b = pictures(3), pictures(4)
    result = [dino.load(tmp_path / name).structure_distance(a, b) for name in ("model.safetensors", "own.pth")]
    assert torch.equal(*result)
    assert weights.describe("dino", tmp_path / "own.pth")["is_published_file"] is False


def test_pictures_are_resized_to_the_networks_size(vit):
    model = dino.Dino(vit)
    small = pictures(5)
    large = small.repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert model.prepare(large).shape == model.prepare(small).shape
    assert float(model.structure_distance(small, small)[0]) == 0
    assert (model.structure_distance(small, pictures(6), 1.0) != model.structure_distance(small, pictures(6))).all()


def test_other_weights_are_refused(vit, tmp_path):
    with pytest.raises(ValueError, match="no DINO ViT's"):
        dino.Dino({name: value for name, value in vit.items() if not name.startswith("patch")})
    with pytest.raises(ValueError, match="no DINO ViT's"):
        dino.Dino(vit | {"pos_embed": vit["pos_embed"][:, :-1]})
    with pytest.raises(ValueError, match="square"):
        dino.Dino(vit).prepare(torch.rand(1, 40, 48, 3))
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="cannot be read"):
        dino.load(tmp_path / "broken.safetensors")
