"""Scripts that are run by hand: benchmarks, makers, and the demo's trainers."""
import pathlib
import subprocess
import sys

PACK = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path for folder in ("benchmarks", "demo", "tools") for path in (PACK / folder).glob("*.py"))
# All in one process, since torch takes seconds to import; own modules and the path start anew for each script.
IMPORT_EACH = """
import pathlib, runpy, sys
import torch
pack, scripts, path, failed = pathlib.Path(sys.argv[1]), sys.argv[2:], list(sys.path), []
for script in scripts:
    for name, module in list(sys.modules.items()):
        if pack in pathlib.Path(getattr(module, "__file__", None) or "/").parents:
            del sys.modules[name]
    sys.path[:] = [str(pathlib.Path(script).parent), *path]
    try:
        runpy.run_path(script, run_name="imported")
    except Exception as error:
        failed.append(f"{script}: {error!r}")
sys.exit("\\n".join(failed) or 0)
"""


def test_every_script_finds_its_modules_when_it_is_run_by_its_path(tmp_path):
    """As ``python benchmarks/thin_masks.py`` does, where only the script's own folder is on the path."""
    assert len(SCRIPTS) > 20
    command = [sys.executable, "-I", "-c", IMPORT_EACH, str(PACK), *map(str, SCRIPTS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
