"""Rules of the design, checked on the source."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest
import tomllib_compat as tomllib

PACK = pathlib.Path(__file__).resolve().parents[2]
NODES = PACK / "nodes"
CORE, HOST, EDITS = (sorted((NODES / folder).rglob("*.py")) for folder in ("core", "host", "edits"))
SHARED = ("__init__.py", "extension.py", "sockets.py", "input_checks.py", "outcome.py")
"""Modules beside the faces that are not faces."""
FACES = sorted(path for path in NODES.glob("*.py") if path.name not in SHARED)
FLOORS = {"core": 0, "host": 1, "edits": 2}
"""Imports go down or stay on their floor; faces are on 3, the extension on 4."""
COMFY = {"comfy", "comfy_extras", "comfy_execution", "folder_paths", "server", "execution"}
ALLOWED_IN_CORE = {"torch", "einops", "math", "dataclasses", "typing", "collections"}
RELEASED = {"DiffEditMask", "DDIMInvert", "LatentBlendSampler"}


def imports(path):
    """(dots, first name) of every import in a file, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, (node.module or "").split(".")[0]


def folder_of(path) -> str:
    """The floor of a path: core, host, edits, extension, or faces."""
    inside = path.relative_to(NODES)
    return (
        inside.parts[0]
        if len(inside.parts) > 1
        else "extension"
        if inside.name in ("extension.py", "__init__.py")
        else "faces"
    )


def relative_targets(path):
    """(floor's name, import) of every relative import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1]
            for alias in node.names:
                parts = [*base.relative_to(NODES).parts, *(node.module or "").split("."), alias.name]
                inside = [part for part in parts if part]
                name = inside[0] if inside[0] in FLOORS else "extension" if inside[0] == "extension" else "faces"
                yield name, f"{path.relative_to(NODES)} imports {'.'.join(inside)}"


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(NODES)))
def test_core_knows_neither_comfy_nor_anything_above(path):
    for dots, name in imports(path):
        assert dots or name in ALLOWED_IN_CORE, f"{path.name} imports {name}"
    assert all(name == "core" for name, _ in relative_targets(path))


def test_faces_and_edits_import_no_comfy():
    assert not [path for path in EDITS + FACES if {name for dots, name in imports(path) if dots == 0} & COMFY]


@pytest.mark.parametrize("path", sorted(NODES.rglob("*.py")), ids=lambda path: str(path.relative_to(NODES)))
def test_nothing_imports_upwards(path):
    own = FLOORS.get(folder_of(path), 4 if folder_of(path) == "extension" else 3)
    for name, message in relative_targets(path):
        assert FLOORS.get(name, 4 if name == "extension" else 3) <= own, message
    assert not {name for dots, name in imports(path) if dots == 0} & {"nodes", "comfy_extras"}, path


def body_lines(function: ast.FunctionDef) -> int:
    """Number of lines of a function without its docstring and its signature (the formatter gives
    each argument a line).
    """
    statements = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
    return function.end_lineno - statements[0].lineno + 1


@pytest.mark.parametrize("path", FACES, ids=lambda path: path.name)
def test_faces_hold_no_maths(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not {name for dots, name in imports(path) if dots == 0} & {"torch", "numpy", "einops", "scipy", "math"}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "execute":
            assert body_lines(node) <= 22, f"{path.name}: the body of execute is {body_lines(node)} lines long"
            assert not any(isinstance(inner, (ast.For, ast.While, ast.MatMult)) for inner in ast.walk(node))


@pytest.mark.parametrize("path", FACES, ids=lambda path: path.name)
def test_faces_save_pictures_only_where_a_fault_is_forgiven(path):
    """editor_reports.files and ComfyUI's own previews raise if the temp folder is not writable."""
    source = path.read_text(encoding="utf-8")
    assert "Preview" not in source.replace("preview", "")
    assert "ImageSaveHelper" not in source
    assert "reports.files" not in source


@pytest.mark.parametrize("path", CORE + EDITS + HOST, ids=lambda path: str(path.relative_to(NODES)))
def test_functions_fit_on_a_screen_and_public_ones_say_what_they_do(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{path.name} has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert body_lines(node) < 60, f"{path.name}: the body of {node.name} is {body_lines(node)} lines long"
    if path in CORE and path.name != "layout.py":
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"


def test_core_is_imported_without_comfyui(tmp_path):
    names = ", ".join(
        ".".join(path.relative_to(PACK).with_suffix("").parts) for path in CORE if path.stem != "__init__"
    )
    code = f"import sys; import {names}; assert not {{'comfy', 'comfy_api', 'folder_paths'}} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(PACK)},
    )
    assert done.returncode == 0, done.stderr


def test_few_files_touch_the_import_path():
    """cli/inside.py for ComfyUI, run.py for Python's -P; pytest's own setting for the tests. No
    import follows other code.
    """
    listed = subprocess.run(["git", "-C", str(PACK), "ls-files", "*.py"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git checkout")
    texts = {
        name: (PACK / name).read_text(encoding="utf-8") for name in listed.stdout.split() if (PACK / name).is_file()
    }
    edit = re.compile(r"sys\.path((\[[^\]]*\])? \+?= |\.(append|insert|extend)\()")
    assert {name for name, text in texts.items() if edit.search(text)} == {"cli/inside.py", "run.py"}
    assert sum(len(edit.findall(text)) for text in texts.values()) <= 3
    silenced = "noqa: " + "E402"
    assert not {name for name, text in texts.items() if silenced in text}


def test_one_psnr_and_one_way_to_call_a_node():
    """Scripts and tests use core's PSNR and lab's call."""
    others = [
        path for folder in ("lab", "tools", "benchmarks", "demo", "tests") for path in (PACK / folder).rglob("*.py")
    ]
    texts = {path.relative_to(PACK).as_posix(): path.read_text(encoding="utf-8") for path in others}
    own = {name for name, text in texts.items() if re.search("EXECUTE_" + r"NORMALIZED\(", text)}
    assert own == {"lab/common.py"}
    psnrs = {name for name, text in texts.items() if "\ndef psnr(" in text}
    assert psnrs == {"lab/common.py", "tests/helpers/workflow_graphs.py"}
    assert not {name for name in psnrs if "log" + "10" in re.search(r"def psnr(?s:.*?)(\n\n|\Z)", texts[name])[0]}


def test_the_door_is_only_a_door():
    tree = ast.parse((PACK / "__init__.py").read_text(encoding="utf-8"))
    assert not any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body)


def test_the_pack_requires_nothing_and_serves_its_scripts_once():
    project = tomllib.loads((PACK / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dependencies"] == []
    assert project["project"]["name"] == "semantic-edit"
    assert "web" not in project["tool"]["comfy"]
    assert project["tool"]["comfy"]["requires-comfyui"].startswith(">=")
    assert not (PACK / "requirements.txt").exists()
    assert (PACK / "js").is_dir()


def schemas(pack):
    return {name: node.GET_SCHEMA() for name, node in pack.items()}


def test_released_ids_stay(pack):
    assert RELEASED <= set(pack)


def test_every_socket_and_widget_has_a_tooltip(pack):
    for name, schema in schemas(pack).items():
        assert schema.description, name
        assert schema.display_name, name
        assert schema.search_aliases, name
        assert schema.category == "semantic edit", name
        for item in [*schema.inputs, *schema.outputs]:
            assert item.tooltip, f"{name}.{item.id}"
            assert item.tooltip.rstrip().endswith("."), f"{name}.{item.id}"


def test_every_node_has_a_help_page(pack):
    for name in pack:
        page = (PACK / "js" / "docs" / f"{name}.md").read_text(encoding="utf-8")
        pictures = re.findall(r"!\[[^\]]+\]\((media/[^)]+)\)", page)
        assert pictures, f"js/docs/{name}.md lacks a picture, a graph or its source"
        assert "## In a graph" in page, f"js/docs/{name}.md lacks a picture, a graph or its source"
        assert re.search("^Sources?: ", page, re.M), f"js/docs/{name}.md lacks a picture, a graph or its source"
        assert all((PACK / "js" / "docs" / picture).is_file() for picture in pictures), (
            f"js/docs/{name}.md shows a picture that does not exist"
        )
        schema = pack[name].GET_SCHEMA()
        for item in [*schema.inputs, *schema.outputs]:
            assert f"`{item.display_name if item in schema.outputs else item.id}`" in page, (
                f"js/docs/{name}.md does not mention {item.id}"
            )


def _begins_with_a_name(text: ast.expr) -> bool:
    """Whether a message has a node's id, or a formatted name, before its first colon."""
    parts = text.values if isinstance(text, ast.JoinedStr) else [text]
    if isinstance(parts[0], ast.FormattedValue):
        return ast.unparse(parts[0].value) in ("node", "NODE", "who")
    ids = "|".join(page.stem for page in (PACK / "js" / "docs").glob("*.md"))
    return isinstance(parts[0], ast.Constant) and re.match(rf"({ids})\b[^ ]*: ", str(parts[0].value)) is not None


SPEAKS_OUTSIDE_A_NODE = ("inversion", "ddim.py")
"""InvertedNoise is called by a sampler, so no wrapper of the pack adds a name to its errors."""


@pytest.mark.parametrize("path", [*CORE, *HOST, *EDITS, *FACES, NODES / "input_checks.py"], ids=lambda path: path.stem)
def test_a_nodes_name_is_put_on_its_errors_in_one_place(path):
    """``input_checks.checked`` adds it to every NodeError: no function has the name as an argument
    and no message contains it.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [result for result in ast.walk(tree) if isinstance(result, ast.FunctionDef)]
    told = [one.name for one in functions if {"node", "who"} & {argument.arg for argument in one.args.args}]
    assert not set(told) - {"checked"}, "has the node's name as an argument"
    made = [
        result
        for result in ast.walk(tree)
        if isinstance(result, ast.Call) and ast.unparse(result.func) in ("NodeError", "ValueError")
    ]
    spelt = [call.lineno for call in made if call.args and _begins_with_a_name(call.args[0])]
    if path.parts[-2:] != SPEAKS_OUTSIDE_A_NODE:
        assert not spelt, f"lines {spelt} contain a node's name"


@pytest.mark.parametrize("path", FACES, ids=lambda path: path.stem)
def test_every_face_returns_an_outcome(path):
    """``input_checks.checked`` reports it and makes ComfyUI's output from it."""
    text = path.read_text(encoding="utf-8")
    assert "io.NodeOutput" not in text
    assert "progress.tell" not in text
    executes = [
        result
        for result in ast.walk(ast.parse(text))
        if isinstance(result, ast.FunctionDef) and result.name == "execute"
    ]
    assert [ast.unparse(one.returns) for one in executes] == ["Outcome"]
