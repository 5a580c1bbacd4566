"""What benchmarks, tools and training share: ComfyUI in this process, nodes as it calls them,
statistics.
"""
