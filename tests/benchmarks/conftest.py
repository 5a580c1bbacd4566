"""Weights with random values in the published files' form, for arithmetic that needs no
training.
"""

import pytest
import torch


@pytest.fixture
def squeeze_weights(tmp_path):
    """Random weights in the file where LPIPS searches for torchvision's."""
    import folder_paths
    from safetensors.torch import save_file
    from torchvision.models import squeezenet1_1

    folder = tmp_path / "lpips"
    (folder / "checkpoints").mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = squeezenet1_1(weights=None).state_dict()
    save_file(made, folder / "checkpoints" / "squeezenet1_1-b8a52dc0.safetensors")
    folder_paths.add_model_folder_path("lpips", str(folder), is_default=True)
    yield
    folder_paths.folder_names_and_paths["lpips"][0].remove(str(folder))


def random_vit(layers=3, width=128, patch=8, grid=5):
    """A ViT's weights under DINO's names, large enough that attention and keys are far from
    uniform.
    """
    generator = torch.Generator().manual_seed(11)

    def values(*shape, scale=0.1):
        return scale * torch.randn(shape, generator=generator)

    result = {
        "cls_token": values(1, 1, width),
        "pos_embed": values(1, 1 + grid * grid, width),
        "patch_embed.proj.weight": values(width, 3, patch, patch),
        "patch_embed.proj.bias": values(width),
    }
    sizes = {
        "attn.qkv": (3 * width, width),
        "attn.proj": (width, width),
        "mlp.fc1": (4 * width, width),
        "mlp.fc2": (width, 4 * width),
    }
    for layer in range(layers):
        for name, shape in sizes.items():
            result[f"blocks.{layer}.{name}.weight"] = values(*shape, scale=1.5 * shape[1] ** -0.5)
            result[f"blocks.{layer}.{name}.bias"] = values(shape[0])
        for name in ("norm1", "norm2"):
            result[f"blocks.{layer}.{name}.weight"] = 1 + values(width)
            result[f"blocks.{layer}.{name}.bias"] = values(width)
    return result


@pytest.fixture
def vit():
    return random_vit()
