"""Digests of the outputs of every node and every workflow: bytes to compare before and after a
change on one machine, and statistics that hold on any machine.

A digest covers the outputs that other nodes read: tensors, LATENTs, numbers, NOISE (by the noise
that it generates) and VAEs (by their weights). Objects that only nodes of the pack read
(inversions, pairs) are covered by the outputs of the nodes after them, so that their internals may
change. Texts are left out.
"""

import hashlib
import math
import pathlib
from collections.abc import Callable, Iterator

import calls
import tiny_models
import tiny_vaes
import torch
from graph_runner import GraphRunner
from workflow_graphs import CHECKPOINT, PACK, WORKFLOWS, Graph, disc, easy_scene, picture_of, shape_modules

import nodes as comfyui_nodes

ANALYTIC = "analytic"
FAMILIES = (ANALYTIC, "sdxl", "flux", "wan")
"""The families in the committed record; ``tools.digests --all`` covers all."""


def leaves(value, place: str = "", empty: torch.Tensor | None = None) -> Iterator[tuple[str, torch.Tensor]]:
    """(Path, tensor) for all numbers inside a node's outputs; for a NOISE, its noise for the LATENT
    beside it (``empty``).
    """
    if isinstance(value, torch.Tensor):
        yield place, value.detach().cpu()
    elif isinstance(value, (bool, int, float)):
        yield place, torch.tensor(value, dtype=torch.float64)
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from leaves(value[key], f"{place}.{key}", empty)
    elif isinstance(value, (list, tuple)):
        samples = [item["samples"] for item in value if isinstance(item, dict) and "samples" in item]
        for index, item in enumerate(value):
            yield from leaves(item, f"{place}.{index}", torch.zeros_like(samples[0]) if samples else None)
    elif hasattr(value, "generate_noise"):
        yield f"{place}.noise", value.generate_noise({"samples": empty}).cpu()
    elif hasattr(value, "first_stage_model"):
        yield (
            f"{place}.weights",
            torch.cat(
                [part.detach().cpu().float().flatten() for part in value.first_stage_model.state_dict().values()]
            ),
        )


def exact(outputs) -> dict[str, str]:
    """SHA-256 of dtype, shape and bytes, by path."""
    result = {}
    for place, tensor in leaves(outputs):
        data = tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
        result[place] = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode() + data).hexdigest()
    return result


def statistics(outputs) -> dict[str, list]:
    """Shape, mean, standard deviation, and the projection on a cosine, by path; six digits each.
    The projection detects permuted values.
    """
    result = {}
    for place, tensor in leaves(outputs):
        values = tensor.double().flatten()
        wave = torch.cos(torch.arange(len(values), dtype=torch.float64) * 2.399963)
        numbers = (
            (values.mean(), values.std(correction=0), (values * wave).sum() / max(1, len(values)) ** 0.5)
            if len(values)
            else ()
        )
        result[place] = [list(tensor.shape), *(_rounded(float(number)) for number in numbers)]
    return result


def _rounded(number: float) -> float | str:
    return float(f"{number:.6g}") if math.isfinite(number) else str(number)


def differences(found: dict[str, list], wanted: dict[str, list], tolerance: float = 0.02) -> list[str]:
    """One line of text per statistic that differs by more than ``tolerance`` of the standard
    deviation.
    """
    lines = [f"{place}: only in one of the two" for place in sorted(found.keys() ^ wanted.keys())]
    for place in sorted(found.keys() & wanted.keys()):
        (shape, *now), (shape_before, *before) = found[place], wanted[place]
        if shape != shape_before:
            lines.append(f"{place}: shape {shape}, was {shape_before}")
        elif not all(_close(a, b, tolerance * float(before[1])) for a, b in zip(now, before, strict=True)):
            lines.append(f"{place}: mean, deviation, projection are {now}, were {before}")
    return lines


def _close(a, b, allowed: float) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    return abs(a - b) <= allowed + 1e-3 * abs(b) + 1e-6


# ---- nodes ----

FLOAT32 = {"mixed_precision": False}
"""For DecoderFinetune: its default uses bfloat16 if the processor supports it, so results differ by
machine.
"""


def _variants() -> dict[str, Callable[[calls.World], object]]:
    """Additional calls, for code paths that the plain calls do not cover."""

    def call(name: str, **changes) -> Callable[[calls.World], object]:
        return lambda world: calls.CALLS[name].run(world, **changes)

    def shrunk(world):
        model, masked, _ = _tuple(calls.CALLS["ProgressiveMaskShrink"].run(world))
        return comfyui_nodes.KSampler().sample(
            model, 1, 3, 2.0, "euler", "normal", world.target, world.empty, masked, 1.0
        )

    return {
        "DiffEditMask, defaults": call("DiffEditMask", normalisation="clamp", noises=3),
        "DiffEditMask, along edges": call("DiffEditMask", normalisation="clamp", noises=3, edge_radius=2),
        "DDIMInvert, refined": call("DDIMInvert", refinements=2),
        "LatentBlendSampler, inversion": lambda world: calls.CALLS["LatentBlendSampler"].run(
            world, inversion=world.inverted("DDIMInvert")
        ),
        "LatentBlendSampler, euler_ancestral, two predictions": call(
            "LatentBlendSampler", sampler_name="euler_ancestral", predictions=2
        ),
        "ExactInvert, BDIA": call("ExactInvert", method="BDIA"),
        "ExactSampler, edit-friendly": lambda world: calls.CALLS["ExactSampler"].run(
            world, inversion=world.inverted("EditFriendlyInvert")
        ),
        "ProgressiveMaskShrink, KSampler": shrunk,
    }


def _tuple(outputs) -> tuple:
    return tuple(getattr(outputs, "args", outputs))


def model_cases(run: Callable, family: str) -> dict[str, Callable[[], tuple]]:
    """Calls of every node that takes a MODEL, on one family, by name; each call has new inputs."""

    def world() -> calls.World:
        return calls.World(run, None if family == ANALYTIC else family, count=2 if family == ANALYTIC else 1)

    ways = {name: call.run for name, call in calls.CALLS.items()} | _variants()
    return {f"{family}: {name}": lambda way=way: _tuple(way(world())) for name, way in ways.items()}


def picture_cases(run: Callable) -> dict[str, Callable[[], tuple]]:
    """Calls of the nodes that take pictures, by name."""

    def call(name: str, **changes) -> Callable[[], tuple]:
        return lambda: _tuple(calls.OTHERS[name].run(calls.Pictures(run), **changes))

    def rank(region: str):
        def ranked():
            model = _tuple(run("CLIPRankModelLoader", folder="semantic-edit-demo"))[0]
            images = torch.rand(3, 64, 48, 3, generator=torch.Generator().manual_seed(3))
            mask = torch.zeros(1, 64, 48)
            mask[:, 10:40, 8:30] = 1
            return _tuple(
                run(
                    "CLIPRank",
                    images=images,
                    text="a red circle on a blue background",
                    mask=mask,
                    region=region,
                    clip_rank_model=model,
                )
            )

        return ranked

    def tuned(name: str, **changes):
        def given():
            vae = tiny_vaes.FAMILIES[name]()
            image = torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(3))
            with torch.inference_mode():
                latent = {"samples": vae.encode(image).float()}
            mask = torch.zeros(1, 32, 32)
            mask[..., 16:] = 1
            inputs = {"vae": vae, "image": image, "latent": latent, "mask": mask, "steps": 12, **FLOAT32, **changes}
            return _tuple(run("DecoderFinetune", **inputs))

        return given

    def aligned():
        """AlignToSource of a picture that is shifted by one and two pixels."""
        image = calls.textured()
        return _tuple(run("AlignToSource", image=image, edited=image.roll((1, 2), (1, 2))))[:2]

    def cropped():
        """EditCrop, an edit of the crop, and EditStitch."""
        world = calls.Pictures(run)
        crops, mask, crop = _tuple(run("EditCrop", image=world.image, mask=world.mask, size=64))
        stitched = _tuple(run("EditStitch", crop=crop, edited=crops.flip(1)))[0]
        return crops, mask, stitched

    restored = {
        f"BackgroundRestore, {method}": call("BackgroundRestore", method=method)
        for method in ("stitch", "poisson", "latent optimisation")
    }
    return {
        **restored,
        **{f"CLIPRank, {region}": rank(region) for region in ("masked", "crop", "whole")},
        "DecoderFinetune": tuned("AutoencoderKL"),
        "DecoderFinetune, Adam": tuned("AutoencoderKL", optimiser="adam"),
        "DecoderFinetune, TAESD": tuned("TAESD"),
        "AlignToSource": aligned,
        "EditCrop, EditStitch": cropped,
        "EditMetrics": call("EditMetrics"),
        "EditMetrics, PIE-Bench": call("EditMetrics", convention="PIE-Bench"),
    }


def node_cases(run: Callable, families=FAMILIES) -> dict[str, Callable[[], tuple]]:
    """All calls of nodes, by name."""
    cases = picture_cases(run)
    for family in families:
        cases |= model_cases(run, family)
    return cases


def all_families() -> tuple[str, ...]:
    return (ANALYTIC, *tiny_models.FAMILIES)


# ---- workflows ----

SETTINGS = {
    "CheckpointLoaderSimple": {"ckpt_name": CHECKPOINT},
    "CLIPRankModelLoader": {"folder": "semantic-edit-demo"},
    "ImageScaleToTotalPixels": {"megapixels": 128**2 / 1024**2},
    "DecoderFinetune": {"steps": 12, **FLOAT32},
}
"""Settings for running a workflow, by kind of node."""
MOST_STEPS = 8
AS_THEY_COME = ("align", "instruct", "instruct_session", "large_photo")
"""Workflows that are run with their own models and pictures, because a scene of shapes does not
suit them.
"""


def workflow_names() -> list[str]:
    """All workflows except those of models that are not part of the pack."""
    names = sorted(file.stem for file in (WORKFLOWS / "api").glob("*.json"))
    return [name for name in names if name not in ("instruct_klein", "instruct_kontext", "instruct_qwen")]


def put_samples(runner: GraphRunner) -> None:
    """Copy the pack's own pictures to ComfyUI's input folder."""
    for sample in (PACK / "demo" / "samples").glob("*.png"):
        (runner.folder / "input" / f"semantic-edit-{sample.name}").write_bytes(sample.read_bytes())


def workflow_pictures(runner: GraphRunner, name: str) -> dict[str, list[torch.Tensor]]:
    """The pictures that a workflow shows or saves, by title, with few steps: with the checkpoint of
    the shapes, one scene and a painted disc, or unchanged (:data:`AS_THEY_COME`).
    """
    scenes, _ = shape_modules()
    before, after = easy_scene()
    runner.put_picture("digest.png", picture_of(before), disc(0.42, 0.45, 0.3))
    graph = Graph(name)
    if name in AS_THEY_COME:
        put_samples(runner)
        for node in graph.nodes.values():
            if "steps" in node["inputs"]:
                node["inputs"]["steps"] = MOST_STEPS
        return {title: [runner.picture(one) for one in entries] for title, entries in runner.run(graph.nodes).items()}
    for title, number in graph.ids.items():
        node = graph.nodes[number]
        changes = dict(SETTINGS.get(node["class_type"], {}))
        if node["class_type"] == "CLIPTextEncode" and node["inputs"].get("text"):
            changes["text"] = scenes.caption(before if title.startswith("Source") else after)
        if node["class_type"] in ("LoadImage", "LoadImageMask"):
            changes["image"] = "digest.png"
        if node["class_type"] == "CLIPRank":
            changes["text"] = scenes.caption(after)
        if "steps" in node["inputs"] and "steps" not in changes:
            changes["steps"] = min(node["inputs"]["steps"], MOST_STEPS)
        if "predictions" in node["inputs"]:
            changes["predictions"] = min(node["inputs"]["predictions"], 2)
        node["inputs"] |= {
            key: value for key, value in changes.items() if not isinstance(node["inputs"].get(key), list)
        }
    return {title: [runner.picture(entry) for entry in entries] for title, entries in runner.run(graph.nodes).items()}


RECORD = pathlib.Path(__file__).resolve().parents[1] / "digests.json"
"""The committed statistics: {"nodes": {case: statistics}, "workflows": {name: statistics}}."""
