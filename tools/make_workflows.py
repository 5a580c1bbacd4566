"""Write the example workflows of tools/templates: the editor's form (workflows/<title>.json) and
the server's (workflows/api/<key>.json).

    COMFYUI_PATH=... python -m tools.make_workflows [KEY ...]
"""

import argparse
import importlib
import json
import pathlib

from .templates import WORKFLOWS
from .templates.forms import api_form, editor_form

PACK = pathlib.Path(__file__).resolve().parents[1]

FOLDER = PACK / "workflows"


def written(form: dict) -> str:
    return json.dumps(form, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keys", nargs="*", help="workflows to write (default: all; files of former titles are removed)")
    settings = parser.parse_args()
    from lab import common

    common.load_pack()  # makes ComfyUI's modules importable
    from graph_runner import load_extras

    load_extras()
    classes = importlib.import_module("nodes").NODE_CLASS_MAPPINGS
    if not settings.keys:
        for file in FOLDER.glob("*.json"):
            if file.stem not in {workflow.title for workflow in WORKFLOWS}:
                file.unlink()
    for workflow in WORKFLOWS:
        if not settings.keys or workflow.key in settings.keys:
            forms = {f"{workflow.title}.json": editor_form, f"api/{workflow.key}.json": api_form}
            for name, make in forms.items():
                (FOLDER / name).write_text(written(make(workflow, classes)), encoding="utf-8")
            print(workflow.key, "->", workflow.title)


if __name__ == "__main__":
    main()
