"""Train the small AutoencoderKL on which DecoderFinetune is measured: ``python run.py bench
kl_autoencoder``, or ``python -m benchmarks.kl_autoencoder`` with COMFYUI_PATH set.

ComfyUI's own class in SD1.5's layout (f8, 4 channels, group norm, attention in the middle, quant
layers), with 32 and 64 channels and about a million weights. Random weights have no realistic loss
landscape, so it is trained to be a usable decoder: shapes of tests/helpers/shapes on textured
grounds, up to 64 x 64 pixels, with a reconstruction loss plus a small KL term on sampled latents.
Like every such autoencoder it loses fine texture, which tuning has to restore.

Data depend only on the seed and the step. The state is saved in ``--work`` and training resumes
from it, so that it can run in parts (``--minutes``); 4000 steps take half an hour on one thread of
a busy processor.
"""

import argparse
import functools
import math
import pathlib
import random
import time
from typing import Any

import torch

from lab import common
from tests.helpers.shapes.scenes import edit_of, random_scene, render

WEIGHTS = common.PACK / "tests" / "data" / "kl_autoencoder.safetensors"
LAYOUT: dict[str, Any] = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 64,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 1, 2, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [],
    "dropout": 0.0,
}
PARAMS = {"ddconfig": LAYOUT, "embed_dim": 4}
KL_WEIGHT = 1e-6


def load(path: pathlib.Path = WEIGHTS):
    """The trained autoencoder as a ComfyUI VAE, float32. ComfyUI must be importable."""
    import comfy.sd
    import comfy.utils

    return comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(path)), config={"params": PARAMS}, dtype=torch.float32)


# ---- pictures ----


def texture(generator: torch.Generator, size: int) -> torch.Tensor:
    """Coloured noise of four octaves with random strengths, [3, size, size] around 0."""
    total = torch.zeros(1, 3, size, size)
    for cells in (4, 8, 16, 32):
        grey = torch.randn((1, 1, cells, cells), generator=generator)
        noise = 0.8 * grey + 0.4 * torch.randn((1, 3, cells, cells), generator=generator)
        strength = 0.06 * torch.rand(1, generator=generator).square()
        total += strength * torch.nn.functional.interpolate(
            noise, size=(size, size), mode="bicubic", align_corners=False
        )
    return total[0]


def picture_of(scene, seed: int, size: int) -> torch.Tensor:
    """A scene of shapes [3, size, size] in 0..1: the ground has one texture, all objects another;
    scenes of one seed have the same textures.
    """
    generator = torch.Generator().manual_seed(seed)
    picture, masks = render(scene, size)
    cover = functools.reduce(torch.add, masks).clamp(0, 1)
    return (picture + (1 - cover) * texture(generator, size) + cover * texture(generator, size)).clamp(0, 1)


def edited_scene(vae, seed: int, size: int = 64) -> dict:
    """A scene with texture, its first object edited: ``image`` [1, size, size, 3], ``latent`` (the
    source's and the target's joined along the mask) and ``mask`` [1, size, size], the inputs of
    DecoderFinetune. Call in inference mode.
    """
    rng = random.Random(f"finetune {seed}")
    source = random_scene(rng, count=2)
    target = edit_of(source, ("shape", "colour")[seed % 2], rng)
    (_, old), (_, new) = render(source, size), render(target, size)
    before, after = (picture_of(scene, 1000 + seed, size).movedim(0, -1)[None] for scene in (source, target))
    cells = torch.nn.functional.max_pool2d(torch.maximum(old[0], new[0])[None, None], 8) > 0
    latent = torch.where(cells, vae.encode(after).float(), vae.encode(before).float())
    mask = cells[0].float().repeat_interleave(8, 1).repeat_interleave(8, 2)
    return {"image": before, "latent": {"samples": latent}, "mask": mask}


def training_batch(step: int, count: int, size: int) -> torch.Tensor:
    """[count, 3, size, size] in -1..1: crops of scenes drawn at up to twice the size."""
    rows = []
    for index in range(count):
        rng = random.Random(f"kl {step} {index}")
        drawn = rng.choice((size, 3 * size // 2, 2 * size))
        top, left = rng.randint(0, drawn - size), rng.randint(0, drawn - size)
        rows.append(picture_of(random_scene(rng), rng.getrandbits(40), drawn)[:, top : top + size, left : left + size])
    return torch.stack(rows) * 2 - 1


# ---- training ----


def make_network():
    """A new AutoencoderKL in training mode."""
    from comfy.ldm.models.autoencoder import AutoencoderKL

    torch.manual_seed(0)
    network = AutoencoderKL(**PARAMS).requires_grad_(True)
    for layer in network.modules():  # ComfyUI's layers skip their initialisation
        for kind in (torch.nn.Conv2d, torch.nn.GroupNorm):
            if isinstance(layer, kind):
                kind.reset_parameters(layer)
    for name, layer in network.named_modules():  # residual blocks start small
        if name.endswith("conv2"):
            layer.weight.data *= 0.1
    network.quant_conv.bias.data[LAYOUT["z_channels"] :] = -6.0  # latents start nearly without noise
    return network.train()


class Optimiser:
    """Momentum with orthogonalised updates for the convolutions (Muon, Jordan et al. 2024), Adam
    for the other parameters and for the first and last layers.
    """

    def __init__(self, network, rate: float):
        edges = {id(network.encoder.conv_in.weight), id(network.decoder.conv_out.weight)}
        self.matrices = [value for value in network.parameters() if value.ndim > 1 and id(value) not in edges]
        known = {id(value) for value in self.matrices}
        self.adam = torch.optim.Adam(
            [value for value in network.parameters() if id(value) not in known], betas=(0.9, 0.99)
        )
        self.rate, self.momenta = rate, [torch.zeros_like(value) for value in self.matrices]

    def state_dict(self) -> dict:
        return {"adam": self.adam.state_dict(), "momenta": self.momenta}

    def load_state_dict(self, state: dict) -> None:
        self.adam.load_state_dict(state["adam"])
        self.momenta = state["momenta"]

    @torch.no_grad()
    def step(self, share: float) -> None:
        """One step at ``share`` of the rate."""
        for group in self.adam.param_groups:
            group["lr"] = self.rate * share
        self.adam.step()
        for value, momentum in zip(self.matrices, self.momenta, strict=True):
            momentum.lerp_(value.grad, 0.05)
            update = value.grad.lerp(momentum, 0.95).flatten(1)
            update = orthogonalised(update) * 0.2 * max(update.shape) ** 0.5
            value.add_(update.view_as(value), alpha=-self.rate * share)


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """About the nearest matrix with orthonormal rows or columns, by Newton and Schulz's
    iteration.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    matrix = (matrix.T if tall else matrix) / (matrix.norm() + 1e-7)
    for _ in range(5):
        gram = matrix @ matrix.T
        matrix = 3.4445 * matrix + (2.0315 * gram @ gram - 4.7750 * gram) @ matrix
    return matrix.T if tall else matrix


def loss_of(network, picture: torch.Tensor, noise: torch.Generator) -> tuple[torch.Tensor, float]:
    """The training loss of pictures in -1..1, and their PSNR in dB."""
    with torch.autocast(picture.device.type, torch.bfloat16):
        mean, logvar = network.quant_conv(network.encoder(picture)).float().chunk(2, 1)
        logvar = logvar.clamp(-30, 20)
        latent = mean + (logvar / 2).exp() * torch.randn(mean.shape, generator=noise)
        back = network.decoder(network.post_quant_conv(latent)).float()
    mse = torch.nn.functional.mse_loss(back, picture)
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum((1, 2, 3)).mean()
    return torch.nn.functional.l1_loss(back, picture) + 2 * mse + KL_WEIGHT * kl, -10 * math.log10(mse.item() / 4)


def train(options) -> None:
    """Train from the saved state up to ``--steps`` or for ``--minutes``; save the state and the
    averaged weights.
    """
    state_file, started = pathlib.Path(options.work) / "kl_autoencoder.pt", time.time()
    network = make_network()
    optimiser = Optimiser(network, options.rate)
    smooth = {name: value.clone() for name, value in network.state_dict().items()}
    first = 0
    if state_file.is_file():
        state = torch.load(state_file, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        smooth, first = state["smooth"], state["step"]
    recent: list[float] = []
    for step in range(first, options.steps):
        network.zero_grad()
        size = LAYOUT["resolution"] // (2 if step < 0.8 * options.steps else 1)
        loss, psnr = loss_of(network, training_batch(step, options.batch, size), torch.Generator().manual_seed(step))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step(min(1.0, (step + 1) / 100, 3 * (options.steps - step) / options.steps))
        keep, recent = min(0.995, (step + 1) / (step + 10)), [*recent, psnr][-50:]
        for name, value in network.state_dict().items():
            smooth[name].lerp_(value, 1 - keep)
        over = time.time() - started > 60 * options.minutes
        if (step + 1) % 50 == 0 or over:
            pace = (time.time() - started) / (step + 1 - first)
            print(
                f"step {step + 1} of {options.steps}, PSNR {sum(recent) / len(recent):.2f} dB, {pace:.2f} s a step",
                flush=True,
            )
        if over or step + 1 == options.steps:
            first = step + 1
            break
    state_file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "smooth": smooth, "step": first},
        state_file,
    )
    save(smooth, pathlib.Path(options.output), first)


def save(weights: dict[str, torch.Tensor], path: pathlib.Path, steps: int) -> None:
    """Write weights in float16 as safetensors."""
    import safetensors.torch

    path.parent.mkdir(parents=True, exist_ok=True)
    halves = {name: value.half().contiguous() for name, value in weights.items()}
    safetensors.torch.save_file(
        halves, path, metadata={"format": "pt", "made_by": "benchmarks/kl_autoencoder.py", "steps": str(steps)}
    )
    print(
        f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, "
        f"{sum(value.numel() for value in halves.values()) / 1e6:.2f} M numbers, {steps} steps"
    )


def measure(path: pathlib.Path) -> float:
    """Mean PSNR in dB over 32 held-out scenes with textures."""
    vae, rows = load(path), []
    for index in range(32):
        rng = random.Random(f"kl held out {index}")
        picture = picture_of(random_scene(rng, unseen=True), index, LAYOUT["resolution"]).movedim(0, -1)
        with torch.inference_mode():
            rows.append(common.psnr(vae.decode(vae.encode(picture[None]))[0], picture))
    return sum(rows) / len(rows)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--minutes", type=float, default=600, help="stop after this time; the next call resumes")
    parser.add_argument("--work", default=str(common.PACK / "demo-training"), help="folder for the state")
    parser.add_argument("--output", default=str(WEIGHTS))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(argv)
    common.load_pack(options.threads)
    train(options)
    print(f"held-out scenes: {measure(pathlib.Path(options.output)):.2f} dB")


if __name__ == "__main__":
    main()
