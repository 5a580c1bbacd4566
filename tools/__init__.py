"""Scripts that make files of this repository: `python run.py bench NAME`, or `python -m tools.NAME`
in it with COMFYUI_PATH set.
"""
