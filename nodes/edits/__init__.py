"""The work of each node, on ComfyUI's objects. Imports ``host`` and ``core``."""
