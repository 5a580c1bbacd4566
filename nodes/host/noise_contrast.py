"""DiffEdit's contrast through ComfyUI: two texts, several noises, no unconditional pass; remembered until something it depends on changes."""
import torch

from ..core import diffedit
from .cache import Recent, fingerprint
from .latents import item_indices, read_latent, seeded_noise
from .progress import Progress
from .sampling import Predictor, affordable_batch, make_guider, run_algorithm, sigma_at_strength

RECENT = Recent()
NODE = "DiffEditMask"


def contrast_of_texts(model, source, target, latent: dict, seed: int, noises: int, strength: float) -> torch.Tensor:
    """The mean difference of the two predictions, [B, h, w] (video: [B, T, h, w]) on the CPU. Texts that are the same cost nothing and give zeros."""
    samples = read_latent(NODE, latent, model)
    if not 0 < strength <= 1:
        raise ValueError(f"{NODE}: got noise_strength {strength}; expected more than 0 and at most 1 (the paper uses 0.5).")
    if noises < 1:
        raise ValueError(f"{NODE}: got noises {noises}; expected at least 1 (the paper uses 10).")
    texts = fingerprint(source), fingerprint(target)
    if texts[0] == texts[1]:
        return torch.zeros(samples.shape[0], *samples.shape[2:])
    seeds = [seed + index for index in item_indices(latent, samples.shape[0])]
    key = (fingerprint([model, getattr(model, "patches_uuid", None)]), texts, fingerprint(samples), tuple(seeds), noises, strength)
    return RECENT.get(key, lambda: _measure(model, source, target, samples, seeds, noises, strength))


def _measure(model, source, target, samples: torch.Tensor, seeds: list[int], noises: int, strength: float) -> torch.Tensor:
    sigma = sigma_at_strength(model, strength)
    # One generator an item, N noises drawn from each: [N, B, C, ...].
    drawn = torch.stack([seeded_noise((noises, *samples.shape[1:]), [one])[0] for one in seeds], dim=1)
    progress = Progress(noises)

    def run(predictor: Predictor, x0: torch.Tensor) -> torch.Tensor:
        def predict_both(x):
            # ComfyUI knows two names: "positive" is the target, "negative" the source.
            eps_target, eps_source = predictor.eps_of_each(x, sigma, ("positive", "negative"))
            return eps_source, eps_target

        chunk = affordable_batch(predictor, x0, 2, noises)
        return diffedit.noise_contrast(predict_both, lambda noise: predictor.noised(x0, noise.to(x0), sigma), drawn, chunk,
                                       lambda done: progress.advance(done - progress.done)).float().cpu()

    try:
        contrast = run_algorithm(make_guider(model, target, source), samples, torch.tensor([sigma, 0.0]), run)
    except ValueError as error:
        if "does not apply" not in str(error):
            raise
        name = "target" if "positive" in str(error) else "source"
        raise ValueError(f"{NODE}: the {name} conditioning says nothing at noise_strength {strength}; widen its timestep range or change noise_strength.") from error
    if not torch.isfinite(contrast).all():
        raise ValueError(f"{NODE}: the model predicted NaN or infinite values at noise_strength {strength}; try another precision for the model.")
    return contrast
