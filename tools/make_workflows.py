"""Write the example workflows: the editor's form (workflows/<title>.json) and the server's
(workflows/api/<key>.json), both from tools/workflow_table.py.

    COMFYUI_PATH=... python -m tools.make_workflows [KEY ...]

The table says what a workflow consists of: nodes with the widgets that differ from their defaults,
    links by title,
texts, and columns of groups. Widget order, defaults, slots and types come from the nodes
themselves, so a new input of a node needs no change here. The layout fits the editor's view of a
template.
"""

import argparse
import json
import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

PACK = pathlib.Path(__file__).resolve().parents[1]
FOLDER = PACK / "workflows"

TITLE_BAR, GROUP_BAR, PADDING, GAP, COLUMN_GAP = 30, 36, 10, 14, 36
"""Pixels of the editor's graph: a node's and a group's title, a group's margin, and the distances
between nodes and between columns.
"""
LARGEST = (1770, 970)
"""Width and height of all nodes together. Opening a template, the editor scales them to three
quarters of the window (`fitToBounds`), with a margin of 10 on each side; at 1366 x 768 this size
gives 0.575, and below 8/14 = 0.571 the classic canvas draws no text.
"""
NOTE = "MarkdownNote"
HEIGHTS = {
    NOTE: 300,
    "LoadImage": 330,
    "ImageScaleToTotalPixels": 114,
    "CheckpointLoaderSimple": 102,
    "VAEEncode": 54,
    "VAEDecode": 54,
    "CLIPTextEncode": 92,
    "UNETLoader": 82,
    "CLIPLoader": 106,
    "DualCLIPLoader": 130,
    "VAELoader": 58,
    "FluxGuidance": 58,
    "TextEncodeQwenImageEditPlus": 150,
    "InstructPixToPixConditioning": 86,
    "ReferenceLatent": 46,
    "ConditioningZeroOut": 26,
    "FluxKontextImageScale": 26,
    "ModelSamplingAuraFlow": 58,
    "CFGNorm": 82,
    "GetImageSize": 66,
    "Flux2Scheduler": 106,
    "SaveImage": 290,
    "MaskToImage": 34,
    "InvertMask": 34,
    "KSampler": 266,
    "KSamplerSelect": 62,
    "SamplerCustom": 234,
    "CLIPRankModelLoader": 86,
    "CLIPRank": 450,
    "DiffEditMask": 540,
    "DDIMInvert": 500,
    "LatentBlendSampler": 400,
    "BackgroundRestore": 524,
    "AlignToSource": 480,
    "EditCrop": 420,
    "EditStitch": 400,
    "EDICTInvert": 370,
    "EDICTSampler": 300,
    "DecoderFinetune": 548,
    "ProgressiveMaskShrink": 260,
}
"""Least height by kind, with room for what the node shows after a run; samplers grow a little more,
so they end their columns.
"""
FOLDED_HEIGHTS = {"SaveImage": 58, "BackgroundRestore": 238, "LatentBlendSampler": 238}
"""Sizes of folded nodes where the least height is larger than needed: Nodes 2.0 counts the hidden
part as well when it fits a template into the window.
"""
STRETCHED = frozenset(
    (
        NOTE,
        "LoadImage",
        "SaveImage",
        "DiffEditMask",
        "DDIMInvert",
        "LatentBlendSampler",
        "BackgroundRestore",
        "AlignToSource",
        "EditStitch",
        "EDICTSampler",
        "DecoderFinetune",
        "CLIPRank",
    )
)
"""Kinds that share the height which is left in their column: more text or a larger picture."""
NOTE_COLOURS, TEXT_COLOURS, GROUP_COLOUR = ("#432", "#653"), ("#232", "#353"), "#3f789e"
WIDGETS = frozenset(("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"))


@dataclass(frozen=True)
class Node:
    """A node: its class, widgets that differ from the defaults, links as ``input ->
    "Title.output"``; ``folded`` shows its title bar only. ``models`` are files (name, link, folder of
    ``models/``) that the editor offers to download where they are missing.
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
    """One example. ``title`` is its file's name, which is all that the editor's list of templates
    shows of a custom node's.
    """

    key: str
    title: str
    description: str
    nodes: Mapping[str, Node]
    columns: tuple[Column, ...]
    app_inputs: tuple[str, ...]
    app_outputs: tuple[str, ...]


@dataclass(frozen=True)
class Slot:
    """An input as the node declares it."""

    name: str
    kind: str
    default: object
    is_widget: bool
    is_optional: bool
    helpers: tuple[tuple[str, str], ...]
    """The editor's own widgets after this one: (name, value)."""


def slots(node_class: type) -> list[Slot]:
    """The inputs of a node in the editor's order: sockets, then widgets."""
    found, types = [], node_class.INPUT_TYPES()
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
            found.append(Slot(name, kind, default, is_widget, section == "optional", tuple(helpers)))
    return sorted(found, key=lambda slot: slot.is_widget)


def outputs(node_class: type) -> list[tuple[str, str]]:
    """(name, type) of each output."""
    kinds = list(node_class.RETURN_TYPES)
    return list(zip(getattr(node_class, "RETURN_NAMES", None) or kinds, kinds, strict=True))


def widget_values(title: str, node: Node, declared: list[Slot]) -> dict[str, object]:
    """Every widget's value in order. ValueError for a name that the node does not have."""
    names = {slot.name for slot in declared}
    unknown = (node.widgets.keys() | node.links.keys()) - names
    if unknown:
        raise ValueError(f"{title}: {node.kind} has no input {sorted(unknown)}; it has {sorted(names)}")
    return {slot.name: node.widgets.get(slot.name, slot.default) for slot in declared if slot.is_widget}


def joined(workflow: Workflow, classes: Mapping[str, type]) -> Iterator[tuple[str, int, str, str, str]]:
    """Each link: (origin's title, output's index, target's title, input's name, type)."""
    for title, node in workflow.nodes.items():
        for name, origin in node.links.items():
            source, _, output = origin.rpartition(".")
            known = outputs(classes[workflow.nodes[source].kind])
            index = [item[0] for item in known].index(output)
            yield source, index, title, name, known[index][1]


def api_form(workflow: Workflow, classes: Mapping[str, type]) -> dict[str, dict]:
    """The graph that the server runs."""
    ids = {title: str(number) for number, title in enumerate(workflow.nodes, 1)}
    graph = {}
    for title, node in workflow.nodes.items():
        if node.kind == NOTE:
            continue
        inputs = widget_values(title, node, slots(classes[node.kind]))
        graph[ids[title]] = {"inputs": inputs, "class_type": node.kind, "_meta": {"title": title}}
    for source, index, title, name, _ in joined(workflow, classes):
        graph[ids[title]]["inputs"][name] = [ids[source], index]
    return graph


def editor_form(workflow: Workflow, classes: Mapping[str, type]) -> dict:
    """What the editor opens: format version 0.4."""
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
    title: str, node: Node, number: int, place: tuple[int, int, int, int], classes: Mapping[str, type]
) -> dict:
    x, y, width, height = place
    base = {
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
            entry["label"] = title.lower()  # in the app mode a widget stands without its node's title
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


def layout(workflow: Workflow) -> tuple[dict[str, tuple[int, int, int, int]], list[dict]]:
    """(x, y, width, height) of every node below its title bar, and the groups. All columns end at
    the same height. ValueError where that is too much.
    """
    places, groups, x = {}, [], 0
    for column in workflow.columns:
        y, extra = 0, spare_height(workflow, column)
        for title, members in column.groups:
            top = y
            for member in members:
                node = workflow.nodes[member]
                height = full_height(node) + (extra if node.kind in STRETCHED and not node.folded else 0)
                places[member] = (x, y + TITLE_BAR, column.width, height)
                y += TITLE_BAR + (0 if node.folded else height) + GAP
            y += PADDING - GAP
            if title:
                bounding = [
                    x - PADDING,
                    top - GROUP_BAR - PADDING,
                    column.width + 2 * PADDING,
                    y - top + GROUP_BAR + PADDING,
                ]
                groups.append(
                    {"id": len(groups) + 1, "title": title, "bounding": bounding, "color": GROUP_COLOUR, "flags": {}}
                )
            y += GAP + GROUP_BAR + PADDING
        x += column.width + COLUMN_GAP
    if x - COLUMN_GAP > LARGEST[0]:
        raise ValueError(
            f"{workflow.key}: {x - COLUMN_GAP} pixels wide; at most {LARGEST[0]}. Make columns narrower or stack more."
        )
    missing = workflow.nodes.keys() ^ places.keys()
    if missing:
        raise ValueError(f"{workflow.key}: not in exactly one column: {sorted(missing)}")
    return places, groups


def full_height(node: Node) -> int:
    return FOLDED_HEIGHTS.get(node.kind, HEIGHTS[node.kind]) if node.folded else HEIGHTS[node.kind]


def spare_height(workflow: Workflow, column: Column) -> int:
    """What each stretched node of the column gets beyond its least height."""
    nodes = [workflow.nodes[name] for _, members in column.groups for name in members]
    used = sum(TITLE_BAR + (0 if node.folded else HEIGHTS[node.kind]) + GAP for node in nodes) - GAP
    used += (len(column.groups) - 1) * (GROUP_BAR + 2 * PADDING)
    stretched = sum(node.kind in STRETCHED and not node.folded for node in nodes)
    if used > LARGEST[1]:
        raise ValueError(
            f"{workflow.key}: the column of {column.groups[0][1][0]} is {used} pixels high; at most {LARGEST[1]}. "
            f"Fold nodes or move some."
        )
    return (LARGEST[1] - used) // max(1, stretched) if stretched else 0


def written(form: dict) -> str:
    return json.dumps(form, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "keys", nargs="*", help="workflows to write (default: all, removing files of titles that are no more)"
    )
    settings = parser.parse_args()
    from lab import common

    from .workflow_table import WORKFLOWS

    common.load_pack()  # makes ComfyUI's modules known
    from graph_runner import load_extras

    import nodes

    load_extras()
    if not settings.keys:
        for file in FOLDER.glob("*.json"):
            if file.stem not in {workflow.title for workflow in WORKFLOWS}:
                file.unlink()
    for workflow in WORKFLOWS:
        if not settings.keys or workflow.key in settings.keys:
            forms = {f"{workflow.title}.json": editor_form, f"api/{workflow.key}.json": api_form}
            for name, make in forms.items():
                (FOLDER / name).write_text(written(make(workflow, nodes.NODE_CLASS_MAPPINGS)), encoding="utf-8")
            print(workflow.key, "->", workflow.title)


if __name__ == "__main__":
    main()
