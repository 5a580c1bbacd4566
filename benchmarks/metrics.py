"""The metrics of edits in folders of pictures, the same numbers as the node EditMetrics.

``python -m benchmarks.metrics SOURCE EDITED MASKS`` with COMFYUI_PATH set. Pictures are matched by
name: the edits of ``cat.png`` are ``cat.png``, ``cat_0.png``, ``cat-b.png`` and everything in a
folder ``cat``; its mask (white is inside) is ``cat.png`` in the third folder, or ``mask.png`` for
all.

Printed are PSNR, SSIM, MSE and LPIPS outside and inside the masks in two conventions: over the
pixels of each region, and PIE-Bench's (Ju et al. 2024: both pictures black outside the region, mean
over the full frame, the mask's border row and column set). ``--texts`` (a JSON of name to text) and
``--clip`` (a folder of models/clip_rank) add CLIP scores; ``--classes`` (a JSON of name to class
number) and ``--classifier`` add the two metrics of Blended Latent Diffusion, appendix C.1:

- batch precision: share of a source's predictions, black outside the mask, whose class is among the
  classifier's best five; their mean over the sources;
- diversity: mean LPIPS of all pairs of a source's correct, masked predictions; the mean over the
  sources that have two.

``--classifier`` is a model of torchvision whose weights are in torch's cache (``efficientnet_b0``),
or a function, ``file.py:function``, from pictures [N, H, W, 3] in 0..1 to logits [N, classes].
Nothing is downloaded.
"""

import argparse
import importlib
import importlib.util
import json
import math
import pathlib
import urllib.parse
from collections.abc import Callable

import torch

from lab import common
from lab.sheet import read_picture, save_picture

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
COLUMNS = (
    "psnr_outside",
    "ssim_outside",
    "mse_outside",
    "lpips_outside",
    "psnr_inside",
    "ssim_inside",
    "mse_inside",
    "lpips_inside",
    "clip_whole",
    "clip_inside",
)


# ---- files ----


def write_pictures(folder: pathlib.Path, pictures: dict[str, torch.Tensor]) -> None:
    """Write pictures [H, W, 3] in 0..1 as PNGs by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        save_picture(picture, folder / f"{name}.png")


def pictures_in(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The picture files directly in a folder, by name without the ending."""
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}


def edits_of(names: list[str], edited: pathlib.Path) -> dict[str, dict[str, pathlib.Path]]:
    """The edits of every source, by name. An edit belongs to the source with the longest name that
    its name begins with.

    Raises:
        ValueError: an edit that belongs to no source, or no edits.
    """
    edits: dict[str, dict[str, pathlib.Path]] = {name: {} for name in names}
    strangers = []
    for stem, path in pictures_in(edited).items():
        owners = [name for name in names if stem == name or stem.startswith((f"{name}_", f"{name}-"))]
        if owners:
            edits[max(owners, key=len)][stem] = path
        else:
            strangers.append(path.name)
    for name in names:
        if (edited / name).is_dir():
            edits[name] |= {f"{name}/{stem}": path for stem, path in pictures_in(edited / name).items()}
    if strangers:
        raise ValueError(
            f"metrics: {len(strangers)} edits belong to no source ({', '.join(strangers[:3])} ...); "
            "name them after it, as cat.png, cat_0.png or cat/0.png"
        )
    if not any(edits.values()):
        raise ValueError(
            f"metrics: no edits in {edited.name}; "
            f"expected pictures that are named after the sources ({', '.join(names[:3])} ...)"
        )
    return {name: files for name, files in edits.items() if files}


# ---- classifiers ----


def load_classifier(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """``classify(pictures [N, H, W, 3] in 0..1) -> logits [N, classes]``: a user's function, or a
    model of torchvision with local weights.

    Raises:
        ValueError: an unknown function or model, or missing weights.
    """
    if ":" in name:
        script, function = name.rsplit(":", 1)
        spec = importlib.util.spec_from_file_location("classifier", script)
        if spec is None or spec.loader is None or not pathlib.Path(script).is_file():
            raise ValueError(f"metrics: no classifier in {script}; expected file.py:function")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return getattr(module, function)
    from torchvision.models import get_model, get_model_weights, list_models

    name = "efficientnet_b0" if name == "efficientnet" else name
    if name not in list_models():
        raise ValueError(f"metrics: torchvision has no model {name!r}; give one of its classifiers or file.py:function")
    weights = get_model_weights(name).DEFAULT
    file = (
        pathlib.Path(torch.hub.get_dir())
        / "checkpoints"
        / pathlib.PurePosixPath(urllib.parse.urlparse(weights.url).path).name
    )
    if not file.is_file():
        raise ValueError(
            f"metrics: the weights of {name} are not there; "
            f"put {file.name} into checkpoints in torch's cache (torch.hub.get_dir())"
        )
    model, prepare = get_model(name, weights=None).eval(), weights.transforms()
    model.load_state_dict(
        torch.load(file, map_location="cpu", weights_only=True)
    )  # torchvision would unpickle anything
    return lambda pictures: model(prepare(pictures.movedim(-1, 1)))


def precision_and_diversity(
    metrics, groups: dict[str, torch.Tensor], classes: dict[str, int], classify, distance, best: int = 5
) -> dict:
    """Batch precision and diversity of masked predictions ([K, H, W, 3] of each source), per source
    and as means; the diversity is NaN without ``distance``.
    """
    rows = {}
    for name, pictures in groups.items():
        if name not in classes:
            raise ValueError(f"metrics: no class for {name}; --classes must name every source")
        with torch.no_grad():
            right = metrics.among_best(classify(pictures), torch.full((len(pictures),), classes[name]), best)
        rows[name] = {
            "precision": right.float().mean().item(),
            "diversity": metrics.diversity(pictures[right], distance) if distance else math.nan,
        }
    return {"sources": rows} | {
        name: common.mean(row[name] for row in rows.values()) for name in ("precision", "diversity")
    }


# ---- measuring ----


def measure_folders(
    pack_module,
    source: pathlib.Path,
    edited: pathlib.Path,
    masks: pathlib.Path,
    lpips: str = "squeeze",
    texts: dict[str, str] | None = None,
    scorer=None,
    classify=None,
    classes: dict[str, int] | None = None,
) -> dict:
    """All metrics of a folder. ``pack_module("core.pictures.metrics")`` returns the pack's modules as
    ComfyUI loaded them.

    Returns:
        ``rows`` (source, edited, and per convention name to number), ``means`` per convention,
        ``left_out``, and, with a classifier, ``batches``.
    """
    metrics, node, host_lpips = (
        pack_module("core.pictures.metrics"),
        pack_module("edits.judging.metrics"),
        pack_module("host.lpips"),
    )
    sources, shapes = pictures_in(source), pictures_in(masks)
    rows: list[dict] = []
    left_out: dict[str, str] = {}
    groups: dict[str, list[torch.Tensor]] = {}
    for name, files in edits_of(list(sources), edited).items():
        shape = shapes.get(name) or shapes.get("mask")
        if shape is None:
            raise ValueError(f"metrics: no mask for {name}; expected {name}.png (or mask.png for all) in {masks.name}")
        before, mask = read_picture(sources[name])[None], read_picture(shape).mean(-1)[None]
        for stem, file in files.items():
            case = node.read_case(before, read_picture(file)[None], mask)
            results = node.measure(case, (texts or {}).get(name, ""), scorer, lpips)
            left_out |= results["left_out"]
            numbers = {
                way: {key: float(value[0]) for key, value in values.items()}
                for way, values in results["values"].items()
            }
            rows.append({"source": name, "edited": stem} | numbers)
            groups.setdefault(name, []).append(
                metrics.masked(case.edited, metrics.regions_of(case.mask, "region")["inside"])
            )
    means = {
        way: {key: common.mean(row[way].get(key, math.nan) for row in rows) for key in COLUMNS}
        for way in metrics.CONVENTIONS
    }
    result = {"rows": rows, "means": means, "left_out": left_out}
    if classify is not None:
        distance = None if lpips == "none" or host_lpips.missing(lpips) else host_lpips.load_lpips(lpips)
        result["batches"] = precision_and_diversity(
            metrics, {name: torch.cat(batch) for name, batch in groups.items()}, classes or {}, classify, distance
        )
    return result


def report(results: dict) -> str:
    """Markdown: the means in both conventions, and the two metrics of batches if they were
    measured.
    """
    cells = [
        (way, *("-" if math.isnan(values[name]) else f"{values[name]:.4g}" for name in COLUMNS))
        for way, values in results["means"].items()
    ]
    sources = len({row["source"] for row in results["rows"]})
    lines = [
        f"{len(results['rows'])} edits of {sources} sources",
        "",
        common.markdown_table(["convention", *COLUMNS], cells),
    ]
    if "batches" in results:
        means = ("mean over sources", results["batches"]["precision"], results["batches"]["diversity"])
        lines += ["", common.markdown_table(["batches", "precision", "diversity"], [means])]
    lines += [f"- left out: {why}" for name, why in results["left_out"].items() if name != "mask_iou"]
    return "\n".join(lines)


def read_json(path: pathlib.Path | None) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path else {}


def main(argv: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in (("source", "pictures before"), ("edited", "pictures after"), ("masks", "masks, white inside")):
        parser.add_argument(name, type=common.user_path, help=f"folder: {text}")
    parser.add_argument(
        "--lpips", choices=("squeeze", "alex", "vgg", "none"), default="squeeze", help="the network behind LPIPS"
    )
    parser.add_argument("--texts", type=common.user_path, help="JSON: source's name to the text of its edits")
    parser.add_argument("--clip", help="a folder of models/clip_rank, for CLIP scores")
    parser.add_argument("--classes", type=common.user_path, help="JSON: source's name to the class of its edits")
    parser.add_argument("--classifier", help="a torchvision model such as efficientnet_b0, or file.py:function")
    parser.add_argument("--json", type=common.user_path, help="write every number to this file")
    settings = parser.parse_args(argv)
    for folder in (settings.source, settings.edited, settings.masks):
        if not folder.is_dir():
            parser.error(f"{folder} is no folder")
    if bool(settings.classes) != bool(settings.classifier):
        parser.error("--classes and --classifier go together")
    nodes = common.load_pack()
    try:
        classify = load_classifier(settings.classifier) if settings.classifier else None
        scorer = common.call(nodes["CLIPRankModelLoader"], folder=settings.clip)[0] if settings.clip else None
        results = measure_folders(
            common.pack_module,
            settings.source,
            settings.edited,
            settings.masks,
            settings.lpips,
            read_json(settings.texts),
            scorer,
            classify,
            read_json(settings.classes),
        )
    except ValueError as error:
        raise SystemExit(str(error)) from error
    print(report(results))
    common.write_json(settings.json, common.without_nan(results))
    return results


if __name__ == "__main__":
    main()
