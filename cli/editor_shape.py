"""Checks that a file is in the format of ComfyUI's editor, before it is converted."""

from __future__ import annotations

import dataclasses
from typing import Any

from .console import Problem

Id = (int, str)


@dataclasses.dataclass(frozen=True)
class Link:
    origin: Any
    slot: int
    target: Any
    target_slot: int


def read_link(link: list | dict) -> tuple[Any, Link]:
    if isinstance(link, dict):
        return link["id"], Link(
            link["origin_id"], link["origin_slot"], link.get("target_id"), link.get("target_slot", 0)
        )
    return link[0], Link(link[1], link[2], link[3], link[4])


def need(condition: bool, complaint: str) -> None:
    if not condition:
        raise Problem(f"The file is not in the format of ComfyUI's editor: {complaint}.")


def taken(owner: dict, key: str, kind: type | tuple, name: str) -> Any:
    """owner[key] if it is of the kind; None if it is absent."""
    value = owner.get(key)
    need(value is None or isinstance(value, kind), f"{key!r} of {name} is {type(value).__name__}")
    return value


def check_level(content: Any, name: str) -> None:
    need(isinstance(content, dict) and isinstance(content.get("nodes"), list), f"{name} has no list of nodes")
    ids = set()
    for index, node in enumerate(content["nodes"]):
        need(isinstance(node, dict), f"node number {index + 1} of {name} is {type(node).__name__}")
        check_node(node, f"node {node.get('id', index + 1)} of {name}")
        need(node["id"] not in ids, f"{name} has two nodes with the id {node['id']}")
        ids.add(node["id"])
    for link in taken(content, "links", list, name) or []:
        check_link(link, name)


def check_node(node: dict, name: str) -> None:
    need(isinstance(node.get("id"), Id), f"{name} has no id")
    need(isinstance(node.get("type"), str), f"{name} has no type")
    taken(node, "title", str, name)
    taken(node, "mode", int, name)
    taken(node, "widgets_values", (list, dict), name)
    taken(node, "properties", dict, name)
    check_slots(node, "outputs", name)
    for entry in check_slots(node, "inputs", name):
        need(isinstance(entry.get("name"), str), f"an input of {name} has no name")
        taken(entry, "link", Id, name)
        taken(entry, "widget", dict, name)


def check_slots(owner: dict, key: str, name: str) -> list:
    entries = taken(owner, key, list, name) or []
    for entry in entries:
        need(isinstance(entry, dict), f"{key!r} of {name} contains {type(entry).__name__}")
        taken(entry, "name", str, f"{key!r} of {name}")
        need(isinstance(entry.get("type", ""), (str, int)), f"a type in {key!r} of {name} is not a text")
    return entries


def check_link(link: Any, name: str) -> None:
    if link is None:
        return
    try:
        number, end = read_link(link)
    except (KeyError, IndexError, TypeError):
        need(False, f"{name} has the link {str(link)[:60]}")
    ends = (number, end.origin, end.target)
    whole = all(isinstance(value, Id) for value in ends) and isinstance(end.slot, int) and end.slot >= 0
    need(whole, f"{name} has the link {str(link)[:60]}")
