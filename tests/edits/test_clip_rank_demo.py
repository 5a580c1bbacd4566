"""The demo's own CLIP: it is found, small, and right about held-out scenes; EditMetrics' CLIP
scores with it.
"""

import json
import math
import random
from dataclasses import replace

import pytest
import torch

from demo.world.render import SIZE, render, render_batch
from demo.world.scenes import caption, random_scene
from demo.world.things import FAMILIES, FAMILY_OF, KINDS, PAINTED
from lab import common

FOLDER = common.PACK / "models" / "clip_rank" / "semantic-edit-demo"


@pytest.fixture(scope="module")
def demo_pair(pack):
    with torch.inference_mode():
        return pack["CLIPRankModelLoader"].execute(folder="semantic-edit-demo").args[0]


def with_another_thing(scene, kind: str):
    """The scene with its only thing replaced, in the same colour if the new one can have it."""
    [thing] = scene.things
    return replace(
        scene, things=(replace(thing, kind=kind, colour=(thing.colour or "red") if kind in PAINTED else None),)
    )


@pytest.mark.parametrize("region", ["masked", "crop", "whole"])
def test_the_demo_pair_ranks_what_the_text_says_first(run, demo_pair, region):
    """Held-out scenes: the right picture among three with another thing in its place, one of which
    is of the same family.
    """
    right = 0
    for index in range(12):
        rng = random.Random(f"ranking {index}")
        scene = random_scene(rng, 1, unseen=True)
        kind = scene.things[0].kind
        near = rng.choice([other for other in FAMILIES[FAMILY_OF[kind]] if other != kind])
        far = rng.sample([other for other in KINDS if other not in (kind, near)], 2)
        images = render_batch([*(with_another_thing(scene, other) for other in (near, *far)), scene]).pictures.movedim(
            1, -1
        )
        covered = render(scene)[1][0] > 0.1
        rows, columns = covered.any(1).nonzero()[:, 0], covered.any(0).nonzero()[:, 0]
        box = torch.zeros(1, SIZE, SIZE)
        box[:, max(0, rows[0] - 12) : rows[-1] + 13, max(0, columns[0] - 12) : columns[-1] + 13] = 1
        ranked = run("CLIPRank", images=images, text=caption(scene), mask=box, region=region, clip_rank_model=demo_pair)
        right += ranked.args[4][0] == 3
    assert right >= 9  # 3 are expected by chance; 9 or more have a probability of 1 in 2500


def test_the_demo_pair_is_small_and_reads_any_text(demo_pair):
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 5e6
    assert demo_pair.embed_text("Zebras, 42 \u00e9!").isfinite().all()


def test_the_loader_lists_the_demos(pack, pack_module):
    assert pack_module("host.clip_files").list_folders()["semantic-edit-demo"] == FOLDER
    assert "semantic-edit-demo" in pack["CLIPRankModelLoader"].define_schema().inputs[0].options


def test_clip_scores_are_a_hundred_cosines_of_the_ranker(run, demo_pair):
    source, edited = torch.rand((2, 2, 48, 40, 3), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 48, 40)
    mask[:, 10:30, 8:28] = 1
    text = "a red car on snow"
    given = run("EditMetrics", source=source, edited=edited, mask=mask, text=text, clip_rank_model=demo_pair)
    for name, region in (("clip_whole", "whole"), ("clip_inside", "masked")):
        scores = run("CLIPRank", images=edited, mask=mask, text=text, region=region, clip_rank_model=demo_pair)
        expected = [100 * max(0.0, score) for _, score in sorted(zip(scores.args[4], scores.args[3]))]
        assert json.loads(given.args[-1])["region"][name]["each"] == pytest.approx(expected, abs=1e-3)
    silent = run("EditMetrics", source=source, edited=edited, mask=mask, clip_rank_model=demo_pair)
    assert math.isnan(silent.args[8])
    assert "need a text" in json.loads(silent.args[-1])["left_out"]["clip"]
