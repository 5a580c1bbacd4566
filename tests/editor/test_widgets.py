"""Views of the nodes in the real editor after a run on the demo checkpoint: in both renderers, on
the frontend that ComfyUI ships and on the newest.
"""

import pytest
from editor_visits import visited

COMPARED = ("Blend", "EDICT edit", "Exact edit", "Flow", "Decoder", "Restore", "Stitch", "Align")
INVERTED = ("Invert", "EDICT", "Exact", "Friendly")


seen = visited("widgets.mjs", "shipped-nodes2", "newest-classic")
"""One visit: a run, the sliders, another run, a subgraph, and the reloaded page."""


@pytest.fixture
def shown_again(pack_module):
    """The reason why a node whose result is cached shows nothing, or ""."""
    return (
        ""
        if pack_module("host.versions").SHOWS_ITS_RESULT
        else "results from the cache are shown again since ComfyUI 0.19.0"
    )


@pytest.fixture
def all_ran(request, shown_again):
    """A visit in Nodes 2.0, before which the server may have cached most results (it is the second one
    with SEMANTIC_EDIT_TEST_ALL_VISITS).
    """
    if shown_again and request.node.callspec.params["seen"].endswith("nodes2"):
        pytest.skip(shown_again)


@pytest.fixture
def all_shown(shown_again):
    if shown_again:
        pytest.skip(shown_again)


def test_the_pack_causes_no_error(seen, faults_of):
    assert faults_of(seen) == []


def test_every_node_shows_its_result(all_ran, seen):
    for title in COMPARED:
        assert seen["seen"][title]["pictures"] == 2, title
        assert seen["seen"][title]["text"], title
    for title in INVERTED:
        result = seen["seen"][title]
        assert result["pictures"] == len(result["captions"]) == 4, title
        assert result["captions"][0] == "\u03c3 0", title
        assert "noise std" in result["text"], title
    assert "drift" in seen["seen"]["EDICT"]["text"]
    assert "round-trip error 0.0e+00" in seen["seen"]["EDICT"]["text"]
    assert seen["seen"]["Crop"]["pictures"] == len(seen["seen"]["Crop"]["captions"]) == 1
    assert seen["seen"]["Mask"]["pictures"] == 1
    assert seen["seen"]["Mask"]["text"].startswith("mask covers ")
    assert [caption.split(":")[0] for caption in seen["seen"]["Shrink"]["captions"]] == [
        "7 \u00d7 7",
        "5 \u00d7 5",
        "3 \u00d7 3",
        "mask",
    ]
    assert seen["seen"]["Shrink"]["pictures"] == 4
    assert seen["seen"]["Numbers"]["text"]
    assert 3 <= seen["seen"]["Decoder"]["points"] <= 40
    assert "background" in seen["seen"]["Decoder"]["text"]
    for title, result in seen["seen"].items():
        assert result["broken"] == 0, title
        assert result["box"][0] > 20, title
        assert result["box"][1] > 4, title


def test_no_picture_stands_twice(all_ran, seen):
    """One live preview while a sampler runs and one result after it, both in the view only."""
    assert seen["first"]["live"], "no live preview at all"
    for run in (seen["first"], seen["second"]):
        assert all(live["most"] == 1 for live in run["live"].values()), run["live"]
        assert any(live["isOurs"] for live in run["live"].values()), run["live"]
        assert all(pictures == 1 for _, pictures in run["stacked"]), run["stacked"]


def test_the_mask_follows_the_slider_and_the_next_run_makes_the_same(seen):
    first, second = seen["masks"]
    assert first["differ"] == second["differ"] == 0
    assert first["pixels"] == 128 * 128
    assert seen["slid"]["widget"] == seen["sent"] == float(seen["slid"]["label"]) != 0.5
    assert second["covered"] > first["covered"], "a lower threshold selects more"
    assert seen["slid"]["text"] == f"mask covers {100 * second['covered']:.1f} %."


def test_a_click_on_a_ranked_picture_picks_it(seen):
    assert seen["pick"]["widget"] == 1
    assert seen["pick"]["pressed"] == [False, True]
    assert seen["pick"]["scores"][0] >= seen["pick"]["scores"][1] > -1


def test_the_line_between_before_and_after_follows_the_pointer(seen):
    assert seen["share"] in range(20, 45)  # 40 pixels left of the middle


def test_nothing_shown_is_sent_or_saved(seen):
    # With the frontend of 0.18.2 ComfyUI's own PreviewAny does send its text.
    before, after = (
        {key: node for key, node in seen[time].items() if node["class_type"] != "PreviewAny"}
        for time in ("before", "after")
    )
    assert before == after
    assert len(before) > 10
    for title, result in seen["seen"].items():
        assert result["saved"] == result["widgets"] - 1, title


def test_the_same_in_a_subgraph(all_shown, seen):
    assert seen["inside"]["Mask"]["pictures"] == 1
    assert seen["inside"]["Blend"]["pictures"] == 2
    assert seen["inside"]["Mask"]["text"] == seen["slid"]["text"]


def test_a_page_loaded_anew_shows_the_last_run(all_shown, seen):
    assert {**seen["reloaded"], **seen["reloadedInside"]}.keys() == seen["seen"].keys()
    for title, result in {**seen["reloaded"], **seen["reloadedInside"]}.items():
        assert result["pictures"] == seen["seen"][title]["pictures"], title
        assert result["broken"] == 0, title
    assert seen["reloadedInside"]["Mask"]["text"] == seen["slid"]["text"]
