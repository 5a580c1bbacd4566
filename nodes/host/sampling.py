"""Run the pack's algorithms through ComfyUI's guider.

Every prediction is computed by ``CFGGuider``, so ComfyUI handles model loading, ADM vectors, areas
and masks of conditionings, timestep ranges, ControlNet, LoRA hooks, wrappers, previews, progress
and interruption. An algorithm is a function ``run(predictor, x0)``; its result is returned
unchanged.
"""

from collections.abc import Callable

import comfy.model_management
import comfy.samplers
import torch

STOCHASTIC = frozenset(
    (
        "euler_ancestral",
        "euler_ancestral_cfg_pp",
        "exp_heun_2_x0_sde",
        "dpm_2_ancestral",
        "dpmpp_2s_ancestral",
        "dpmpp_2s_ancestral_cfg_pp",
        "dpmpp_sde",
        "dpmpp_sde_gpu",
        "dpmpp_2m_sde",
        "dpmpp_2m_sde_gpu",
        "dpmpp_2m_sde_heun",
        "dpmpp_2m_sde_heun_gpu",
        "dpmpp_3m_sde",
        "dpmpp_3m_sde_gpu",
        "ddpm",
        "lcm",
        "res_multistep_ancestral",
        "res_multistep_ancestral_cfg_pp",
        "er_sde",
        "seeds_2",
        "seeds_3",
        "sa_solver",
        "sa_solver_pece",
    )
)
"""Samplers that draw noise during the run. Unknown names (a newer ComfyUI, another pack) are
classified by :func:`is_stochastic`.
"""


def is_stochastic(sampler_name: str) -> bool:
    """Whether a sampler draws noise during the run."""
    return sampler_name in STOCHASTIC or any(word in sampler_name for word in ("ancestral", "sde"))


def sampler_names() -> list[str]:
    """ComfyUI's samplers, including those that other packs have added so far."""
    return comfy.samplers.SAMPLER_NAMES


def scheduler_names() -> list[str]:
    """ComfyUI's schedulers, including those that other packs have added so far."""
    return comfy.samplers.SCHEDULER_NAMES


class Predictor:
    """The predictions of a model for an algorithm, while ComfyUI has it loaded."""

    def __init__(self, guider, model_options: dict, seed: int):
        self.guider, self.model_options, self.seed = guider, model_options, seed
        self.model = guider.inner_model
        self.model_sampling = self.model.model_sampling
        self.schedules, self.level = scheduled_hooks(guider), -1.0

    def denoised(self, x: torch.Tensor, sigma) -> torch.Tensor:
        """The guided prediction of the clean latent. Wrappers get a copy of ``x``, because some
        write into it.
        """
        return self.guider(x.clone(), self._levels(x, sigma), model_options=self.model_options, seed=self.seed)

    def eps(self, x: torch.Tensor, sigma) -> torch.Tensor:
        """The guided prediction as the ODE's derivative: noise for eps- and v-models, velocity for
        flow models.
        """
        return (x - self.denoised(x, sigma)) / sigma

    def eps_of_each(self, x: torch.Tensor, sigma, names: tuple[str, ...]) -> list[torch.Tensor]:
        """The predictions under each conditioning alone, without guidance.

        Raises:
            ValueError: a conditioning that does not apply at this noise level (its timestep range
                excludes it).
        """
        conditionings = [self.guider.conds[name] for name in names]
        levels = self._levels(x, sigma)
        clean = comfy.samplers.calc_cond_batch(self.model, conditionings, x.clone(), levels, self.model_options)
        for name, prediction in zip(names, clean):
            if not prediction.any():
                raise ValueError(
                    f"the {name} conditioning does not apply at this noise level; widen its timestep range"
                )
        return [(x - prediction) / sigma for prediction in clean]

    def noised(self, x0: torch.Tensor, noise: torch.Tensor, sigma) -> torch.Tensor:
        """``x0`` with noise added up to ``sigma``, as this kind of model mixes them."""
        return self.model_sampling.noise_scaling(
            torch.as_tensor(sigma, device=x0.device, dtype=x0.dtype), noise.clone(), x0.clone()
        )

    def _levels(self, x: torch.Tensor, sigma) -> torch.Tensor:
        if self.schedules:
            if float(sigma) > self.level:
                rewind_hooks(self.guider)
            self.level = float(sigma)
        return torch.as_tensor(sigma, device=x.device, dtype=torch.float32).repeat(x.shape[0])


def scheduled_hooks(guider) -> list:
    """The keyframes of all hooks in the guider's conditionings that have more than one (for example
    the strength of a LoRA over time).
    """
    hooks = [
        hook
        for entries in guider.conds.values()
        for entry in entries
        if entry.get("hooks") is not None
        for hook in entry["hooks"].hooks
    ]
    return [hook.hook_keyframe for hook in hooks if len(hook.hook_keyframe.keyframes) > 1]


def rewind_hooks(guider) -> None:
    """Reset the keyframes of scheduled hooks, so that ComfyUI determines them anew at the next
    level.

    ComfyUI only advances them, as samplers need it. During an inversion a keyframe would stay
    active once it was reached, and a run that begins at the level at which the previous one ended
    would begin with the first keyframe, whatever the level.
    """
    schedules = scheduled_hooks(guider)
    for keyframes in schedules:
        keyframes.reset()
        keyframes._current_index, keyframes._curr_t = -1, -1.0
    if schedules:
        guider.model_patcher.clear_cached_hook_weights()


class AlgorithmSampler(comfy.samplers.Sampler):
    """A sampler object through which ComfyUI's guider runs any algorithm."""

    def __init__(self, run: Callable[[Predictor, torch.Tensor], object]):
        self.run, self.result = run, None

    def sample(
        self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, disable_pbar=False
    ):
        self.result = self.run(Predictor(model_wrap, extra_args["model_options"], extra_args.get("seed")), latent_image)
        return latent_image


def make_guider(model, positive, negative=None, cfg: float = 1.0) -> comfy.samplers.CFGGuider:
    """ComfyUI's guider for two texts; without a negative, the positive is used as both."""
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, positive if negative is None else negative)
    guider.set_cfg(cfg)
    return guider


def run_algorithm(
    guider, samples: torch.Tensor, sigmas: torch.Tensor, run: Callable[[Predictor, torch.Tensor], object], seed: int = 0
):
    """Load the model, convert ``samples`` into its space, and return ``run(predictor, x0)``."""
    sampler = AlgorithmSampler(run)
    sample_copies(guider, torch.zeros_like(samples), samples, sampler, sigmas, seed=seed)
    return sampler.result


def sample_copies(
    guider,
    noise: torch.Tensor,
    samples: torch.Tensor,
    sampler,
    sigmas: torch.Tensor,
    mask: torch.Tensor | None = None,
    callback=None,
    seed: int = 0,
) -> torch.Tensor:
    """``guider.sample`` on copies of all tensors.

    Samplers and wrappers of ComfyUI and of other packs may write into their arguments (uni_pc sets
    the last noise level to 0.001), and an inversion or a LATENT that ComfyUI caches must not
    change.
    """
    mask = None if mask is None else mask.clone()
    return guider.sample(
        noise.clone(),
        samples.clone(),
        sampler,
        sigmas.clone(),
        denoise_mask=mask,
        callback=callback,
        disable_pbar=True,
        seed=seed,
    )


def schedule(model, steps: int, scheduler: str, strength: float) -> torch.Tensor:
    """The last ``round(steps * strength)`` steps of a schedule of ``steps``, as descending sigmas.
    ``strength`` is DiffEdit's encode ratio; the levels are those of KSamplerAdvanced from step
    ``steps - round(steps * strength)``.
    """
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), scheduler, steps)
    taken = max(1, round((len(sigmas) - 1) * strength))
    return sigmas[-(taken + 1) :].float().cpu()


def ksampler_sigmas(model, steps: int, sampler_name: str, scheduler: str, denoise: float) -> torch.Tensor:
    """The levels of KSampler with these widgets; fewer than two if ``denoise`` leaves no step."""
    return comfy.samplers.KSampler(model, steps, "cpu", sampler_name, scheduler, denoise, model.model_options).sigmas


def sigma_at_strength(model, strength: float) -> float:
    """The noise level at the fraction ``strength`` (0..1) of the model's noise range, 1 for pure
    noise.
    """
    return float(model.get_model_object("model_sampling").percent_to_sigma(1.0 - strength))


def place_in_noise_range(model_sampling, sigma: float) -> float:
    """The position of a noise level between pure noise (0) and the image (1) in the model's noise
    range, to within 2^-20: the inverse of ``percent_to_sigma``.
    """
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if float(model_sampling.percent_to_sigma(middle)) > sigma else (low, middle)
    return high


def affordable_batch(predictor: Predictor, x: torch.Tensor, conditionings: int, wanted: int) -> int:
    """The number of copies of ``x`` that fit into memory as one batch with ``conditionings`` texts,
    by ComfyUI's estimate; at least 1, at most ``wanted``.
    """
    free = comfy.model_management.get_free_memory(x.device)
    for count in range(wanted, 1, -1):
        shape = [count * conditionings * x.shape[0], *x.shape[1:]]
        if predictor.model.memory_required(shape) * 1.5 < free:
            return count
    return 1
