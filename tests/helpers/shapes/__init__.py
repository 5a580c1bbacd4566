"""A world of coloured shapes with exact geometry, and a small model of it: test data.

``scenes`` draws it, ``judge`` reads pictures of it without a network, ``model`` teaches ComfyUI's stock loaders the
architecture of ``tests/data/shapes/semantic-edit-shapes.safetensors``, which was trained on it.
"""
