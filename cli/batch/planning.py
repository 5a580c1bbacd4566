"""The templates of a plan: the graphs of the methods, or the user's workflow with its settings."""

from __future__ import annotations

import argparse
from typing import Any

from ..console import Problem
from ..edit import PLACES
from ..editor_format import EditorGraph
from ..methods import method_graph
from ..workflow import Setting, read_workflow
from .comfy import SAVERS, Comfy
from .plan import WORKFLOW, targets_of
from .rows import Row

Targets = dict[str, Any]


def make_templates(
    options: argparse.Namespace, rows: list[Row], defaults: dict[str, Any], comfy: Comfy
) -> tuple[dict[str, dict], dict[str, Targets]]:
    """(graphs, the inputs that columns set) by template.

    Raises:
        Problem: a workflow that cannot be run, or a --map or --set that does not match it or the
            job.
    """
    columns = {column for row in rows for column in row.values} | defaults.keys()
    if options.workflow:
        return workflow_template(options, columns, comfy)
    if options.map or options.set or options.result:
        raise Problem(
            "--map, --set and --result can only be used with --workflow; a column NODE.INPUT sets an input of a method."
        )
    used = {str(row.values.get("method", defaults["method"])) for row in rows} & PLACES.keys()
    graphs = {
        method: method_graph(method, lambda kind: comfy.definitions({kind}))
        for method in sorted(used or {defaults["method"]})
    }
    targets = {}
    for method, graph in graphs.items():
        targets[method] = targets_of(graph, columns, {}, provided(comfy, graph), own=True)
    return graphs, targets


def workflow_template(options: argparse.Namespace, columns: set[str], comfy: Comfy) -> tuple[dict, dict]:
    if options.method:
        raise Problem("--method and --workflow exclude each other: the workflow is the method.")
    settings = [Setting.parse(text) for text in options.set]
    graph = read_workflow(options.workflow)
    if isinstance(graph, EditorGraph):
        comfy.provide({node["type"] for _, node in graph.top.real_nodes()})
        settings = [setting for setting in settings if not setting.apply_to_box(graph)]
        graph = graph.to_api(comfy.definitions())
    definitions = provided(comfy, graph)
    for setting in settings:
        setting.apply(graph, definitions)
    if not any(node["class_type"] in SAVERS for node in graph.values()):
        raise Problem(f"{options.workflow} saves nothing: expected a node of the type SaveImage.")
    mapping = read_mapping(options.map)
    missing = sorted(mapping.keys() - columns)
    if missing:
        raise Problem(
            f"--map {missing[0]}: no row has this column. The job has: {', '.join(sorted(columns)) or 'none'}."
        )
    return {WORKFLOW: graph}, {WORKFLOW: targets_of(graph, columns, mapping, definitions, own=False)}


def read_mapping(given: list[str]) -> dict[str, list[str]]:
    """NODE.INPUT texts by column."""
    mapping: dict[str, list[str]] = {}
    for text in given:
        column, equals, key = text.partition("=")
        if not equals or not column or "." not in key.strip("."):
            raise Problem(f"--map {text}: expected COLUMN=NODE.INPUT, such as --map photo=Image.image.")
        mapping.setdefault(column, []).append(key)
    return mapping


def provided(comfy: Comfy, graph: dict) -> dict[str, dict]:
    """The definitions of a graph's nodes, loaded if needed."""
    kinds = {node["class_type"] for node in graph.values()}
    comfy.provide(kinds)
    return comfy.definitions(kinds)
