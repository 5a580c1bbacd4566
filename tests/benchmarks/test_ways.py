"""The measured ways to spend fewer evaluations, against analytic solutions."""

import functools
import math
import re

import analytic
import edict_paper
import pytest
import tiny_models
import torch
from older_comfyui import needs_cfg_override

from benchmarks import diffedit_quality, edict_cost, held_out, mask_noises, ways
from benchmarks.ways import Way
from lab import common
from lab.uncertainty import interval, paired_difference
from tools.templates import parts


def test_a_way_is_read_from_its_name():
    assert Way.read("50x10") == Way(50, 10)
    assert Way.read("16x4:2m") == Way(16, 4, "2m")
    assert Way.read("10x4:0.25-1") == Way(10, 4, "ddim", 0.25, 1.0)
    assert Way.read("16x4:0-0.5:edges") == Way(16, 4, "ddim", 0.0, 0.5, "edges")
    assert Way.read("16x4:0-0.5:edges").words == "16 steps, 4 noises, guided 0% to 50%, mask along edges"
    for name in ("50", "0x4", "10x4:euler", "10x4:0.5-0.5", "10x4:0-2"):
        with pytest.raises(ValueError, match="expected steps x noises"):
            Way.read(name)


def test_the_mask_with_a_margin_is_that_of_the_templates():
    assert ways.MASKS["margin"] == parts.WHOLE


@needs_cfg_override
def test_guidance_acts_in_its_steps_alone(run):
    """4 of 8 steps take two evaluations, the others one; without guidance the result is that of the
    positive text.
    """
    latent = {"samples": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))}
    model, calls = analytic.denoiser()
    given = dict(conditioning=analytic.text(0.0), latent=latent, steps=10, strength=0.8)
    inversion = run("DDIMInvert", model=model, **given).args[1]

    def edited(model, cfg=7.5):
        calls.clear()
        texts = dict(positive=analytic.text(0.8), negative=analytic.text(0.0), cfg=cfg)
        whole = torch.ones(1, 64, 64)
        return run("LatentBlendSampler", model=model, latent=latent, mask=whole, inversion=inversion, **texts).args[0]

    half = edited(ways.guided_between(model, inversion.sigmas, 0.0, 0.5))["samples"]
    assert sum(calls) == 4 * 2 + 4
    assert [sum(calls[:4]), sum(calls[-4:])] == [8, 4]
    edited(ways.guided_between(model, inversion.sigmas, 0.25, 1.0))
    assert sum(calls) == 2 + 6 * 2
    whole, none = edited(model)["samples"], edited(model, cfg=1.0)["samples"]
    assert torch.equal(edited(ways.guided_between(model, inversion.sigmas, 0.0, 1.0))["samples"], whole)
    distances = [float((half - other).norm()) for other in (whole, none)]
    assert min(distances) > 0.01


@needs_cfg_override
def test_two_samplers_in_a_row_guide_the_first_steps_alone(run):
    """The same latent and the same evaluations as the benchmark's way, by the nodes' own inputs."""
    latent = {"samples": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))}
    model, calls = analytic.denoiser()
    given = dict(conditioning=analytic.text(0.0), latent=latent, steps=10, strength=0.8)
    inversion = run("DDIMInvert", model=model, **given).args[1]
    texts = dict(positive=analytic.text(0.8), negative=analytic.text(0.0))
    shared = dict(latent=latent, mask=torch.ones(1, 64, 64), inversion=inversion, **texts)
    calls.clear()
    half = run("LatentBlendSampler", model=model, cfg=7.5, end_at_step=4, **shared).args[0]
    two = run("LatentBlendSampler", model=model, cfg=1.0, start_at_step=4, noisy_latent=half, **shared).args[0]
    assert calls == [2] * 4 + [1] * 4
    guided = ways.guided_between(model, inversion.sigmas, 0.0, 0.5)
    one = run("LatentBlendSampler", model=guided, cfg=7.5, **shared).args[0]
    assert float((one["samples"] - two["samples"]).abs().max()) < 1e-4


def gaussian(x, sigma):
    """The exact prediction for data of mean 0 and standard deviation 0.5."""
    return x * 0.25 / (0.25 + sigma**2)


@pytest.mark.parametrize("second, most, least", [(True, 4.2, 3.0), (False, 2.3, 1.8)])
def test_the_second_order_inversion_is_of_second_order(pack_module, second, most, least):
    """Twice the steps leave at most a third of the error; of DDIM's inversion a half. It is not
    quite a fourth, because the solver's variable is infinite at sigma 0.
    """
    x0 = torch.tensor([[0.7]], dtype=torch.float64)

    def rescale(low, high):
        return math.sqrt((1 + high**2) / (1 + low**2))

    def error(steps):
        sigmas = torch.linspace(2, 0, steps + 1, dtype=torch.float64)
        if second:
            top = ways.second_order_states(gaussian, x0, sigmas, rescale)[0]
        else:
            top = pack_module("core.sampling.ddim").ddim_invert(
                lambda x, s: (x - gaussian(x, s)) / s, x0, sigmas, rescale
            )[0]
        return abs(float(top) - 0.7 * math.sqrt((0.25 + 4) / 0.25))

    assert least < error(320) / error(640) < most


def test_an_interval_holds_what_it_should_and_pairs_only_what_both_have():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)).tolist()
    result = interval(values)
    error = torch.tensor(values).std().item() / 20
    assert result.mean == pytest.approx(sum(values) / 400)
    assert result.high - result.mean == pytest.approx(1.96 * error, rel=0.1)
    assert result.mean - result.low == pytest.approx(1.96 * error, rel=0.1)
    assert paired_difference({1: 2.0, 2: 3.0, 9: 99.0}, {1: 1.0, 2: 2.0, 5: 0.0}) == (1, 1, 1)
    assert math.isnan(paired_difference({1: 2.0}, {2: 1.0}).mean)
    assert result.scaled(100).words("+.0f").count("(") == 1


# ---- noises of the mask ----


def contrast_maps(noise: float, seed: int = 0) -> torch.Tensor:
    """25 contrasts of a square thing with noise."""
    maps = torch.full((25, 16, 16), 0.1)
    maps[:, 4:10, 4:10] = 1.0
    return maps + noise * torch.randn(maps.shape, generator=torch.Generator().manual_seed(seed)).abs()


def test_rules_take_the_noises_that_they_name():
    maps = contrast_maps(0.0)
    maps += torch.arange(25)[:, None, None]
    taken = {name: used[:, 0, 0].round().int().tolist() for name, used in mask_noises.rules(maps, {})}
    assert taken["fixed 3"] == [0, 1, 2]
    assert taken["pairs 4"] == [0, 1, 10, 11]
    assert taken["fixed 10"] == list(range(10))


@pytest.mark.parametrize("rule, share", [("stop", 0.95), ("decided", 0.1)])
def test_a_clear_mask_stops_early_and_a_noisy_one_does_not(rule, share):
    assert mask_noises.stopped(contrast_maps(0.0)[:10], {}, rule, share) == 4
    assert mask_noises.stopped(contrast_maps(3.0)[:10], {}, rule, share) == 10


def test_negatives_are_those_of_the_first_noises_and_the_others_are_new():
    from benchmarks.held_out import make_edits

    drawn = mask_noises.draw_noises(make_edits(2, 0), 5, (4, 8, 8))
    assert drawn.shape == (25, 2, 4, 8, 8)
    assert torch.equal(drawn[10:15], -drawn[:5])
    assert (drawn[15:] - drawn[:10]).abs().amin() > 0
    assert torch.equal(drawn[0, 1], torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(6)))


# ---- EDICT ----


def test_the_published_loop_comes_back_asks_each_text_and_goes_where_the_nodes_go(run):
    model = tiny_models.damp(tiny_models.sd15(), 0.3)
    texts = tuple(map(functools.partial(tiny_models.Texts(), "sd15"), ("a cat", "")))
    latent = tiny_models.latent("sd15")
    x0 = latent["samples"] * 0.18215
    levels = common.pack_module("host.sampling").schedule(model, 9, "normal", 0.8)
    with torch.inference_mode():
        published = edict_cost.Published(model, texts, torch.float64, levels)
        back, evaluations = published.round_trip(x0.double())
        top = edict_paper.invert(published.eps, x0.double(), x0.double(), published.abar, edict_cost.MIXING)[-1]
    assert evaluations == 2 * 7 * 4
    assert edict_cost.error_of(back, x0) < 1e-12
    given = dict(source=texts[0], negative=texts[1], latent=latent, steps=9, strength=0.8, cfg=edict_cost.CFG)
    pair = run("EDICTInvert", model=model, **given).args[0]
    for ours, theirs in zip(pair.states[0], top, strict=True):
        wanted = theirs / published.abar[0] ** 0.5
        assert float((ours - wanted).norm() / wanted.norm()) < 1e-4


@needs_cfg_override
def test_every_timed_loop_comes_back_and_counts_its_evaluations():
    rows = edict_cost.time_rows(1, (3,), 32, guided=((3, 0.5),), published_steps=3)
    assert [row["evaluations"] for row in rows] == [*[2 * 2 * 4] * 3, 2 * (4 + 2)]
    assert rows[0]["error"] < 1e-12
    assert rows[2]["error"] == rows[3]["error"] == 0
    text = re.sub(" +", " ", edict_cost.time_report(rows))
    assert "| published loop, 3 steps, float64 network | 16 |" in text
    assert "| nodes, 3 steps | 16 |" in text
    assert "| nodes, 3 steps, guided 0% to 50% | 12 |" in text


def test_ways_of_edict_are_compared_with_the_first():
    rows = [
        {"index": index, "way": way, "evaluations": cost, "accepted": float(index < count), "background": 30.0}
        for way, cost, count in (("50:3", 320, 4), ("16:1", 78, 3), ("50:3:0.35", 216, 4))
        for index in range(8)
    ]
    points = edict_cost.summarise(rows, ["50:3", "16:1", "50:3:0.35"])
    assert [point["accepted"] for point in points] == [0.5, 0.375, 0.5]
    assert points[1]["more accepted"][0] == -0.125
    text = re.sub(" +", " ", edict_cost.report(points))
    assert "| 16 steps, inversion without guidance | 8 | 78 | 38% | -12 (" in text
    assert "| 50 steps, guided 0% to 35% | 8 | 216 | 50% | +0 (" in text


def test_every_mask_counts_its_evaluations_although_the_node_keeps_its_contrast():
    bench = diffedit_quality.Bench(str(common.CHECKPOINT), 0)
    bench.begin(held_out.make_edits(1, 0))
    for widgets in ({}, {"grow": 1}, {"noise_strength": 0.6}, {"noise_strength": 0.6, "edge_radius": 4}):
        bench.mask(noises=2, **widgets)
        assert bench.spent() == 4
