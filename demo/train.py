"""Makes the demo checkpoint from nothing: python -m demo.train \
(with COMFYUI_PATH set, or through ``python run.py train``).

Two stages, each a plain loop over steps whose data depend only on the seed and the step, so that a
run can be stopped and started again:

1. an autoencoder in TAESD's layout, on crops and then whole scenes, its latents pulled to a
    standard normal;
2. an SD1.5-family denoiser with its CLIP text encoder on the cached latents of ``--scenes`` scenes.

Then the checkpoint is written and the measures of ``demo/measure.py`` are printed. On a GPU there
is one worker, else one single-threaded worker per
core with averaged gradients: for nets this small that is faster than one worker with many threads.
"""

import argparse
import copy
import math
import os
import pathlib
import random
import time

from . import training  # noqa: F401 (makes ComfyUI importable)

# isort: split
import comfy.clip_model
import comfy.model_base
import comfy.ops
import comfy.sd1_clip
import safetensors.torch
import torch
import torch.distributed as dist
from comfy.taesd.taesd import TAESD

from lab import common

from .scenes import COLOURS, SHAPES, SIZE, random_scene, render, training_caption
from .training.networks import SD_SCALE, clip_layer_forward, initialise, make_autoencoder

HERE = pathlib.Path(__file__).resolve().parent
demo_model = common.room("host.demo_model")
LATENT_NOISE = 0.1


# ---- parts ----


def group_norm_forward(self, x, *arguments, **options):
    """Group norm by way of layer norm, which is several times faster on a CPU at this size."""
    with torch.autocast(x.device.type, enabled=False):
        groups = x.reshape(x.shape[0], self.num_groups, -1)
        normal = torch.nn.functional.layer_norm(groups, groups.shape[-1:], eps=self.eps).view(x.shape)
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return torch.addcmul(self.bias.to(x.dtype).view(shape), normal, self.weight.to(x.dtype).view(shape))


class Denoiser(torch.nn.Module):
    """UNet and text encoder, named as in the checkpoint's two parts. The embedding has a row for
    each of ``tokens`` words only; the file gets the rest.
    """

    def __init__(self, tokens: int):
        super().__init__()
        config = demo_model.DemoSD15({**demo_model.UNET, "dtype": torch.float32})
        self.unet = initialise(comfy.model_base.BaseModel(config, device="cpu").diffusion_model)
        self.text = initialise(demo_model.DemoClip(dtype=torch.float32).clip_l.transformer)
        torch.nn.init.zeros_(self.unet.out[2].weight)
        torch.nn.init.zeros_(self.unet.out[2].bias)
        for layer in self.unet.modules():
            if isinstance(layer, torch.nn.GroupNorm):
                layer.forward = group_norm_forward.__get__(layer)
        embeddings = self.text.text_model.embeddings
        embeddings.token_embedding = comfy.ops.disable_weight_init.Embedding(tokens, demo_model.TEXT["hidden_size"])
        torch.nn.init.normal_(embeddings.token_embedding.weight, std=0.3)
        torch.nn.init.normal_(embeddings.position_embedding.weight, std=0.1)
        self.text.text_projection.requires_grad_(False)

    def forward(self, x, t, ids):
        return self.unet(x, t, context=self.text(ids)[0])


class Words:
    """The world's words as rows of a small embedding, and as SD1's token ids."""

    START, END, LENGTH, ALL = 49406, 49407, 77, 49408

    def __init__(self):
        tokenizer = comfy.sd1_clip.SD1Tokenizer()
        self.tokens, self.rows = [self.START, self.END], {}
        for word in ["a", "and", "on", "background", *COLOURS, *SHAPES]:
            own = [
                token
                for token, *_ in tokenizer.tokenize_with_weights(word)["l"][0]
                if token not in (self.START, self.END)
            ]
            self.rows[word] = [self.row_of(token) for token in own]

    def row_of(self, token: int) -> int:
        if token not in self.tokens:
            self.tokens.append(token)
        return self.tokens.index(token)

    def ids(self, text: str) -> list[int]:
        row = [0] + [part for word in text.split() for part in self.rows[word]]
        return row + [1] * (self.LENGTH - len(row))

    def full_table(self, small: torch.Tensor) -> torch.Tensor:
        """The embedding for all of SD1's tokens; words that the world does not know are zero, which
        also packs well.
        """
        table = torch.zeros(self.ALL, small.shape[1])
        table[self.tokens] = small.detach().cpu()
        return table


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates for matrices and convolutions (Jordan et al. 2024),
    scaled to AdamW's update size.
    """

    def __init__(self, parameters, lr):
        super().__init__(parameters, dict(lr=lr))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                momentum.lerp_(parameter.grad, 0.05)
                update = parameter.grad.lerp(momentum, 0.95).reshape(parameter.shape[0], -1)
                tall = update.shape[0] > update.shape[1]
                update = ((update.T if tall else update) / (update.norm() + 1e-7)).bfloat16()
                for _ in range(5):
                    gram = update @ update.T
                    update = 3.4445 * update + (-4.7750 * gram + 2.0315 * gram @ gram) @ update
                update = (update.T if tall else update).float() * (0.2 * math.sqrt(max(update.shape)))
                parameter.add_(update.reshape(parameter.shape), alpha=-group["lr"])


def make_optimisers(net: torch.nn.Module, settings) -> list[torch.optim.Optimizer]:
    edges = [getattr(net, "taesd_encoder", [None])[0], getattr(net, "taesd_decoder", [None])[-1]]
    if isinstance(net, Denoiser):
        embeddings = net.text.text_model.embeddings
        edges = [
            net.unet.input_blocks[0][0],
            net.unet.out[2],
            embeddings.token_embedding,
            embeddings.position_embedding,
        ]
    plain = {id(parameter) for layer in edges for parameter in layer.parameters()}
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2 and id(parameter) not in plain]
    others = [parameter for parameter in trained if parameter.ndim < 2 or id(parameter) in plain]
    return [
        Muon(matrices, settings.matrix_rate),
        torch.optim.AdamW(others, lr=settings.rate, betas=(0.9, 0.99), weight_decay=0.0),
    ]


# ---- the loop that both stages share ----


def average_gradients(parameters, world: int) -> None:
    if world == 1:
        return
    gradients = [parameter.grad for parameter in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients]).div_(world)
    dist.all_reduce(flat)
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
        gradient.copy_(mean.view_as(gradient))


def fit(name: str, net: torch.nn.Module, loss_at, steps: int, settings, rank: int, world: int) -> torch.nn.Module:
    """Minimise ``loss_at(step) -> (loss, words to print)`` and return the moving average of the
    weights.

    The rate warms up, stays, and falls to zero over the last third. State goes to ``--work`` every
    250 steps and is taken up from there.
    """
    folder, device = pathlib.Path(settings.work), next(net.parameters()).device
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimisers = make_optimisers(net, settings)
    rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    smooth, first, state = copy.deepcopy(net), 0, folder / f"{name}.pt"
    if state.is_file():
        saved = torch.load(state, map_location=device)
        net.load_state_dict(saved["net"])
        smooth.load_state_dict(saved["smooth"])
        for optimiser, values in zip(optimisers, saved["optimisers"]):
            optimiser.load_state_dict(values)
        first = saved["step"]
    averaged = [parameter for parameter in smooth.parameters() if parameter.requires_grad]
    started, said = time.time(), time.time()
    for step in range(first, steps):
        share = min(1.0, (step + 1) / 100) * min(1.0, (steps - step) / (steps * settings.decay))
        for optimiser, initial in zip(optimisers, rates):
            for group, rate in zip(optimiser.param_groups, initial):
                group["lr"] = rate * share
            optimiser.zero_grad()
        loss, words = loss_at(step)
        loss.backward()
        average_gradients(parameters, world)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimiser in optimisers:
            optimiser.step()
        keep = min(0.998, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(averaged, parameters, 1 - keep)
        last = step + 1 == steps
        if rank == 0 and (time.time() - said > 20 or last):
            said = time.time()
            left = (said - started) / (step + 1 - first) * (steps - step - 1)
            print(f"{name}: step {step + 1} of {steps}, {words}, about {left / 60:.0f} min left", flush=True)
        if rank == 0 and ((step + 1) % 250 == 0 or last):
            torch.save(
                {
                    "net": net.state_dict(),
                    "smooth": smooth.state_dict(),
                    "optimisers": [o.state_dict() for o in optimisers],
                    "step": step + 1,
                },
                state.with_suffix(".new"),
            )
            os.replace(state.with_suffix(".new"), state)
    if world > 1:
        dist.barrier()
    return smooth.eval()


def autocast(device):
    return torch.autocast(device.type, torch.bfloat16)


# ---- the two stages ----


def train_autoencoder(settings, rank: int, world: int, device) -> TAESD:
    torch.manual_seed(settings.seed)
    net = make_autoencoder().to(device, memory_format=torch.channels_last)

    def loss_at(step):
        rng, noise = (
            random.Random(f"{settings.seed} autoencoder {step} {rank}"),
            torch.Generator(device).manual_seed(world * step + rank),
        )
        crop = SIZE // 2 if step < 0.8 * settings.autoencoder_steps else SIZE
        rows = []
        for _ in range(max(1, settings.crops * (SIZE // 2) ** 2 // crop**2 // world)):
            top, left = rng.randint(0, SIZE - crop), rng.randint(0, SIZE - crop)
            rows.append(render(random_scene(rng))[0][:, top : top + crop, left : left + crop])
        picture = torch.stack(rows).to(device, memory_format=torch.channels_last)
        with autocast(device):
            latent = net.taesd_encoder(picture)
            back = net.taesd_decoder(
                latent + LATENT_NOISE * torch.randn(latent.shape, generator=noise, device=device)
            ).float()
        latent = latent.float()
        normal = latent.mean((0, 2, 3)).square().mean() + (latent.var((0, 2, 3)) - 1).square().mean()
        mse = torch.nn.functional.mse_loss(back, picture)
        loss = torch.nn.functional.l1_loss(back, picture) + 4 * mse + 0.02 * normal
        return loss, f"PSNR {-10 * math.log10(mse.item()):.1f} dB"

    return fit("autoencoder", net, loss_at, settings.autoencoder_steps, settings, rank, world)


def encode_scenes(autoencoder: TAESD, settings, rank: int, world: int, device) -> tuple[torch.Tensor, list]:
    """This worker's share of the training scenes and their latents."""
    cache = pathlib.Path(settings.work) / f"latents-{rank}-of-{world}.pt"
    scenes = [
        random_scene(random.Random(f"{settings.seed} scene {index}")) for index in range(rank, settings.scenes, world)
    ]
    if cache.is_file():
        return torch.load(cache), scenes
    rows, said = [], time.time()
    with torch.no_grad(), autocast(device):
        for start in range(0, len(scenes), 32):
            pictures = torch.stack([render(scene)[0] for scene in scenes[start : start + 32]])
            rows.append(autoencoder.taesd_encoder(pictures.to(device, memory_format=torch.channels_last)).float().cpu())
            if rank == 0 and time.time() - said > 20:
                said = time.time()
                print(f"latents: {start * world} of {settings.scenes}", flush=True)
    latents = torch.cat(rows)
    torch.save(latents, cache)
    return latents, scenes


def train_denoiser(latents: torch.Tensor, scenes: list, settings, rank: int, world: int, device) -> Denoiser:
    comfy.clip_model.CLIPLayer.forward = clip_layer_forward
    torch.manual_seed(settings.seed + 1)
    words = Words()
    net = Denoiser(len(words.tokens)).to(device)
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    abar = torch.cumprod(1 - beta, 0).float().to(device)
    latents, batch = latents.to(device), settings.batch // world

    def loss_at(step):
        rng, drawn = (
            random.Random(f"{settings.seed} denoiser {step} {rank}"),
            torch.Generator().manual_seed(world * step + rank),
        )
        picks = [rng.randrange(len(scenes)) for _ in range(batch)]
        ids = torch.tensor([words.ids(training_caption(scenes[pick], rng)) for pick in picks], device=device)
        # Half of the steps where a 16 x 16 latent takes its shape, half anywhere.
        middle = (380 + 170 * torch.randn(batch, generator=drawn)).clamp(0, 999).long()
        t = torch.where(
            torch.rand(batch, generator=drawn) < 0.5, middle, torch.randint(0, 1000, (batch,), generator=drawn)
        ).to(device)
        noise = torch.randn((batch, *latents.shape[1:]), generator=drawn).to(device)
        signal = abar[t].view(-1, 1, 1, 1)
        with autocast(device):
            eps = net(signal.sqrt() * latents[picks] + (1 - signal).sqrt() * noise, t, ids).float()
        loss = torch.nn.functional.mse_loss(eps, noise)
        return loss, f"loss {loss.item():.4f}"

    return fit("denoiser", net, loss_at, settings.denoiser_steps, settings, rank, world)


# ---- putting it together ----


def write_checkpoint(autoencoder: TAESD, scale: float, denoiser: Denoiser, path: pathlib.Path) -> None:
    """One file in SD1.5's layout, in float16."""
    state = {f"model.diffusion_model.{name}": value for name, value in denoiser.unet.state_dict().items()}
    state |= {
        f"cond_stage_model.transformer.{name}": value
        for name, value in denoiser.text.state_dict().items()
        if "text_projection" not in name
    }
    table = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    state[table] = Words().full_table(state[table])
    state |= {f"first_stage_model.{name}": value for name, value in autoencoder.state_dict().items()}
    state["first_stage_model.vae_scale"] = torch.tensor(SD_SCALE / scale)
    state = {
        name: value.detach().cpu().half().contiguous() if value.is_floating_point() else value
        for name, value in state.items()
    }
    safetensors.torch.save_file(state, path, metadata={"format": "pt", "made_by": "demo/train.py"})
    print(
        f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, "
        f"{sum(value.numel() for value in state.values()) / 1e6:.1f} M numbers",
        flush=True,
    )


def worker(rank: int, world: int, settings) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if world > 1:
        torch.set_num_threads(1)
        dist.init_process_group(
            "gloo", init_method=(pathlib.Path(settings.work) / "rendezvous").as_uri(), rank=rank, world_size=world
        )
    autoencoder = train_autoencoder(settings, rank, world, device)
    latents, scenes = encode_scenes(autoencoder, settings, rank, world, device)
    spread = latents.square().mean()
    if world > 1:
        dist.all_reduce(spread)
    scale = (spread / world).rsqrt().item()
    denoiser = train_denoiser(latents * scale, scenes, settings, rank, world, device)
    if rank == 0:
        write_checkpoint(autoencoder, scale, denoiser, pathlib.Path(settings.output))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default=str(HERE / demo_model.CHECKPOINT), help="where the checkpoint goes")
    parser.add_argument("--work", default="demo-training", help="folder for states to resume from and cached latents")
    parser.add_argument(
        "--workers",
        type=int,
        default=1 if torch.cuda.is_available() else os.cpu_count(),
        help="processes that share the work",
    )
    parser.add_argument("--autoencoder-steps", type=int, default=1800)
    parser.add_argument("--denoiser-steps", type=int, default=4500)
    parser.add_argument("--scenes", type=int, default=16000, help="training scenes whose latents are cached")
    parser.add_argument("--crops", type=int, default=24, help="64-pixel crops a step, over all workers")
    parser.add_argument("--batch", type=int, default=64, help="latents a step, over all workers")
    parser.add_argument(
        "--rate", type=float, default=1e-3, help="learning rate of vectors, embeddings, first and last layers"
    )
    parser.add_argument("--matrix-rate", type=float, default=2e-3, help="learning rate of all other weights")
    parser.add_argument(
        "--decay", type=float, default=0.33, help="share of the steps at the end over which the rate falls to zero"
    )
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    pathlib.Path(settings.work).mkdir(parents=True, exist_ok=True)
    settings.work = str(pathlib.Path(settings.work).resolve())
    (pathlib.Path(settings.work) / "rendezvous").unlink(missing_ok=True)
    started = time.time()
    if settings.workers > 1:
        torch.multiprocessing.spawn(worker, (settings.workers, settings), nprocs=settings.workers)
    else:
        worker(0, 1, settings)
    print(f"trained in {(time.time() - started) / 60:.0f} minutes; measuring", flush=True)
    from . import measure

    measure.main(["--checkpoint", settings.output])


if __name__ == "__main__":
    main()
