"""The sampler's widgets that do not count while an input is connected are shown disabled, in both
renderers.
"""

import pytest
from editor_visits import visited

seen = visited("overridden.mjs")


@pytest.fixture(scope="module")
def replaced(room) -> dict[str, set[str]]:
    """What each input replaces, as the node's report has it."""
    return {name: set(widgets) for name, widgets in room("edits.blend_levels").REPLACED_BY.items()}


def test_the_pack_causes_no_error(seen, faults_of):
    assert faults_of(seen) == []


def off(moment: dict) -> set[str]:
    """What is greyed; the seed's control goes with the seed."""
    return set(moment["off"]) - {"control_after_generate", "fixed"}


def test_what_an_inversion_replaces_is_disabled_at_once_and_after_loading(seen, replaced):
    assert off(seen["free"]) == off(seen["freed"]) == set()
    for moment in ("inversion", "loaded"):
        visible = set(seen[moment]["visible"])
        assert off(seen[moment]) == replaced["inversion"] & visible, moment
        assert {"steps", "scheduler", "denoise", "seed"} <= visible


def test_what_sigmas_replace_is_disabled_also_in_a_subgraph(seen, replaced):
    assert off(seen["sigmas"]) == replaced["sigmas"]
    assert off(seen["subgraph"]) - {"seed"} == replaced["sigmas"]  # the editor gives the box the seed


def test_the_values_stay(seen):
    assert seen["values"][0] == seen["values"][1]
    assert len(seen["values"][0]) > 8
