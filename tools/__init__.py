"""Scripts that make files of this repository: `python run.py bench NAME`, or `python -m tools.NAME`
with COMFYUI_PATH set.
"""
