"""Semantic Edit: edit real images by text in ComfyUI. This file is only the door; everything lives
in ``nodes/``.
"""

from .nodes import comfy_entrypoint

WEB_DIRECTORY = "./js"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
