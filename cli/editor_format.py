"""Workflows as the editor saves them, converted to graphs of the API format.

The editor saves nodes, links and widget values without names; the server takes inputs by name.
ComfyUI converts in the browser. The rules followed here: notes, reroutes and primitive nodes exist
only in the editor; a muted node has no outputs; a bypassed node passes on an input of its output's
type; a subgraph is replaced by its nodes, with ids "outer:inner".
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

from .console import Problem
from .editor_shape import check_level, check_slots, need, read_link, taken
from .graphs import all_inputs, name_of, options_of, section_inputs, upload_inputs

MUTED, BYPASSED = 2, 4
REROUTE, PRIMITIVE, NOTES = "Reroute", "PrimitiveNode", ("Note", "MarkdownNote")
GROUP_NODES = ("workflow>", "workflow/")
INPUT_NODE, OUTPUT_NODE = -10, -20
"""Ids of a subgraph's inputs and outputs in its links."""
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR", "COMFY_DYNAMICCOMBO_V3")
CONTROLS = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
UPLOADS = ("image", "audio", "video", "file", "upload")
MAX_DEPTH = 32


@dataclasses.dataclass(frozen=True)
class Constant:
    """A value from a primitive node, or from a widget of a subgraph's box."""

    value: Any


class Level:
    """The nodes and links of the workflow itself, or of one use of a subgraph.

    Attributes:
        box: the node in `parent` that stands for this subgraph; None on the top level.
        given: values of the box's widgets, by the input's name.
        inner: values of the box's widgets that stand for a widget inside, by (node id as text,
            widget name).
        levels: the levels of the boxes in this one, by node id.
    """

    def __init__(self, content: dict, subgraphs: dict[str, dict], box: dict | None = None, parent: Level | None = None):
        self.content, self.box, self.parent = content, box, parent
        self.depth: int = parent.depth + 1 if parent else 0
        self.prefix: str = f"{parent.prefix}{box['id']}:" if parent and box else ""
        if self.depth > MAX_DEPTH:
            raise Problem(f"The subgraph {content.get('name')!r} contains itself.")
        self.nodes = {node["id"]: node for node in content["nodes"]}
        self.links = dict(read_link(link) for link in content.get("links") or [] if link)
        self.given, self.inner = box_values(box, content) if box else ({}, {})
        self.levels = {
            number: Level(subgraphs[node["type"]], subgraphs, node, self)
            for number, node in self.nodes.items()
            if node["type"] in subgraphs
        }

    def name(self, node: dict) -> str:
        inside = self.levels.get(node["id"])
        kind = str(inside.content.get("name")) if inside else node["type"]
        return name_of(node.get("title"), kind, f"{self.prefix}{node['id']}")

    def real_nodes(self) -> Iterator[tuple[Level, dict]]:
        """Every node that the server runs, with its level."""
        for number, node in self.nodes.items():
            if node.get("mode") in (MUTED, BYPASSED) or node["type"] in (REROUTE, PRIMITIVE, *NOTES):
                continue
            if number in self.levels:
                yield from self.levels[number].real_nodes()
            else:
                yield self, node

    def source(self, link: Any) -> list | Constant | None:
        """The source of a link: [node id, slot] of a real node, a constant, or None."""
        level: Level = self
        seen = set()
        while level is not None and link is not None and link in level.links:
            if (id(level), link) in seen:
                raise Problem("The workflow's reroutes, bypassed nodes or subgraphs form a cycle.")
            seen.add((id(level), link))
            end = level.links[link]
            if end.origin == INPUT_NODE and level.parent:
                name = slot_name(level.content.get("inputs"), end.slot)
                link, given = level.outer_link(name), level.given
                if link is None:
                    return Constant(given[name]) if name in given else None
                level = level.parent
                continue
            node = level.nodes.get(end.origin)
            if node is None or node.get("mode") == MUTED:
                return None
            if node.get("mode") == BYPASSED:
                link = through_bypassed(node, end.slot)
            elif node["type"] == REROUTE:
                link = first_link(node)
            elif node["type"] == PRIMITIVE:
                values = node.get("widgets_values")
                return Constant(values[0]) if isinstance(values, list) and values else None
            elif node["id"] in level.levels:
                level = level.levels[node["id"]]
                link = level.output_link(end.slot)
            else:
                return [f"{level.prefix}{end.origin}", end.slot]
        return None

    def outer_link(self, name: str | None) -> Any:
        """The link outside that feeds an input of this subgraph's box."""
        entries = [entry for entry in (self.box or {}).get("inputs") or [] if entry.get("name") == name]
        return entries[0].get("link") if entries else None

    def output_link(self, slot: int) -> Any:
        """The link inside that feeds an output of this subgraph."""
        ends = [key for key, link in self.links.items() if link.target == OUTPUT_NODE and link.target_slot == slot]
        return ends[0] if ends else None


def slot_name(slots: list | None, index: int) -> str | None:
    return slots[index].get("name") if slots and 0 <= index < len(slots) else None


def first_link(node: dict) -> Any:
    return (node.get("inputs") or [{}])[0].get("link")


def through_bypassed(node: dict, slot: int) -> Any:
    """The link that a bypassed node passes on: its input of the same place if the types agree, else
    its first input of the output's type.
    """
    inputs, outputs = node.get("inputs") or [], node.get("outputs") or []
    kind = outputs[slot].get("type") if slot < len(outputs) else "*"
    for entry in inputs[slot : slot + 1] + inputs:
        if kind == "*" or entry.get("type") in (kind, "*"):
            return entry.get("link")
    return None


def box_values(box: dict, content: dict) -> tuple[dict[str, Any], dict[tuple[str, str], Any]]:
    """The widget values of a subgraph's box: (by input name, by inner node and widget). The editor
    saves them in the order of `proxyWidgets` if there is one, else in the order of the inputs with
    a widget.
    """
    values = box.get("widgets_values")
    if isinstance(values, dict):
        return dict(values), {}
    values = values or []
    inputs = [entry["name"] for entry in box.get("inputs") or [] if entry.get("widget")]
    proxies = (box.get("properties") or {}).get("proxyWidgets") or []
    pairs = [(str(entry[0]), str(entry[1])) for entry in proxies if isinstance(entry, list) and len(entry) > 1]
    if len(pairs) != len(values):
        pairs = [("-1", name) for name in inputs] if len(inputs) == len(values) else []
    known = {str(node["id"]) for node in content["nodes"]}
    present = [(pair, value) for pair, value in zip(pairs, values) if value is not None]
    given = {name: value for (node, name), value in present if node == "-1"}
    return given, {pair: value for pair, value in present if pair[0] in known}


# -- conversion ----------------------------------------------------------------------------------


class EditorGraph:
    """A workflow of the editor. `set_box` changes a widget of a subgraph's box and must be called
    before `to_api`.

    Raises:
        Problem: the file is not in the editor's format.
    """

    def __init__(self, workflow: dict):
        check_level(workflow, "the workflow")
        definitions = taken(workflow, "definitions", dict, "the workflow") or {}
        subgraphs = taken(definitions, "subgraphs", list, "the workflow's definitions") or []
        for index, content in enumerate(subgraphs):
            check_level(content, f"subgraph {index + 1}")
            need(isinstance(content.get("id"), str), f"subgraph {index + 1} has no id")
            for ends in ("inputs", "outputs"):
                check_slots(content, ends, f"subgraph {index + 1}")
        self.top = Level(workflow, {content["id"]: content for content in subgraphs})

    def set_box(self, node: str, name: str, value: Any) -> bool:
        """Set an input of a subgraph's box by the box's id or title. False if there is no such box
        or input.
        """
        for number, level in self.top.levels.items():
            box = level.box or {}
            names = [entry.get("name") for entry in box.get("inputs") or []]
            if node in (str(number), box.get("title"), level.content.get("name")) and name in names:
                level.given[name] = value
                for entry in box["inputs"]:
                    if entry.get("name") == name:
                        entry["link"] = None
                return True
        return False

    def to_api(self, definitions: dict[str, dict]) -> dict:
        """The graph in the API format; `definitions` is the server's /object_info."""
        real = list(self.top.real_nodes())
        unknown = [level.name(node) + hint(node["type"]) for level, node in real if node["type"] not in definitions]
        if unknown:
            raise Problem(
                f"This ComfyUI has no node of the type of {', '.join(unknown)}. A custom-node pack is missing or could "
                "not be loaded."
            )
        graph = {}
        for level, node in real:
            definition = definitions[node["type"]]
            title = node.get("title") or definition.get("display_name") or node["type"]
            entry = {
                "class_type": node["type"],
                "inputs": api_inputs(level, node, definition),
                "_meta": {"title": title},
            }
            graph[f"{level.prefix}{node['id']}"] = entry
        return graph


def hint(kind: str) -> str:
    return ", an old group node: turn it into a subgraph in the editor" if kind.startswith(GROUP_NODES) else ""


def api_inputs(level: Level, node: dict, definition: dict) -> dict[str, Any]:
    """A node's inputs by name: its widgets, then values and links from elsewhere."""
    try:
        inputs = widget_values(node, definition)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise Problem(f"The widget values of the node {level.name(node)} do not fit its inputs: {error}.") from error
    for name in inputs:
        inputs[name] = level.inner.get((str(node["id"]), name), inputs[name])
    for entry in node.get("inputs") or []:
        source = level.source(entry.get("link"))
        if source is not None:
            inputs[entry["name"]] = source.value if isinstance(source, Constant) else source
    return inputs


def widget_values(node: dict, definition: dict) -> dict[str, Any]:
    """A node's widget values by name. The editor saves them without names, in the order of the
    widgets.
    """
    saved = node.get("widgets_values") or []
    if isinstance(saved, dict):
        return {name: value for name, value in saved.items() if name in all_inputs(definition)}
    shown = {entry["widget"].get("name") for entry in node.get("inputs") or [] if entry.get("widget")}
    values: dict[str, Any] = {}
    queue = collections.deque(saved)
    for section in ("required", "optional"):
        for name, spec in section_inputs(definition, section):
            take_widget(name, spec, queue, values, shown)
        if section == "required" and upload_inputs(definition) and queue and queue[0] in UPLOADS:
            queue.popleft()  # the upload button's own value
    return values


def take_widget(name: str, spec: list, queue: collections.deque, values: dict, shown: set) -> None:
    """Move one input's value from the queue to `values`, with the values of the controls that the
    editor adds to it.
    """
    options = options_of(spec)
    typed = isinstance(spec[0], list) or spec[0] in WIDGETS or options.get("widgetType")
    if options.get("forceInput") or not (typed or name in shown):
        return
    choices = spec[0] if isinstance(spec[0], list) else options.get("options") or [None]
    values[name] = queue.popleft() if queue else options.get("default", choices[0])
    if spec[0] == "COMFY_DYNAMICCOMBO_V3":
        named = [option for option in choices if option and option.get("key") == values[name]]
        chosen: dict[str, Any] = named[0] if named else {"inputs": {}}
        for section in ("required", "optional"):
            for inner, inner_spec in (chosen["inputs"].get(section) or {}).items():
                take_widget(f"{name}.{inner}", inner_spec, queue, values, shown)
    controlled = options.get("control_after_generate") or name in ("seed", "noise_seed")
    if controlled and queue and queue[0] in CONTROLS:
        queue.popleft()
        if not isinstance(values[name], int) and queue and queue[0] == "":
            queue.popleft()  # a list of choices with such a control has a filter box as well
