"""The parts of a template: nodes with the widgets that differ from their defaults, links by title,
and columns of groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

NOTE = "MarkdownNote"


@dataclass(frozen=True)
class Node:
    """A node: its class, widgets that differ from the defaults, links as ``input ->
    "Title.output"``; ``folded`` shows its title bar only. ``models`` are files (name, link, folder
    of ``models/``) that the editor offers to download if they are missing.
    """

    kind: str
    widgets: Mapping[str, object] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folded: bool = False
    models: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Column:
    """Nodes below each other: groups as (title, titles of nodes). An empty title draws no group."""

    width: int
    groups: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Workflow:
    """One example. ``title`` is its file's name, and the only text of a custom node's template in
    the editor's list.
    """

    key: str
    title: str
    description: str
    nodes: Mapping[str, Node]
    columns: tuple[Column, ...]
    app_inputs: tuple[str, ...]
    app_outputs: tuple[str, ...]
