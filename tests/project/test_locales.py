"""Every translation is complete and matches the current nodes.

``locales/en`` is the schema's own text, written by a script; people write the other languages.
After changing or adding a node:

    SEMANTIC_EDIT_WRITE_LOCALES=1 python run.py test tests/project/test_locales.py

rewrites the English and removes from the other languages the keys that are gone and the texts whose
English has changed. The test then lists the missing texts with their English, to be translated into
``locales/<language>/nodeDefs.json``.
"""

import json
import os
import pathlib
import re
from collections.abc import Iterator

import pytest

PACK = pathlib.Path(__file__).resolve().parents[2]
LOCALES = PACK / "locales"
LANGUAGES = ("de", "es", "fr", "ja", "ko", "zh")
FILES = ("main.json", "nodeDefs.json")
SYNTAX = set("{}|@")  # the editor's message syntax
ENDINGS = (".", "?", "!", "\u3002", ")", "\uff09")


def node_texts(node: type) -> dict:
    schema = node.GET_SCHEMA()

    def of(item) -> dict:
        return {"name": item.display_name or item.id, "tooltip": item.tooltip}

    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": {item.id: of(item) for item in schema.inputs},
        "outputs": {str(place): of(item) for place, item in enumerate(schema.outputs)},
    }


def words_of_widgets() -> dict[str, str]:
    source = (PACK / "js" / "words.js").read_text(encoding="utf-8")
    return json.loads(re.search(r"ENGLISH = (\{.*?\n\})", source, re.DOTALL).group(1))


def english(pack, pack_module) -> dict[str, dict]:
    """The content of each file of ``locales/en``."""
    return {
        "main.json": {
            "nodeCategories": {"semantic edit": "semantic edit"},
            "semanticEdit": words_of_widgets(),
            "semanticEditReports": pack_module("host.reports").PHRASES,
        },
        "nodeDefs.json": {name: node_texts(pack[name]) for name in sorted(pack)},
    }


def read(language: str, name: str) -> dict:
    file = LOCALES / language / name
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def write(language: str, name: str, texts: dict) -> None:
    file = LOCALES / language / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(texts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def leaves(tree: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def tree_of(texts: dict[tuple[str, ...], str]) -> dict:
    tree: dict = {}
    for path, text in texts.items():
        branch = tree
        for key in path[:-1]:
            branch = branch.setdefault(key, {})
        branch[path[-1]] = text
    return tree


@pytest.fixture(scope="module")
def now(pack, pack_module):
    texts = english(pack, pack_module)
    if os.environ.get("SEMANTIC_EDIT_WRITE_LOCALES"):
        for name in FILES:
            before, after = dict(leaves(read("en", name))), dict(leaves(texts[name]))
            for language in LANGUAGES:
                known = dict(leaves(read(language, name)))
                write(
                    language,
                    name,
                    tree_of({path: known[path] for path in after if path in known and before.get(path) == after[path]}),
                )
            write("en", name, texts[name])
    return texts


@pytest.mark.parametrize("name", FILES)
def test_the_english_is_the_nodes_own(now, name):
    assert read("en", name) == now[name], (
        f"locales/en/{name} differs from the nodes; SEMANTIC_EDIT_WRITE_LOCALES=1 rewrites it"
    )


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_says_everything_and_nothing_else(now, language, name):
    wanted, result = dict(leaves(now[name])), dict(leaves(read(language, name)))
    missing = "\n".join(f"  {'.'.join(path)}: {wanted[path]}" for path in wanted if not result.get(path))
    assert not missing, f"locales/{language}/{name} lacks:\n{missing}"
    assert not result.keys() - wanted.keys(), (
        f"locales/{language}/{name} holds keys that no node has: SEMANTIC_EDIT_WRITE_LOCALES=1 removes them"
    )


def names_in(text: str) -> set[str]:
    """Numbers, and names of nodes, types and methods: words with two capitals. They are the same in
    every language.
    """
    names = re.findall(r"[A-Za-z]*[A-Z][A-Za-z]*[A-Z][A-Za-z]*", text)
    return set(re.findall(r"\d+(?:\.\d+)?", text)) | {
        name.removesuffix("s") if name[:-1].isupper() else name for name in names
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_are_translations(now, language):
    for name in FILES:
        wanted = dict(leaves(now[name]))
        for path, text in leaves(read(language, name)):
            label = f"{language}: {'.'.join(path)}: {text}"
            original = wanted[path]
            assert text.strip() == text, label
            assert not (name == "nodeDefs.json" and SYNTAX & set(text)), label
            assert set(re.findall(r"\{\d\}", text)) == set(re.findall(r"\{\d\}", original)), label
            if path[-1] in ("description", "tooltip"):
                assert text != original, label
                assert text.endswith(ENDINGS), label
                lost = {
                    item for item in names_in(original) if item not in text.replace("\u202f", " ").replace(",", ".")
                }
                assert not lost, f"{label}: {lost} of the English is missing"


def test_english_can_be_shown(now):
    for path, text in leaves(now["nodeDefs.json"]):
        assert not SYNTAX & set(text), f"{'.'.join(path)}: {text}"
