"""Subgraphs of the editor's format become the nodes inside them."""

import pytest
from editor_graphs import DEFINITIONS, node, workflow

from cli.console import Problem
from cli.editor_format import EditorGraph
from cli.workflow import Setting


def subgraph(name, nodes, links, inputs=(), outputs=("IMAGE",)):
    """A definition; `links` are (origin, slot, target, slot), -10 its inputs and -20 its
    outputs.
    """
    keys = ("origin_id", "origin_slot", "target_id", "target_slot")
    return {
        "id": name,
        "name": f"The {name}",
        "nodes": nodes,
        "links": [{"id": index, **dict(zip(keys, link, strict=True))} for index, link in enumerate(links, 1)],
        "inputs": [{"name": entry, "type": "IMAGE"} for entry in inputs],
        "outputs": [{"name": entry, "type": entry} for entry in outputs],
    }


def with_subgraphs(nodes, links, *definitions):
    return EditorGraph(workflow(nodes, *links) | {"definitions": {"subgraphs": list(definitions)}})


SCALES = subgraph(
    "scales",
    [node(1, "Scale", [2.0], [("image", "IMAGE", 1), ("by", "FLOAT", 3, "w")], title="Enlarge")],
    [(-10, 0, 1, 0), (1, 0, -20, 0), (-10, 1, 1, 1)],
    inputs=("picture", "factor"),
)
LOAD = node(1, "Load", ["p.png", "image", True])


def box(number, kind, values, *inputs, **more):
    return node(number, kind, values, inputs, **more)


def test_a_subgraph_is_replaced_by_its_nodes_with_the_boxs_values():
    nodes = [
        LOAD,
        box(2, "scales", [5.0], ("picture", "IMAGE", 1), ("factor", "FLOAT", None, "w")),
        node(3, "Save", ["x"], [("images", "IMAGE", 2)]),
    ]
    graph = with_subgraphs(nodes, [(1, 0, 2, 0), (2, 0, 3, 0)], SCALES).to_api(DEFINITIONS)
    assert graph["2:1"] == {
        "class_type": "Scale",
        "inputs": {"by": 5.0, "image": ["1", 0]},
        "_meta": {"title": "Enlarge"},
    }
    assert graph["3"]["inputs"]["images"] == ["2:1", 0]
    assert set(graph) == {"1", "2:1", "3"}


def test_a_box_without_values_keeps_those_inside_and_a_link_wins_over_both():
    nodes = [
        LOAD,
        box(2, "scales", [], ("picture", "IMAGE", 1), ("factor", "FLOAT", None, "w")),
        box(4, "scales", [5.0], ("picture", "IMAGE", 2), ("factor", "FLOAT", 3, "w")),
        node(5, "PrimitiveNode", [7.0], outputs=("FLOAT",)),
        node(3, "Save", ["x"], [("images", "IMAGE", 4)]),
    ]
    graph = with_subgraphs(nodes, [(1, 0, 2, 0), (2, 0, 4, 0), (5, 0, 4, 1), (4, 0, 3, 0)], SCALES).to_api(DEFINITIONS)
    assert (graph["2:1"]["inputs"]["by"], graph["4:1"]["inputs"]["by"]) == (2.0, 7.0)
    assert graph["4:1"]["inputs"]["image"] == ["2:1", 0]


def test_widgets_of_inner_nodes_on_the_box():
    """`proxyWidgets`: [inner node, widget], or ["-1", input]."""
    inside = subgraph("inside", [node(7, "Pick", ["a", 3])], [(7, 0, -20, 0)], outputs=("INT",))
    nodes = [box(2, "inside", ["b", 9], properties={"proxyWidgets": [["7", "what"], ["7", "n"]]})]
    assert with_subgraphs(nodes, [], inside).to_api(DEFINITIONS)["2:7"]["inputs"] == {"what": "b", "n": 9}


def test_subgraphs_in_subgraphs():
    twice = subgraph(
        "twice",
        [
            box(1, "scales", [3.0], ("picture", "IMAGE", 1), ("factor", "FLOAT", None, "w")),
            box(2, "scales", [4.0], ("picture", "IMAGE", 2), ("factor", "FLOAT", None, "w")),
        ],
        [(-10, 0, 1, 0), (1, 0, 2, 0), (2, 0, -20, 0)],
        inputs=("picture",),
    )
    nodes = [LOAD, box(5, "twice", [], ("picture", "IMAGE", 1)), node(3, "Save", ["x"], [("images", "IMAGE", 2)])]
    graph = with_subgraphs(nodes, [(1, 0, 5, 0), (5, 0, 3, 0)], SCALES, twice).to_api(DEFINITIONS)
    assert set(graph) == {"1", "5:1:1", "5:2:1", "3"}
    assert graph["5:1:1"]["inputs"] == {"by": 3.0, "image": ["1", 0]}
    assert graph["5:2:1"]["inputs"] == {"by": 4.0, "image": ["5:1:1", 0]}
    assert graph["3"]["inputs"]["images"] == ["5:2:1", 0]


@pytest.mark.parametrize("mode, source", [(2, None), (4, ["1", 0])])
def test_muted_and_bypassed_boxes(mode, source):
    nodes = [
        LOAD,
        box(2, "scales", [5.0], ("picture", "IMAGE", 1), mode=mode),
        node(3, "Save", ["x"], [("images", "IMAGE", 2)]),
    ]
    graph = with_subgraphs(nodes, [(1, 0, 2, 0), (2, 0, 3, 0)], SCALES).to_api(DEFINITIONS)
    assert set(graph) == {"1", "3"}
    assert graph["3"]["inputs"].get("images") == source


def test_notes_reroutes_muted_and_bypassed_nodes_within_a_subgraph():
    inside = subgraph(
        "inside",
        [
            node(1, "Note", ["words"]),
            node(2, "Reroute", inputs=[("", "*", 1)]),
            node(4, "Save", ["never"], mode=2),
            node(3, "Scale", [2.0], [("image", "IMAGE", 2)], mode=4),
        ],
        [(-10, 0, 2, 0), (2, 0, 3, 0), (3, 0, -20, 0)],
        inputs=("picture",),
    )
    nodes = [LOAD, box(2, "inside", [], ("picture", "IMAGE", 1)), node(3, "Save", ["x"], [("images", "IMAGE", 2)])]
    graph = with_subgraphs(nodes, [(1, 0, 2, 0), (2, 0, 3, 0)], inside).to_api(DEFINITIONS)
    assert set(graph) == {"1", "3"}
    assert graph["3"]["inputs"]["images"] == ["1", 0]


def test_an_unknown_node_within_a_subgraph_is_named():
    inside = subgraph("inside", [node(8, "Exotic", title="Far away")], [(8, 0, -20, 0)])
    with pytest.raises(Problem, match=r"type of 'Far away' \(Exotic, id 2:8\)"):
        with_subgraphs([box(2, "inside", [])], [], inside).to_api(DEFINITIONS)


def test_a_subgraph_in_itself_is_told():
    inside = subgraph("inside", [box(1, "inside", [])], [])
    with pytest.raises(Problem, match="subgraph 'The inside' contains itself"):
        with_subgraphs([box(2, "inside", [])], [], inside)


def test_widget_values_that_do_not_fit_are_told_with_the_nodes_name():
    with pytest.raises(Problem, match=r"widget values of the node 'Enlarge' \(Dynamic, id 1\) do not fit"):
        odd = {"Dynamic": {"input": {"required": {"mode": ["COMFY_DYNAMICCOMBO_V3", {"options": [3]}]}}}}
        EditorGraph(workflow([node(1, "Dynamic", ["key", 3], title="Enlarge")])).to_api(odd)


def test_settings_reach_a_box_by_its_title_and_id():
    nodes = [
        LOAD,
        box(2, "scales", [5.0], ("picture", "IMAGE", 1), ("factor", "FLOAT", None, "w"), title="Make larger"),
    ]
    editor = with_subgraphs(nodes, [(1, 0, 2, 0)], SCALES)
    assert Setting.parse("Make larger.factor=8").apply_to_box(editor)
    assert not Setting.parse("Make larger.other=8").apply_to_box(editor)
    assert editor.to_api(DEFINITIONS)["2:1"]["inputs"]["by"] == 8
    assert Setting.parse("2.factor=9").apply_to_box(editor)
    assert editor.to_api(DEFINITIONS)["2:1"]["inputs"]["by"] == 9
