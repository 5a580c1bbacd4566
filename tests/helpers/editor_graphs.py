"""Workflows in the editor's format for the tests of its conversion, with node definitions."""

COMBO = [["euler", "ddim"]]
DEFINITIONS = {
    "Load": {
        "input": {
            "required": {"name": [["a.png"], {"image_upload": True}]},
            "optional": {"crop": ["BOOLEAN", {"default": True}]},
        },
        "display_name": "Load Image",
    },
    "Sample": {
        "input": {
            "required": {
                "model": ["MODEL"],
                "seed": ["INT", {"control_after_generate": True}],
                "steps": ["INT", {"default": 20}],
                "name": COMBO,
                "image": ["IMAGE"],
                "text": ["STRING", {"forceInput": True}],
            }
        },
        "input_order": {"required": ["model", "seed", "steps", "name", "image", "text"]},
    },
    "Save": {"input": {"required": {"images": ["IMAGE"], "prefix": ["STRING", {"default": "x"}]}}, "output_node": True},
    "Scale": {"input": {"required": {"image": ["IMAGE"], "by": ["FLOAT", {}]}}},
    "Dynamic": {
        "input": {
            "required": {
                "mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {"key": "plain", "inputs": {}},
                            {"key": "fine", "inputs": {"required": {"grain": ["INT", {}], "extra": ["IMAGE"]}}},
                        ]
                    },
                ],
                "last": ["INT", {}],
            }
        }
    },
    "Pick": {
        "input": {
            "required": {"what": ["COMBO", {"options": ["a", "b"], "control_after_generate": True}], "n": ["INT", {}]}
        }
    },
}


def node(number, kind, values=(), inputs=(), outputs=("IMAGE",), **more):
    """A saved node; `inputs` are (name, type, link) or (name, type, link, widget)."""
    entries = [
        {"name": name, "type": type_, "link": link} | ({"widget": {"name": name}} if widget else {})
        for name, type_, link, *widget in inputs
    ]
    return {
        "id": number,
        "type": kind,
        "mode": 0,
        "widgets_values": values if isinstance(values, dict) else list(values),
        "inputs": entries,
        "outputs": [{"type": kind} for kind in outputs],
    } | more


def workflow(nodes, *links):
    """`links` are (origin, slot, target, slot); their ids count from 1."""
    return {"version": 0.4, "nodes": nodes, "links": [[index, *link, "*"] for index, link in enumerate(links, 1)]}
