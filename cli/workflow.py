"""`run.py workflow`: any workflow, as the editor saves it or exported for the API."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from .client import run_graph
from .console import Problem, say
from .editor_format import EditorGraph
from .environment import Environment
from .files import PACK, ROOT
from .graphs import all_inputs, named, title_of, upload_inputs
from .outputs import fetch_outputs, read_json, texts_of, usable_folder
from .run_folder import RunFolder, base_directory
from .server import check_node_types, serving


@dataclasses.dataclass(frozen=True)
class Setting:
    """One --set NODE.INPUT=VALUE. The key is not split yet, because titles and inputs may contain
    dots.
    """

    key: str
    value: Any

    @classmethod
    def parse(cls, text: str) -> Setting:
        key, equals, value = text.partition("=")
        if not equals or "." not in key.strip("."):
            raise Problem(
                f'--set {text}: expected NODE.INPUT=VALUE, such as --set 3.seed=7 or --set "Target text.text=a red '
                'ball".'
            )
        try:
            return cls(key, json.loads(value))
        except (ValueError, RecursionError):
            return cls(key, value)

    def splits(self) -> list[tuple[str, str]]:
        """Every way to split the key into a node and an input."""
        return [(self.key[: dot.start()], self.key[dot.end() :]) for dot in re.finditer(r"\.", self.key)]

    def apply_to_box(self, editor: EditorGraph) -> bool:
        return any(editor.set_box(node, name, self.value) for node, name in self.splits())

    def apply(self, graph: dict, definitions: dict[str, dict]) -> None:
        node_id, name = self.find(graph)
        node = graph[node_id]
        definition = definitions.get(node["class_type"])
        known = set(node["inputs"]) | (set(all_inputs(definition)) if definition else set())
        if name not in known:
            raise Problem(
                f"--set {self.key}: the node {named(graph, node_id)} has no input {name!r}. It has: "
                f"{', '.join(sorted(known))}."
            )
        node["inputs"][name] = self.value

    def find(self, graph: dict) -> tuple[str, str]:
        for node, name in self.splits():
            matches = [key for key, entry in graph.items() if node in (key, title_of(entry))]
            if len(matches) > 1:
                raise Problem(
                    f"--set {self.key}: several nodes are titled {node!r}; use one of the ids {', '.join(matches)}."
                )
            if matches:
                return matches[0], name
        nodes = ", ".join(named(graph, key) for key in graph)
        raise Problem(f"--set {self.key}: the workflow has no such node. It has: {nodes}.")


def workflow_command(options: argparse.Namespace, environment: Environment) -> dict[str, Any]:
    settings = [Setting.parse(text) for text in options.set]
    workflow = read_workflow(options.file)
    base = base_directory(environment, options)
    with usable_folder(options.output):
        run = RunFolder(base)
        with serving(environment, base, run, [], options.cpu) as server:
            if isinstance(workflow, EditorGraph):
                definitions = server.client.get("/object_info")
                settings = [setting for setting in settings if not setting.apply_to_box(workflow)]
                graph = workflow.to_api(definitions)
            else:
                graph, definitions = workflow, check_node_types(server, workflow)
            for setting in settings:
                setting.apply(graph, definitions)
            folders = [Path.cwd(), options.file.absolute().parent, base / "input"]
            bring_inputs(graph, definitions, run, folders)
            result = run_graph(server, graph)
            made = fetch_outputs(server.client, graph, result, options.output)
    say(f"done in {result.total:.1f} s, {len(made)} file{'' if len(made) == 1 else 's'} in {options.output}")
    texts = {named(graph, node_id): text for node_id, text in texts_of(result)}
    return {"files": [str(path) for path in made], "texts": texts, "seconds": round(result.total, 3)}


def read_workflow(path: Path) -> dict | EditorGraph:
    """Read a workflow in either format, before ComfyUI is started.

    Raises:
        Problem: the file is not a workflow.
    """
    workflow = read_json(path)
    try:
        if isinstance(workflow, dict) and isinstance(workflow.get("prompt"), dict):
            workflow = workflow["prompt"]
        if isinstance(workflow, dict) and isinstance(workflow.get("nodes"), list):
            return EditorGraph(workflow)
        return checked_graph(workflow)
    except Problem as problem:
        raise Problem(f"{path} is not a ComfyUI workflow that can be run: {problem}") from problem


def checked_graph(graph: Any) -> dict:
    """A graph of the API format, after checking its structure."""
    if not isinstance(graph, dict) or not graph:
        raise Problem(
            'neither the editor\'s format ("nodes" and "links") nor the API format (a "class_type" per node).'
        )
    for key, node in graph.items():
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            raise Problem(f'node {key} has no "class_type".')
        if not isinstance(node.get("inputs"), dict):
            raise Problem(f'node {key} ({node["class_type"]}) has no "inputs".')
        if not isinstance(node.get("_meta"), (dict, type(None))):
            raise Problem(f'"_meta" of node {key} ({node["class_type"]}) is {type(node["_meta"]).__name__}.')
    return graph


def bring_inputs(graph: dict, definitions: dict[str, dict], run: RunFolder, folders: list[Path]) -> None:
    """Copy the files that the graph loads from ComfyUI's input folder to that of this run. They are
    searched in ``folders`` and among the project's samples.

    Raises:
        Problem: a file was not found.
    """
    for node_id, node in graph.items():
        for name in upload_inputs(definitions[node["class_type"]]):
            value = node["inputs"].get(name)
            if not isinstance(value, str) or re.search(r" \[(input|output|temp)\]$", value):
                continue
            source = find_file(value, folders)
            if source is None:
                raise Problem(
                    f"The node {named(graph, node_id)} loads {value!r}, which is not in any of: "
                    f"{', '.join(map(str, folders))}. Give a file with --set {node_id}.{name}=PATH."
                )
            relative = not Path(value).is_absolute() and ".." not in Path(value).parts
            node["inputs"][name] = run.bring(source, value if relative else source.name)


def find_file(name: str, folders: list[Path]) -> Path | None:
    try:
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    except (OSError, ValueError):  # too long, or with a zero byte
        return None
    return path or samples().get(name)


def samples() -> dict[str, Path]:
    """The project's sample images, by the names that its workflows use."""
    return {f"{PACK}-{path.name}": path for path in sorted((ROOT / "demo" / "samples").glob("*.png"))}
