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


def continued(tmp_path, monkeypatch, stage: str) -> None:
    """Train the released models for three steps at a small rate."""
    from demo import train

    words = ["--begin", ROOT / "models", "--stages", stage, "--output", tmp_path, "--clip-folder", tmp_path]
    words += ["--work", tmp_path / "work", "--workers", 1, "--edits", 4, "--steps", f"{stage}=3"]
    words += ["--batch", f"{stage}=2", "--rate", 0.01]
    monkeypatch.setattr(sys, "argv", ["train", *map(str, words)])
    train.main()


def differences(tmp_path, name: str) -> dict[str, float]:
    """The largest difference of each tensor between the released file and the trained one."""
    before, after = (safetensors.torch.load_file(folder / name) for folder in (ROOT / "models", tmp_path))
    assert before.keys() == after.keys()
    return {key: (before[key].float() - after[key].float()).abs().max().item() for key in before}


def test_the_instruction_model_continues_from_the_released_one(tmp_path, monkeypatch, capsys):
    """Another file, close to the released one, and no new checkpoint."""
    from demo import train

    continued(tmp_path, monkeypatch, "instructed")
    assert "instructed: step 3 of 3" in capsys.readouterr().out
    assert list((tmp_path / "checkpoints").iterdir()) == []
    changes = differences(tmp_path, f"diffusion_models/{train.demo_model.INSTRUCT_CHECKPOINT}")
    assert 0 < max(changes.values()) < 1e-3


def test_the_denoiser_continues_from_the_released_one(tmp_path, monkeypatch, capsys):
    """Only the UNet changes: the instruction model uses the checkpoint's text encoder and VAE."""
    from demo import train

    continued(tmp_path, monkeypatch, "denoiser")
    assert "denoiser: step 3 of 3" in capsys.readouterr().out
    assert list((tmp_path / "diffusion_models").iterdir()) == []
    changes = differences(tmp_path, f"checkpoints/{train.demo_model.CHECKPOINT}")
    unet = {key for key in changes if key.startswith("model.diffusion_model.")}
    assert 0 < max(changes[key] for key in unet) < 1e-3
    # released in float16, the scale of the latents returns with its rounding error
    assert max(changes[key] for key in changes.keys() - unet) < 1e-4


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
