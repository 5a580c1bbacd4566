"""The networks, made of ComfyUI's own layers, and the demo's vocabulary as SD1's tokens."""

from typing import Any, TypeVar

import comfy.clip_model
import comfy.model_base
import comfy.ops
import comfy.sd1_clip
import torch
from comfy.taesd.taesd import TAESD

from ..world.scenes import caption_vocabulary, vocabulary

SD_SCALE = 0.18215
Net = TypeVar("Net", bound=torch.nn.Module)
LAYERS: tuple[Any, ...] = (torch.nn.Conv2d, torch.nn.Linear, torch.nn.GroupNorm, torch.nn.LayerNorm, torch.nn.Embedding)


def initialise(module: Net) -> Net:
    """Initialise ComfyUI's layers, which skip their own initialisation, and make the weights
    trainable.
    """
    for layer in module.modules():
        for kind in LAYERS:
            if isinstance(layer, kind):
                kind.reset_parameters(layer)
    return module.requires_grad_(True)


def make_autoencoder() -> TAESD:
    """A new autoencoder in TAESD's layout."""
    net = initialise(TAESD(latent_channels=4))
    net.vae_scale.requires_grad_(False)
    net.vae_shift.requires_grad_(False)
    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
    blocks: list[Any] = [layer for layer in net.modules() if type(layer).__name__ == "Block"]
    for block in blocks:  # every residual block starts as the identity
        torch.nn.init.zeros_(block.conv[4].weight)
    return net


def clip_layer_forward(self, x, mask=None, optimized_attention=None):
    """ComfyUI's CLIP layer without its in-place addition, which autograd does not support."""
    x = x + self.self_attn(self.layer_norm1(x), mask, optimized_attention)
    return x + self.mlp(self.layer_norm2(x))


def group_norm_forward(self, x):
    """Group norm that keeps the input's precision on a GPU; on a CPU computed by layer norm, which
    is several times faster there.
    """
    with torch.autocast(x.device.type, enabled=False):
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        if x.device.type == "cuda":
            return torch.nn.functional.group_norm(x, self.num_groups, weight, bias, self.eps)
        groups = x.reshape(x.shape[0], self.num_groups, -1)
        normal = torch.nn.functional.layer_norm(groups, groups.shape[-1:], eps=self.eps).view(x.shape)
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return torch.addcmul(bias.view(shape), normal, weight.view(shape))


def make_unet(architecture, settings: dict) -> Any:
    config = architecture.DemoSD15({**settings, "dtype": torch.float32})
    unet: Any = initialise(comfy.model_base.BaseModel(config, device="cpu").diffusion_model)
    torch.nn.init.zeros_(unet.out[2].weight)
    torch.nn.init.zeros_(unet.out[2].bias)
    norms: list[Any] = [layer for layer in unet.modules() if isinstance(layer, torch.nn.GroupNorm)]
    for norm in norms:
        norm.forward = group_norm_forward.__get__(norm)
    return unet


class Denoiser(torch.nn.Module):
    """UNet and text encoder. The embedding has a row only for each of ``tokens`` tokens; the
    checkpoint adds the others.
    """

    unet: Any
    text: Any

    def __init__(self, architecture, tokens: int, settings: dict):
        super().__init__()
        comfy.clip_model.CLIPLayer.forward = clip_layer_forward
        self.unet = make_unet(architecture, settings)
        self.text = initialise(architecture.DemoClip(dtype=torch.float32).clip_l.transformer)
        embeddings = self.text.text_model.embeddings
        embeddings.token_embedding = comfy.ops.disable_weight_init.Embedding(tokens, architecture.TEXT["hidden_size"])
        torch.nn.init.normal_(embeddings.token_embedding.weight, std=0.3)
        torch.nn.init.normal_(embeddings.position_embedding.weight, std=0.1)
        self.text.text_projection.requires_grad_(False)

    def forward(self, x, t, ids):
        """The predicted noise [N, 4, h, w] for latents ``x`` [N, C, h, w], timesteps ``t`` [N] and
        token rows ``ids`` [N, 77].
        """
        return self.unet(x, t, context=self.text(ids)[0])

    def plain_layers(self) -> list[torch.nn.Module]:
        """Layers that are trained by AdamW instead of Muon: first, last, embeddings."""
        embeddings = self.text.text_model.embeddings
        return [
            self.unet.input_blocks[0][0],
            self.unet.out[2],
            embeddings.token_embedding,
            embeddings.position_embedding,
        ]


class Words:
    """The demo's vocabulary as rows of a small embedding, and as SD1's token ids."""

    START, END, LENGTH, ALL = 49406, 49407, 77, 49408

    def __init__(self):
        tokenizer = comfy.sd1_clip.SD1Tokenizer()
        self.tokens, self.rows = [self.START, self.END], {}
        for word in vocabulary():
            ids = [
                token
                for token, *_ in tokenizer.tokenize_with_weights(word)["l"][0]
                if token not in (self.START, self.END)
            ]
            self.rows[word] = [self.row_of(token) for token in ids]

    def row_of(self, token: int) -> int:
        """The row of a token id; a new token gets the next row."""
        if token not in self.tokens:
            self.tokens.append(token)
        return self.tokens.index(token)

    def ids(self, text: str) -> list[int]:
        """The rows [77] of a text, padded with the end token."""
        row = [0] + [part for word in text.replace(",", " ,").split() for part in self.rows[word]]
        return row + [1] * (self.LENGTH - len(row))

    def instruction_rows(self) -> set[int]:
        """Rows of the words that occur only in instructions."""
        in_captions = {row for word in caption_vocabulary() for row in self.rows[word]}
        return set(range(2, len(self.tokens))) - in_captions

    def full_table(self, small: torch.Tensor) -> torch.Tensor:
        """The embedding for all of SD1.5's tokens; words outside the demo's vocabulary are zero,
        which also compresses well.
        """
        table = torch.zeros(self.ALL, small.shape[1])
        table[self.tokens] = small.detach().cpu().float()
        return table
