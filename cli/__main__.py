"""The commands. `python -m cli` is the same as `python run.py`."""

from __future__ import annotations

import argparse
import runpy

from .batch.command import batch_command
from .console import answer
from .edit import edit_command
from .environment import Environment
from .files import ROOT
from .scripts import bench_command, test_command, train_command
from .ui import ui_command
from .workflow import workflow_command

COMMANDS = {
    "edit": edit_command,
    "workflow": workflow_command,
    "batch": batch_command,
    "ui": ui_command,
    "test": test_command,
    "train": train_command,
    "bench": bench_command,
}


def run(options: argparse.Namespace, environment: Environment) -> int:
    """Run a command in the current Python's environment and print the JSON answer; returns the exit
    code.
    """
    values = COMMANDS[options.command](options, environment)
    code = values.get("exit_code", 0)
    answer(code == 0, command=options.command, **values)
    return code


if __name__ == "__main__":
    runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
