"""The demo's networks can be built for training: their architecture is the one that ComfyUI loads."""

import comfy.clip_model
import pytest
import torch


@pytest.mark.parametrize("settings, channels", [("UNET", 4), ("INSTRUCT_UNET", 8)])
def test_a_denoiser_is_built_and_predicts(pack_module, monkeypatch, settings, channels):
    from demo.training import networks

    layer = comfy.clip_model.CLIPLayer
    monkeypatch.setattr(layer, "forward", layer.forward)  # the denoiser replaces it; restored after the test
    architecture = pack_module("host.demo_model")
    words = networks.Words()
    net = networks.Denoiser(architecture, len(words.tokens), getattr(architecture, settings))
    ids = torch.zeros(1, words.LENGTH, dtype=torch.long)
    with torch.no_grad():
        predicted = net(torch.randn(1, channels, 8, 8), torch.tensor([500]), ids)
    assert predicted.shape == (1, 4, 8, 8)
    assert predicted.isfinite().all()
    assert all(isinstance(part, torch.nn.Module) for part in net.plain_layers())
