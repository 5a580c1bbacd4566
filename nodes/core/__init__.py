"""The algorithms as pure functions on tensors. Nothing here imports ComfyUI; the network is always
passed in as a function.
"""
