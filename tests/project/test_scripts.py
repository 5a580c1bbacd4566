"""Scripts that are run manually: benchmarks, tools, and the demo's training."""

import subprocess
import sys

from lab.common import PACK

SCRIPTS = [
    f"{folder}.{path.stem}"
    for folder in ("benchmarks", "demo", "tools")
    for path in sorted((PACK / folder).glob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]
# All in one process, because importing torch takes seconds.
IMPORT_EACH = """
import importlib, sys
failed = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(f"{name}: {error!r}")
sys.exit("\\n".join(failed) or 0)
"""


def test_every_script_finds_its_modules_when_it_is_run_as_a_module():
    """As with ``python -m benchmarks.thin_masks`` in the repository's folder, and with `run.py
    bench` anywhere.
    """
    assert len(SCRIPTS) > 20
    command = [sys.executable, "-c", IMPORT_EACH, *SCRIPTS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACK, timeout=300)
    assert done.returncode == 0, done.stderr
