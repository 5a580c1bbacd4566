"""Align to Source, Edit Crop, Edit Stitch, and a mask given to DiffEdit Mask in the real editor, in both
renderers, on the frontend that ComfyUI ships and on the newest.
"""

import pytest
from editor_visits import visited

PICTURES = {"Mask": 1, "Align": 2, "Crop": 1, "Stitch": 2}
"""Number of pictures in a view after a run, by the node's title."""
REPORTS = {"Mask": "mask covers ", "Align": "shift ", "Crop": "crops: 1, ", "Stitch": "crops inserted: 1, "}


seen = visited("places.mjs", "shipped-nodes2", "newest-classic")


def test_the_pack_causes_no_error(seen, faults_of):
    assert faults_of(seen) == []


@pytest.mark.parametrize("title", PICTURES)
def test_after_a_run_the_node_shows_its_result(seen, title):
    result = seen["seen"][title]
    assert result["isOwn"]
    assert result["pictures"] == PICTURES[title]
    assert result["text"].startswith(REPORTS[title])
    assert result["warning"] is None
    assert result["box"][0] > 300
    assert result["box"][1] > 200


def test_the_mask_follows_the_way_to_combine_and_the_next_run_makes_the_same(seen):
    shares = {}
    for mode, result in seen["modes"].items():
        assert result["before"] == result["after"]["shown"], mode
        assert result["after"]["made"] == pytest.approx(result["after"]["shown"], abs=0.002), mode
        assert result["text"] == f"mask covers {100 * result['before']:.1f} %.", mode
        shares[mode] = result["before"]
    assert 0 < shares["intersection"] < shares["only"] < shares["union"] < 1


def test_undo_and_redo_keep_the_views(seen):
    assert seen["undone"]["grow"] == 4
    assert seen["redone"]["grow"] == 9
    for title, pictures in PICTURES.items():
        result = seen["undone"][title]
        assert result["isOwn"], title
        assert result["pictures"] == pictures, title
        assert result["text"].startswith(REPORTS[title]), title
    assert seen["redone"]["Align"]["isOwn"]
    assert seen["redone"]["Align"]["pictures"] == PICTURES["Align"]


def test_a_refusal_is_shown_on_the_node_until_the_next_run(seen):
    assert seen["failed"]["message"].startswith("AlignToSource: ")
    assert seen["failed"]["isMarked"]
    assert seen["failed"]["told"].endswith(seen["failed"]["message"].strip())
    assert seen["failed"]["lightness"] > 0.6, "dark letters on a dark node"
    assert seen["failed"]["pictures"] == 0, "a result of an earlier run is shown as the current one"
    assert seen["mended"]["message"] == ""
    assert not seen["mended"]["isMarked"]
    assert seen["mended"]["told"] == ""
    assert seen["mended"]["seen"]["pictures"] == PICTURES["Align"]
