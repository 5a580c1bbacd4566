"""Released inputs and outputs must not change, because saved workflows depend on them; this
snapshot detects changes.

After an intended addition:

    SEMANTIC_EDIT_WRITE_SNAPSHOT=1 python run.py test tests/host/test_schema_snapshot.py
"""

import json
import os
import pathlib

import comfy.samplers

SNAPSHOT = pathlib.Path(__file__).with_name("schema_snapshot.json")
COMFYUI_LISTS = {
    tuple(comfy.samplers.SAMPLER_NAMES): "ComfyUI's samplers",
    tuple(comfy.samplers.SCHEDULER_NAMES): "ComfyUI's schedulers",
}


def describe(item) -> dict:
    known = {
        key: getattr(item, key, None)
        for key in ("default", "min", "max", "step", "optional", "advanced", "control_after_generate")
    }
    options = getattr(item, "options", None)
    if options is not None:
        known["options"] = (
            "the folders that are there" if item.id == "folder" else COMFYUI_LISTS.get(tuple(options), list(options))
        )
    return {
        "id": item.id,
        "type": item.io_type,
        **{key: value for key, value in known.items() if value not in (None, False)},
    }


def current(pack) -> dict:
    result = {}
    for name, node in pack.items():
        schema = node.GET_SCHEMA()
        result[name] = {
            "display_name": schema.display_name,
            "category": schema.category,
            "inputs": [describe(item) for item in schema.inputs],
            "outputs": [{"id": item.id, "name": item.display_name, "type": item.io_type} for item in schema.outputs],
        }
    return result


def test_schemas_are_as_released(pack):
    result = current(pack)
    if os.environ.get("SEMANTIC_EDIT_WRITE_SNAPSHOT"):
        SNAPSHOT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert result == json.loads(SNAPSHOT.read_text(encoding="utf-8"))
