"""An existing ComfyUI and its Python. Standard library only, because run.py uses this first."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from pathlib import Path

from .console import Problem, last_line
from .files import venv_python
from .install import output_of

INSIDE = "SEMANTIC_EDIT_INSIDE"
"""Set when run.py has restarted itself with the environment's Python."""
SPINS = "10000"
"""How often a thread of torch on a CPU looks for work before it sleeps (libgomp's GOMP_SPINCOUNT).
With the default, some hundred thousand, a thread occupies its core while it waits for another one
that has none, and edits beside a busy process take several times as long. On idle cores the two are
equally fast; with OMP_WAIT_POLICY=passive (no looking at all) edits are slower there.
"""


@dataclasses.dataclass(frozen=True)
class Environment:
    """A ComfyUI and the Python that runs it. `private`: made by run.py."""

    python: Path
    comfyui: Path
    private: bool

    def variables(self) -> dict[str, str]:
        """Environment variables of children. No compiled files are written into a user's own
        ComfyUI.
        """
        variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONSAFEPATH", INSIDE)}
        variables.update(PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8")
        if "OMP_WAIT_POLICY" not in variables:
            variables.setdefault("GOMP_SPINCOUNT", SPINS)
        if self.private:
            for name in ("PYTHONPATH", "PYTHONHOME"):
                variables.pop(name, None)
        else:
            variables["PYTHONDONTWRITEBYTECODE"] = "1"
        return variables


def comfyui_tree(given: str, name: str) -> Path:
    tree = Path(given).expanduser().absolute()
    if not (tree / "main.py").is_file() or not (tree / "comfyui_version.py").is_file():
        unset = ", or unset it to use a private ComfyUI" if name == "COMFYUI_PATH" else ""
        raise Problem(
            f"{name} is {given}, which is not ComfyUI; expected a folder with main.py and comfyui_version.py. "
            f"Set it to the folder that contains ComfyUI's main.py{unset}."
        )
    return tree


def user_python(comfyui: Path) -> Path:
    """COMFYUI_PYTHON, else ComfyUI's own virtual environment, the portable build's Python, or this
    one.
    """
    given = os.environ.get("COMFYUI_PYTHON")
    if given:
        python = Path(shutil.which(given) or given).expanduser().absolute()
        complaint = unusable(python)
        if complaint:
            raise Problem(
                f"COMFYUI_PYTHON is {given}, which cannot be used: {complaint}. Set it to the Python that starts your "
                "ComfyUI."
            )
        return python
    candidates = [
        venv_python(comfyui / ".venv"),
        venv_python(comfyui / "venv"),
        comfyui.parent / "python_embeded" / "python.exe",
        Path(sys.executable),
    ]
    for python in candidates:
        if python.is_file() and not unusable(python):
            return python
    tried = ", ".join(str(python) for python in candidates if python.is_file())
    raise Problem(
        f"No Python for the ComfyUI in {comfyui} was found: none of these has torch: {tried}. "
        "Set COMFYUI_PYTHON to the Python that starts it."
    )


def unusable(python: Path) -> str:
    """The reason why a Python cannot run ComfyUI, or "". Torch is located but not imported, because
    that takes seconds.
    """
    script = "import importlib.util, sys; sys.exit(not importlib.util.find_spec('torch'))"
    try:
        code, text = output_of([python, "-c", script])
    except Problem as problem:
        return str(problem).rstrip(".")
    return "" if code == 0 else f"it has no torch{': ' + last_line(text) if text.strip() else ''}"
