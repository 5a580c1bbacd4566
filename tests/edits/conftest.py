"""Fixtures of several files: weights where a node looks for them."""

import pytest
import torch


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A SqueezeNet with random weights, where the node looks for the real one; as safetensors,
    since a pickle's name holds its digest.
    """
    import folder_paths  # ComfyUI starts after this file is read
    import safetensors.torch
    from torchvision.models import squeezenet1_1

    (tmp_path / "checkpoints").mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = squeezenet1_1(weights=None).state_dict()
    safetensors.torch.save_file(made, tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.safetensors")
    folder_paths.add_model_folder_path("lpips", str(tmp_path), is_default=True)
    yield tmp_path
    folder_paths.folder_names_and_paths["lpips"][0].remove(str(tmp_path))
