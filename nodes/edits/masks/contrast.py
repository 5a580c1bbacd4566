"""DiffEdit's contrast through ComfyUI: two texts, or one instruction and the image, with several
noises and without an unconditional pass. Results are cached until an input changes.
"""

from collections.abc import Iterator

import torch

from ...core.errors import NodeError
from ...core.masks import diffedit
from ...core.masks.diffedit import Contrast
from ...host import memory
from ...host.cache import Recent
from ...host.latents import item_seeds, read_latent
from ...host.model_identity import fingerprint
from ...host.progress import Progress
from ...host.sampling import Predictor, affordable_batch, make_guider, run_algorithm, sigma_at_strength
from ...host.seen_picture import sees_picture
from ...host.step_caches import without_step_caches

RECENT = Recent()
BLIND = (
    "got a target without a source, and without an image that this model uses; expected two texts, source and target, "
    "or an instruction-based editing model with the image in the target (ReferenceLatent, TextEncodeQwenImageEdit with "
    "a vae, InstructPixToPixConditioning); connect a source, or add the image to the target."
)
EVERYDAY = 128 * 128
"""Maximum number of latent cells per pass of the network, except for single larger latents: that of
an image of 1024 x 1024 pixels, which every device can sample.
"""


def contrast_of_texts(model, source, target, latent: dict, seed: int, noises: int, strength: float) -> Contrast:
    """The difference of the two predictions, of size [B, h, w] (video: [B, T, h, w]), on the CPU. Equal
    texts give zeros without an evaluation.

    Without a ``source`` the prediction under ``target`` is compared with that of a network that
    would leave the image unchanged, at half the cost.

    Raises:
        NodeError: no source and no image in the target, a text that does not apply at this noise
            level, or predictions that are not finite.
    """
    samples = read_latent(latent, model)
    if not 0 < strength <= 1:
        raise NodeError(f"got noise_strength {strength}; expected more than 0 and at most 1 (the paper uses 0.5).")
    if noises < 1:
        raise NodeError(f"got noises {noises}; expected at least 1 (the paper uses 10).")
    texts = fingerprint(source), fingerprint(target)
    if source is not None and texts[0] == texts[1]:
        return Contrast(torch.zeros(samples.shape[0], *samples.shape[2:]), torch.zeros(samples.shape))
    seeds = item_seeds(latent, samples.shape[0], seed)
    model = without_step_caches(model)
    key = (fingerprint(model), texts, fingerprint(samples), tuple(seeds), noises, strength)
    return RECENT.get(key, lambda: _measure(model, source, target, samples, seeds, noises, strength))


def _measure(model, source, target, samples: torch.Tensor, seeds: list[int], noises: int, strength: float) -> Contrast:
    sigma = sigma_at_strength(model, strength)
    progress = Progress(noises)

    def draw() -> Iterator[torch.Tensor]:
        generators = [torch.Generator().manual_seed(value) for value in seeds]
        for _ in range(noises):
            yield torch.stack([torch.randn(samples.shape[1:], generator=generator) for generator in generators])

    def run(predictor: Predictor, x0: torch.Tensor) -> Contrast:
        predict_both = _predictions(predictor, x0, sigma, source is not None)

        def contrast(chunk: int) -> Contrast:
            found = diffedit.noise_contrast(
                predict_both,
                lambda noise: predictor.noised(x0, noise.to(x0), sigma),
                draw(),
                chunk,
                lambda done: progress.advance(done - progress.done),
            )
            return Contrast(*(part.float().cpu() for part in found))

        # One noise with two texts needs as much memory as KSampler with a text and its negative.
        # Small latents are batched, as far as memory allows.
        chunk = min(noises, max(1, EVERYDAY // (x0.numel() // x0.shape[1])))
        chunk = chunk if chunk == 1 else affordable_batch(predictor, x0, 2, chunk)
        try:
            return contrast(chunk)
        except memory.OutOfMemory:
            if chunk == 1:
                raise
        memory.give_back()
        return contrast(1)

    try:
        contrast = run_algorithm(make_guider(model, target, source), samples, torch.tensor([sigma, 0.0]), run)
    except ValueError as error:
        if "does not apply" not in str(error):
            raise
        name = "target" if "positive" in str(error) else "source"
        raise NodeError(
            f"the {name} conditioning does not apply at noise_strength {strength}; widen its timestep range or change "
            "noise_strength."
        ) from error
    if not torch.isfinite(contrast.size).all():
        raise NodeError(
            f"the model predicted NaN or infinite values at noise_strength {strength}; try another precision for the "
            "model."
        )
    return contrast


def _predictions(predictor: Predictor, x0: torch.Tensor, sigma: float, has_source: bool):
    """The predictions to compare, for ``diffedit.noise_contrast``. ComfyUI names the conditionings:
    the target is "positive", the source "negative".
    """
    if not has_source:
        if not sees_picture(predictor, "positive"):
            raise NodeError(BLIND)
        return diffedit.picture_as_source(lambda x: predictor.eps_of_each(x, sigma, ("positive",))[0], x0, sigma)

    def predict_texts(x):
        eps_target, eps_source = predictor.eps_of_each(x, sigma, ("positive", "negative"))
        return eps_source, eps_target

    return predict_texts
