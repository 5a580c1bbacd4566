"""Use of the nodes' views in the real editor, in both renderers.

Undo and redo, a linked threshold, the overlay's modes, right clicks, large pictures, warnings.
"""

from editor_visits import visited

EVERY = ["View large", "Open image", "Copy image", "Save image"]


seen = visited("views.mjs", "shipped-classic", "newest-nodes2")


def test_the_pack_causes_no_error(seen, faults_of):
    assert faults_of(seen) == []


def test_after_undo_and_redo_the_view_is_the_nodes_own(seen):
    """The frontend recreates the nodes; Nodes 2.0 went on showing the elements of the old ones,
    which were no longer updated.
    """
    undo = seen["undo"]
    assert undo["moved"]["pos"] != undo["before"]["pos"], "the node was not moved"
    for time in ("undone", "again"):
        assert undo[time]["pos"] == undo["before"]["pos"], time
    assert undo["redone"]["pos"] == undo["moved"]["pos"], "there was nothing left to redo"
    for time in ("undone", "redone", "again"):
        assert undo[time]["isOwn"], time
        assert undo[time]["pictures"] == 1, time
        assert float(undo[time]["label"]) == undo[time]["threshold"] == undo["before"]["threshold"], time
    assert float(undo["slid"]["label"]) == undo["slid"]["threshold"] != undo["before"]["threshold"]
    assert undo["slid"]["text"] != undo["before"]["text"], "the mask did not follow the slider"
    assert undo["rerun"]["isOwn"]
    assert undo["rerun"]["text"] == undo["slid"]["text"]
    for title, result in undo["others"].items():
        assert result["isOwn"], title
        assert result["pictures"] == seen["seen"][title]["pictures"], title


def test_undo_does_not_change_a_nodes_size(seen):
    assert seen["undo"]["undone"]["size"] == seen["undo"]["before"]["size"]


def test_a_dropped_node_keeps_its_seed(seen):
    assert seen["controls"] == {"Mask": "fixed", "Same": "fixed", "Blend": "fixed", "Blend along": "fixed"}


def test_a_line_to_the_threshold_disables_the_slider_at_once(seen):
    assert seen["linked"]["isDisabled"]
    assert not seen["freed"]["isDisabled"]


def test_a_warning_is_amber_with_a_sign(seen):
    for title, words in (("Same", "use two texts that differ"), ("Blend along", "a mask is empty")):
        warning = seen["seen"][title]["warning"]
        assert warning["text"].startswith("\u26a0"), title
        assert words in warning["text"], title
        assert warning["colour"] == "rgb(245, 165, 36)", title
        assert words not in seen["seen"][title]["text"], title
    assert all(
        result["warning"] is None for title, result in seen["seen"].items() if title not in ("Same", "Blend along")
    )


def test_the_overlay_shows_picture_heat_or_mask(seen):
    assert seen["modes"] == {
        "picture": {"heat": 0, "legend": False, "isGrey": False, "dark": False, "pressed": 1},
        "heat": {"heat": 1, "legend": True, "isGrey": True, "dark": False, "pressed": 1},
        "mask": {"heat": 0, "legend": False, "isGrey": False, "dark": True, "pressed": 1},
    }


def test_the_line_follows_the_pointer_and_has_a_handle(seen):
    assert seen["share"] in range(15, 45)  # 50 pixels left of the middle
    assert 18 <= seen["handle"]["width"] <= 28


def test_a_right_click_offers_what_can_be_done_with_a_picture(seen):
    assert seen["menus"] == {"after": ["after", *EVERY], "mask": ["mask", *EVERY], "rank": ["0", *EVERY]}
    assert seen["saved"].endswith(".png")
    assert seen["savedMask"] == "semantic-edit-mask.png"
    assert seen["copied"] == ["image/png"]


def test_a_click_on_the_film_strip_enlarges(seen):
    first, second, closed = seen["large"]
    assert first["width"] == second["width"] == 128
    assert min(first["box"], second["box"]) > 500
    assert "2 of 7" in first["text"]
    assert "3 of 7" in second["text"]
    assert closed is None


def test_the_film_strips_pictures_are_large(seen):
    result = seen["seen"]["Invert"]
    assert result["pictures"] == len(result["captions"]) == 7
    assert result["box"][1] > 2 * (80 + 14), "two rows of pictures of at least 80 pixels"


def test_ranks_and_numbers_are_counted_one_way(seen):
    """Ranks from 0 like the widget pick, numbers of the batch from 0 behind a #, in gallery and
    report.
    """
    result = seen["seen"]["Rank"]
    ranks, numbers = zip(*((caption.split(" \u00b7 ")[0], caption.split("#")[1]) for caption in result["captions"]))
    assert ranks == ("0", "1", "2", "3")
    assert sorted(numbers) == ["0", "1", "2", "3"]
    assert f"(#{numbers[0]})" in result["text"]


def test_socket_colours_tell_the_packs_types_apart(seen):
    assert len({colours[0] for colours in seen["colours"].values()}) == 4
    for kind, (slot, link, css) in seen["colours"].items():
        assert slot == link == css.strip() != "", kind


def test_the_views_widget_has_a_name_for_people(seen):
    assert seen["widget"] == "result"
