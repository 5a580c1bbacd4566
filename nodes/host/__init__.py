"""The only modules that import ComfyUI, so a change in ComfyUI affects only them."""
