"""Fixtures of several files: weights in the folder where a node searches for them."""

import pytest
import torch


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A SqueezeNet with random weights in the place of the real one; as safetensors, because the
    name of a pickle contains its digest.
    """
    import folder_paths  # ComfyUI starts after the import of this file
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
