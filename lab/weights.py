"""Weights that the user provides for published metrics: read without running code from the file,
and identified by their SHA-256.

Nothing is downloaded. ``KNOWN`` has the source of each metric's file, and its hash.
"""

import hashlib
import pathlib
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Known:
    """A published file: its source and its SHA-256."""

    source: str
    sha256: str


KNOWN = {
    "dino": Known(
        "model.safetensors of huggingface.co/facebook/dino-vitb8",
        "f51c99ce793d1eb87daf2a670b9e11e50927fd00334d2cac75cbd30666d13f6b",
    ),
    "clip": Known(
        "model.safetensors of huggingface.co/openai/clip-vit-large-patch14",
        "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
    ),
    "inception": Known(
        "pt_inception-2015-12-05-6726825d.pth of github.com/mseitzer/pytorch-fid (release fid_weights)",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ),
}


def digest(path: pathlib.Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    hasher = hashlib.sha256()
    with pathlib.Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def needed(name: str) -> str:
    """Source and hash of the file that the user has to provide."""
    known = KNOWN[name]
    return f"{known.source} (SHA-256 {known.sha256})"


def describe(name: str, path: pathlib.Path) -> dict:
    """A file's name and hash, and whether it is the published one, for a protocol."""
    sha256 = digest(path)
    return {"file": pathlib.Path(path).name, "sha256": sha256, "is_published_file": sha256 == KNOWN[name].sha256}


def read(path: pathlib.Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, or of a PyTorch file that contains only tensors, on the
    CPU.

    Raises:
        ValueError: a missing file, or one that cannot be read in this way.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give the weights' file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    except Exception as error:
        raise ValueError(
            f"{path.name} cannot be read ({type(error).__name__}); expected safetensors, or a PyTorch file of tensors"
        ) from error
