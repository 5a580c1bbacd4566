"""Coloured shapes with exact geometry, and a small model trained on them: test data.

``scenes`` draws them, ``judge`` identifies them in pictures without a network, ``model`` registers
the architecture of ``tests/data/shapes/semantic-edit-shapes.safetensors`` with ComfyUI's stock
loaders.
"""
