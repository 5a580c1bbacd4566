"""LPIPS through torchmetrics, if it is installed and the weights of its backbone are on this
computer; otherwise a message on what is missing.

torchmetrics includes the small linear layers and gets the backbone from torchvision, which would
download it. Nothing is downloaded here: the file must be in torch's cache
(``torch.hub.get_dir()/checkpoints``) or in ComfyUI's ``models/lpips/checkpoints``. It is checked
before torchvision reads it.
"""

import hashlib
import os
import pathlib
import re
import tempfile
from contextlib import contextmanager

import comfy.utils
import torch

from ..core.pictures.layout import bhwc_to_bchw
from .cache import Recent

FOLDER = "lpips"
FILES = {"squeeze": "squeezenet1_1-b8a52dc0.pth", "alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
NETS = (*FILES, "none")
SMALLEST = 32
_loaded = Recent(1)


def register_lpips_folder() -> None:
    """Register ``models/lpips`` with ComfyUI; extra model paths can add other folders. Never
    raises.
    """
    try:
        import folder_paths

        folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER), is_default=True)
    except Exception:
        return


def find_file(net: str) -> pathlib.Path | None:
    """The backbone's weights in one of ComfyUI's folders, else in torch's cache; safetensors before
    torchvision's pickle.
    """
    import folder_paths

    folders = folder_paths.get_folder_paths(FOLDER) if FOLDER in folder_paths.folder_names_and_paths else []
    pickle = pathlib.PurePath(FILES[net])
    for name in (pickle.with_suffix(".safetensors").name, pickle.name):
        for folder in [*folders, torch.hub.get_dir()]:
            file = pathlib.Path(folder) / "checkpoints" / name
            if file.is_file():
                return file
    return None


@contextmanager
def torch_hub_at(folder: pathlib.Path):
    """Set torch's cache to ``folder`` inside a ``with`` block; torchvision has no other setting for
    the location of a file.
    """
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(folder))
    try:
        yield
    finally:
        torch.hub.set_dir(before)


@contextmanager
def checked_hub(net: str, file: pathlib.Path):
    """Inside a ``with`` block, a torch cache that contains only the tensors of ``file``, under
    torchvision's name.

    torchvision unpickles files without a check, so it gets a file that is written here from tensors
    that were read without executing code.
    """
    with tempfile.TemporaryDirectory(prefix="semantic_edit_lpips_") as folder, torch_hub_at(pathlib.Path(folder)):
        checkpoints = pathlib.Path(folder) / "checkpoints"
        checkpoints.mkdir()
        torch.save(_tensors(file), checkpoints / FILES[net])
        yield


def _tensors(file: pathlib.Path) -> dict[str, torch.Tensor]:
    """The tensors of a file. A pickle file is read only if its SHA-256 starts with the digits in
    its name, and may contain only tensors.

    Raises:
        ValueError: the digest differs, or the file contains other objects or is damaged.
    """
    promised = re.search(r"-([0-9a-f]{8,64})$", file.stem)
    if file.suffix != ".safetensors" and promised:
        with file.open("rb") as opened:
            digest = (
                hashlib.file_digest(opened, "sha256").hexdigest()
                if hasattr(hashlib, "file_digest")
                else hashlib.sha256(opened.read()).hexdigest()
            )
        if not digest.startswith(promised[1]):
            raise ValueError(
                f"{file.name} has the SHA-256 {digest[:16]}..., expected the one that its name states, so it was not "
                "loaded; download it again from torchvision's model page, or use weights as safetensors"
            )
    try:
        tensors = comfy.utils.load_torch_file(str(file), safe_load=True)
        return {name: value.detach().clone() for name, value in tensors.items()}
    except Exception as error:
        raise ValueError(
            f"{file.name} cannot be read ({type(error).__name__}); expected torchvision's weights, only tensors; "
            "download it again"
        ) from error


def missing(net: str) -> str:
    """Why LPIPS cannot be measured, with advice; empty if it can."""
    try:
        import torchmetrics.image.lpip  # noqa: F401
        import torchvision.models  # noqa: F401
    except ImportError:
        return (
            "LPIPS needs the optional package torchmetrics: install it into ComfyUI's Python (pip install torchmetrics)"
        )
    if find_file(net) is None:
        return (
            f"LPIPS ({net}) needs torchvision's weights {FILES[net]}: copy this file into models/{FOLDER}/checkpoints "
            "(torchvision's model page links to it; nothing is downloaded automatically)"
        )
    try:
        _metric(net)
    except ValueError as error:
        return f"LPIPS ({net}) was skipped: {error}"
    return ""


def _metric(net: str):
    """torchmetrics' metric, with the backbone's weights of :func:`find_file`.

    Raises:
        ValueError: the file is missing, does not match its name, or belongs to another network.
    """
    file = find_file(net)
    if file is None:
        raise ValueError(f"found no {FILES[net]} in models/{FOLDER}/checkpoints")

    def make():
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        with torch.inference_mode(False), checked_hub(net, file):
            try:
                return LearnedPerceptualImagePatchSimilarity(net_type=net, reduction="mean", normalize=True)
            except (RuntimeError, TypeError) as error:  # missing weights, or another shape
                raise ValueError(f"{file.name} does not contain the weights of {net}; download it again") from error

    state = file.stat()
    return _loaded.get((net, str(file), state.st_mtime_ns, state.st_size), make)


def load_lpips(net: str):
    """``distance(a, b)`` of images [N, H, W, 3] in 0..1 to [N]. Call :func:`missing` first."""
    metric = _metric(net)

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        pairs = zip(bhwc_to_bchw(a.clamp(0, 1)).split(1), bhwc_to_bchw(b.clamp(0, 1)).split(1))
        with torch.inference_mode(False), torch.no_grad():
            values = [metric(left.clone(), right.clone()) for left, right in pairs]
            metric.reset()
        return torch.stack(values)

    return distance
