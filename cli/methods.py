"""The graphs of the methods of `run.py edit` and `run.py batch`: files of workflows/api."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .console import say
from .files import ROOT
from .graphs import bypass
from .outputs import read_json

GRAPHS = {
    "diffedit": "diffedit",
    "diffedit-fast": "fast_edit",
    "sdedit": "sdedit",
    "encode-decode": "encode_decode",
    "edict": "edict_edit",
    "directedit": "direct_edit",
}
OVERRIDE = "CFGOverride"


def method_file(method: str) -> Path:
    return ROOT / "workflows" / "api" / f"{GRAPHS[method]}.json"


def method_graph(method: str, known: Callable[[str], Any]) -> dict:
    """A method's graph for a ComfyUI that has the node types for which ``known`` is true. Without
    CFG Override, which older releases lack, guidance is used in every step.
    """
    graph = read_json(method_file(method))
    if any(node["class_type"] == OVERRIDE for node in graph.values()) and not known(OVERRIDE):
        bypass(graph, OVERRIDE, "model")
        say("this ComfyUI has no CFG Override: guidance is used in every step.")
    return graph
