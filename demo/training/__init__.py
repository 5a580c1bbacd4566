"""Training of the demo's networks: autoencoder, denoiser, instruction model, judge and CLIP. Makes
ComfyUI importable.
"""

from lab import common

common.use_comfyui()
