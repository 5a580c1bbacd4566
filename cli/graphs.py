"""Graphs in the API format: `{id: {"class_type", "inputs", "_meta"}}`."""

from __future__ import annotations

from typing import Any

from .console import Problem


def title_of(node: dict) -> str | None:
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title if isinstance(title, str) else None


def named(graph: dict, node_id: str) -> str:
    """A node's title, type and id, for messages."""
    node = graph.get(node_id, {})
    return name_of(title_of(node), node.get("class_type", "?"), node_id)


def name_of(title: str | None, kind: str, node_id: Any) -> str:
    return f"'{title}' ({kind}, id {node_id})" if title and title != kind else f"{kind} (id {node_id})"


def by_title(graph: dict, title: str) -> tuple[str, dict]:
    for node_id, node in graph.items():
        if title_of(node) == title:
            return node_id, node
    raise Problem(f"The method's graph has no node titled {title!r}; the file in workflows/api/ was changed.")


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def drop_orphans(graph: dict) -> None:
    """Remove every node with an input from a removed node."""

    def is_orphan(node: dict) -> bool:
        return any(is_link(value) and value[0] not in graph for value in node["inputs"].values())

    while orphans := [key for key, node in graph.items() if is_orphan(node)]:
        for key in orphans:
            del graph[key]


def keep_feeders(graph: dict, ends: list[str]) -> None:
    """Remove every node that none of `ends` depends on."""
    needed: set[str] = set()
    while ends:
        needed.update(ends)
        values = [value for key in ends for value in graph[key]["inputs"].values()]
        ends = [value[0] for value in values if is_link(value) and value[0] not in needed]
    for key in set(graph) - needed:
        del graph[key]


# -- node definitions, as /object_info has them --------------------------------------------------


def bypass(graph: dict, kind: str, name: str) -> None:
    """Replace every node of this kind by the link at its input `name`."""
    links = {key: node["inputs"][name] for key, node in graph.items() if node["class_type"] == kind}
    for key in links:
        del graph[key]
    for node in graph.values():
        for place, value in node["inputs"].items():
            if is_link(value) and value[0] in links:
                node["inputs"][place] = links[value[0]]


def section_inputs(definition: dict, section: str) -> list[tuple[str, list]]:
    specs = definition["input"].get(section) or {}
    order = (definition.get("input_order") or {}).get(section) or list(specs)
    return [(name, specs[name]) for name in order if name in specs]


def all_inputs(definition: dict) -> dict[str, list]:
    return dict(section_inputs(definition, "required") + section_inputs(definition, "optional"))


def options_of(spec: list) -> dict:
    return spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}


def upload_inputs(definition: dict) -> list[str]:
    """Names of the inputs that hold a file of ComfyUI's input folder."""

    def is_upload(spec: list) -> bool:
        return any(key.endswith("_upload") and value for key, value in options_of(spec).items())

    return [name for name, spec in all_inputs(definition).items() if is_upload(spec)]


def known_choices(definition: dict | None, name: str) -> list:
    """The choices of a node's input, in either of ComfyUI's notations."""
    spec = (definition or {}).get("input", {}).get("required", {}).get(name) or [[]]
    return spec[0] if isinstance(spec[0], list) else options_of(spec).get("options", [])
