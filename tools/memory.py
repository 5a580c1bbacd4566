"""Peak memory of every node against ComfyUI's own KSampler on the same latent; writes
docs/evidence/memory.md.

``python run.py bench memory``, or ``python -m tools.memory`` with COMFYUI_PATH set. ``--print``
writes to the terminal instead.

SDXL at 1024 pixels and Wan 2.1 (1.3B) at 832 x 480 with 81 frames, of full width and in half
precision (tests/helpers/full_size.py), through ComfyUI's own classes, one picture or video at a
time, with guidance. With CUDA the networks are real and the peak is the device's own. Without CUDA
they run on torch's meta device, where tensors have a size and no values; every tensor is counted
while it exists (tests/helpers/live_bytes.py), including those that a node keeps on the CPU.
"""

import argparse
import sys

import torch

from lab import common

PAGE, MIB = common.PACK / "docs" / "evidence" / "memory.md", 1024**2
SIZES = {"SDXL, 1024 x 1024": ("sdxl", (128, 128), 0), "Wan 2.1 1.3B, 832 x 480, 81 frames": ("wan", (60, 104), 21)}
HEAD = """# How much memory each node takes

Written by `tools/memory.py`, not by hand. The reference is ComfyUI's KSampler with the same latent, model and guidance.
Trajectories are stored in the memory of the CPU, or in a file of ComfyUI's temp folder if they exceed half of the free
memory. `tests/host/test_memory.py` fails if a node takes clearly more than KSampler.

- *peak*: largest amount of memory in MiB, without the model's weights and the inputs: activations of the network, and
  latents of ComfyUI and of the node.
- *trajectory*: the part of the peak, in MiB, that the node outputs (never on a GPU).
- *of KSampler's*: the peak without the trajectory, divided by the peak of KSampler.
- *latents*: the difference of these two in float32 latents. The exact inversions compute in float64, which doubles the
  dozen latents that ComfyUI's guidance holds, and EDICT has two states.

The weights are the same for all nodes. DiffEditMask predicts one noise at a time for latents of these sizes. \
For smaller
latents several noises share a pass, if they fit by ComfyUI's estimate; if the pass fails, they are predicted singly.
"""


def measure(nodes: dict[str, type], family: str, size: tuple[int, int], frames: int, steps: int) -> list[list]:
    """Rows of the table for one family."""
    import calls
    import comfy.model_management
    import full_size
    import live_bytes

    if not live_bytes.on_cuda():
        comfy.model_management.get_free_memory = full_size.plenty
    model = full_size.model(family)
    world = calls.World(
        lambda name, **inputs: common.call(nodes[name], **inputs), family, size=size, frames=frames, model=model
    )
    world.target, world.source, world.empty = (full_size.text(family, seed) for seed in range(3))
    texts = dict(positive=world.target, negative=world.empty, cfg=2.0, sampler_name="euler", scheduler="normal")

    def stock():
        return common.call(
            nodes["KSampler"], model=model, seed=0, steps=2, latent_image=world.latent, denoise=1.0, **texts
        )

    stock()
    base, _ = live_bytes.peak_of(stock)
    rows, shared, latent = (
        [["KSampler", base / MIB, 0.0, "1.00", "-"]],
        not live_bytes.on_cuda(),
        world.latent["samples"].nbytes,
    )
    for name, call in calls.CALLS.items():
        changes = (
            {"noises": 10}
            if name == "DiffEditMask"
            else {"steps": steps, "strength": 1.0}
            if call.inversion is not None
            else {}
        )
        inputs = call.inputs(world) | changes
        peak, outputs = live_bytes.peak_of(lambda inputs=inputs, name=name: world.run(name, **inputs))
        path = live_bytes.trajectory_bytes(outputs)
        baseline = peak - path if shared else peak
        rows.append([name, peak / MIB, path / MIB, f"{baseline / base:.2f}", f"{(baseline - base) / latent:+.1f}"])
        print(
            f"{family} {name}: {peak / MIB:.1f} MiB, trajectory {path / MIB:.1f} MiB, {baseline / base:.2f}",
            file=sys.stderr,
            flush=True,
        )
        del outputs
    return rows


def page(tables: dict[str, list[list]], steps: int) -> str:
    """The text of docs/evidence/memory.md."""
    parts = [HEAD]
    for title, rows in tables.items():
        parts += [
            f"## {title}\n",
            common.markdown_table(["node", "peak", "trajectory", "of KSampler's", "latents"], rows),
            "",
        ]
    known, device = (
        common.versions(),
        "the device's own count" if torch.cuda.is_available() else "counted tensor by tensor, not seen on a GPU",
    )
    last = (
        f"Inversions of {steps} steps, DiffEditMask with 10 noises; {device}. "
        f"ComfyUI {known['comfyui']}, torch {known['torch'].split('+')[0]}."
    )
    return "\n".join([*parts, last, ""])


def main(argv: list[str] | None = None) -> dict[str, list[list]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="write to the terminal, not to docs/evidence/memory.md")
    parser.add_argument(
        "--steps", type=int, default=4, help="steps of the inversions; only the trajectory should grow with them"
    )
    settings = parser.parse_args(argv)
    nodes = common.load_pack()
    tables = {title: measure(nodes, *case, settings.steps) for title, case in SIZES.items()}
    text = page(tables, settings.steps)
    if settings.print:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")
        print(f"wrote {PAGE.relative_to(common.PACK)}")
    return tables


if __name__ == "__main__":
    main()
