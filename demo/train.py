"""Train every network of the demo from scratch: python -m demo.train (with COMFYUI_PATH set).

Five stages, each a plain loop whose data depend only on the seed and the step, so that a run can be
stopped and resumed at any time:

- autoencoder: TAESD's layout, on renders of the demo world, with latents regularised to a standard
  normal;
- denoiser: SD1.5's family with its CLIP text encoder, on cached latents;
- instructed: InstructPix2Pix's layout, from the denoiser's weights, on pairs before and after an
  edit;
- judge: identifies the content of a picture, on renders alone;
- clip: a small CLIP for ranking, on renders alone.

``--begin models`` continues from trained models: it keeps their autoencoder and text encoder, which
both UNets share, and the stages denoiser and instructed go on from their weights.

On a GPU there is one worker; on a CPU one single-threaded worker per core shares the first three
stages, with averaged gradients.
"""

import argparse
import os
import pathlib
import time

import safetensors.torch
import torch
import torch.distributed as dist

from lab import common

from .training import clip, data, diffusion, judge
from .training.loop import Plan, Workers, to_channels_last
from .training.networks import SD_SCALE, Denoiser, Words, make_autoencoder

MODELS = common.PACK / "models"
demo_model = common.pack_module("host.demo_model")

STAGES = ("autoencoder", "denoiser", "instructed", "judge", "clip")
CPU_STEPS = {"autoencoder": 4000, "denoiser": 12000, "instructed": 5000, "judge": 5000, "clip": 4000}
GPU_STEPS = {"autoencoder": 2600, "denoiser": 6000, "instructed": 3000, "judge": 3000, "clip": 3000}
CPU_BATCH = {"autoencoder": 24, "denoiser": 64, "instructed": 64, "judge": 16, "clip": 48}
GPU_BATCH = {"autoencoder": 24, "denoiser": 256, "instructed": 256, "judge": 64, "clip": 128}


def half(state: dict) -> dict:
    """A state dict on the CPU with floating-point tensors in float16."""
    return {
        name: value.detach().cpu().half().contiguous() if value.is_floating_point() else value
        for name, value in state.items()
    }


def save(state: dict, path: pathlib.Path) -> None:
    safetensors.torch.save_file(half(state), path, metadata={"format": "pt", "made_by": "demo/train.py"})
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB", flush=True)


def write_checkpoint(autoencoder, scale: float, denoiser, path: pathlib.Path) -> None:
    """Write UNet, text encoder and autoencoder in SD1.5's layout, in float16."""
    state = {f"model.diffusion_model.{name}": value for name, value in denoiser.unet.state_dict().items()}
    text = denoiser.text.state_dict()
    state |= {
        f"cond_stage_model.transformer.{name}": value for name, value in text.items() if "text_projection" not in name
    }
    table = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    state[table] = Words().full_table(state[table])
    state |= {f"first_stage_model.{name}": value for name, value in autoencoder.state_dict().items()}
    state["first_stage_model.vae_scale"] = torch.tensor(SD_SCALE / scale)
    save(state, path)


def released(folder: pathlib.Path, device: torch.device):
    """The autoencoder, the scale of its latents and the state dict of the denoiser in ``folder``."""
    checkpoint = safetensors.torch.load_file(folder / "checkpoints" / demo_model.CHECKPOINT)
    prefixes = ("model.diffusion_model.", "cond_stage_model.transformer.", "first_stage_model.")
    parts: dict[str, dict] = {prefix: {} for prefix in prefixes}
    for name, value in checkpoint.items():
        prefix = next(prefix for prefix in prefixes if name.startswith(prefix))
        parts[prefix][name.removeprefix(prefix)] = value.float()
    unet, text, vae = parts.values()
    table = "text_model.embeddings.token_embedding.weight"
    text[table] = text[table][Words().tokens]
    text["text_projection.weight"] = torch.eye(text[table].shape[1])
    autoencoder = make_autoencoder()
    autoencoder.load_state_dict(vae)
    denoiser = {f"unet.{name}": value for name, value in unet.items()}
    denoiser |= {f"text.{name}": value for name, value in text.items()}
    scale = SD_SCALE / autoencoder.vae_scale.item()
    return to_channels_last(autoencoder, device).requires_grad_(False), scale, denoiser


def released_instructed(folder: pathlib.Path) -> dict[str, torch.Tensor]:
    """The state dict of the instruction model's UNet in ``folder``."""
    state = safetensors.torch.load_file(folder / "diffusion_models" / demo_model.INSTRUCT_CHECKPOINT)
    return {name: value.float() for name, value in state.items()}


def diffusion_stages(settings, workers: Workers, device: torch.device) -> None:
    """Train the first three stages, up to the last requested one."""
    work, seed, plans, stages = settings.work, settings.seed, settings.plans, settings.stages
    edits = data.draw_edits(seed, settings.edits)
    begin: dict = {}
    if settings.begin:
        net, scale, begin = released(settings.begin, device)
    else:
        net = diffusion.train_autoencoder(
            edits, plans["autoencoder"], settings.batch["autoencoder"], seed, work, device, workers
        )
    if stages == ["autoencoder"]:
        return
    latents = data.cached_latents(net, edits, device, work, workers)
    if not settings.begin:
        scale = latents[:4000].float().square().mean().rsqrt().item()
    latents = latents * scale
    if settings.begin and "denoiser" not in stages:
        denoiser = Denoiser(demo_model, len(Words().tokens), demo_model.UNET)
        denoiser.load_state_dict(begin)
    else:
        denoiser = diffusion.train_denoiser(
            demo_model,
            edits,
            latents,
            plans["denoiser"],
            settings.batch["denoiser"],
            seed,
            work,
            device,
            workers,
            begin,
        )
        if workers.rank == 0:
            write_checkpoint(net, scale, denoiser, settings.output / "checkpoints" / demo_model.CHECKPOINT)
    if "instructed" not in stages:
        return
    instructed = diffusion.train_instructed(
        demo_model,
        denoiser,
        edits,
        latents,
        plans["instructed"],
        settings.batch["instructed"],
        seed,
        work,
        device,
        workers,
        released_instructed(settings.begin) if settings.begin else None,
    )
    if workers.rank == 0:
        if not settings.begin:
            denoiser.text = instructed.text  # its embedding also has the words of instructions
            write_checkpoint(net, scale, denoiser, settings.output / "checkpoints" / demo_model.CHECKPOINT)
        save(instructed.unet.state_dict(), settings.output / "diffusion_models" / demo_model.INSTRUCT_CHECKPOINT)


def worker(rank: int, world: int, settings) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if world > 1:
        torch.set_num_threads(1)
        meeting = (settings.work / "rendezvous").as_uri()
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
    diffusion_stages(settings, Workers(rank, world), device)


def ranking_stages(settings, device: torch.device) -> None:
    """Train the judge and CLIP, which need renders alone."""
    edits = data.draw_edits(settings.seed, settings.edits)
    if "judge" in settings.stages:
        net = judge.train_judge(
            edits, settings.plans["judge"], settings.batch["judge"], settings.seed, settings.work, device
        )
        judge.save_judge(net, settings.output / "judge.safetensors")
    if "clip" in settings.stages:
        folder = settings.clip_folder
        model = clip.train_clip(
            edits, settings.plans["clip"], settings.batch["clip"], settings.seed, folder, settings.work, device
        )
        model.half().save_pretrained(folder)
        print(f"clip: {sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.1f} MB", flush=True)


def numbers(text: str) -> dict[str, float]:
    """``"denoiser=300,clip=60"`` as a dict."""
    return {part.split("=")[0]: float(part.split("=")[1]) for part in text.split(",") if part}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--output", type=pathlib.Path, default=MODELS, help="folder of the models")
    parser.add_argument("--clip-folder", type=pathlib.Path, default=MODELS / "clip_rank")
    parser.add_argument(
        "--work", type=pathlib.Path, default=pathlib.Path("demo-training"), help="states to resume from, cached latents"
    )
    parser.add_argument(
        "--workers", type=int, default=1 if torch.cuda.is_available() else os.cpu_count(), help="processes on a CPU"
    )
    parser.add_argument(
        "--edits", type=int, default=30000 if torch.cuda.is_available() else 16000, help="pairs of training scenes"
    )
    parser.add_argument("--steps", type=numbers, default={}, help="steps of single stages, as denoiser=6000,clip=2000")
    parser.add_argument(
        "--seconds", type=numbers, default={}, help="time limits of single stages in seconds (one worker only)"
    )
    parser.add_argument("--batch", type=numbers, default={}, help="pictures a step of single stages")
    parser.add_argument(
        "--begin", type=pathlib.Path, metavar="FOLDER", help="continue from the models in this folder, such as models"
    )
    parser.add_argument("--rate", type=float, default=1.0, help="factor of the first three stages' learning rates")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    gpu = torch.cuda.is_available()
    steps, batch = (GPU_STEPS, GPU_BATCH) if gpu else (CPU_STEPS, CPU_BATCH)
    settings.batch = {name: int(settings.batch.get(name, count)) for name, count in batch.items()}
    settings.plans = {
        name: Plan(int(settings.steps.get(name, count)), seconds=settings.seconds.get(name))
        for name, count in steps.items()
    }
    for plan in (settings.plans[name] for name in STAGES[:3]):
        plan.rate *= settings.rate
        plan.matrix_rate *= settings.rate
        plan.decay = 1.0 if settings.begin else plan.decay
    if settings.begin and "autoencoder" in settings.stages:
        parser.error("--begin keeps the autoencoder, whose latents the denoisers know; leave out the stage")
    parts = [settings.output / name for name in ("checkpoints", "diffusion_models")]
    for folder in (settings.work, *parts, settings.clip_folder):
        folder.mkdir(parents=True, exist_ok=True)
    settings.work = settings.work.resolve()
    return settings


def main() -> None:
    settings, started = parse(), time.time()
    torch.backends.cudnn.benchmark = torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    (settings.work / "rendezvous").unlink(missing_ok=True)
    if set(settings.stages) & set(STAGES[:3]):
        if settings.workers > 1:
            torch.multiprocessing.spawn(worker, (settings.workers, settings), nprocs=settings.workers)
        else:
            worker(0, 1, settings)
    if set(settings.stages) & set(STAGES[3:]):
        ranking_stages(settings, device)
    print(f"trained in {(time.time() - started) / 60:.1f} minutes; now: python -m demo.measure", flush=True)


if __name__ == "__main__":
    main()
