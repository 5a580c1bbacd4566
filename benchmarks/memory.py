"""Peak memory of every node against ComfyUI's own KSampler on the same latent.

``python run.py bench memory``, or ``python benchmarks/memory.py`` with COMFYUI_PATH set. Small random networks of the real architectures stand for SDXL at 1024
and for a 5-D video latent (Wan 2.1): what a node holds besides the network's own work does not depend on the network's size. With CUDA the device's peak is
read (the trajectory is not on it); without, every tensor that comes to life is counted until it dies, so the trajectory is part of the peak and is
subtracted in the last column but one.

- peak: the most bytes held at once beyond what was there before, in MiB;
- trajectory: what the node hands on, in MiB;
- over: peak (without the trajectory, where that is in the same memory) over KSampler's peak;
- latents: the same difference in units of one float32 latent.
"""
import argparse
import gc
import pathlib
import sys
import weakref

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import common  # noqa: E402
import torch  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

MIB = 1024 ** 2


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that are made within it and not yet freed."""

    def __init__(self):
        super().__init__()
        self.live = self.peak = 0
        self.known: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                self._see(tensor.untyped_storage())
        return result

    def _see(self, storage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.known:
            return

        def forget(_):
            if self.known.pop(key, None) is not None:
                self.live -= size

        self.known[key] = weakref.ref(storage, forget)
        self.live += size
        self.peak = max(self.peak, self.live)


def peak_of(work) -> tuple[float, object]:
    """Bytes that ``work()`` held at most, and what it returned."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        result = work()
        return torch.cuda.max_memory_allocated() - before, result
    with LiveBytes() as counter:
        result = work()
    return counter.peak, result


def trajectory_bytes(outputs: tuple) -> int:
    """Of all that the outputs hand on besides latents: states and corrections."""
    tensors = [value for output in outputs if hasattr(output, "states") for value in (output.states, getattr(output, "corrections", None)) if value is not None]
    return sum(tensor.nbytes for tensor in tensors)


def measure(nodes: dict[str, type], family: str, size: int, frames: int, steps: int) -> list[list]:
    """Rows of the table for one family; ``size`` is the latent's side."""
    sys.path.insert(0, str(common.PACK / "tests" / "helpers"))
    import calls
    import matrix  # noqa: F401  (loads ComfyUI's own sampler nodes)
    world = calls.World(lambda name, **inputs: common.call(nodes[name], **inputs), family, size=(size, size), frames=frames)
    if torch.cuda.is_available():
        world.model.load_device = torch.device("cuda")
    latent = world.latent["samples"].nbytes
    texts = dict(positive=world.target, negative=world.empty, cfg=2.0, sampler_name="euler", scheduler="normal")

    def stock():
        return common.call(nodes["KSampler"], model=world.model, seed=0, steps=2, latent_image=world.latent, denoise=1.0, **texts)

    stock()
    base, _ = peak_of(stock)
    rows, shared = [["KSampler", base / MIB, 0.0, "1.00", "-"]], not torch.cuda.is_available()
    for name, call in calls.CALLS.items():
        inputs = call.inputs(world) | ({"steps": steps, "strength": 1.0} if call.inversion is not None else {})
        peak, outputs = peak_of(lambda inputs=inputs, name=name: world.run(name, **inputs))
        path = trajectory_bytes(outputs)
        own = peak - path if shared else peak
        rows.append([name, peak / MIB, path / MIB, f"{own / base:.2f}", f"{(own - base) / latent:+.1f}"])
        print(f"{family} {name}: {peak / MIB:.1f} MiB, trajectory {path / MIB:.1f} MiB", file=sys.stderr, flush=True)
        del outputs
    return rows


def main(argv: list[str] | None = None) -> dict[str, list[list]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the latents' sides")
    parser.add_argument("--steps", type=int, default=10, help="steps of the inversions; the trajectory grows with them, nothing else should")
    settings = parser.parse_args(argv)
    nodes, part = common.load_pack(), 4 if settings.quick else 1
    tables = {}
    for title, family, size, frames in (("SDXL at 1024", "sdxl", 128 // part, 0), ("Wan 2.1, 480 x 480, 33 frames", "wan", 60 // part, 9)):
        tables[title] = measure(nodes, family, size, frames, settings.steps)
        print(f"## {title}{' / ' + str(part) if part > 1 else ''}, {settings.steps} steps\n")
        print(common.markdown_table(["node", "peak", "trajectory", "over", "latents"], tables[title]), "\n", flush=True)
    print(", ".join(f"{name} {value}" for name, value in common.versions().items()))
    return tables


if __name__ == "__main__":
    main()
