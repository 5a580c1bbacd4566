"""The files of the example workflows: both forms agree, the nodes have the titles by which they are
found, and the editor shows them large enough, without overlaps.
"""

import comfyui_version
import older_comfyui
import pytest
from editor_format import VIRTUAL, to_api
from workflow_graphs import PACK, WORKFLOWS, read
from workflow_graphs import TITLES as FILES

import nodes as comfyui_nodes
from lab import common
from tools import templates
from tools.templates import forms

WRITTEN_WITH = (0, 30)
"""The files have inputs that ComfyUI's own nodes have since this release."""
IS_OLDER = tuple(map(int, comfyui_version.__version__.split(".")[:2])) < WRITTEN_WITH
NAMES = sorted(file.stem for file in (WORKFLOWS / "api").glob("*.json"))
TITLE_HEIGHT = 30
# The titles by which run.py, the benchmarks and users' scripts find nodes.
LOADED = {
    "Model": "CheckpointLoaderSimple",
    "Image": "LoadImage",
    "Size": "ImageScaleToTotalPixels",
    "Target text": "CLIPTextEncode",
    "Empty text": "CLIPTextEncode",
    "Encode": "VAEEncode",
    "Decode": "VAEDecode",
    "Edited picture": "SaveImage",
}
TITLES = {
    "diffedit": {
        **LOADED,
        "Source text": "CLIPTextEncode",
        "Mask": "DiffEditMask",
        "Invert": "DDIMInvert",
        "Edit": "LatentBlendSampler",
        "Keep": "BackgroundRestore",
        "Mask picture": "MaskToImage",
        "Save mask": "SaveImage",
        "Heat map picture": "MaskToImage",
        "Save heat map": "SaveImage",
    },
    "sdedit": {**LOADED, "Edit": "KSampler"},
    "encode_decode": {**LOADED, "Invert": "DDIMInvert", "Sampler": "KSamplerSelect", "Edit": "SamplerCustom"},
    "edict_edit": {
        **LOADED,
        "Guidance": "CFGOverride",
        "Source text": "CLIPTextEncode",
        "Invert": "EDICTInvert",
        "Edit": "EDICTSampler",
    },
    "direct_edit": {**LOADED, "Source text": "CLIPTextEncode", "Invert": "ExactInvert", "Edit": "ExactSampler"},
    "edict_reconstruction": {
        **{title: kind for title, kind in LOADED.items() if title != "Target text"},
        "Source text": "CLIPTextEncode",
        "Invert": "EDICTInvert",
        "Edit": "EDICTSampler",
        "Decode the source": "VAEDecode",
        "Picture through the VAE": "SaveImage",
    },
}
METHODS = sorted(TITLES)


def test_every_workflow_has_both_forms():
    assert NAMES, "no workflows at all"
    assert sorted(FILES) == NAMES
    assert sorted(file.stem for file in WORKFLOWS.glob("*.json")) == sorted(FILES.values())
    for name in NAMES:
        assert read(name)["version"] == 0.4, (
            f"{name}: not in the editor's format, and ComfyUI offers files of the top level as templates"
        )


def test_the_templates_that_older_comfyuis_cannot_run_are_known():
    kinds = {name: {node["class_type"] for node in read(name, "api").values()} for name in NAMES}
    assert sorted(name for name in NAMES if "CFGOverride" in kinds[name]) == sorted(older_comfyui.GUIDED_BRIEFLY)


@pytest.mark.parametrize("name", older_comfyui.runnable(NAMES))
def test_both_forms_are_the_same_graph(name):
    if IS_OLDER and name == "instruct_qwen":
        pytest.skip("this ComfyUI's CFGNorm has no pre_cfg")
    assert to_api(read(name), comfyui_nodes.NODE_CLASS_MAPPINGS) == read(name, "api")


@pytest.mark.skipif(IS_OLDER, reason="the files hold inputs that ComfyUI's own nodes do not have before 0.30")
@pytest.mark.parametrize("workflow", templates.WORKFLOWS, ids=lambda workflow: workflow.key)
def test_both_forms_are_what_the_table_says(workflow):
    """``python -m tools.make_workflows`` writes them, and is needed after a new input of a node
    too.
    """
    assert forms.editor_form(workflow, comfyui_nodes.NODE_CLASS_MAPPINGS) == read(workflow.key)
    assert forms.api_form(workflow, comfyui_nodes.NODE_CLASS_MAPPINGS) == read(workflow.key, "api")


@pytest.mark.parametrize("name", METHODS)
def test_titles_are_the_ones_that_nodes_are_found_by(name):
    graph = read(name, "api")
    assert {node["_meta"]["title"]: node["class_type"] for node in graph.values()} == TITLES[name]
    assert len(graph) == len(TITLES[name]), "two nodes share a title"


@pytest.mark.parametrize("name", NAMES)
def test_links_agree_with_their_ends(name):
    workflow = read(name)
    by_id = {node["id"]: node for node in workflow["nodes"]}
    for link, origin, out, target, into, kind in workflow["links"]:
        assert link in by_id[origin]["outputs"][out]["links"]
        assert by_id[target]["inputs"][into]["link"] == link
        assert by_id[origin]["outputs"][out]["type"] == kind
    ends = [link for node in workflow["nodes"] for output in node["outputs"] for link in output["links"] or []]
    ends_in = [item["link"] for node in workflow["nodes"] for item in node["inputs"] if item["link"] is not None]
    assert sorted(ends) == sorted(ends_in) == sorted(link[0] for link in workflow["links"])


def height_of(node: dict) -> int:
    """Height below the title bar."""
    return 0 if node["flags"].get("collapsed") else node["size"][1]


def opening_scale(name: str, width: int, height: int, is_vue: bool = False) -> float:
    """The scale at which the editor opens a template in a window: its nodes, with a margin of 10,
    fill three quarters of it. Nodes 2.0 counts folded nodes in full.
    """
    nodes = read(name)["nodes"]
    left, top = min(node["pos"][0] for node in nodes) - 10, min(node["pos"][1] for node in nodes) - TITLE_HEIGHT - 10
    right = max(node["pos"][0] + node["size"][0] for node in nodes) + 10
    bottom = max(node["pos"][1] + (node["size"][1] if is_vue else height_of(node)) for node in nodes) + 10
    return 0.75 * min(width / (right - left), height / (bottom - top))


@pytest.mark.parametrize("name", NAMES)
def test_a_template_opens_large_enough_to_be_read(name):
    """60 % on a laptop of 1440 x 900; at 1366 x 768 the classic canvas still draws text, which it
    does not below 8/14.
    """
    assert min(opening_scale(name, 1440, 900, is_vue) for is_vue in (False, True)) >= 0.6
    assert opening_scale(name, 1366, 768) > 8 / 14


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_an_app_as_well(name):
    """The editor's app mode shows the chosen widgets and results: first the picture, then the
    texts.
    """
    workflow = read(name)
    by_id, app = {node["id"]: node for node in workflow["nodes"]}, workflow["extra"]["linearData"]
    chosen = [(by_id[number], widget) for number, widget in app["inputs"]]
    assert all(
        widget in [item["name"] for item in node["inputs"] if "widget" in item and item["link"] is None]
        for node, widget in chosen
    )
    assert chosen[0][0]["type"] == "LoadImage"
    assert name == "align" or any(widget in ("text", "prompt") for _, widget in chosen[1:])
    assert 4 <= len(chosen) <= 7
    assert [by_id[number]["type"] for number in app["outputs"]][0] == "SaveImage"
    assert by_id[app["outputs"][0]]["title"] == "Edited picture"


@pytest.mark.parametrize("name", NAMES)
def test_layout_can_be_read(name):
    workflow = read(name)
    boxes = {
        node["title"]: (*node["pos"], node["pos"][0] + node["size"][0], node["pos"][1] + height_of(node))
        for node in workflow["nodes"]
    }
    boxes = {title: (left, top - TITLE_HEIGHT, right, bottom) for title, (left, top, right, bottom) in boxes.items()}
    names = sorted(boxes)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            a, b = boxes[one], boxes[other]
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], f"{one} and {other} overlap"
    groups = [
        (x, y, x + width, y + height) for x, y, width, height in (group["bounding"] for group in workflow["groups"])
    ]
    notes = {node["title"] for node in workflow["nodes"] if node["type"] in VIRTUAL}
    assert notes, "no note explains the workflow"
    for title in boxes.keys() - notes:
        left, top, right, bottom = boxes[title]
        assert any(g[0] <= left and g[1] <= top and right <= g[2] and bottom <= g[3] for g in groups), (
            f"{title} is in no group"
        )


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"instruct_kontext", "instruct_qwen", "instruct_klein"}))
def test_everything_that_it_names_comes_with_the_pack(name):
    """Except for the templates of large models, which name the sources of their files
    (test_instruction_workflows.py). Align to Source needs no model.
    """
    graph = read(name, "api").values()
    samples = {f"semantic-edit-{file.name}" for file in (PACK / "demo" / "samples").glob("*.png")}
    assert {node["inputs"]["ckpt_name"] for node in graph if node["class_type"] == "CheckpointLoaderSimple"} == (
        set() if name == "align" else {common.CHECKPOINT.name}
    )
    assert {node["inputs"]["image"] for node in graph if node["class_type"] == "LoadImage"} <= samples
    assert {node["inputs"]["folder"] for node in graph if node["class_type"] == "CLIPRankModelLoader"} <= {
        "semantic-edit-demo"
    }
