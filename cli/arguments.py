"""The arguments of the command line. Standard library only: run.py answers --help and wrong
arguments at once.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import files

DEMO_CHECKPOINT = "semantic-edit-demo.safetensors"
METHODS = ("diffedit", "diffedit-fast", "sdedit", "encode-decode", "edict", "directedit")
SCRIPTS = ("test", "train", "bench")
"""Commands whose further arguments go to a script."""
GLOBALS = ("--json", "-v", "--verbose", "-q", "--quiet")

EXAMPLES = """\
examples:
  python run.py edit                                    edit the sample image with the demo model of this project
  python run.py edit --image bowl.jpg --source "a bowl of strawberries" --target "a bowl of oranges" \\
                     --checkpoint v1-5-pruned.safetensors
  python run.py edit --image bowl.jpg --target "a bowl of oranges" --method sdedit --strength 0.6 \\
                     --checkpoint v1-5-pruned.safetensors
  python run.py workflow workflows/api/diffedit.json --set "Target text.text=an apple on wood" --output results
  python run.py batch edits.csv --output edits          thousands of edits, resumable
  python run.py ui --port 8190                          ComfyUI's editor with the pack
  python run.py test -q tests/unit                      tests; all arguments after "test" go to pytest
  python run.py bench --quick                           all benchmarks in their short form; --list lists them

environment variables:
  COMFYUI_PATH            your own ComfyUI; nothing is installed or written there. If unset, a private ComfyUI %s
                          is installed.
  COMFYUI_PYTHON          the Python that starts that ComfyUI (default: its .venv, venv or python_embeded, or this
                          Python)
  COMFYUI_BASE_DIRECTORY  default of --base-directory
  SEMANTIC_EDIT_HOME      folder of the private environment (now: %s).
                          Put your models into its models/checkpoints, models/vae, ... folders.
  SEMANTIC_EDIT_TORCH     torch build of the private environment: default, cpu, cu130, ... (default: chosen for
                          the machine)
  The installation uses pip's environment variables and HTTPS_PROXY.

exit codes: 0 success, 1 an error with a message, 2 wrong arguments, 130 Ctrl-C, 143 terminated.
test, train and bench end with the exit code of pytest or of their script.
"""


def bounded(kind: type, low: float, high: float) -> Callable[[str], Any]:
    """An argparse type: a number within limits, which the error names."""

    def convert(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            noun = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {noun} from {low} to {high}")
        return value

    return convert


class Parser(argparse.ArgumentParser):
    """With --json, wrong arguments are reported as a JSON object as well."""

    json = False

    def error(self, message: str):
        if Parser.json:
            print(json.dumps({"ok": False, "error": message, "exit_code": 2}), flush=True)
        super().error(message)


class Version(argparse.Action):
    def __init__(self, comfyui: str, **options):
        super().__init__(nargs=0, help="print the version and exit", **options)
        self.comfyui = comfyui

    def __call__(self, parser, namespace, values, option_string=None):
        version = files.project_field(files.ROOT, "version") or "unknown"
        if Parser.json:
            print(json.dumps({"ok": True, "version": version, "comfyui": self.comfyui}))
        else:
            print(f"{files.PACK} {version} (private ComfyUI: {self.comfyui})")
        parser.exit()


def parse(arguments: list[str], comfyui: str) -> argparse.Namespace:
    """The options, with `rest` for the script behind test, train and bench. `comfyui`: version of
    the private ComfyUI.
    """
    own_arguments, rest = split_rest(arguments)
    Parser.json = "--json" in own_arguments
    options = build_parser(comfyui).parse_args(own_arguments)
    options.rest = rest
    return options


def split_rest(arguments: list[str]) -> tuple[list[str], list[str]]:
    """(arguments for this command line, arguments for the script behind test, train and bench)."""
    place = next((index for index, word in enumerate(arguments) if word not in GLOBALS), len(arguments))
    if arguments[place : place + 1] not in [[name] for name in SCRIPTS]:
        return arguments, []
    own_arguments, rest = arguments[: place + 1], arguments[place + 1 :]
    while rest and (
        rest[0] in ("-h", "--help") or own_arguments[place] == "test" and rest[0].split("=")[0] == "--comfyui"
    ):
        count = 2 if rest[0] == "--comfyui" else 1
        own_arguments, rest = own_arguments + rest[:count], rest[count:]
    return own_arguments, rest[1:] if rest[:1] == ["--"] else rest


def build_parser(comfyui: str) -> argparse.ArgumentParser:
    from .batch.arguments import add_batch  # it takes the shared options from this module

    parser = Parser(
        prog="python run.py",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Semantic Edit outside ComfyUI's editor: edit images by text; run workflows, tests and benchmarks.",
        epilog=EXAMPLES % (comfyui, files.home_folder()),
    )
    parser.add_argument("--version", action=Version, comfyui=comfyui)
    add_globals(parser, default=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add_edit(commands)
    add_workflow(commands)
    add_batch(commands)
    add_ui(commands)
    add_scripts(commands)
    return parser


def add_globals(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    parser.add_argument(
        "--json", action="store_true", default=default, help="print one JSON object on stdout, also on errors"
    )
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=default,
        help="also show ComfyUI's log, pip's output, tracebacks",
    )
    loudness.add_argument("-q", "--quiet", action="store_true", default=default, help="show only errors")


def add_running(parser: argparse.ArgumentParser) -> None:
    """Options of the commands that start ComfyUI."""
    parser.add_argument("--cpu", action="store_true", help="run on the CPU (also used if torch finds no usable device)")
    parser.add_argument(
        "--base-directory",
        type=Path,
        metavar="DIR",
        help="base directory with models/ and custom_nodes/, if it is not ComfyUI's own folder, as in the desktop app "
        "(default: COMFYUI_BASE_DIRECTORY)",
    )
    add_globals(parser)


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("semantic-edit-output"),
        metavar="DIR",
        help="output folder (default: %(default)s); other files in it are not overwritten",
    )


def add_edit(commands) -> None:
    edit = commands.add_parser(
        "edit",
        help="edit an image by text",
        description="Edit an image by text. Without options: the sample image of this project with its demo model. "
        "Writes edited.png, mask.png, heatmap.png, overview.png and edit.json.",
    )
    add = edit.add_argument
    add(
        "--image",
        type=Path,
        help="image to edit: PNG, TIFF, JPEG, WebP, GIF or BMP, up to 64 megapixels (default: the sample image)",
    )
    add("--source", metavar="TEXT", help="text that describes the image (diffedit, edict and directedit)")
    add("--target", metavar="TEXT", help="text that describes the desired image")
    add(
        "--checkpoint",
        default=DEMO_CHECKPOINT,
        metavar="NAME",
        help="name of a checkpoint in ComfyUI, or a file (default: %(default)s)",
    )
    add("--method", choices=METHODS, default="diffedit", help="default: %(default)s")
    add(
        "--mask",
        type=Path,
        metavar="IMAGE",
        help="region to change: white in a greyscale image, or transparent in an image with transparency; replaces "
        "the mask of diffedit; limits the edit of edict and directedit",
    )
    add("--seed", type=bounded(int, 0, 2**64 - 1), help="random seed (default: 0; the sample image has its own)")
    add(
        "--strength",
        type=bounded(float, 0.0, 1.0),
        help="fraction of the schedule: encoding ratio, or denoise of sdedit; higher values allow larger edits",
    )
    add(
        "--threshold",
        type=bounded(float, 0.0, 1.0),
        help="threshold of the mask, 0 to 1; lower values select more (diffedit only)",
    )
    add("--steps", type=bounded(int, 1, 10000), help="sampling steps")
    add("--cfg", type=bounded(float, 0.0, 100.0), help="guidance scale of the target text")
    add(
        "--size",
        type=bounded(int, 104, 4096),
        help="working size: side length, in pixels, of a square with the area of the edited image (default: that of "
        "the checkpoint: 256 for the demo model, 1024 for SDXL, SD3 and Flux, else 512)",
    )
    add(
        "--whole",
        action="store_true",
        help="edit the whole image, scaled to the working size; without it, only the surroundings of the mask are "
        "edited in a larger image with a mask, and the result keeps the size, bit depth and colour profile",
    )
    add_output(edit)
    add_running(edit)


def add_workflow(commands) -> None:
    workflow = commands.add_parser(
        "workflow",
        help="run any ComfyUI workflow",
        description="Run a workflow, saved by the editor or exported for the API, and save its output files. Images "
        "that it loads are searched by the given path and next to the workflow file.",
    )
    workflow.add_argument("file", type=Path, metavar="FILE", help="workflow, a JSON file")
    workflow.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.INPUT=VALUE",
        help="set an input; NODE is an id or a title, VALUE is JSON, else text; may be repeated",
    )
    add_output(workflow)
    add_running(workflow)


def add_ui(commands) -> None:
    ui = commands.add_parser(
        "ui",
        help="open ComfyUI's editor with the pack",
        description="Open ComfyUI's editor with the pack. Stop it with Ctrl-C.",
    )
    ui.add_argument("--port", type=bounded(int, 1, 65535), help="default: 8188, or a free port if 8188 is in use")
    ui.add_argument("--no-browser", action="store_true", help="only print the address")
    add_running(ui)


def add_scripts(commands) -> None:
    """The commands whose arguments go to a script; `split_rest` removes those before this parser
    runs.
    """
    test = commands.add_parser(
        "test",
        help="run the tests",
        usage="python run.py test [--comfyui TREE] [pytest arguments]",
        description="Run all tests with pytest, in one process more than cores. All further arguments go to pytest.",
    )
    test.add_argument(
        "--comfyui", metavar="TREE", help="test against another ComfyUI tree, with the private environment's packages"
    )
    commands.add_parser(
        "train",
        help="train the demo model",
        usage="python run.py train [arguments of demo/train.py]",
        description="Run demo/train.py in the environment. `python run.py train -- --help` shows its own options.",
    )
    commands.add_parser(
        "bench",
        help="run benchmarks",
        usage="python run.py bench [--list | [--quick] [--only NAME ...] [--out FOLDER] | NAME [arguments]]",
        description="Run all benchmarks, or NAME.py of benchmarks/, tools/ or demo/, in the environment. Without a "
        "name, the pages are written to docs/evidence/runs (--out), a stopped run resumes, and --quick runs short "
        "forms. --list lists the names.",
    )
