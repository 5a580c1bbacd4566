"""Structure distance of PIE-Bench (Ju et al. 2024, after Tumanyan et al. 2022, "Splicing ViT
Features for Semantic Appearance Transfer"): self-similarity of the keys of DINO's last attention
layer.

The network is DINO's ViT (Caron et al. 2021) up to those keys; its weights are the user's
(``weights.KNOWN["dino"]``).
"""

import pathlib

import torch
import torch.nn.functional as F

from . import weights

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HEAD = 64
"""Channels of one attention head in every DINO ViT."""
EPSILON = 1e-6
NAMES = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
}
LAYER_NAMES = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def from_hugging_face(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename weights from Hugging Face's names to DINO's; other names are unchanged."""
    prefix = "vit." if any(name.startswith("vit.") for name in tensors) else ""
    tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    if "embeddings.cls_token" not in tensors:
        return tensors
    renamed: dict[str, torch.Tensor] = {}
    for dino_name, their_name in NAMES.items():
        renamed |= {
            name.replace(their_name, dino_name): value for name, value in tensors.items() if name.startswith(their_name)
        }
    layers = {int(name.split(".")[2]) for name in tensors if name.startswith("encoder.layer.")}
    for layer in sorted(layers):
        origin, block = f"encoder.layer.{layer}.", f"blocks.{layer}."
        for kind in ("weight", "bias"):
            parts = [f"{origin}attention.attention.{part}.{kind}" for part in ("query", "key", "value")]
            renamed[f"{block}attn.qkv.{kind}"] = torch.cat([tensors[name] for name in parts])
            for dino_name, their_name in LAYER_NAMES.items():
                renamed[f"{block}{dino_name}.{kind}"] = tensors[f"{origin}{their_name}.{kind}"]
    return renamed


class Dino:
    """A DINO ViT up to the keys of its last layer, float32.

    Args:
        tensors: the weights, under DINO's names or Hugging Face's.

    Raises:
        ValueError: tensors are missing or do not have the shapes of a square ViT.
    """

    def __init__(self, tensors: dict[str, torch.Tensor], device: str | torch.device = "cpu"):
        try:
            tensors = from_hugging_face(tensors)
            self.tensors = {name: value.to(device, torch.float32) for name, value in tensors.items()}
            self.layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
            self.width, _, self.patch, _ = tensors["patch_embed.proj.weight"].shape
            self.grid = round((tensors["pos_embed"].shape[1] - 1) ** 0.5)
            complete = tensors["pos_embed"].shape == (1, self.grid**2 + 1, self.width) and self.width % HEAD == 0
        except (KeyError, ValueError, AttributeError) as error:
            raise ValueError(f"these weights are no DINO ViT's ({error}); expected {weights.needed('dino')}") from error
        if not complete:
            raise ValueError(f"these weights are no DINO ViT's; expected {weights.needed('dino')}")
        self.size, self.heads = self.grid * self.patch, self.width // HEAD
        self.mean, self.std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, STD))

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (self.width,), self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], eps=EPSILON)

    def _qkv(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values [3, N, heads, T, HEAD]."""
        projected = self._linear(f"blocks.{layer}.attn.qkv", self._norm(f"blocks.{layer}.norm1", x))
        return projected.unflatten(-1, (3, self.heads, HEAD)).permute(2, 0, 3, 1, 4)

    def _block(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        queries, keys, values = self._qkv(layer, x)
        mixed = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        x = x + self._linear(f"blocks.{layer}.attn.proj", mixed)
        hidden = F.gelu(self._linear(f"blocks.{layer}.mlp.fc1", self._norm(f"blocks.{layer}.norm2", x)))
        return x + self._linear(f"blocks.{layer}.mlp.fc2", hidden)

    def keys(self, inputs: torch.Tensor) -> torch.Tensor:
        """Keys of the last layer, [N, 1 + patches, width], of normalised pictures [N, 3, size,
        size]; the heads are side by side.
        """
        proj = "patch_embed.proj"
        cells = F.conv2d(inputs, self.tensors[f"{proj}.weight"], self.tensors[f"{proj}.bias"], stride=self.patch)
        tokens = [self.tensors["cls_token"].expand(len(inputs), 1, -1), cells.flatten(2).transpose(1, 2)]
        x = torch.cat(tokens, 1) + self.tensors["pos_embed"]
        for layer in range(self.layers - 1):
            x = self._block(layer, x)
        return self._qkv(self.layers - 1, x)[1].transpose(1, 2).flatten(2)

    def prepare(self, pictures: torch.Tensor, peak: float = 255.0) -> torch.Tensor:
        """Pictures [N, H, H, 3] in 0..1 as the network's input [N, 3, size, size].

        Args:
            peak: the value of white before ImageNet's mean and deviation are subtracted.
                PIE-Bench's script does not divide by 255, so its tables use 255; DINO was trained
                with 1.

        Raises:
            ValueError: pictures that are not square (PIE-Bench crops or resizes them before).
        """
        if pictures.shape[1] != pictures.shape[2]:
            raise ValueError(f"got pictures of {pictures.shape[2]} x {pictures.shape[1]}; expected square ones")
        planes = peak * pictures.movedim(-1, 1).to(self.mean)
        if planes.shape[-1] != self.size:
            planes = F.interpolate(planes, (self.size, self.size), mode="bilinear", antialias=True)
        return (planes - self.mean) / self.std

    def structure_distance(self, a: torch.Tensor, b: torch.Tensor, peak: float = 255.0) -> torch.Tensor:
        """Mean squared difference of the self-similarities of two batches of pictures, [N];
        PIE-Bench prints it times 1000.
        """
        with torch.inference_mode():
            first, second = (self_similarity(self.keys(self.prepare(pictures, peak))) for pictures in (a, b))
            return (first - second).square().mean((1, 2)).cpu()


def self_similarity(keys: torch.Tensor) -> torch.Tensor:
    """Cosines of all pairs of tokens, [N, T, T], of keys [N, T, D]."""
    lengths = keys.norm(dim=2, keepdim=True)
    return (keys @ keys.mT) / (lengths @ lengths.mT).clamp(min=1e-8)


def load(path: pathlib.Path | str) -> Dino:
    """The network with a user's weights, on the GPU if there is one."""
    return Dino(weights.read(pathlib.Path(path)), "cuda" if torch.cuda.is_available() else "cpu")
