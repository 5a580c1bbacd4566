"""Visits to the real editor by frontend and renderer."""

import pytest

VISITS = {"shipped-classic": False, "shipped-nodes2": True, "newest-classic": False, "newest-nodes2": True}
"""Frontend (that ComfyUI ships, and the newest) and renderer; True for Nodes 2.0."""


def visited(script: str):
    """A fixture: what ``script`` of tests/editor sees in each of the visits."""

    @pytest.fixture(scope="module", params=VISITS)
    def seen(request, drive) -> dict:
        name = request.param
        server = request.getfixturevalue("server" if name.startswith("shipped") else "newest_server")
        return drive(script, server, label=name, isVue=VISITS[name])

    return seen
