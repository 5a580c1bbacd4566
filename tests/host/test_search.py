"""Search words in the editor find nodes of the pack: the editor matches names, display names and
`search_aliases`.
"""

import pytest

SEARCHED = {
    "mask from text": {"DiffEditMask"},
    "text to mask": {"DiffEditMask"},
    "remove object": {"DiffEditMask", "LatentBlendSampler"},
    "change object": {"DiffEditMask", "LatentBlendSampler", "EDICTSampler", "ExactSampler", "FlowEdit"},
    "replace object": {"DiffEditMask", "LatentBlendSampler", "EDICTSampler", "ExactSampler", "FlowEdit"},
    "add object": {"LatentBlendSampler"},
    "replace background": {"LatentBlendSampler"},
    "edit by text": {"LatentBlendSampler", "EDICTSampler", "ExactSampler", "FlowEdit"},
    "keep background": {"BackgroundRestore", "DecoderFinetune"},
    "invert image": {"DDIMInvert", "EDICTInvert", "ExactInvert", "EditFriendlyInvert"},
}


def found_by(pack: dict[str, type], words: str) -> set[str]:
    """Nodes with one alias that contains every word: the strictest of the editor's matching rules."""
    aliases = {name: node.define_schema().search_aliases for name, node in pack.items()}
    return {
        name
        for name, known in aliases.items()
        if any(all(word in alias.lower() for word in words.split()) for alias in known)
    }


@pytest.mark.parametrize("words", sorted(SEARCHED))
def test_what_people_search_for_finds_the_nodes_that_do_it(pack, words):
    assert SEARCHED[words] <= found_by(pack, words)


def test_the_packs_own_name_finds_all_of_its_nodes(pack):
    assert found_by(pack, "semantic edit") == set(pack)
