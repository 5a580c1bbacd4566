"""LPIPS through torchmetrics, where it is installed and its backbone's weights are on this computer; otherwise a word on what is missing.

torchmetrics brings the small linear layers itself and takes the backbone from torchvision, which would download it. Nothing is downloaded here: the file must
lie in torch's own cache (``torch.hub.get_dir()/checkpoints``) or in ``models/lpips/checkpoints`` of ComfyUI.
"""
import os
import pathlib
from contextlib import contextmanager

import torch

from ..core.layout import bhwc_to_bchw
from .cache import Recent

FOLDER = "lpips"
FILES = {"squeeze": "squeezenet1_1-b8a52dc0.pth", "alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
NETS = (*FILES, "none")
SMALLEST = 32
_loaded = Recent(1)


def register() -> None:
    """Make ``models/lpips`` known to ComfyUI, so that extra model paths may name others. Never raises."""
    try:
        import folder_paths
        folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER), is_default=True)
    except Exception:
        return


def hub_with(file: str) -> pathlib.Path | None:
    """The folder whose ``checkpoints`` hold a file: one of ComfyUI's, else torch's own."""
    import folder_paths
    folders = folder_paths.get_folder_paths(FOLDER) if FOLDER in folder_paths.folder_names_and_paths else []
    for folder in [*folders, torch.hub.get_dir()]:
        if (pathlib.Path(folder) / "checkpoints" / file).is_file():
            return pathlib.Path(folder)
    return None


@contextmanager
def torch_hub_at(folder: pathlib.Path):
    """torch's cache at ``folder`` for a while: torchvision has no other way to be told where a file lies."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(folder))
    try:
        yield
    finally:
        torch.hub.set_dir(before)


def missing(net: str) -> str:
    """Why LPIPS cannot be measured, with what to do; empty where it can."""
    try:
        import torchmetrics.image.lpip  # noqa: F401
        import torchvision.models  # noqa: F401
    except ImportError:
        return "LPIPS needs the optional package torchmetrics: install it into ComfyUI's Python (pip install torchmetrics)"
    if hub_with(FILES[net]) is None:
        return (f"LPIPS ({net}) needs torchvision's weights {FILES[net]}: put that file into models/{FOLDER}/checkpoints "
                "(torchvision's model page links it), nothing is downloaded")
    return ""


def load(net: str):
    """``distance(a, b)`` of pictures [N, H, W, 3] in 0..1 to [N]. Call :func:`missing` first."""
    def make():
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
        with torch.inference_mode(False), torch_hub_at(hub_with(FILES[net])):
            return LearnedPerceptualImagePatchSimilarity(net_type=net, reduction="mean", normalize=True)

    metric = _loaded.get((net, str(hub_with(FILES[net]))), make)

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        pairs = zip(bhwc_to_bchw(a.clamp(0, 1)).split(1), bhwc_to_bchw(b.clamp(0, 1)).split(1))
        with torch.inference_mode(False), torch.no_grad():
            found = [metric(left.clone(), right.clone()) for left, right in pairs]
            metric.reset()
        return torch.stack(found)

    return distance
