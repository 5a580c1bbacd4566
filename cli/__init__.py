"""The command line of Semantic Edit. run.py starts it with a Python that has ComfyUI's
requirements.

`arguments`, `console`, `environment`, `files` and `install` import the standard library only:
run.py uses them before there is an environment.
"""
