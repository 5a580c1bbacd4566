"""Runs of the test scripts in the real editor, by frontend and renderer."""

import pytest

VISITS = {"shipped-classic": False, "shipped-nodes2": True, "newest-classic": False, "newest-nodes2": True}
"""Frontend (that ComfyUI ships, and the newest) and renderer; True for Nodes 2.0."""


def visited(script: str):
    """A fixture: the result of ``script`` in tests/editor for each frontend and renderer."""

    @pytest.fixture(scope="module", params=VISITS)
    def seen(request, drive) -> dict:
        name = request.param
        server = request.getfixturevalue("server" if name.startswith("shipped") else "newest_server")
        return drive(script, server, label=name, isVue=VISITS[name])

    return seen
