"""FID with a small feature network against its closed form, by classes, and over folders."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks import fid as folders
from lab import fid


def features(pictures):
    """Six features: the means of the channels and of their square roots."""
    return torch.cat([pictures.mean((1, 2)), pictures.square().mean((1, 2)).sqrt()], 1)


def pictures(seed, count, shade):
    generator = torch.Generator().manual_seed(seed)
    base = shade * torch.rand((count, 1, 1, 3), generator=generator)
    return list((base + 0.4 * torch.rand((count, 20, 24, 3), generator=generator)).clamp(0, 1))


def closed_form(real, made):
    """Squared distance of the means + trace of the covariances - 2 trace of the root of their
    product.
    """
    first, second = (features(torch.stack(group)).double().numpy() for group in (real, made))
    a, b = (np.cov(group, rowvar=False) for group in (first, second))
    roots = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0)).sum()
    return ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * roots


def test_it_is_the_closed_form_for_any_feature_network():
    metric = fid.of_features(features, 16)
    real, made = pictures(0, 40, 0.5), pictures(1, 33, 0.3)
    wanted = closed_form(real, made)
    assert wanted > 0.01
    assert abs(fid.distance(metric, real, made) - wanted) < 1e-4
    assert abs(fid.distance(metric, real, real)) < 1e-5


def test_by_class_is_the_mean_over_the_classes_that_have_two_of_both():
    metric = fid.of_features(features, 16)
    real = {"dog": pictures(2, 20, 0.5), "cat": pictures(3, 20, 0.2), "cow": pictures(4, 1, 0.2)}
    made = {"dog": pictures(5, 10, 0.4), "cat": pictures(6, 12, 0.6), "cow": pictures(7, 9, 0.1)}
    wanted = (closed_form(real["dog"], made["dog"]) + closed_form(real["cat"], made["cat"])) / 2
    assert abs(fid.by_class(metric, real, made) - wanted) < 1e-4
    assert math.isnan(fid.by_class(metric, real, {"cow": made["cow"]}))
    assert math.isnan(fid.distance(metric, real["cow"], made["cow"]))


def test_other_weights_than_the_published_inception_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fid, "missing", lambda inception: "")
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"):
        fid.inception(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no such file"):
        fid.inception(tmp_path / "none.pth")


def write(folder, group):
    folder.mkdir(parents=True)
    for number, picture in enumerate(group):
        Image.fromarray((255 * picture).round().byte().numpy()).save(folder / f"{number}.png")


def test_folders_with_classes(tmp_path):
    metric = fid.of_features(features, 16)
    for name, seed in (("dog", 8), ("cat", 9)):
        write(tmp_path / "real" / name, pictures(seed, 12, 0.5))
        write(tmp_path / "edited" / name, pictures(seed + 10, 11, 0.2))
    result = folders.measure(metric, tmp_path / "real", tmp_path / "edited")
    assert (result["real"], result["edited"], result["classes"]) == (24, 22, 2)
    assert 0 < result["fid"] < 1
    assert 0 < result["fid_by_class"] < 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds 0 pictures; FID needs two"):
        folders.measure(metric, tmp_path / "real", tmp_path / "empty")


def test_the_command_says_whose_features_it_took(tmp_path, capsys):
    write(tmp_path / "real", pictures(20, 6, 0.5))
    write(tmp_path / "edited", pictures(21, 6, 0.1))
    folder = folders.common.PACK / "models" / "clip_rank" / "semantic-edit-demo"
    result = folders.main([str(tmp_path / "real"), str(tmp_path / "edited"), "--clip", str(folder)])
    assert result["fid"] > 0
    assert "CLIP" in capsys.readouterr().out
