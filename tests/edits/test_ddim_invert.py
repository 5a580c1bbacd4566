"""DDIMInvert through real ComfyUI: the analytic solution of the ODE, the number of evaluations, the
report, refusals.
"""

import analytic
import pytest
import tiny_models
import torch

TEXTS = tiny_models.Texts()


def picture(batch=1, seed=3):
    return torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) * 0.6


def test_converges_to_the_solved_ode(run):
    model, _ = analytic.denoiser()
    x0, errors = picture(), []
    for steps in (50, 100, 200):
        inversion = run(
            "DDIMInvert",
            model=model,
            conditioning=analytic.text(0.3),
            latent=analytic.latent(x0),
            steps=steps,
            refinements=1,
        ).args[1]
        wanted = analytic.solution(x0, 0.3, 0.0, float(inversion.sigmas[0]))
        errors.append(float((inversion.noise - wanted).norm() / wanted.norm()))
    assert errors[2] < errors[1] < errors[0] < 0.1
    assert errors[2] < 0.03


def test_trajectory_starts_at_the_source_and_follows_the_levels(run):
    model, _ = analytic.denoiser()
    x0 = picture(2)
    latent, inversion, noise, sigmas = run(
        "DDIMInvert", model=model, conditioning=analytic.text(0.0), latent=analytic.latent(x0), steps=200, refinements=2
    ).args
    assert inversion.states.shape == (161, 2, 4, 8, 8)
    assert inversion.states.dtype == torch.float32
    assert inversion.states.device.type == "cpu"
    assert torch.allclose(inversion.source, x0, atol=1e-6)
    assert sigmas.shape == (161,)
    assert sigmas[-1] == 0
    assert torch.equal(sigmas, inversion.sigmas)
    for state, sigma in list(zip(inversion.states, inversion.sigmas))[::40]:
        assert torch.allclose(state, analytic.solution(x0, 0.0, 0.0, float(sigma)), atol=0.05 + 0.05 * float(sigma))
    assert torch.allclose(analytic.model_space(latent), inversion.noise, atol=1e-4)


@pytest.mark.parametrize(
    "inputs, evaluations",
    [
        (dict(), 8),
        (dict(refinements=2), 24),
        (dict(measure_error=True), 16),
        (dict(cfg=3.0, negative=analytic.text(0)), 16),
    ],
)
def test_evaluations_are_counted(run, inputs, evaluations):
    model, calls = analytic.denoiser()
    run("DDIMInvert", model=model, conditioning=analytic.text(1), latent=analytic.latent(picture()), steps=10, **inputs)
    assert sum(calls) == evaluations


def test_refinements_make_the_round_trip_exact(run):
    model, _ = analytic.denoiser()
    errors = []
    for refinements in (0, 1, 3):
        result = run(
            "DDIMInvert",
            model=model,
            conditioning=analytic.text(0.3),
            latent=analytic.latent(picture()),
            steps=30,
            refinements=refinements,
            measure_error=True,
        )
        errors.append(result.args[1].error[0])
        assert result.ui["report"][0]["round_trip_error"] == result.args[1].error
        assert "round-trip error" in result.ui["report"][0]["text"]
    assert errors[2] < 0.2 * errors[1] < 0.05 * errors[0]


def test_guided_inversion_follows_the_guided_ode(run):
    """For Gaussian data of one standard deviation, guidance moves the mean: cfg 3 between means 0.1
    and 0.3 is the ODE of mean 0.7.
    """
    model, _ = analytic.denoiser()
    latent = analytic.latent(picture())
    guided = run(
        "DDIMInvert",
        model=model,
        conditioning=analytic.text(0.3),
        negative=analytic.text(0.1),
        cfg=3.0,
        latent=latent,
        steps=20,
    ).args[1]
    plain = run("DDIMInvert", model=model, conditioning=analytic.text(0.7), latent=latent, steps=20).args[1]
    assert torch.allclose(guided.noise, plain.noise, atol=1e-4)


def test_strength_chooses_the_last_steps_of_the_schedule(run):
    import comfy.samplers

    model, _ = analytic.denoiser()
    whole = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 50)
    for strength, steps in [(0.8, 40), (0.5, 25), (1.0, 50), (0.01, 1)]:
        inversion = run(
            "DDIMInvert",
            model=model,
            conditioning=analytic.text(0),
            latent=analytic.latent(picture()),
            strength=strength,
        ).args[1]
        assert torch.equal(inversion.sigmas, whole[50 - steps :])


@pytest.mark.parametrize(
    "scheduler",
    [
        "simple",
        "sgm_uniform",
        "karras",
        "exponential",
        "ddim_uniform",
        "beta",
        "normal",
        "linear_quadratic",
        "kl_optimal",
    ],
)
def test_every_scheduler(run, scheduler):
    model, _ = analytic.denoiser()
    inversion = run(
        "DDIMInvert",
        model=model,
        conditioning=analytic.text(0.3),
        latent=analytic.latent(picture()),
        scheduler=scheduler,
        steps=30,
        refinements=2,
        measure_error=True,
    ).args[1]
    # linear_quadratic puts half its steps near the highest level for video models; the steps below
    # are too large to be inverted.
    assert torch.isfinite(inversion.states).all()
    assert inversion.error[0] < 0.1 or scheduler == "linear_quadratic"


def test_a_noise_mask_is_neither_used_nor_passed_on(run):
    model, _ = analytic.denoiser()
    latent = {**analytic.latent(picture()), "noise_mask": torch.zeros(1, 1, 8, 8)}
    with_mask, free = (
        run("DDIMInvert", model=model, conditioning=analytic.text(0), latent=one, steps=6).args
        for one in (latent, analytic.latent(picture()))
    )
    assert torch.equal(with_mask[0]["samples"], free[0]["samples"])
    assert "noise_mask" not in with_mask[0]
    assert set(latent) == {"samples", "noise_mask"}


def test_items_do_not_depend_on_their_batch(run):
    model, text, batch = (
        tiny_models.damp(tiny_models.sd15()),
        TEXTS("sd15", "a cat"),
        tiny_models.latent("sd15", batch=3),
    )
    together = run("DDIMInvert", model=model, conditioning=text, latent=batch, steps=8).args[1]
    for k in range(3):
        alone = run(
            "DDIMInvert", model=model, conditioning=text, latent={"samples": batch["samples"][k : k + 1]}, steps=8
        ).args[1]
        assert torch.allclose(together.states[:, k], alone.states[:, 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(steps=0), "got steps 0"),
        (dict(strength=0.0), "got strength 0.0"),
        (dict(strength=1.2), "got strength 1.2"),
        (dict(cfg=2.0), "got cfg 2.0 without a negative text; connect negative"),
        (dict(latent={"samples": torch.full((1, 4, 8, 8), float("inf"))}), "DDIMInvert: the latent contains NaN"),
        (dict(latent={"samples": torch.ones(1, 3, 8, 8)}), "3 channels for a model with 4"),
    ],
)
def test_what_cannot_work_is_said_before_the_model_runs(run, change, words):
    model, calls = analytic.denoiser()
    with pytest.raises(ValueError, match=words):
        run(
            "DDIMInvert", **dict(model=model, conditioning=analytic.text(0), latent=analytic.latent(picture())) | change
        )
    assert not calls


@pytest.mark.parametrize(
    "inputs, at, step", [({}, 1, 8), ({}, 3, 6), (dict(refinements=2), 5, 7), (dict(measure_error=True), 11, 3)]
)
def test_stops_at_the_step_where_the_network_breaks_down(run, inputs, at, step):
    """Of 8 steps, counted from the noise: the network is not called again, and the error names step
    and level.
    """
    sigmas, calls = (
        run(
            "DDIMInvert",
            model=analytic.denoiser()[0],
            conditioning=analytic.text(0),
            latent=analytic.latent(picture()),
            steps=10,
        ).args[3],
        [],
    )
    model = tiny_models.sd15().clone()

    def break_down(apply, given):
        calls.append(1)
        return given["input"] * (float("nan") if len(calls) == at else 0.1)

    model.set_model_unet_function_wrapper(break_down)
    with pytest.raises(
        ValueError,
        match=f"DDIMInvert: the network predicted NaN or infinite values at step {step} \\(sigma "
        f"{float(sigmas[step - 1]):.4g}\\); try another precision",
    ):
        run(
            "DDIMInvert",
            model=model,
            conditioning=analytic.text(0),
            latent=analytic.latent(picture()),
            steps=10,
            **inputs,
        )
    assert len(calls) == at


def test_input_scales_need_of_a_level_its_number_only(pack_module):
    """Sampling passes levels on its device, and Apple's devices have no float64."""

    class Level:
        def __init__(self, sigma):
            self.sigma = sigma

        def __float__(self):
            return self.sigma

    rescale = pack_module("host.latents").input_rescale(tiny_models.sd15().get_model_object("model_sampling"))
    assert rescale(Level(1.0), Level(3.0)) == rescale(1.0, 3.0) == pytest.approx((10 / 2) ** 0.5)
