"""Scripts that measure: `python run.py bench NAME`, or `python -m benchmarks.NAME` in the
repository with COMFYUI_PATH set.
"""
