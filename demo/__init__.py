"""The demo world: its scenes, judge, measurements and training. `python -m demo.NAME` in the
repository with COMFYUI_PATH set.
"""
