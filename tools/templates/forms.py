"""A template in the editor's file format and in the server's.

Widget order, defaults, slots and types are read from the node classes, so that a new input of a
node needs no change here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .graph import NOTE, Node, Workflow
from .layout import layout

NOTE_COLOURS, TEXT_COLOURS = ("#432", "#653"), ("#232", "#353")

WIDGETS = frozenset(("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"))


@dataclass(frozen=True)
class Slot:
    """An input as declared by the node."""

    name: str
    kind: str
    default: object
    is_widget: bool
    is_optional: bool
    helpers: tuple[tuple[str, str], ...]
    """The editor's own widgets after this one: (name, value)."""


def slots(node_class: Any) -> list[Slot]:
    """The inputs of a node in the editor's order: sockets, then widgets."""
    declared, types = [], node_class.INPUT_TYPES()
    for section in ("required", "optional"):
        for name, (kind, *rest) in types.get(section, {}).items():
            options = rest[0] if rest else {}
            choices = kind if isinstance(kind, list) else options.get("options")
            kind = "COMBO" if isinstance(kind, list) else kind
            helpers = []
            if options.get("control_after_generate") or (kind == "INT" and name in ("seed", "noise_seed")):
                helpers.append(("control_after_generate", "fixed"))
            if options.get("image_upload"):
                helpers.append(("upload", "image"))
            default = options.get("default", choices[0] if choices else None)
            is_widget = kind in WIDGETS and not options.get("forceInput")
            declared.append(Slot(name, kind, default, is_widget, section == "optional", tuple(helpers)))
    return sorted(declared, key=lambda slot: slot.is_widget)


def outputs(node_class: Any) -> list[tuple[str, str]]:
    """(Name, type) of each output."""
    kinds = list(node_class.RETURN_TYPES)
    return list(zip(getattr(node_class, "RETURN_NAMES", None) or kinds, kinds, strict=True))


def widget_values(title: str, node: Node, declared: list[Slot]) -> dict[str, object]:
    """Every widget's value in order.

    Raises:
        ValueError: the node has no input of a given name.
    """
    names = {slot.name for slot in declared}
    unknown = (node.widgets.keys() | node.links.keys()) - names
    if unknown:
        raise ValueError(f"{title}: {node.kind} has no input {sorted(unknown)}; it has {sorted(names)}")
    return {slot.name: node.widgets.get(slot.name, slot.default) for slot in declared if slot.is_widget}


def joined(workflow: Workflow, classes: Mapping[str, Any]) -> Iterator[tuple[str, int, str, str, str]]:
    """Each link: (origin's title, output's index, target's title, input's name, type)."""
    for title, node in workflow.nodes.items():
        for name, origin in node.links.items():
            source, _, output = origin.rpartition(".")
            known = outputs(classes[workflow.nodes[source].kind])
            index = [item[0] for item in known].index(output)
            yield source, index, title, name, known[index][1]


def api_form(workflow: Workflow, classes: Mapping[str, Any]) -> dict[str, dict]:
    """The graph in the server's format."""
    ids = {title: str(number) for number, title in enumerate(workflow.nodes, 1)}
    graph: dict[str, dict[str, Any]] = {}
    for title, node in workflow.nodes.items():
        if node.kind == NOTE:
            continue
        inputs = widget_values(title, node, slots(classes[node.kind]))
        graph[ids[title]] = {"inputs": inputs, "class_type": node.kind, "_meta": {"title": title}}
    for source, index, title, name, _ in joined(workflow, classes):
        graph[ids[title]]["inputs"][name] = [ids[source], index]
    return graph


def editor_form(workflow: Workflow, classes: Mapping[str, Any]) -> dict:
    """The workflow in the editor's format, version 0.4."""
    ids = {title: number for number, title in enumerate(workflow.nodes, 1)}
    places, groups = layout(workflow)
    nodes = {
        title: editor_node(title, node, ids[title], places[title], classes) for title, node in workflow.nodes.items()
    }
    links = []
    for number, (source, index, title, name, kind) in enumerate(joined(workflow, classes), 1):
        into = [slot["name"] for slot in nodes[title]["inputs"]].index(name)
        links.append([number, ids[source], index, ids[title], into, kind])
        nodes[title]["inputs"][into]["link"] = number
        outlet = nodes[source]["outputs"][index]
        outlet["links"] = [*(outlet["links"] or []), number]
    chosen = [item.rpartition(".") for item in workflow.app_inputs]
    app = {
        "inputs": [[ids[title], name] for title, _, name in chosen],
        "outputs": [ids[title] for title in workflow.app_outputs],
    }
    return {
        "id": f"5e3a171c-0000-4000-8000-{sum(workflow.key.encode()):012d}",
        "revision": 0,
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": list(nodes.values()),
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {"ds": {"scale": 0.6, "offset": [60, 110]}, "linearData": app},
        "version": 0.4,
    }


def editor_node(
    title: str, node: Node, number: int, place: tuple[int, int, int, int], classes: Mapping[str, Any]
) -> dict:
    x, y, width, height = place
    base: dict[str, Any] = {
        "id": number,
        "type": node.kind,
        "pos": [x, y],
        "size": [width, height],
        "flags": {"collapsed": True} if node.folded else {},
        "order": number - 1,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": title,
        "properties": {},
    }
    if node.kind == NOTE:
        return base | {"widgets_values": [node.widgets["text"]], "color": NOTE_COLOURS[0], "bgcolor": NOTE_COLOURS[1]}
    declared = slots(classes[node.kind])
    base["inputs"] = [entry for slot in declared for entry in input_entries(slot)]
    for entry in base["inputs"]:
        if entry["name"] in ("text", "prompt") and title.endswith(" text"):
            entry["label"] = title.lower()  # the app mode shows a widget without its node's title
    base["outputs"] = [
        {"localized_name": name, "name": name, "type": kind, "links": None}
        for name, kind in outputs(classes[node.kind])
    ]
    base["properties"] = {"Node name for S&R": node.kind}
    if node.models:
        named = [dict(zip(("name", "url", "directory"), model, strict=True)) for model in node.models]
        base["properties"]["models"] = named
    values, after = widget_values(title, node, declared), {slot.name: slot.helpers for slot in declared}
    base["widgets_values"] = [
        item for name, value in values.items() for item in (value, *(helper[1] for helper in after[name]))
    ]
    if title.endswith("text") and (node.widgets.get("text") or node.widgets.get("prompt")):
        base |= {"color": TEXT_COLOURS[0], "bgcolor": TEXT_COLOURS[1]}
    return base


def input_entries(slot: Slot) -> Iterator[dict]:
    entry = {"localized_name": slot.name, "name": slot.name}
    yield (
        entry
        | ({"shape": 7} if slot.is_optional and not slot.is_widget else {})
        | {"type": slot.kind}
        | ({"widget": {"name": slot.name}} if slot.is_widget else {})
        | {"link": None}
    )
    if ("upload", "image") in slot.helpers:
        yield {
            "localized_name": "choose file to upload",
            "name": "upload",
            "type": "IMAGEUPLOAD",
            "widget": {"name": "upload"},
            "link": None,
        }
