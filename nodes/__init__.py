"""Semantic Edit's nodes. ComfyUI is imported only when it asks for the extension; ``nodes.core``
works without it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .extension import SemanticEdit


async def comfy_entrypoint() -> "SemanticEdit":
    """The extension, for ComfyUI's loader."""
    from .extension import SemanticEdit

    return SemanticEdit()
