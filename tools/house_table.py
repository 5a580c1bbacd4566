"""Count what the project's rules limit: long files and lines, imports against the layers, changes
of sys.path, the length of run.py and README.md.

    python -m tools.house_table [--before REVISION] [--types] [--write]

``--before`` adds a column for an earlier commit; ``--types`` runs mypy as the CI does (it has to be
installed); ``--write`` puts the table into docs/evidence/source.md.
"""

import argparse
import ast
import io
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

from tools import architecture

PACK = pathlib.Path(__file__).resolve().parents[1]
PAGE = PACK / "docs" / "evidence" / "source.md"
SUFFIXES = (".py", ".js", ".mjs", ".css")
LONGEST_FILE, LONGEST_LINE = 300, 120
OWN_LIMIT = {"run.py": 350}
"""run.py is a single file because it runs before the environment exists."""
CHANGES = ("insert", "append", "extend", "remove", "pop")
TYPES = (["--strict", "--follow-imports=silent", "nodes/core"], ["nodes", "cli", "lab", "demo", "tools", "benchmarks"])
PAGE_TEXT = """# The source in numbers

Written by `python run.py bench house_table --write` (`--types` adds mypy, `--before REVISION` a column for an earlier
commit), not by hand. Files are .py, .js, .mjs and .css.

{table}
"""


def sources(root: pathlib.Path) -> dict[str, list[str]]:
    """Lines of every source file below ``root`` that git tracks (of all files if it is not a
    checkout).
    """
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True)
    is_checkout = listed.returncode == 0 and (root / ".git").exists()
    names = listed.stdout.splitlines() if is_checkout else [str(path.relative_to(root)) for path in root.rglob("*")]
    files = {name: root / name for name in sorted(names) if name.endswith(SUFFIXES)}
    return {name: path.read_text(encoding="utf-8").splitlines() for name, path in files.items() if path.is_file()}


def changes_sys_path(lines: list[str]) -> int:
    """The number of statements of a Python file that change ``sys.path``."""
    count = 0
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            count += ast.unparse(node.func.value) == "sys.path" and node.func.attr in CHANGES
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            targets = [node.target]
        count += sum(ast.unparse(target).startswith("sys.path") for target in targets)
    return count


def count(root: pathlib.Path) -> dict[str, int]:
    """The numbers of the table for a tree, by their labels."""
    files = sources(root)
    python = {name: lines for name, lines in files.items() if name.endswith(".py")}
    return {
        f"files over {LONGEST_FILE} lines (run.py: over {OWN_LIMIT['run.py']})": sum(
            len(lines) > OWN_LIMIT.get(name, LONGEST_FILE) for name, lines in files.items()
        ),
        f"lines over {LONGEST_LINE} columns": sum(
            len(line) > LONGEST_LINE for lines in files.values() for line in lines
        ),
        "statements that change sys.path": sum(map(changes_sys_path, python.values())),
        "lines of run.py": len(files.get("run.py", [])),
        "lines of README.md": len((root / "README.md").read_text(encoding="utf-8").splitlines()),
    }


def layers() -> dict[str, int]:
    """Number of layers of nodes/ and of imports from a higher layer, for the working tree."""
    folders, arrows = architecture.survey()
    order = architecture.FLOORS
    upwards = sum(number for (low, high), number in arrows.items() if order.index(high) > order.index(low))
    return {"layers of nodes/": sum(bool(folder) for folder in folders.values()), "imports from a lower layer": upwards}


def type_errors() -> dict[str, int | str]:
    """Errors of mypy for each set of its arguments."""
    result: dict[str, int | str] = {}
    for arguments in TYPES:
        done = subprocess.run(["mypy", *arguments], cwd=PACK, capture_output=True, text=True)
        number = re.search(r"Found (\d+) error", done.stdout)
        if not number and "Success" not in done.stdout:
            raise SystemExit(f"mypy {' '.join(arguments)} gave no result:\n{done.stdout}{done.stderr}")
        result[f"errors of `mypy {' '.join(arguments)}`"] = int(number[1]) if number else 0
    return result


def count_revision(revision: str) -> dict[str, int]:
    archive = subprocess.run(["git", "archive", revision], cwd=PACK, capture_output=True)
    if archive.returncode:
        raise SystemExit(f"--before {revision}: {archive.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
        return count(pathlib.Path(folder))


def table(now: dict, before: dict | None, revision: str) -> str:
    """The numbers as a Markdown table."""
    names = ["", *([f"at {revision}"] if before is not None else []), "now"]
    rows = [names, ["---", *["---:"] * (len(names) - 1)]]
    for name, value in now.items():
        rows.append([name, *([str(before.get(name, ""))] if before is not None else []), str(value)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="REVISION", default="")
    parser.add_argument("--types", action="store_true")
    parser.add_argument("--write", action="store_true")
    settings = parser.parse_args()
    now = count(PACK) | layers() | (type_errors() if settings.types else {})
    text = table(now, count_revision(settings.before) if settings.before else None, settings.before)
    print(text)
    if settings.write:
        PAGE.write_text(PAGE_TEXT.format(table=text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
