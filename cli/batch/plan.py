"""The graph of each row, and the checks of every row before anything runs."""

from __future__ import annotations

import argparse
import copy
import dataclasses
from pathlib import Path
from typing import Any

from ..arguments import bounded
from ..console import Problem
from ..edit import PLACES, EditSettings, fill_edit_graph
from ..graphs import options_of, title_of
from ..workflow import Setting
from .arguments import SETTINGS
from .comfy import Place
from .rows import Row

WORKFLOW = "workflow"
"""Name of the user's workflow among the templates; the other templates are methods."""
FILES = ("image", "mask")
TEXTS = ("source", "target")
HEAT_MAP = "Save heat map"


@dataclasses.dataclass(frozen=True)
class Target:
    """An input of a template that a column sets: the node's id, the input, its definition, and
    whether it names a file of ComfyUI's input folder.
    """

    node: str
    name: str
    spec: list
    upload: bool = False


@dataclasses.dataclass
class Plan:
    """Everything that a worker needs besides the row. It can be pickled.

    Attributes:
        folder: the folder of relative paths of images; `beside`, the current folder, is tried
            second.
        defaults: values for rows that have none.
        templates: graphs by method, or the one of the user's workflow.
        targets: by template, the inputs that each column sets; None if the template has no such
            node.
        checkpoints: by the name in a row, the name in ComfyUI and the working size.
        result: id or title of the SaveImage with the edit; None: *Edited picture*, or the only one.
        convention, lpips, clip_model: as for Edit Metrics.
        fingerprint: that of the run, which is stored in every image.
    """

    place: Place
    folder: Path
    beside: Path
    defaults: dict[str, Any]
    templates: dict[str, dict]
    targets: dict[str, dict[str, list[Target] | None]]
    checkpoints: dict[str, tuple[str, int]]
    result: str | None = None
    convention: str = "region"
    lpips: str = "squeeze"
    clip_model: str | None = None
    fingerprint: str = ""
    sharded: bool = False
    """Whether the images are spread over 256 folders."""

    def shard(self, row: Row) -> str:
        """The subfolder of a row's files, with a slash; "" if all files are in one folder."""
        return f"{row.key[-16:-14]}/" if self.sharded else ""

    def values(self, row: Row) -> dict[str, Any]:
        return self.defaults | row.values

    def template(self, row: Row) -> str:
        return WORKFLOW if WORKFLOW in self.templates else str(self.values(row).get("method", "diffedit"))

    def path(self, given: Any) -> Path:
        """The path of a file in a row: absolute, relative to the job, or to the current folder."""
        places = [self.folder / str(given), self.beside / str(given)]
        return next((place for place in places if place.exists()), places[0])

    def files(self, row: Row) -> dict[str, Path]:
        """The image files of a row, by column."""
        values = self.values(row)
        uploads = {
            name for name, targets in self.targets[self.template(row)].items() for t in targets or [] if t.upload
        }
        return {name: self.path(values[name]) for name in (*FILES, *sorted(uploads)) if values.get(name) is not None}

    # -- checks ---

    def check(self, row: Row) -> str:
        """The reason why a row cannot run, or "". Only the existence of images is checked; they are
        read when the row runs.
        """
        if row.problem:
            return row.problem
        try:
            return self.check_values(row) or self.check_targets(row) or self.check_files(row)
        except (OSError, ValueError) as error:
            return f"{error}"

    def check_values(self, row: Row) -> str:
        values, template = self.values(row), self.template(row)
        if template not in self.templates:
            return f"its method is {values.get('method')!r}; expected one of {', '.join(sorted(PLACES))}"
        for name, kind in SETTINGS.items():
            if name in row.values:
                try:
                    row.values[name] = kind(plain_number(row.values[name]))
                except argparse.ArgumentTypeError as error:
                    return f"its {name}: {error}"
        for name in ("image", *(TEXTS if template != WORKFLOW else ())):
            needed = name == "image" or name == "target" or "source" in PLACES.get(template, {})
            if needed and values.get(name) is None and (template != WORKFLOW or "image" in self.targets[WORKFLOW]):
                return f"it has no {name}; give the column, or --{name}" if name in TEXTS else "it has no image"
            if name in TEXTS and name in values:
                row_value = values[name]
                if not isinstance(row_value, (str, int, float)):
                    return f"its {name} is {type(row_value).__name__}; expected a text"
        given = values.get("checkpoint")
        if given is not None and str(given) not in self.checkpoints:
            return f"its checkpoint {given!r} is neither a file nor a checkpoint that ComfyUI knows"
        return ""

    def check_targets(self, row: Row) -> str:
        template = self.template(row)
        for column, targets in self.targets[template].items():
            value = row.values.get(column, self.defaults.get(column))
            if targets is None and column in row.values:
                return f"its column {column!r} sets an input that {template} does not have"
            for target in targets or []:
                if value is None:
                    if column in row.values or column not in (*FILES, *TEXTS, *SETTINGS, "checkpoint"):
                        return f"it has no value for {column}"
                elif not target.upload and column not in (*SETTINGS, "checkpoint"):
                    _, wrong = fitted(target.spec, value)
                    if wrong:
                        return f"its {column}: {wrong}"
        return ""

    def check_files(self, row: Row) -> str:
        for name, path in self.files(row).items():
            if not path.is_file():
                return f"its {name} {path} is not a file"
        return ""

    # -- graphs ---

    def graph(self, row: Row, brought: dict[str, str]) -> dict:
        """The graph of a checked row. `brought`: names in ComfyUI's input folder, by column."""
        values, template = self.values(row), self.template(row)
        graph = copy.deepcopy(self.templates[template])
        if template != WORKFLOW:
            self.fill_method(graph, template, values, brought)
        for column, targets in self.targets[template].items():
            value = values.get(column)
            for target in targets or []:
                if value is not None:
                    filled = self.value_of(column, target, value, brought)
                    if target.node in graph:  # a given mask replaces nodes
                        graph[target.node]["inputs"][target.name] = filled
        return graph

    def value_of(self, column: str, target: Target, value: Any, brought: dict[str, str]) -> Any:
        if target.upload:
            return brought[column]
        if column == "checkpoint":
            return self.checkpoints[str(value)][0]
        if column == "size":
            return value * value / 1024**2
        return fitted(target.spec, value)[0]

    def fill_method(self, graph: dict, method: str, values: dict[str, Any], brought: dict[str, str]) -> None:
        name, side = self.checkpoints[str(values["checkpoint"])]
        fields = {field.name for field in dataclasses.fields(EditSettings)} - {"image", "mask", "output"}
        given = {key: value for key, value in values.items() if key in fields}
        given |= {key: str(given.get(key, "")) for key in TEXTS}
        settings = EditSettings(image=Path(brought["image"]), **given)
        fill_edit_graph(graph, settings, name, area=(settings.size or side) ** 2, brought=brought)
        for key in [key for key, node in graph.items() if title_of(node) == HEAT_MAP]:
            del graph[key]


def plain_number(value: Any) -> str:
    """A number as text; 30.0 becomes 30, because tables with empty cells store it as 30.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def fitted(spec: list, value: Any) -> tuple[Any, str]:
    """(a cell's value converted for an input of this definition, the reason why it cannot be
    converted or "").
    """
    kind, options = spec[0], options_of(spec)
    if isinstance(kind, list) or kind == "COMBO":
        choices = kind if isinstance(kind, list) else options.get("options") or []
        known = next((choice for choice in choices if choice == value or str(choice) == str(value)), None)
        few = ", ".join(map(str, choices[:8])) + (" ..." if len(choices) > 8 else "")
        return (known, "") if known is not None or not choices else (value, f"{value!r} is none of {few}")
    if kind in ("INT", "FLOAT"):
        low, high = options.get("min", -(2**64)), options.get("max", 2**64)
        try:
            number = bounded(int if kind == "INT" else float, low, high)(plain_number(value))
        except argparse.ArgumentTypeError as error:
            return value, str(error)
        return number, ""
    if kind == "BOOLEAN":
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        word = str(value).lower()
        return (words[word], "") if word in words else (value, f"{value!r} is neither true nor false")
    return (value if isinstance(value, str) else str(value), "") if kind == "STRING" else (value, "")


# -- the columns of a template --------------------------------------------------------------------


AUTOMATIC = {
    "image": (("Image", "image"),),
    "source": (("Source text", "text"),),
    "target": (("Target text", "text"),),
    "checkpoint": (("Model", "ckpt_name"),),
    "size": (("Size", "megapixels"),),
    **{name: tuple((title, name) for title in ("Mask", "Invert", "Edit")) for name in SETTINGS if name != "size"},
}
"""The inputs that columns set in a user's workflow with the node titles of this pack."""


def targets_of(graph: dict, columns: set[str], mapping: dict[str, list[str]], definitions: dict, own: bool) -> dict:
    """The inputs of a template that columns set.

    Args:
        columns: all columns of the job.
        mapping: NODE.INPUT texts by column, from --map.
        definitions: of the template's nodes.
        own: whether the template is a method, whose usual columns are set by `fill_edit_graph`.

    Raises:
        Problem: --map names an unknown node or input.
    """
    targets: dict[str, list[Target] | None] = {}
    for column, keys in mapping.items():
        targets[column] = [target(graph, key, definitions) for key in keys]
    for column in sorted(columns - targets.keys()):
        if "." in column.strip("."):
            try:
                targets[column] = [target(graph, column, definitions)]
            except Problem:
                targets[column] = None
    mapped = {(place.node, place.name) for places in targets.values() for place in places or []}
    if not own:
        for column, places in AUTOMATIC.items():
            titled = [(key, name) for title, name in places for key, node in graph.items() if title_of(node) == title]
            at = [target_at(graph, key, name, definitions) for key, name in titled if is_widget(graph[key], name)]
            at = [place for place in at if (place.node, place.name) not in mapped]
            if at and column not in targets:
                targets[column] = list(at)
    return targets


def is_widget(node: dict, name: str) -> bool:
    return name in node["inputs"] and not isinstance(node["inputs"][name], list)


def target(graph: dict, key: str, definitions: dict) -> Target:
    try:
        node, name = Setting(key, None).find(graph)
    except Problem as problem:
        raise Problem(str(problem).replace("--set", "--map", 1)) from problem
    return target_at(graph, node, name, definitions)


def target_at(graph: dict, node: str, name: str, definitions: dict) -> Target:
    kind = graph[node]["class_type"]
    sections = definitions[kind]["input"]
    specs = {**(sections.get("required") or {}), **(sections.get("optional") or {})}
    if name not in specs:
        raise Problem(f"--map {node}.{name}: the node has no input {name!r}. It has: {', '.join(sorted(specs))}.")
    upload = any(key.endswith("_upload") and value for key, value in options_of(list(specs[name])).items())
    return Target(node, name, list(specs[name]), upload)
