"""DiffEditMask through real ComfyUI: the known mask, the number of evaluations, the cache,
refusals.
"""

import analytic
import comfy.model_management
import pytest
import tiny_models
import torch

TEXTS = tiny_models.Texts()


@pytest.fixture(autouse=True)
def forget(pack_module):
    pack_module("edits.masks.contrast").RECENT.clear()


def region():
    cells = torch.zeros(8, 8)
    cells[2:5, 3:7] = 1
    return cells


def picture(batch=1, seed=3):
    return analytic.latent(torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed)))


def test_finds_the_known_region_in_pixels_and_on_the_latent(run):
    model, _ = analytic.denoiser(region())
    mask, heat, masked = run(
        "DiffEditMask", model=model, source=analytic.text(0), target=analytic.text(1), latent=picture()
    ).args
    assert torch.equal(masked["noise_mask"][0, 0], region())
    assert torch.equal(mask[0], region().repeat_interleave(8, 0).repeat_interleave(8, 1))
    assert heat.shape == mask.shape
    assert heat[0, 24, 40] > 0.9


def test_costs_two_evaluations_a_noise_and_item(run):
    model, calls = analytic.denoiser(region())
    run("DiffEditMask", model=model, source=analytic.text(0), target=analytic.text(1), latent=picture(3), noises=7)
    assert sum(calls) == 2 * 7 * 3


@pytest.mark.parametrize(
    "change",
    [
        dict(threshold=0.3),
        dict(normalisation="min-max"),
        dict(smoothing=1.0),
        dict(grow=2),
        dict(edge_radius=2),
        dict(image=torch.rand(1, 64, 64, 3)),
    ],
)
def test_cheap_knobs_do_not_call_the_model_again(run, change):
    model, calls = analytic.denoiser(region())
    inputs = dict(model=model, source=analytic.text(0), target=analytic.text(1), latent=picture())
    run("DiffEditMask", **inputs)
    before = len(calls)
    run("DiffEditMask", **inputs | change)
    assert len(calls) == before > 0


@pytest.mark.parametrize(
    "change",
    [
        dict(seed=1),
        dict(noises=3),
        dict(noise_strength=0.4),
        dict(target=analytic.text(2)),
        dict(source=analytic.text(3)),
        dict(latent=picture(seed=4)),
    ],
)
def test_everything_else_does(run, change):
    model, calls = analytic.denoiser(region())
    inputs = dict(model=model, source=analytic.text(0), target=analytic.text(1), latent=picture())
    run("DiffEditMask", **inputs)
    before = len(calls)
    run("DiffEditMask", **inputs | change)
    assert len(calls) > before


def test_edges_of_the_image_fill_a_hole_of_the_heat_map(run):
    """The prediction differs inside the object, but not in its middle; the image shows the whole object."""
    whole, holed = torch.zeros(16, 16), torch.zeros(16, 16)
    whole[4:12, 3:13] = holed[4:12, 3:13] = 1
    holed[7:9, 7:9] = 0
    model, _ = analytic.denoiser(holed)
    latent = analytic.latent(
        3 * whole.expand(1, 4, -1, -1) + 0.1 * torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    )
    inputs = dict(model=model, source=analytic.text(0), target=analytic.text(1), latent=latent)
    heats = [run("DiffEditMask", **inputs, edge_radius=radius).args[1][0] for radius in (0, 2, 4)]
    holes = [float(heat[60:68, 60:68].mean()) for heat in heats]
    assert holes[0] == 0
    assert holes[0] + 0.1 < holes[1] < holes[2]
    for heat in heats:
        assert heat[:24].max() < 0.01
        assert heat[40:48, 32:96].min() > 0.9


def test_another_model_is_another_question(run):
    one, first = analytic.denoiser(region())
    two, second = analytic.denoiser(1 - region())
    inputs = dict(source=analytic.text(0), target=analytic.text(1), latent=picture())
    a, b = run("DiffEditMask", model=one, **inputs).args[0], run("DiffEditMask", model=two, **inputs).args[0]
    assert first
    assert second
    assert not torch.equal(a, b)


def test_the_same_texts_give_an_empty_mask_a_warning_and_no_call(run, caplog):
    model, calls = analytic.denoiser(region())
    result = run("DiffEditMask", model=model, source=analytic.text(1), target=analytic.text(1), latent=picture())
    assert result.args[0].sum() == 0
    assert torch.isfinite(result.args[1]).all()
    assert not calls
    assert "use two texts that differ" in caplog.text
    assert "use two texts that differ" in result.ui["report"][0]["warning"]


def test_an_item_does_not_depend_on_its_batch(run):
    model = tiny_models.sd15()
    source, target, batch = (
        TEXTS("sd15", "a cat"),
        TEXTS("sd15", "a dog on a chair"),
        tiny_models.latent("sd15", batch=3),
    )
    together = run("DiffEditMask", model=model, source=source, target=target, latent=batch, noises=4, seed=5).args[1]
    for k in range(3):
        alone = run(
            "DiffEditMask",
            model=model,
            source=source,
            target=target,
            latent={"samples": batch["samples"][k : k + 1]},
            noises=4,
            seed=5 + k,
        ).args[1]
        assert torch.allclose(together[k], alone[0], atol=1e-5)
    cut = {"samples": batch["samples"][2:], "batch_index": [2]}
    assert torch.allclose(
        run("DiffEditMask", model=model, source=source, target=target, latent=cut, noises=4, seed=5).args[1][0],
        together[2],
        atol=1e-5,
    )


def test_chunks_follow_the_memory_there_is(run, pack_module, monkeypatch):
    import comfy.model_management

    inputs = dict(source=analytic.text(0), target=analytic.text(1), latent=picture())
    model, calls = analytic.denoiser(region())
    whole = run("DiffEditMask", model=model, **inputs).args[1]
    assert max(calls) == 20  # ten noises, two texts, in one batch
    pack_module("edits.masks.contrast").RECENT.clear()
    model, calls = analytic.denoiser(region())
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda *args, **options: 1)
    tight = run("DiffEditMask", model=model, **inputs).args[1]
    assert max(calls) <= 2
    assert sum(calls) == 20
    assert torch.allclose(whole, tight, atol=1e-5)


@pytest.mark.parametrize("height, width", [(8, 8), (7, 9), (5, 16), (1, 3)])
def test_any_latent_size(run, height, width):
    cells = torch.zeros(height, width)
    cells[0, 1] = 1
    model, _ = analytic.denoiser(cells)
    latent = analytic.latent(torch.randn(1, 4, height, width))
    mask, heat, masked = run(
        "DiffEditMask",
        model=model,
        source=analytic.text(0),
        target=analytic.text(1),
        latent=latent,
        normalisation="min-max",
    ).args
    assert mask.shape == heat.shape == (1, height * 8, width * 8)
    assert torch.equal(masked["noise_mask"][0, 0], cells)


def test_the_preview_lies_over_the_picture(pack_module):
    preview = pack_module("edits.masks.mask")
    mask, heat = torch.zeros(2, 32, 32), torch.zeros(2, 32, 32)
    mask[:, :16], heat[:, :16] = 1, 1
    for image in (torch.full((1, 32, 32, 3), 0.5), torch.full((2, 40, 32, 4), 0.5), torch.full((1, 32, 32, 1), 0.5)):
        shown = preview.overlay(mask, heat, image)
        assert shown.shape == (2, 32, 32, 3)
        assert shown[0, 4, 4, 0] > shown[0, 4, 4, 2]
        assert shown[0, 28, 4, 0] < 0.5
    assert torch.equal(preview.overlay(mask, heat, None)[..., 1], heat)


def test_the_latent_given_is_not_changed(run):
    model, _ = analytic.denoiser(region())
    latent = {**picture(), "batch_index": [4]}
    copy = {"samples": latent["samples"].clone(), "batch_index": [4]}
    masked = run("DiffEditMask", model=model, source=analytic.text(0), target=analytic.text(1), latent=latent).args[2]
    assert set(latent) == {"samples", "batch_index"}
    assert torch.equal(latent["samples"], copy["samples"])
    assert torch.equal(masked["samples"], copy["samples"])


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(latent={"samples": torch.full((1, 4, 8, 8), float("nan"))}), "DiffEditMask: the latent contains NaN"),
        (dict(latent={"samples": torch.ones(1, 16, 8, 8)}), "16 channels for a model with 4"),
        (dict(latent={"samples": torch.ones(0, 4, 8, 8)}), "got a latent without items"),
        (dict(latent={"samples": torch.ones(4, 8, 8)}), "latent of shape"),
        (dict(noise_strength=0.0), "got noise_strength 0.0"),
        (dict(noises=0), "got noises 0"),
        (
            dict(
                target=[[analytic.text(1)[0][0], {**analytic.text(1)[0][1], "start_percent": 0.0, "end_percent": 0.1}]]
            ),
            "the target conditioning does not apply",
        ),
        (
            dict(
                source=[[analytic.text(2)[0][0], {**analytic.text(2)[0][1], "start_percent": 0.9, "end_percent": 1.0}]]
            ),
            "the source conditioning does not apply",
        ),
    ],
)
def test_what_cannot_work_is_said(run, change, words):
    model, _ = analytic.denoiser(region())
    inputs = dict(model=model, source=analytic.text(0.5), target=analytic.text(1), latent=picture())
    with pytest.raises(ValueError, match=words):
        run("DiffEditMask", **inputs | change)


def rows_asked(model, most: int = 10**6):
    """A copy of ``model``, and the list of its network's batch sizes; batches of more than ``most``
    rows run out of memory.
    """
    asked, made = [], model.clone()

    def network(theirs, given):
        asked.append(len(given["input"]))
        if asked[-1] > most:
            raise comfy.model_management.OOM_EXCEPTION("not enough memory")
        return theirs(given["input"], given["timestep"], **given["c"])

    made.set_model_unet_function_wrapper(network)
    return made, asked


def test_large_latents_are_asked_noise_by_noise_and_small_ones_together(run, pack_module, monkeypatch):
    """Both give the same result. A batch that does not fit is evaluated again one by one, as
    KSampler evaluates a text and its negative.
    """
    contrast, result, plain = pack_module("edits.masks.contrast"), [], analytic.denoiser(region())[0]
    cases = [
        (contrast.EVERYDAY, 10**6, [10]),
        (3 * 64, 10**6, [6, 4]),
        (64, 10**6, [2] * 5),
        (1, 10**6, [2] * 5),
        (contrast.EVERYDAY, 4, [10] + [2] * 5),
    ]
    for cells, most, wanted in cases:
        contrast.RECENT.clear()
        monkeypatch.setattr(contrast, "EVERYDAY", cells)
        model, asked = rows_asked(plain, most)
        result.append(
            run(
                "DiffEditMask",
                model=model,
                source=analytic.text(0),
                target=analytic.text(1),
                latent=picture(),
                noises=5,
            ).args[1]
        )
        assert asked == wanted
    assert all(torch.allclose(one, result[0], atol=1e-6) for one in result)


def test_what_does_not_fit_one_by_one_is_an_error(run):
    model, asked = rows_asked(analytic.denoiser(region())[0], 1)
    with pytest.raises(comfy.model_management.OOM_EXCEPTION):
        run("DiffEditMask", model=model, source=analytic.text(0), target=analytic.text(1), latent=picture(), noises=5)
    assert asked == [10, 2]
