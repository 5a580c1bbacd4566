"""Decoders, edited pictures and runs of DecoderFinetune for ``decoder_finetune``."""

import statistics
import time
from typing import Any

import torch

from lab import common

from . import kl_autoencoder
from .held_out import CELL, draw, make_edits

WAYS: dict[str, dict[str, Any]] = {
    "plain loop (paper)": dict(optimiser="adam", low_memory="off", mixed_precision=False),
    "default": dict(),
    "float32 throughout": dict(mixed_precision=False),
    "nothing saved": dict(low_memory="off", mixed_precision=False),
    "last blocks": dict(scope="last blocks"),
    "last blocks, adam": dict(scope="last blocks", optimiser="adam", mixed_precision=False),
}
DECODERS = ("TAESD (demo)", "AutoencoderKL (SD1.5)")
SMALL_KL = "AutoencoderKL (small, trained)"  # benchmarks/kl_autoencoder.py


class Bench:
    """The pack's modules and the two decoders."""

    def __init__(self, threads: int, checkpoint: str):
        self.nodes, self.checkpoint = common.load_pack(threads), checkpoint
        self.node, self.pictures, self.copies, self.core = (
            common.pack_module(name)
            for name in ("edits.background.finetune", "edits.pictures", "host.vae_copy", "core.pictures.background")
        )

    def vae(self, name: str):
        """A decoder of ``DECODERS``; the AutoencoderKL has SD1.5's size and random weights."""
        if name == DECODERS[0]:
            return common.load_checkpoint(self.nodes, self.checkpoint)[2]
        import comfy.sd
        from comfy.ldm.models.autoencoder import AutoencoderKL

        sizes = {
            "double_z": True,
            "z_channels": 4,
            "resolution": 256,
            "in_channels": 3,
            "out_ch": 3,
            "ch": 128,
            "ch_mult": [1, 2, 4, 4],
            "num_res_blocks": 2,
            "attn_resolutions": [],
            "dropout": 0.0,
        }
        network, generator = AutoencoderKL(ddconfig=sizes, embed_dim=4), torch.Generator().manual_seed(0)
        for key, value in network.named_parameters():
            plain = torch.full(value.shape, float("norm" in key and "bias" not in key))
            value.data = (
                torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5 if value.ndim > 1 else plain
            )
        return comfy.sd.VAE(sd=network.state_dict(), dtype=torch.float32)

    def textured_item(self, vae, size: int, seed: int):
        """An edited scene with textures (``kl_autoencoder.edited_scene``) as the node's item."""
        with torch.inference_mode():
            edit = kl_autoencoder.edited_scene(vae, seed, size)
        return self.pictures.read_items(vae, edit["image"], edit["latent"]["samples"], edit["mask"])[0]

    def item(self, vae, size: int, seed: int):
        """A demo scene drawn at ``size`` pixels and edited inside the mask, as the node's item."""
        drawn = draw([make_edits(seed + 1, 0, things=2)[seed]], size)
        with torch.inference_mode():
            old, new = (vae.encode(picture).float() for picture in (drawn.before, drawn.after))
        cells = drawn.either[:, None, ::CELL, ::CELL] > 0.5
        return self.pictures.read_items(vae, drawn.before, torch.where(cells, new, old), drawn.either)[0]

    def settings(self, way: str, steps: int):
        return self.node.Settings(steps=steps, early_stop=False, **WAYS[way])

    def tune(self, vae, item, way: str, steps: int) -> dict:
        """The node's report of a run."""
        settings = self.settings(way, steps)
        bar = common.pack_module("host.progress").Progress(settings.passes)
        return self.node.tune(vae, item, settings, bar, None)[2]


class Prepared:
    """A method prepared for single passes. ``once`` is the seconds of preparation, ``passes`` those
    of each pass.
    """

    def __init__(self, bench: Bench, vae, item, way: str, steps: int):
        self.bench, self.settings = bench, bench.settings(way, steps)
        started = _now()
        with torch.enable_grad():
            network = bench.copies.private_network(vae, vae.device)
            self.work = bench.node.decoder_pass(network, item, self.settings, vae.device)
            self.goal = bench.core.Goal(
                item.source.to(vae.device),
                self.work.picture.float(),
                item.mask.to(vae.device),
                self.settings.background_weight,
            )
            self.optimiser = bench.node._optimiser(self.work, self.goal, self.settings)
        self.once = _now() - started
        self.passes: list[float] = []

    def step(self) -> None:
        started = _now()
        with torch.enable_grad():
            self.optimiser.zero_grad()
            decoded, loss = self.work.lower(self.bench.core.reconstruction_loss, self.goal)
            self.bench.core.masked_psnr(decoded, self.goal.source, 1 - self.goal.mask)
            self.optimiser.step(loss)
        self.passes.append(_now() - started)

    def fill_memory(self) -> None:
        """Fill the optimiser's memory to its final size, as after many passes."""
        if hasattr(self.optimiser, "pairs"):
            like = self.optimiser.gradient
            self.optimiser.pairs = [
                (torch.rand_like(like), torch.rand_like(like)) for _ in range(self.optimiser.memory)
            ]

    def seconds(self) -> float:
        """Seconds of a whole run: preparation plus the median pass times the number of passes."""
        return self.once + statistics.median(self.passes) * self.settings.passes


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()
