"""A workflow in the editor's format, converted to the graph that the server runs.

The editor stores links in one table and widgets as lists of values; the node's definition
determines which value belongs to which input. This follows the server's rule (``INPUT_TYPES`` in
order, required before optional), and is written independently of the other converters, which are
tested against it.
"""

from collections.abc import Iterator

VIRTUAL = frozenset(("Note", "MarkdownNote"))
"""Nodes that exist only in the editor."""
WIDGETS = frozenset(("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"))
SEEDS = ("seed", "noise_seed")
SKIPPED = (2, 4)
"""Modes of muted and bypassed nodes; the pack's workflows have none, so they are refused."""


def widget_names(node_class: type) -> Iterator[tuple[str, bool]]:
    """Each value of ``widgets_values`` in order: the input's name, and whether it is sent to the
    server (the editor's own controls are not).
    """
    types = node_class.INPUT_TYPES()
    for name, (kind, *options) in [*types.get("required", {}).items(), *types.get("optional", {}).items()]:
        options = options[0] if options else {}
        if not (isinstance(kind, list) or kind in WIDGETS) or options.get("forceInput"):
            continue
        yield name, True
        if options.get("control_after_generate") or (kind == "INT" and name in SEEDS):
            yield "control_after_generate", False
        if options.get("image_upload"):
            yield "upload", False


def to_api(workflow: dict, classes: dict[str, type]) -> dict[str, dict]:
    """An editor's workflow in the server's form: ``{id: {class_type, inputs, _meta}}``.

    Args:
        workflow: format version 0.4.
        classes: node ids to classes, ComfyUI's ``NODE_CLASS_MAPPINGS``.

    Raises:
        ValueError: a node that is unknown, muted or bypassed, or whose values do not match its
            inputs; the message names it.
    """
    origins = {link: [str(origin), slot] for link, origin, slot, *_ in workflow["links"]}
    graph = {}
    for node in workflow["nodes"]:
        kind = node["type"]
        if kind in VIRTUAL:
            continue
        if kind not in classes:
            raise ValueError(f"node {node['id']}: {kind} is not known")
        if node.get("mode", 0) in SKIPPED:
            raise ValueError(f"node {node['id']}: {kind} is muted or bypassed")
        names, values = list(widget_names(classes[kind])), node.get("widgets_values") or []
        if len(names) != len(values):
            raise ValueError(
                f"node {node['id']}: {kind} has widgets {[name for name, _ in names]}, the file has values {values}"
            )
        inputs = {name: value for (name, sent), value in zip(names, values, strict=True) if sent}
        inputs |= {
            item["name"]: origins[item["link"]] for item in node.get("inputs", []) if item.get("link") is not None
        }
        graph[str(node["id"])] = {"class_type": kind, "inputs": inputs, "_meta": {"title": node.get("title", kind)}}
    return graph
