"""Whether rows of a batch run that share model and settings are faster as one batch, with the same
results: the part ``batching`` of ``bench batch_rate``.
"""

import argparse
import time

import numpy as np

from lab import common

TEXTS = ("a red ball on grass", "a dog on sand", "a blue cup on a table", "a yellow car on a road")


def batching(settings: argparse.Namespace) -> dict:
    """CPU seconds of four rows as one batch and one by one, with one text and with four, and
    whether the pixels are equal.

    The two ways alternate, three times each; the minimum of each is used.
    """
    from cli.batch.worker import as_pixels

    demo, cases = common.Demo(), []
    for side in settings.batched_sides:
        pictures = torch_pictures(len(TEXTS), side)
        for texts in (TEXTS[:1] * len(TEXTS), TEXTS):

            def edited(start: int, count: int, pictures=pictures, texts=texts):
                rows = slice(start, start + count)
                latent = demo.encode(pictures[rows]) | {"batch_index": [*range(start, start + count)]}
                made = demo.run(
                    "KSampler", model=demo.model, positive=demo.texts(*texts[rows]), negative=demo.texts(""),
                    latent_image=latent, seed=0, steps=settings.steps, cfg=7.5, sampler_name="ddim",
                    scheduler="normal", denoise=0.8,
                )  # fmt: skip
                return [as_pixels(image) for image in demo.decode(made[0])]

            edited(0, 1)
            spent: dict[str, list[float]] = {"single": [], "together": []}
            for _ in range(3):
                began = time.process_time()
                single = [edited(number, 1)[0] for number in range(len(TEXTS))]
                middle = time.process_time()
                together = edited(0, len(TEXTS))
                spent["single"].append(middle - began)
                spent["together"].append(time.process_time() - middle)
            differences = [np.abs(a.astype(int) - b) for a, b in zip(single, together)]
            cases.append({
                "side": side, "texts": len(set(texts)), "steps": settings.steps,
                "one_by_one_s": min(spent["single"]), "one_batch_s": min(spent["together"]),
                "largest_difference_of_255": max(int(values.max()) for values in differences),
                "equal_rows": sum(not values.any() for values in differences), "rows": len(TEXTS),
            })  # fmt: skip
    return {"cases": cases}


def torch_pictures(count: int, side: int):
    """Random IMAGE [count, side, side, 3], the same at every call."""
    import torch

    small = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(small, size=(side, side), mode="bicubic").clamp(0, 1).movedim(1, -1)
