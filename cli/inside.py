"""ComfyUI in this process: the import path, and the definitions of its nodes as its server returns
them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def import_first(folders: Iterable[Path | str]) -> None:
    """Put folders at the front of the import path, in this order, without duplicates.

    ComfyUI's tree goes first: the repository's ``nodes/`` would hide ComfyUI's ``nodes.py``.
    """
    first = [Path(folder).resolve() for folder in folders]
    others = [entry for entry in sys.path if Path(entry or os.getcwd()).resolve() not in first]
    sys.path[:] = [*map(str, first), *others]


def definition_of(node: Any) -> dict[str, Any]:
    """A node class in the format of /object_info, limited to the fields that the command line
    reads.
    """
    if hasattr(node, "GET_NODE_INFO_V1"):
        return node.GET_NODE_INFO_V1()
    inputs = node.INPUT_TYPES()
    order = {section: list(names) for section, names in inputs.items()}
    return {"input": inputs, "input_order": order, "output_node": getattr(node, "OUTPUT_NODE", False)}
