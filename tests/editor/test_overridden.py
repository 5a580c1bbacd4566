"""Sampler widgets that a connected input replaces are disabled, in both renderers."""

import pytest
from editor_visits import visited

seen = visited("overridden.mjs", "shipped-classic", "newest-nodes2")


@pytest.fixture(scope="module")
def replaced(pack_module) -> dict[str, set[str]]:
    """The widgets that each input replaces, according to the node's report."""
    return {name: set(widgets) for name, widgets in pack_module("edits.blend_levels").REPLACED_BY.items()}


def test_the_pack_causes_no_error(seen, faults_of):
    assert faults_of(seen) == []


def off(moment: dict) -> set[str]:
    """The disabled widgets; the seed's control follows the seed."""
    return set(moment["off"]) - {"control_after_generate", "fixed"}


def test_what_an_inversion_replaces_is_disabled_at_once_and_after_loading(seen, replaced):
    assert off(seen["free"]) == off(seen["freed"]) == set()
    for moment in ("inversion", "loaded"):
        visible = set(seen[moment]["visible"])
        assert off(seen[moment]) == replaced["inversion"] & visible, moment
        assert {"steps", "scheduler", "denoise", "seed"} <= visible


def test_what_sigmas_replace_is_disabled_also_in_a_subgraph(seen, replaced):
    assert off(seen["sigmas"]) == replaced["sigmas"]
    assert off(seen["subgraph"]) - {"seed"} == replaced["sigmas"]  # the editor puts the seed on the box


def test_the_values_stay(seen):
    assert seen["values"][0] == seen["values"][1]
    assert len(seen["values"][0]) > 8
