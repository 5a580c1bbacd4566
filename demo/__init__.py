"""The demo worlds: their scenes, judges, measures and training. `python -m demo.NAME` in the
repository with COMFYUI_PATH set.
"""
