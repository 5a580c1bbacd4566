"""Conversion of workflows from the editor's format to the server's."""

import pytest
from editor_graphs import DEFINITIONS, node, workflow

from cli.console import Problem
from cli.editor_format import EditorGraph


def convert(nodes, *links):
    return EditorGraph(workflow(nodes, *links)).to_api(DEFINITIONS)


def test_widgets_by_name_with_seed_control_and_links():
    graph = convert(
        [
            node(1, "Load", ["p.png", "image", False]),
            node(
                2,
                "Sample",
                [7, "randomize", 30, "ddim"],
                [("model", "MODEL", None), ("image", "IMAGE", 1)],
                title="My sampler",
            ),
        ],
        (1, 0, 2, 1),
    )
    assert graph == {
        "1": {"class_type": "Load", "inputs": {"name": "p.png", "crop": False}, "_meta": {"title": "Load Image"}},
        "2": {
            "class_type": "Sample",
            "inputs": {"seed": 7, "steps": 30, "name": "ddim", "image": ["1", 0]},
            "_meta": {"title": "My sampler"},
        },
    }


def test_upload_button_is_recognised_where_it_is_not_saved():
    assert convert([node(1, "Load", ["p.png", False])])["1"]["inputs"] == {"name": "p.png", "crop": False}


def test_missing_values_get_their_defaults_and_dicts_go_by_name():
    assert convert([node(1, "Sample", [7])])["1"]["inputs"] == {"seed": 7, "steps": 20, "name": "euler"}
    assert convert([node(1, "Save", {"prefix": "y", "videopreview": {}})])["1"]["inputs"] == {"prefix": "y"}


def test_a_widget_that_was_made_an_input_takes_its_link():
    graph = convert(
        [node(1, "Pick", ["b", 3]), node(2, "Sample", [7, "fixed", 30, "ddim"], [("steps", "INT", 1, "w")])],
        (1, 0, 2, 0),
    )
    assert graph["2"]["inputs"] == {"seed": 7, "steps": ["1", 0], "name": "ddim"}


def test_primitive_and_reroute():
    nodes = [
        node(1, "PrimitiveNode", [12, "fixed"], outputs=("INT",)),
        node(2, "Reroute", inputs=[("", "*", 1)]),
        node(3, "Sample", [7, "fixed", 30, "ddim"], [("steps", "INT", 2, "w"), ("image", "IMAGE", 3)]),
        node(4, "Reroute", inputs=[("", "*", 4)]),
        node(5, "Load", ["p.png", "image"]),
    ]
    graph = convert(nodes, (1, 0, 2, 0), (2, 0, 3, 0), (4, 0, 3, 1), (5, 0, 4, 0))
    assert set(graph) == {"3", "5"}
    assert graph["3"]["inputs"]["steps"] == 12
    assert graph["3"]["inputs"]["image"] == ["5", 0]


def test_notes_are_left_out_and_muted_nodes_give_nothing():
    nodes = [
        node(1, "Load", ["p.png", "image"], mode=2),
        node(2, "Save", ["x"], [("images", "IMAGE", 1)]),
        node(3, "Note", ["words"]),
        node(4, "MarkdownNote", ["words"]),
    ]
    assert convert(nodes, (1, 0, 2, 0)) == {
        "2": {"class_type": "Save", "inputs": {"prefix": "x"}, "_meta": {"title": "Save"}}
    }


def test_bypassed_nodes_hand_on_what_has_the_outputs_type():
    nodes = [
        node(1, "Load", ["p.png", "image"]),
        node(2, "Scale", [2.0], [("by", "FLOAT", None, "w"), ("image", "IMAGE", 1)], mode=4),
        node(3, "Scale", [2.0], [("image", "IMAGE", 2)], mode=4),
        node(4, "Save", ["x"], [("images", "IMAGE", 3)]),
    ]
    graph = convert(nodes, (1, 0, 2, 1), (2, 0, 3, 0), (3, 0, 4, 0))
    assert set(graph) == {"1", "4"}
    assert graph["4"]["inputs"]["images"] == ["1", 0]


def test_dynamic_combo_shows_the_inputs_of_its_choice():
    assert convert([node(1, "Dynamic", ["fine", 3, 9])])["1"]["inputs"] == {"mode": "fine", "mode.grain": 3, "last": 9}
    assert convert([node(1, "Dynamic", ["plain", 9])])["1"]["inputs"] == {"mode": "plain", "last": 9}


def test_control_of_a_list_of_choices_has_a_filter_box():
    assert convert([node(1, "Pick", ["b", "fixed", "", 3])])["1"]["inputs"] == {"what": "b", "n": 3}


def test_links_as_objects():
    saved = workflow([node(1, "Load", ["p.png", "image"]), node(2, "Save", ["x"], [("images", "IMAGE", 8)])])
    saved["links"] = [{"id": 8, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0, "type": "IMAGE"}]
    assert EditorGraph(saved).to_api(DEFINITIONS)["2"]["inputs"]["images"] == ["1", 0]


def test_unknown_nodes_are_told_by_name():
    saved = workflow([node(1, "0f0f-uuid", title="My part"), node(2, "workflow>Old group")])
    with pytest.raises(
        Problem, match=r"type of 'My part' \(0f0f-uuid, id 1\), workflow>Old group \(id 2\), an old group node"
    ):
        EditorGraph(saved).to_api(DEFINITIONS)


def test_a_circle_of_reroutes_ends():
    nodes = [
        node(1, "Reroute", inputs=[("", "*", 2)]),
        node(2, "Reroute", inputs=[("", "*", 1)]),
        node(3, "Save", ["x"], [("images", "IMAGE", 3)]),
    ]
    with pytest.raises(Problem, match="form a cycle"):
        convert(nodes, (1, 0, 2, 0), (2, 0, 1, 0), (2, 0, 3, 0))


# -- subgraphs -----------------------------------------------------------------------------------
