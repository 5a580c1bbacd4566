"""A Hugging Face CLIP folder (ViT-B/16, say) as a model of ComfyUI's: found in ``models/clip_rank``, read from local files only, moved by a ModelPatcher.

transformers comes with ComfyUI and is imported only when a folder is loaded; what its versions 4 and 5 return differs, and both are taken.
"""
import json
import logging
import os
import pathlib

import comfy.model_management
import comfy.model_patcher
import torch

from .progress import Progress
from .reports import Phrase, phrase

FOLDERS = "clip_rank"
DEMO = pathlib.Path(__file__).resolve().parents[2] / "clip_rank"  # not in demo/, below which every weight is offered as a checkpoint
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
CHUNK = 16
NODE = "CLIPRankModelLoader"


def register() -> None:
    """Make ``models/clip_rank`` and the demo's folder known to ComfyUI. Never raises."""
    try:
        import folder_paths
        folder_paths.add_model_folder_path(FOLDERS, os.path.join(folder_paths.models_dir, FOLDERS), is_default=True)
        folder_paths.add_model_folder_path(FOLDERS, str(DEMO))
    except Exception:
        logging.warning("Semantic Edit: this ComfyUI takes no folder for CLIP rank models; everything else works.", exc_info=True)


def list_folders() -> dict[str, pathlib.Path]:
    """Names to folders that hold a ``config.json``, at most two levels below one of the registered folders; the first of a name counts."""
    import folder_paths
    found = {}
    roots = folder_paths.get_folder_paths(FOLDERS) if FOLDERS in folder_paths.folder_names_and_paths else []
    for root in map(pathlib.Path, roots):
        for depth in ("*", "*/*"):
            for config in sorted(root.glob(f"{depth}/config.json")):
                found.setdefault(config.parent.relative_to(root).as_posix(), config.parent)
    return found


class Pair(torch.nn.Module):
    """Holds transformers' model, whose own ``device`` cannot be set, for the ModelPatcher."""

    def __init__(self, clip):
        super().__init__()
        self.clip = clip


class ClipRankModel:
    """A text and a picture tower. Embeddings have length 1, float32, on the CPU."""

    def __init__(self, name: str, clip, tokenizer, mean, std):
        self.name, self.tokenizer = name, tokenizer
        self.image_size = clip.config.vision_config.image_size
        self.longest = clip.config.text_config.max_position_embeddings
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)
        self.patcher = comfy.model_patcher.ModelPatcher(
            Pair(clip), load_device=comfy.model_management.text_encoder_device(), offload_device=comfy.model_management.text_encoder_offload_device())

    def warning(self, text: str) -> Phrase | None:
        """Said where a text is longer than the model reads."""
        tokens = len(self.tokenizer(text)["input_ids"])
        return phrase("text_cut", self.longest) if tokens > self.longest else None

    def _clip(self):
        comfy.model_management.load_models_gpu([self.patcher], force_full_load=True)
        return self.patcher.model.clip

    def embed_text(self, text: str) -> torch.Tensor:
        """A text, cut to what the model reads, as [D]."""
        clip = self._clip()
        tokens = self.tokenizer([text], truncation=True, max_length=self.longest, return_tensors="pt")
        given = {name: value.to(self.patcher.load_device) for name, value in tokens.items() if name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            return unit(projected(clip.get_text_features(**given)))[0]

    def embed_pictures(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures [N, S, S, 3] in 0..1, S the model's ``image_size``, as [N, D]."""
        clip, rows = self._clip(), []
        progress = Progress(len(pictures))
        for chunk in pictures.split(CHUNK):
            pixels = ((chunk - self.mean) / self.std).movedim(-1, 1).to(self.patcher.load_device)
            with torch.no_grad():
                rows.append(unit(projected(clip.get_image_features(pixel_values=pixels))))
            progress.advance(len(chunk))
        return torch.cat(rows)


def projected(output) -> torch.Tensor:
    """The projected embedding: a tensor in transformers 4, the ``pooler_output`` of an output object in 5."""
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def unit(embedding: torch.Tensor) -> torch.Tensor:
    """Rows of length 1, float32, on the CPU."""
    return torch.nn.functional.normalize(embedding.float().cpu(), dim=-1)


def load(name: str) -> ClipRankModel:
    """Load a folder by its name.

    Raises:
        ValueError: it is not there (any more), is not a CLIP, or lacks weights or a tokenizer.
    """
    folders = list_folders()
    if name not in folders:
        raise ValueError(f"{NODE}: got {name!r}; expected a folder below models/{FOLDERS} with a Hugging Face CLIP in it "
                         f"(there are: {', '.join(folders) or 'none'}). Put one there and reload the page.")
    folder = folders[name]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") != "clip":
        raise ValueError(f"{NODE}: {name} holds a model of type {config.get('model_type')!r}; expected 'clip', with both towers, such as openai/clip-vit-base-patch16.")
    if not any((folder / file).is_file() for file in WEIGHTS):
        raise ValueError(f"{NODE}: {name} holds no weights; expected model.safetensors (or pytorch_model.bin). Copy the whole folder of the model.")
    if not ((folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()):
        raise ValueError(f"{NODE}: {name} holds no tokenizer; expected vocab.json and merges.txt, or tokenizer.json. Copy the whole folder of the model.")
    from transformers import CLIPModel, CLIPTokenizer
    clip = CLIPModel.from_pretrained(str(folder), local_files_only=True).float().eval().requires_grad_(False)
    tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    pictures = folder / "preprocessor_config.json"
    settings = json.loads(pictures.read_text(encoding="utf-8")) if pictures.is_file() else {}
    mean = settings.get("image_mean", [0.48145466, 0.4578275, 0.40821073])
    std = settings.get("image_std", [0.26862954, 0.26130258, 0.27577711])
    return ClipRankModel(name, clip, tokenizer, mean, std)
