"""The editor in another language: the pack's names are translated, and the workflow is sent
unchanged.
"""

import json
import pathlib

import pytest

PACK = pathlib.Path(__file__).resolve().parents[2]
LANGUAGE = "fr"


def read(*path: str) -> dict:
    return json.loads(PACK.joinpath(*path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def seen(drive, server) -> dict:
    return drive(
        "language.mjs",
        server,
        locale=LANGUAGE,
        workflow=read("workflows", "Change a picture by two sentences (DiffEdit).json"),
    )


def test_names_are_translated(seen, faults_of):
    texts = read("locales", LANGUAGE, "nodeDefs.json")["DiffEditMask"]
    assert faults_of(seen) == []
    assert seen["title"] == texts["display_name"]
    assert seen["description"] in (texts["description"], None)
    for name in ("source", "target", "latent", "image"):
        assert seen["inputs"][name] == texts["inputs"][name]["name"], name
    for name in ("noises", "threshold", "grow"):
        assert seen["widgets"][name] == texts["inputs"][name]["name"], name
    assert list(seen["outputs"].values()) == [output["name"] for output in texts["outputs"].values()]
    assert seen["word"] == read("locales", LANGUAGE, "main.json")["semanticEdit"]["threshold"]


def test_reports_are_in_the_persons_language(seen):
    """Phrases of the locale are translated; a name or a phrase that it lacks is shown as sent."""
    texts = read("locales", LANGUAGE, "main.json")
    reports = texts["semanticEditReports"]
    assert seen["report"] == f"{reports['mask_covers'].replace('{0}', '24.2 %')}, O-BELM, English"
    assert seen["warning"] == f"\u26a0{reports['same_texts']}"
    assert seen["label"] == texts["semanticEdit"]["view"]


def test_what_is_sent_is_the_same(seen):
    assert seen["api"] == read("workflows", "api", "diffedit.json")
