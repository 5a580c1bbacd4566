"""The autoencoder, the text-to-image denoiser and the instruction model (InstructPix2Pix, Brooks et
al. 2023).
"""

import math
import pathlib
import random

import torch

from ..world.render import SIZE, render_batch
from ..world.scenes import training_caption
from .data import autocast
from .loop import Plan, Workers, fit, to_channels_last
from .networks import SD_SCALE, Denoiser, Words, make_autoencoder

LATENT_NOISE = 0.06
"""Noise on the decoder's unit latents in training, so that neighbouring latents decode alike."""


def train_autoencoder(edits, plan: Plan, batch: int, seed: int, work: pathlib.Path, device, workers=Workers()):
    """An autoencoder in TAESD's layout with latents regularised to a standard normal."""
    torch.manual_seed(seed)
    net = make_autoencoder().to(device, memory_format=torch.channels_last)
    on_cpu = device.type == "cpu"

    def loss_at(step, done):
        rng = random.Random(f"{seed} autoencoder {step} {workers.rank}")
        noise = torch.Generator(device).manual_seed(workers.world * step + workers.rank)
        crop = SIZE // 4 if on_cpu and done < 0.8 else SIZE
        count = max(1, (SIZE // 2 // crop) ** 2 * batch // 4 // workers.world) if on_cpu else batch
        picked = [rng.choice(edits) for _ in range(count)]
        picture = render_batch(
            [edit.before if rng.random() < 0.5 else edit.after for edit in picked], SIZE, device
        ).pictures
        if crop < SIZE:
            top, left = rng.randint(0, SIZE - crop), rng.randint(0, SIZE - crop)
            picture = picture[..., top : top + crop, left : left + crop]
        picture = picture.contiguous(memory_format=torch.channels_last)
        with autocast(device):
            latent = net.taesd_encoder(picture)
            disturbed = latent + LATENT_NOISE * torch.randn(latent.shape, generator=noise, device=device)
            back = net.taesd_decoder(disturbed).float()
        latent = latent.float()
        normal = latent.mean((0, 2, 3)).square().mean() + (latent.var((0, 2, 3)) - 1).square().mean()
        mse = torch.nn.functional.mse_loss(back, picture)
        loss = torch.nn.functional.l1_loss(back, picture) + 4 * mse + 0.02 * normal
        return loss, lambda: f"PSNR {-10 * math.log10(mse.item()):.1f} dB"

    edges = [net.taesd_encoder[0], net.taesd_decoder[-1]]
    return fit("autoencoder", net, loss_at, plan, work, edges, workers)


def levels(device) -> torch.Tensor:
    """Cumulative alpha of SD's noise schedule at each of the 1000 timesteps."""
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - beta, 0).float().to(device)


def draw_timesteps(count: int, generator: torch.Generator) -> torch.Tensor:
    """Random timesteps: half of them from the range in which the composition of a 32 x 32 latent is
    decided, half uniform.
    """
    middle = (480 + 190 * torch.randn(count, generator=generator, device=generator.device)).clamp(0, 999).long()
    anywhere = torch.randint(0, 1000, (count,), generator=generator, device=generator.device)
    return torch.where(torch.rand(count, generator=generator, device=generator.device) < 0.5, middle, anywhere)


def caption_bank(edits, words: Words, seed: int, wordings: int = 4) -> torch.Tensor:
    """Token rows of every scene's captions in several wordings, [edits, 2, wordings, 77], computed
    once so that a step does no work in Python.
    """
    rng = random.Random(f"{seed} captions")
    rows = [
        words.ids(training_caption(scene, rng))
        for edit in edits
        for scene in (edit.before, edit.after)
        for _ in range(wordings)
    ]
    return torch.tensor(rows, dtype=torch.int16).view(len(edits), 2, wordings, Words.LENGTH)


def train_denoiser(
    architecture, edits, latents, plan: Plan, batch: int, seed: int, work, device, workers=Workers(), begin=None
) -> Denoiser:
    """Train to predict the noise in a latent from its caption. ``latents`` [edits, 2, 4, S, S] have
    unit variance. With ``begin``, a state dict to continue from, the text encoder stays as it is,
    because the instruction model shares it.
    """
    torch.manual_seed(seed + 1)
    words = Words()
    net = Denoiser(architecture, len(words.tokens), architecture.UNET)
    if begin:
        net.load_state_dict(begin)
        net.text.requires_grad_(False)
    net = to_channels_last(net, device)
    bank = caption_bank(edits, words, seed).to(device)
    abar, count = levels(device), batch // workers.world

    def loss_at(step, done):
        drawn = torch.Generator(device).manual_seed(workers.world * step + workers.rank)
        rows, sides, wordings = (
            torch.randint(0, size, (count,), generator=drawn, device=device) for size in bank.shape[:3]
        )
        t = draw_timesteps(count, drawn)
        clean = latents[rows, sides].float()
        noise = torch.randn(clean.shape, generator=drawn, device=device)
        signal = abar[t].view(-1, 1, 1, 1)
        noisy = (signal.sqrt() * clean + (1 - signal).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            eps = net(noisy, t, bank[rows, sides, wordings].long()).float()
        loss = torch.nn.functional.mse_loss(eps, noise)
        return loss, lambda: f"loss {loss.item():.4f}"

    return fit("denoiser", net, loss_at, plan, work, net.plain_layers(), workers)


def start_from(instructed: Denoiser, denoiser: Denoiser) -> None:
    """Copy the denoiser's weights; the new input channels start at zero (Brooks et al. 2023,
    section 3.2).
    """
    state = denoiser.state_dict()
    first = "unet.input_blocks.0.0.weight"
    wide = torch.zeros_like(instructed.state_dict()[first])
    wide[:, : state[first].shape[1]] = state[first]
    instructed.load_state_dict({**state, first: wide})


def train_instructed(
    architecture,
    denoiser: Denoiser,
    edits,
    latents,
    plan: Plan,
    batch: int,
    seed: int,
    work,
    device,
    workers=Workers(),
    begin=None,
):
    """Train to predict the noise in the edited latent from the picture before (as VAEEncode encodes
    it) and the instruction.

    The text encoder is the denoiser's, except for the rows of words that occur in no caption. With
    ``begin``, the state dict of a UNet to continue from, the whole text encoder stays as it is: the
    checkpoint holds it, and other files may use it.
    """
    torch.manual_seed(seed + 2)
    words = Words()
    net = Denoiser(architecture, len(words.tokens), architecture.INSTRUCT_UNET)
    start_from(net, denoiser.cpu())
    net = to_channels_last(net, device)
    net.text.requires_grad_(False)
    if begin:
        net.unet.load_state_dict(begin)
    else:
        table = net.text.text_model.embeddings.token_embedding.weight.requires_grad_(True)
        fresh = torch.zeros(len(words.tokens), 1, device=device)
        fresh[sorted(words.instruction_rows())] = 1
        table.register_hook(lambda gradient: gradient * fresh)
    bank = torch.tensor([words.ids(edit.instruction) for edit in edits] + [words.ids("")], dtype=torch.int16).to(device)
    abar, count = levels(device), batch // workers.world

    def loss_at(step, done):
        drawn = torch.Generator(device).manual_seed(workers.world * step + workers.rank)
        rows = torch.randint(0, len(edits), (count,), generator=drawn, device=device)
        roll = torch.rand(
            count, generator=drawn, device=device
        )  # each with a share of 1/20: without the text, without the picture, without both
        silent = (roll < 0.05) | ((roll >= 0.10) & (roll < 0.15))
        unseen = (roll >= 0.05) & (roll < 0.15)
        ids = torch.where(silent[:, None], bank[-1], bank[rows]).long()
        seen = (~unseen).float().view(-1, 1, 1, 1)
        pairs = latents[rows].float()
        t = draw_timesteps(count, drawn)
        noise = torch.randn(pairs[:, 1].shape, generator=drawn, device=device)
        signal = abar[t].view(-1, 1, 1, 1)
        noisy = signal.sqrt() * pairs[:, 1] + (1 - signal).sqrt() * noise
        both = torch.cat([noisy, seen * pairs[:, 0] / SD_SCALE], 1).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            eps = net(both, t, ids).float()
        loss = torch.nn.functional.mse_loss(eps, noise)
        return loss, lambda: f"loss {loss.item():.4f}"

    return fit("instructed", net, loss_at, plan, work, net.plain_layers(), workers)
