"""Shared by benchmarks, tools and training: ComfyUI in this process, calling nodes, statistics."""
