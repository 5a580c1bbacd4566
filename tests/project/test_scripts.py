"""Scripts that are run manually: benchmarks, tools, and the demo's training."""

import ast
import subprocess
import sys
from pathlib import Path

from lab.common import PACK

SCRIPTS = [
    f"{folder}.{path.stem}"
    for folder in ("benchmarks", "demo", "tools")
    for path in sorted((PACK / folder).glob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]
# All in one process, because importing torch takes seconds.
IMPORT_EACH = """
import importlib, sys
failed = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(f"{name}: {error!r}")
sys.exit("\\n".join(failed) or 0)
"""


def test_every_script_finds_its_modules_when_it_is_run_as_a_module():
    """As with ``python -m benchmarks.thin_masks`` in the repository's folder, and with `run.py
    bench` anywhere.
    """
    assert len(SCRIPTS) > 20
    command = [sys.executable, "-c", IMPORT_EACH, *SCRIPTS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACK, timeout=300)
    assert done.returncode == 0, done.stderr


FOLDERS = ("nodes", "cli", "lab", "demo", "tools", "benchmarks")


def names_of(module: Path) -> set[str]:
    """Names that a module defines or imports."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return names


def test_every_imported_name_exists():
    """Imports within functions too, which importing the module does not execute."""
    wrong, checked = [], 0
    for folder in FOLDERS:
        for path in sorted((PACK / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.ImportFrom):
                    continue
                parts = node.module.split(".") if node.module else []
                if not node.level and (not parts or parts[0] not in FOLDERS or parts == ["nodes"]):
                    continue  # not of this repository; "nodes" alone is ComfyUI's module
                place = (path.parents[node.level - 1] if node.level else PACK).joinpath(*parts)
                module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
                known = names_of(module) if module.is_file() else set()
                for name in (alias.name for alias in node.names):
                    checked += 1
                    if not (name in known or (place / f"{name}.py").is_file() or (place / name).is_dir()):
                        wrong.append(f"{path.relative_to(PACK)}: {module.relative_to(PACK)} has no {name}")
    assert wrong == []
    assert checked > 500
