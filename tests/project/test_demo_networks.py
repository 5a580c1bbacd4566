"""The demo's networks can be built for training: their architecture is the one that ComfyUI loads."""

import sys

import comfy.clip_model
import pytest
import safetensors.torch
import torch

from cli.files import ROOT


@pytest.fixture(autouse=True)
def clip_layer(monkeypatch):
    """The denoiser replaces the forward of ComfyUI's CLIP layer; restored after the test."""
    layer = comfy.clip_model.CLIPLayer
    monkeypatch.setattr(layer, "forward", layer.forward)


@pytest.mark.parametrize("settings, channels", [("UNET", 4), ("INSTRUCT_UNET", 8)])
def test_a_denoiser_is_built_and_predicts(pack_module, settings, channels):
    from demo.training import networks

    architecture = pack_module("host.demo_model")
    words = networks.Words()
    net = networks.Denoiser(architecture, len(words.tokens), getattr(architecture, settings))
    ids = torch.zeros(1, words.LENGTH, dtype=torch.long)
    with torch.no_grad():
        predicted = net(torch.randn(1, channels, 8, 8), torch.tensor([500]), ids)
    assert predicted.shape == (1, 4, 8, 8)
    assert predicted.isfinite().all()
    assert all(isinstance(part, torch.nn.Module) for part in net.plain_layers())


def test_training_continues_from_the_released_models(tmp_path, monkeypatch, capsys):
    """Three steps at a small rate: another file, close to the released one, and no new checkpoint,
    since the instruction model takes the released text encoder as it is.
    """
    from demo import train

    words = ["--begin", ROOT / "models", "--stages", "instructed", "--output", tmp_path, "--clip-folder", tmp_path]
    words += ["--work", tmp_path / "work", "--workers", 1, "--edits", 4, "--steps", "instructed=3"]
    words += ["--batch", "instructed=2", "--rate", 0.01]
    monkeypatch.setattr(sys, "argv", ["train", *map(str, words)])
    train.main()
    assert "instructed: step 3 of 3" in capsys.readouterr().out
    assert list((tmp_path / "checkpoints").iterdir()) == []
    name = f"diffusion_models/{train.demo_model.INSTRUCT_CHECKPOINT}"
    before, after = (safetensors.torch.load_file(folder / name) for folder in (ROOT / "models", tmp_path))
    assert before.keys() == after.keys()
    differences = [(before[key].float() - after[key].float()).abs().max().item() for key in before]
    assert 0 < max(differences) < 1e-3


def test_the_released_denoiser_continues_as_comfyui_loads_it():
    from demo import train
    from demo.training.networks import Denoiser, Words
    from lab import common

    _, scale, state = train.released(ROOT / "models", torch.device("cpu"))
    net = Denoiser(train.demo_model, len(Words().tokens), train.demo_model.UNET)
    net.load_state_dict(state)
    demo = common.Demo()
    text = demo.texts("a red car on snow")
    ids = torch.tensor([Words().ids("a red car on snow")])
    with torch.no_grad():
        torch.testing.assert_close(net.text(ids)[0], text[0][0].float(), atol=2e-3, rtol=2e-3)
    assert scale == pytest.approx(demo.vae.first_stage_model.vae_scale.float().reciprocal().item() * train.SD_SCALE)


def test_the_autoencoder_is_taken_as_it_is(tmp_path, monkeypatch, capsys):
    from demo import train

    monkeypatch.setattr(sys, "argv", ["train", "--begin", "models", "--work", str(tmp_path)])
    with pytest.raises(SystemExit):
        train.main()
    assert "leave out the stage" in capsys.readouterr().err
