"""Problems with the pack's folder in ``custom_nodes``, logged once while ComfyUI loads the pack."""

import logging
import pathlib
import re
import sys

FOLDER = pathlib.Path(__file__).parents[2]
"""The pack's folder with the name that ComfyUI uses; links are not resolved."""


def warn_about_folder(folder: pathlib.Path = FOLDER) -> None:
    """Log a warning if the folder's name or a second installation causes problems."""
    for problem in (unservable_name(folder.name), second_installation(folder)):
        if problem:
            logging.warning("Semantic Edit: %s", problem)


def unservable_name(name: str) -> str | None:
    """A warning if ComfyUI cannot serve the extension's files from a folder of this name, else
    None.
    """
    if re.fullmatch(r"[A-Za-z0-9._+-]+", name):
        return None
    return (
        f"its folder is called {name!r}; ComfyUI cannot serve the editor extension, the help pages and the templates "
        "from a folder whose name has a space, a bracket or a letter outside ASCII. The nodes work. "
        "Rename the folder to semantic-edit and restart."
    )


def second_installation(folder: pathlib.Path) -> str | None:
    """A warning if another folder contains this pack, else None. ComfyUI uses the nodes that were
    loaded last, and the editor loads both scripts.
    """
    known = getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", {})
    module = sys.modules.get(getattr(known.get("DiffEditMask"), "__module__", ""))
    file = getattr(module, "__file__", None)
    other = pathlib.Path(file).parents[1] if file else None
    if other is None or other.resolve() == folder.resolve():
        return None
    return f"installed twice, in {other} and in {folder}; remove one of them and restart."
