"""Training of the demo's networks: autoencoder, denoiser, instruction model, judge and CLIP."""
