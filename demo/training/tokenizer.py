"""Byte pair encoding for the demo's own CLIP, learned from its captions."""

import json
import pathlib
from collections import Counter

import torch

from ..world.scenes import vocabulary

PIXELS, LENGTH = 128, 32
"""Side of a picture in pixels, and maximum length of a text in tokens."""
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_letters() -> list[str]:
    """The letter for each byte in byte-pair vocabularies: the byte itself if it is printable,
    otherwise a letter beyond Latin-1.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, the most frequent pair first, until every word is one token."""
    parts = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges = []
    while any(len(part) > 1 for part in parts):
        pairs = Counter(pair for part in parts for pair in zip(part, part[1:]))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for part in parts:
            for place in range(len(part) - 2, -1, -1):
                if (part[place], part[place + 1]) == best:
                    part[place : place + 2] = ["".join(best)]
    return merges


def write_tokenizer(folder: pathlib.Path) -> None:
    """Write a tokenizer with the demo's words as one token each and anything else letter by
    letter.
    """
    folder.mkdir(parents=True, exist_ok=True)
    letters, merges = byte_letters(), learn_merges([word for word in vocabulary() if word != ","])
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), START, END]
    numbers = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    lines = "".join(f"{left} {right}\n" for left, right in merges)
    (folder / "merges.txt").write_text("#version: 0.2\n" + lines, encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=1) + "\n", encoding="utf-8")
    settings = {**special, "tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    pictures = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"height": PIXELS, "width": PIXELS},
        "resample": 3,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
        "do_convert_rgb": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures, indent=1) + "\n", encoding="utf-8")


class Reader:
    """Tokenizes captions to rows of token ids, with a cache."""

    def __init__(self, folder: pathlib.Path):
        from transformers import CLIPTokenizer

        self.tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        self.known: dict[str, list[int]] = {}

    def __call__(self, captions: list[str]) -> torch.Tensor:
        for text in captions:
            if text not in self.known:
                self.known[text] = self.tokenizer(text)["input_ids"]
        longest = max(len(self.known[text]) for text in captions)
        end = self.tokenizer.eos_token_id
        return torch.tensor([self.known[text] + [end] * (longest - len(self.known[text])) for text in captions])
