"""edit.json, the report of `run.py edit`."""

from __future__ import annotations

from typing import Any

from .client import Result
from .files import ROOT, project_field
from .graphs import by_title, is_link, title_of
from .server import Server


def make_report(
    server: Server,
    settings: Any,
    places: dict[str, list[tuple[str, str]]],
    graph: dict,
    result: Result,
    checkpoint: str,
    size: int,
    share: float | None,
) -> dict:
    """edit.json: everything needed to repeat the edit, with durations."""
    titles = {key: title_of(node) or key for key, node in graph.items()}
    first = {name: places[0] for name, places in places.items() if places[0][0] in titles.values()}
    used = {name: by_title(graph, title)[1]["inputs"].get(key) for name, (title, key) in first.items()}
    plain = {
        titles[key]: {name: value for name, value in node["inputs"].items() if not is_link(value)}
        for key, node in graph.items()
    }
    seconds = {titles.get(key, key): round(value, 3) for key, value in result.seconds.items()}
    stats = server.stats
    return {
        "source": settings.source,
        "target": settings.target,
        "seed": settings.seed,
        "model": checkpoint,
        "method": settings.method,
        "image": str(settings.image),
        "mask": str(settings.mask) if settings.mask else None,
        "settings": used | {"size": size},
        "nodes": plain,
        "mask_area_share": share,
        "seconds": {"total": round(result.total, 3), "nodes": seconds},
        "versions": {
            "comfyui": stats.get("comfyui_version"),
            "torch": stats.get("pytorch_version"),
            "python": (stats.get("python_version") or "").split(" ")[0] or None,
            "pack": project_field(ROOT, "version") or None,
        },
    }
