"""Reports: English for the log, phrases for the editor, and warnings when a run did not have the
intended effect.
"""

import json
import logging
import re

import pytest
import tiny_models
import torch


def test_a_report_holds_english_phrases_and_warnings(pack_module):
    reports = pack_module("host.reports")
    made = reports.make_report(
        [reports.phrase("steps", 4), None, "O-BELM"], [None, reports.phrase("mask_full")], moved=[1.0]
    )
    assert made["text"] == "4 steps, O-BELM. the mask covers everything, so there is no background to restore."
    assert made["says"] == [{"key": "steps", "values": ["4"], "text": "4 steps"}, "O-BELM"]
    assert made["moved"] == [1.0]
    assert [item["key"] for item in made["warnings"]] == ["mask_full"]
    assert made["warning"].startswith("the mask covers")
    assert json.dumps(made)


def test_a_warning_is_logged_as_one_with_the_nodes_name(pack_module, caplog):
    reports, progress = pack_module("host.reports"), pack_module("host.progress")

    class Node:
        hidden = None

    with caplog.at_level(logging.INFO):
        progress.tell(Node, reports.make_report([reports.phrase("steps", 4)], [reports.phrase("mask_full")]))
    assert [(record.levelname, record.message) for record in caplog.records if "Semantic Edit" in record.message] == [
        ("INFO", "Semantic Edit, Node: 4 steps"),
        ("WARNING", f"Semantic Edit, Node: {reports.PHRASES['mask_full']}"),
    ]


def test_blanks_are_numbered_from_0(pack_module):
    for key, text in pack_module("host.reports").PHRASES.items():
        blanks = re.findall(r"\{(\d)\}", text)
        assert [int(blank) for blank in blanks] == list(range(len(blanks))), key
        assert "{}" not in text, key


STEPS = dict(steps=4, strength=0.75)


@pytest.fixture(scope="module")
def scene():
    text, other = ([[torch.randn(1, 77, 64, generator=torch.Generator().manual_seed(seed)), {}]] for seed in (1, 2))
    return dict(
        model=tiny_models.damp(tiny_models.sd15()),
        text=text,
        other=other,
        latent=tiny_models.latent("sd15"),
        empty=torch.zeros(1, 64, 64),
    )


def warnings_of(result) -> list[str]:
    [report] = result.ui["report"]
    return [item["key"] for item in report["warnings"]]


def test_every_edit_with_an_empty_mask_is_a_warning(run, scene):
    """In every node that edits within a mask or restores around it."""
    model, text, other, latent, empty = (scene[name] for name in ("model", "text", "other", "latent", "empty"))
    assert warnings_of(
        run("LatentBlendSampler", model=model, positive=text, negative=other, latent=latent, mask=empty, steps=2)
    ) == ["mask_empty_unchanged"]
    pair = run("EDICTInvert", model=model, source=text, negative=other, latent=latent, cfg=1.0, **STEPS).args[0]
    assert warnings_of(
        run("EDICTSampler", model=model, target=text, negative=other, pair=pair, cfg=1.0, mask=empty)
    ) == ["mask_empty_unchanged"]
    inversion = run("ExactInvert", model=model, source=text, negative=other, latent=latent, cfg=1.0, **STEPS).args[0]
    assert warnings_of(
        run("ExactSampler", model=model, target=text, negative=other, inversion=inversion, cfg=1.0, mask=empty)
    ) == ["mask_empty_unchanged"]
    assert warnings_of(
        run("FlowEdit", model=model, source=text, target=other, negative=other, latent=latent, mask=empty, steps=2)
    ) == ["mask_empty_unchanged"]
    assert warnings_of(run("ProgressiveMaskShrink", model=model, latent=latent, mask=empty)) == ["mask_empty_nothing"]
    image = torch.rand(1, 64, 64, 3)
    assert warnings_of(run("BackgroundRestore", image=image, edited=image, mask=empty, method="stitch")) == [
        "mask_empty_source"
    ]
    assert warnings_of(
        run("DecoderFinetune", vae=tiny_models.taesd(), image=image, latent=latent, mask=empty, steps=4)
    ) == ["mask_empty_drawn"]


def test_identical_texts_are_a_warning(run, scene):
    same = dict(model=scene["model"], source=scene["text"], target=scene["text"], latent=scene["latent"])
    assert warnings_of(run("DiffEditMask", **same, noises=1)) == ["same_texts"]
    assert warnings_of(run("FlowEdit", **same, source_cfg=1.0, target_cfg=1.0, steps=4)) == ["not_moved"]
    different = run("FlowEdit", **{**same, "target": scene["other"]}, source_cfg=1.0, target_cfg=1.0, steps=4)
    assert warnings_of(different) == []


def test_previews_are_no_images_of_the_run(run, scene):
    """Programs that read the first picture of a run get a saved picture, not a mask or a film
    strip.
    """
    result = run(
        "DiffEditMask",
        model=scene["model"],
        source=scene["text"],
        target=scene["other"],
        latent=scene["latent"],
        noises=1,
    )
    assert set(result.ui) == {"report", "semantic_edit"}
    assert all(not (isinstance(item, dict) and "filename" in item) for items in result.ui.values() for item in items)
    assert result.ui["semantic_edit"][0]["images"][0]["filename"]


def test_a_seed_stays_where_a_rerun_is_promised_to_be_cheap(pack):
    """A seed that changed after every run would require new evaluations and give a different mask,
    inversion or edit.
    """
    controls = {
        (name, item.id): item.control_after_generate
        for name, node in pack.items()
        for item in node.GET_SCHEMA().inputs
        if getattr(item, "control_after_generate", None)
    }
    assert len(controls) == 4
    assert set(controls.values()) == {"fixed"}
