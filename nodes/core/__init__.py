"""The algorithms as pure functions on tensors. Nothing here knows ComfyUI: the network is always a
function handed in.
"""
