"""Write docs/reference/: a page for every node, with its inputs and outputs from the schema.

``python -m tools.make_reference`` with COMFYUI_PATH set. A test compares the pages with the
schemas.
"""

import pathlib
import textwrap
from typing import Any

PACK = pathlib.Path(__file__).resolve().parents[1]
FOLDER = PACK / "docs" / "reference"
WIDTH = 100
FROM_DISK = {"folder": "the folders in `models/clip_rank`"}
"""Inputs whose options depend on the installation."""
INDEX = """# Node reference

Made from the node schemas by `python -m tools.make_reference`; a test compares them. The help pages in
[js/docs](../../js/docs) explain each node with an image and an example graph.

"""


def pages(nodes: dict[str, Any]) -> dict[str, str]:
    """The pages' texts by file name: one for each of the nodes, and the index."""
    schemas = {name: nodes[name].GET_SCHEMA() for name in sorted(nodes)}
    rows = [f"- [{schema.display_name}]({name}.md): `{name}`" for name, schema in schemas.items()]
    index = {"README.md": INDEX + "\n".join(rows) + "\n"}
    return index | {f"{name}.md": page(name, schema) for name, schema in schemas.items()}


def page(name: str, schema) -> str:
    """The page of one node."""
    required = [item for item in schema.inputs if not item.optional]
    optional = [item for item in schema.inputs if item.optional]
    parts = [
        f"# {schema.display_name}",
        f"Node id `{name}`, category *{schema.category}*. [Help page](../../js/docs/{name}.md).",
        textwrap.fill(schema.description, WIDTH),
        section("Inputs", [input_entry(item) for item in required]),
        section("Optional inputs", [input_entry(item) for item in optional]),
        section(
            "Outputs", [entry(item.display_name or item.id, item.io_type, item.tooltip) for item in schema.outputs]
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def section(heading: str, entries: list[str]) -> str:
    """A heading with its entries; empty without entries."""
    return f"## {heading}\n\n" + "\n".join(entries) if entries else ""


def input_entry(item) -> str:
    """One input with its type, default, range or options, and tooltip."""
    facts = [item.io_type, *default_of(item), *range_of(item), *(["advanced"] if item.advanced else [])]
    options = options_of(item)
    return entry(item.id, ", ".join(facts), item.tooltip + (f" Options: {options}." if options else ""))


def entry(name: str, facts: str, tooltip: str) -> str:
    """A list item, wrapped at ``WIDTH`` columns."""
    text = f"- `{name}` ({facts}): {' '.join(tooltip.split())}"
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def default_of(item) -> list[str]:
    default = getattr(item, "default", None)
    if default is None or item.id in FROM_DISK:
        return []
    return [f"default `{default}`" if default != "" else "default empty"]


def range_of(item) -> list[str]:
    low, high, step = (getattr(item, key, None) for key in ("min", "max", "step"))
    if low is None or high is None:
        return []
    return [f"{low} to {high}", *([f"step {step}"] if step not in (None, 1) else [])]


def options_of(item) -> str:
    options = getattr(item, "options", None)
    if options is None:
        return ""
    known = FROM_DISK.get(item.id) or comfyui_lists().get(tuple(options))
    return known or ", ".join(f"`{option}`" for option in options)


def comfyui_lists() -> dict[tuple[str, ...], str]:
    """Names for lists of options that differ between releases of ComfyUI."""
    import comfy.samplers

    samplers, schedulers = comfy.samplers.SAMPLER_NAMES, comfy.samplers.SCHEDULER_NAMES
    return {tuple(samplers): "the samplers of ComfyUI", tuple(schedulers): "the schedulers of ComfyUI"}


def main() -> None:
    from lab import common

    everything = common.load_pack()
    nodes = {name: node for name, node in everything.items() if (PACK / "js" / "docs" / f"{name}.md").is_file()}
    FOLDER.mkdir(exist_ok=True)
    texts = pages(nodes)
    for old in FOLDER.glob("*.md"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"wrote {len(texts)} pages to {FOLDER.relative_to(PACK)}")


if __name__ == "__main__":
    main()
