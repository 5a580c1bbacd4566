"""`run.py test`, `train` and `bench`: scripts of the project in the environment."""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from .console import Problem, deliver, say, settings
from .environment import Environment
from .files import ROOT
from .processes import hand_over

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib  # type: ignore[no-redef]


BENCHES = ("benchmarks", "tools", "demo")
"""Folders of scripts that `bench` starts as modules, so that they can import each other and lab/.
"""
EVERYTHING = "everything"
"""The script that `bench` runs without a name: all benchmarks."""
OWN_CHOICE = ("-n", "--numprocesses", "--dist", "--tx", "-pno:xdist", "--pdb", "--trace", "--capture=no")
MOST_PROCESSES = 8
"""Each process loads ComfyUI (about 1 GB)."""


def test_command(options: argparse.Namespace, environment: Environment) -> dict[str, Any]:
    check_packages(environment, "test")
    return hand_over_to(environment, ["-m", "pytest", *side_by_side(options.rest), *options.rest])


def side_by_side(rest: list[str]) -> list[str]:
    """pytest-xdist's options for one process more than cores, at most `MOST_PROCESSES`: the tests
    of the editor and of the command line wait for other processes a third of their time.

    Empty on one core, for a single test file (its tests run in one process), and if the arguments
    or PYTEST_ADDOPTS set the number of processes or need one process (-n, -p no:xdist, --pdb, -s).
    """
    words = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *rest]
    cores = os.cpu_count() or 1
    if cores < 2 or any(word.startswith(OWN_CHOICE) or word in ("no:xdist", "-s") for word in words):
        return []
    if len([word for word in words if ".py" in word]) == 1 or not installed("pytest-xdist"):
        return []
    return ["-n", str(min(cores + 1, MOST_PROCESSES)), "--dist", "loadfile"]


def train_command(options: argparse.Namespace, environment: Environment) -> dict[str, Any]:
    script = ROOT / "demo" / "train.py"
    if not script.is_file():
        raise Problem(f"{script}: no such file; this clone is not complete.")
    return hand_over_to(environment, ["-m", "demo.train", *options.rest])


def bench_command(options: argparse.Namespace, environment: Environment) -> dict[str, Any]:
    scripts = [path for folder in BENCHES for path in sorted((ROOT / folder).glob("*.py"))]
    names = {path.stem: path for path in scripts if "__main__" in path.read_text(encoding="utf-8")}
    if options.rest == ["--list"]:
        for name, path in names.items():
            deliver(f"{name:20} {first_sentence(path)}")
        if not names:
            say("there are no benchmarks in this clone")
        return {"benchmarks": {name: first_sentence(path) for name, path in names.items()}}
    is_named = bool(options.rest) and not options.rest[0].startswith("-")
    name, *rest = options.rest if is_named else [EVERYTHING, *options.rest]
    name = name.replace("-", "_")
    if name not in names:
        raise Problem(f"bench {name}: there is no such benchmark. There are: {', '.join(names) or 'none'}.")
    check_packages(environment, "bench")
    return hand_over_to(environment, ["-m", f"{names[name].parent.name}.{name}", *rest])


def hand_over_to(environment: Environment, arguments: list) -> dict[str, Any]:
    places = {
        "COMFYUI_PATH": str(environment.comfyui),
        "COMFYUI_PYTHON": str(environment.python),
        "SEMANTIC_EDIT_FROM": os.getcwd(),  # where relative paths on the command line begin
    }
    out = sys.stderr if settings.json else None  # stdout is for the JSON object
    code = hand_over([environment.python, *arguments], cwd=ROOT, env=environment.variables() | places, stdout=out)
    return {"exit_code": code}


def first_sentence(path: Path) -> str:
    """The first sentence of a script's docstring in one line, read without running it."""
    try:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        words = " ".join(text.partition("\n\n")[0].split())
        return words.partition(". ")[0].removesuffix(":")
    except (SyntaxError, ValueError):
        return ""


def extra_packages(name: str) -> list[str]:
    """The packages of an extra of pyproject.toml."""
    path = ROOT / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return project.get("project", {}).get("optional-dependencies", {}).get(name, [])


def check_packages(environment: Environment, extra: str) -> None:
    """Check that the user's Python has the packages of an extra; nothing is installed into it.

    Raises:
        Problem: packages are missing; the message lists them.
    """
    if environment.private:
        return
    missing = [package for package in extra_packages(extra) if not installed(package)]
    if missing:
        wanted = " ".join(f'"{package}"' for package in missing)
        raise Problem(
            f"{environment.python} lacks packages that `run.py {extra}` needs. Install them with\n"
            f"    {environment.python} -m pip install {wanted}\nor unset COMFYUI_PATH to use the private environment."
        )


def installed(package: str) -> bool:
    try:
        return bool(importlib.metadata.version(re.split(r"[^\w.-]", package)[0]))
    except importlib.metadata.PackageNotFoundError:
        return False
