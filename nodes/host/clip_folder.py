"""A Hugging Face CLIP folder (ViT-B/16, for example) as a model in ComfyUI: found in
``models/clip_rank``, read from local files only, moved by a ModelPatcher.

transformers comes with ComfyUI and is imported only when a folder is loaded. Its versions 4 and 5
return different objects; both are accepted.
"""

import math
import pathlib
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch

from ..core.errors import NodeError
from .clip_files import FOLDERS, WEIGHTS, brief, few, list_folders, read_settings, read_weights, refusal
from .progress import Progress
from .reports import Phrase, phrase

CHUNK = 16
ATTENTION = "sdpa"  # of PyTorch
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]  # OpenAI's training images
BOTH_KEYS = frozenset(
    (
        "hidden_size",
        "intermediate_size",
        "projection_dim",
        "num_hidden_layers",
        "num_attention_heads",
        "hidden_act",
        "layer_norm_eps",
    )
)
TEXT_KEYS = BOTH_KEYS | {"vocab_size", "max_position_embeddings", "pad_token_id", "bos_token_id", "eos_token_id"}
VISION_KEYS = BOTH_KEYS | {"num_channels", "image_size", "patch_size"}
TOP_KEYS = ("projection_dim",)
NOT_NEEDED = frozenset(("logit_scale",))  # a factor that all similarities share


class Pair(torch.nn.Module):
    """A wrapper of transformers' model for the ModelPatcher, which sets ``device``; the model does
    not allow that.
    """

    def __init__(self, clip):
        super().__init__()
        self.clip = clip


class ClipRankModel:
    """A text and a vision model. Embeddings have length 1, float32, on the CPU."""

    def __init__(self, name: str, clip, tokenizer, mean, std):
        self.name, self.tokenizer = name, tokenizer
        self.image_size = clip.config.vision_config.image_size
        self.longest = clip.config.text_config.max_position_embeddings
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)
        self.patcher = comfy.model_patcher.ModelPatcher(
            Pair(clip),
            load_device=comfy.model_management.text_encoder_device(),
            offload_device=comfy.model_management.text_encoder_offload_device(),
        )

    def warning(self, text: str) -> Phrase | None:
        """A warning if the text has more tokens than the model reads."""
        tokens = len(self.tokenizer(text)["input_ids"])
        return phrase("text_cut", self.longest) if tokens > self.longest else None

    def _clip(self):
        comfy.model_management.load_models_gpu([self.patcher], force_full_load=True)
        return self.patcher.model.clip

    def embed_text(self, text: str) -> torch.Tensor:
        """The embedding [D] of a text, truncated to the length that the model reads."""
        clip = self._clip()
        tokens = self.tokenizer([text], truncation=True, max_length=self.longest, return_tensors="pt")
        given = {
            name: value.to(self.patcher.load_device)
            for name, value in tokens.items()
            if name in ("input_ids", "attention_mask")
        }
        with torch.no_grad():
            return unit(projected(clip.get_text_features(**given)))[0]

    def embed_pictures(self, pictures: torch.Tensor) -> torch.Tensor:
        """Images [N, S, S, 3] in 0..1, S the model's ``image_size``, as [N, D]."""
        clip, rows = self._clip(), []
        progress = Progress(len(pictures))
        for chunk in pictures.split(CHUNK):
            pixels = ((chunk - self.mean) / self.std).movedim(-1, 1).to(self.patcher.load_device)
            with torch.no_grad():
                rows.append(unit(projected(clip.get_image_features(pixel_values=pixels))))
            progress.advance(len(chunk))
        return torch.cat(rows)


def projected(output) -> torch.Tensor:
    """The projected embedding: a tensor in transformers 4, the ``pooler_output`` of an output
    object in 5.
    """
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def unit(embedding: torch.Tensor) -> torch.Tensor:
    """Rows normalised to length 1, float32, on the CPU."""
    return torch.nn.functional.normalize(embedding.float().cpu(), dim=-1)


def load_clip_folder(name: str) -> ClipRankModel:
    """Load a folder by its name.

    Raises:
        ValueError: there is no such folder, it is not a CLIP, or its settings, weights or tokenizer
            are missing, incomplete or damaged.
    """
    folders = list_folders()
    if name not in folders:
        raise NodeError(
            f"got {name!r}; expected a folder below models/{FOLDERS} that contains a CLIP model in Hugging Face format "
            f"(available: {', '.join(folders) or 'none'}). Copy one there and reload the page."
        )
    folder = folders[name]
    settings = read_settings(name, folder / "config.json")
    if settings.get("model_type") != "clip":
        raise NodeError(
            f"{name} contains a model of type {settings.get('model_type')!r}; expected 'clip', with a text and a "
            "vision model; copy the folder of such a model, for example openai/clip-vit-base-patch16."
        )
    if not any((folder / file).is_file() for file in WEIGHTS):
        raise refusal(f"{name} contains no weights", "model.safetensors (or pytorch_model.bin)")
    if not (
        (folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    ):
        raise refusal(f"{name} contains no tokenizer", "vocab.json and merges.txt, or tokenizer.json")
    clip = _network(name, settings, read_weights(name, folder))
    tokenizer = _tokenizer(name, folder, clip.config.text_config.vocab_size)
    return ClipRankModel(name, clip, tokenizer, *_normalisation(name, folder))


def _tower(name: str, settings: dict, tower: str, keys: frozenset[str]) -> dict:
    """The settings of one tower ("text" or "vision") that define its architecture. Old folders
    repeat them under ``.._config_dict``, which takes precedence.
    """
    parts = [settings.get(key) or {} for key in (f"{tower}_config", f"{tower}_config_dict")]
    if not all(isinstance(part, dict) for part in parts):
        raise refusal(f"the {tower}_config in config.json of {name} is not a JSON object", "a JSON object")
    return {key: value for part in parts for key, value in part.items() if key in keys}


def _network(name: str, settings: dict, weights: dict[str, torch.Tensor]):
    """Build transformers' CLIPModel, float32, in evaluation mode, with all weights from the files.

    Only settings of the architecture are used, because a config.json may also name kernels,
    quantisers or adapters that transformers would download in spite of ``local_files_only``. The
    attention is that of PyTorch.

    Raises:
        NodeError: settings and weights do not match, or weights are missing or not finite.
    """
    from transformers import CLIPConfig, CLIPModel

    architecture: dict[str, Any] = {
        "text_config": _tower(name, settings, "text", TEXT_KEYS),
        "vision_config": _tower(name, settings, "vision", VISION_KEYS),
    }
    try:
        config = CLIPConfig(**architecture, **{key: settings[key] for key in TOP_KEYS if key in settings})
        loaded: Any = CLIPModel.from_pretrained(
            None, config=config, state_dict=weights, attn_implementation=ATTENTION, output_loading_info=True
        )
    except Exception as error:
        what = f"{name} cannot be built from its config.json and weights ({brief(error)})"
        raise refusal(what, "files of one and the same model") from error
    clip, loading = loaded
    missing = sorted(set(loading["missing_keys"]) - NOT_NEEDED)
    if missing or loading.get("mismatched_keys"):
        lacking = missing or sorted(str(key) for key in loading["mismatched_keys"])
        raise refusal(
            f"the weights of {name} lack {few(lacking)}",
            "all weights of the text and vision model and of both projections, because missing ones would be random",
        )
    broken = [key for key, value in clip.named_parameters() if not bool(torch.isfinite(value).all())]
    if broken:
        raise refusal(f"{few(broken)} of {name} contain NaN or infinite values", "finite weights")
    return clip.float().eval().requires_grad_(False)


def _tokenizer(name: str, folder: pathlib.Path, vocabulary: int):
    from transformers import CLIPTokenizer

    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
        largest = max(tokenizer("a cat")["input_ids"] + list(tokenizer.get_vocab().values()))
    except Exception as error:
        raise refusal(f"the tokenizer of {name} cannot be read ({brief(error)})", "a CLIP tokenizer") from error
    if largest >= vocabulary:
        what = f"the tokenizer of {name} has {largest + 1} tokens and the text model {vocabulary}"
        raise refusal(what, "files of one and the same model")
    return tokenizer


def _normalisation(name: str, folder: pathlib.Path) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel with which images are normalised."""
    file = folder / "preprocessor_config.json"
    settings = read_settings(name, file) if file.is_file() else {}
    mean, std = settings.get("image_mean", MEAN), settings.get("image_std", STD)
    for key, values in (("image_mean", mean), ("image_std", std)):
        above_0 = key == "image_std"
        if not _are_three_numbers(values) or above_0 and min(values) <= 0:
            what = f"{key} in {file.name} of {name} is {values!r}"
            raise refusal(what, "three numbers" + (", above 0" if above_0 else ""))
    return mean, std


def _are_three_numbers(values) -> bool:
    numbers = isinstance(values, list) and all(isinstance(value, (int, float)) for value in values)
    return numbers and len(values) == 3 and all(map(math.isfinite, values))
