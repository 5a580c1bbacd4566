"""Runs of the test scripts in the real editor, by frontend and renderer."""

import os

import pytest

VISITS = {"shipped-classic": False, "shipped-nodes2": True, "newest-classic": False, "newest-nodes2": True}
"""Frontend (that ComfyUI ships, and the newest) and renderer; True for Nodes 2.0."""
ALL_VISITS = bool(os.environ.get("SEMANTIC_EDIT_TEST_ALL_VISITS"))


def visited(script: str, *visits: str, **job):
    """A fixture: the result of ``script`` in tests/editor for each of these ``visits``, or for all
    of them with SEMANTIC_EDIT_TEST_ALL_VISITS=1. The script gets ``job`` as well.

    Two visits are enough for both frontends and both renderers.
    """

    @pytest.fixture(scope="module", params=VISITS if ALL_VISITS else visits)
    def seen(request, drive) -> dict:
        name = request.param
        server = request.getfixturevalue("server" if name.startswith("shipped") else "newest_server")
        return drive(script, server, label=name, isVue=VISITS[name], **job)

    return seen
