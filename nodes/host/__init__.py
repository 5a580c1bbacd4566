"""The only modules that import ComfyUI. A change in ComfyUI is followed here."""
