"""Build the zip for the registry by .comfyignore's rules, print its size, and refuse a zip that
lacks a needed file or contains an unneeded one.

    python run.py bench package --output semantic-edit.zip

The files are those of `comfy node pack`: the files that git tracks, without those that .comfyignore
names.
"""

import argparse
import fnmatch
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict

PACK = pathlib.Path(__file__).resolve().parents[1]
NEEDED = (
    "__init__.py",
    "pyproject.toml",
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "run.py",
    "cli/*.py",
    "cli/locks/*",
    "nodes/__init__.py",
    "nodes/core/*/*.py",
    "nodes/edits/*/*.py",
    "nodes/host/*.py",
    "js/semantic_edit.js",
    "js/semantic_edit.css",
    "js/docs/DiffEditMask.md",
    "js/docs/media/*.png",
    "js/docs/media/edit.webp",
    "locales/*/nodeDefs.json",
    "locales/*/main.json",
    "workflows/A first edit (press Run).json",
    "workflows/A first edit (press Run).jpg",
    "workflows/api/demo.json",
    "subgraphs/*.json",
    "models/checkpoints/semantic-edit-demo.safetensors",
    "models/diffusion_models/semantic-edit-things-instruct.safetensors",
    "models/clip_rank/semantic-edit-demo/config.json",
    "models/clip_rank/semantic-edit-demo/*.safetensors",
    "demo/samples/*.png",
    "demo/samples/first.json",
    "demo/NOTICE",
)
"""Patterns, each of which at least one file of the zip has to match."""
UNWANTED = (
    "tests/*",
    "benchmarks/*",
    "lab/*",
    "tools/*",
    "screenshots/*",
    ".github/*",
    ".ci/*",
    "demo/*.py",
    "demo/training/*",
    "demo/world/*",
    "demo/sprites/*",
    "models/judge.safetensors",
    "comfy-test.toml",
    "*.pyc",
    "*.pt",
    "*.log",
    "*.zip",
)
LIMIT = 50_000_000
"""Maximum size in bytes."""


def git(*arguments: str) -> list[str]:
    """The files that ``git ls-files`` lists for these arguments."""
    done = subprocess.run(
        ["git", "-C", str(PACK), "ls-files", "-z", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return [name for name in done.stdout.split("\0") if name]


def packed_files() -> list[str]:
    """Paths of the zip's files within the pack, with forward slashes."""
    left_out = set(git("--cached", "--ignored", "--exclude-from", str(PACK / ".comfyignore")))
    return sorted(name for name in git() if name not in left_out and (PACK / name).is_file())


def faults_of(files: list[str]) -> list[str]:
    """Problems with a list of files; empty if there are none."""
    missing = [
        f"missing: {pattern}" for pattern in NEEDED if not any(fnmatch.fnmatchcase(name, pattern) for name in files)
    ]
    return missing + [
        f"unwanted: {name}" for name in files if any(fnmatch.fnmatchcase(name, pattern) for pattern in UNWANTED)
    ]


def versions() -> tuple[str, list[str]]:
    """The project's version, and the versions in CHANGELOG.md, newest first."""
    [version] = re.findall(r'^version = "([^"]+)"', (PACK / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    return version, re.findall(
        r"^## \[?([^\]\s]+)\]?", (PACK / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )


def build(target: pathlib.Path) -> list[str]:
    """Write the zip; returns its files."""
    files = packed_files()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in files:
            archive.write(PACK / name, name)
    return files


def report(target: pathlib.Path) -> str:
    """Size of the zip and compressed sizes of its parts."""
    sizes: dict[str, int] = defaultdict(int)
    counts: dict[str, int] = defaultdict(int)
    with zipfile.ZipFile(target) as archive:
        for item in archive.infolist():
            part = item.filename.split("/")[0] + "/" if "/" in item.filename else "files at the top"
            sizes[part] += item.compress_size
            counts[part] += 1
    lines = [
        f"{part:20} {counts[part]:4} files {sizes[part] / 1e6:8.2f} MB"
        for part in sorted(sizes, key=sizes.__getitem__, reverse=True)
    ]
    return "\n".join([*lines, f"{'zip':20} {sum(counts.values()):4} files {target.stat().st_size / 1e6:8.2f} MB"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, help="save the zip to this file")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = settings.output or pathlib.Path(folder) / "semantic-edit.zip"
        faults = faults_of(build(target))
        print(report(target))
        if target.stat().st_size > LIMIT:
            faults.append(f"too large: more than {LIMIT / 1e6:.0f} MB")
    version, told = versions()
    if version not in told:
        faults.append(f"CHANGELOG.md has no section for version {version}")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
