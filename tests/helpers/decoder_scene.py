"""A picture, its edit and a mask for a tiny VAE, for DecoderFinetune's tests."""

import torch

SIZE = 32


def scene(vae, size: int = SIZE, batch: int = 1):
    """A smooth source, its latent with the middle replaced, and the mask."""
    axis = torch.linspace(0, 3, size)
    image = (
        torch.stack([torch.sin(axis[:, None] + 2 * k) * torch.cos(axis[None] * (1 + k)) for k in range(3)], -1)[None]
        * 0.4
        + 0.5
    )
    with torch.inference_mode():
        latent = vae.encode(image).float().repeat_interleave(batch, 0)
        cells = latent.shape[-1]
        latent[..., cells // 4 : 3 * cells // 4, cells // 4 : 3 * cells // 4] += 0.5
    mask = torch.zeros(1, size, size)
    mask[:, size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 1
    return {"vae": vae, "image": image, "latent": {"samples": latent}, "mask": mask}


def report(output) -> dict:
    return output.ui["report"][0]
