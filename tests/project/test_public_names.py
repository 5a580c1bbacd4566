"""No two modules of nodes/ have public functions or classes of the same name."""

import ast
import collections
import pathlib

PACK = pathlib.Path(__file__).resolve().parents[2]


def public_names(root: pathlib.Path) -> dict[str, list[str]]:
    """The modules below ``root`` that define a public function or class, by its name."""
    modules = collections.defaultdict(list)
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for path in sorted(root.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, definitions) and not node.name.startswith("_"):
                modules[node.name].append(str(path.relative_to(root)))
    return modules


def shared(root: pathlib.Path) -> dict[str, list[str]]:
    return {name: files for name, files in public_names(root).items() if len(files) > 1}


def test_a_name_used_twice_is_found(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(f"def invert(): ...\ndef _kept(): ...\ndef only_{name}(): ...\n")
    assert shared(tmp_path) == {"invert": ["one.py", "two.py"]}


def test_public_names_have_one_meaning():
    assert len(public_names(PACK / "nodes")) > 300
    assert shared(PACK / "nodes") == {}
