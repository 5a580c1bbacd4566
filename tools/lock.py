"""Write cli/locks: the requirements of the private environment with their hashes, for every system
and Python.

    python -m tools.lock COMFYUI

COMFYUI is the tree of the pinned release; `uv` must be on the path. The pins of ComfyUI and of
torch are in run.py.
"""

import argparse
import ast
import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile

import tomllib

PACK = pathlib.Path(__file__).resolve().parents[1]
LOCKS = PACK / "cli" / "locks"
COMPILE = ["uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate"]
COMPILE += ["--python-version", "3.10"]
TORCH_PARTS = re.compile(r"(torch|torchvision|torchaudio|triton|nvidia-.*|cuda-.*)==")
"""torch and the libraries of its CUDA build, which other builds do not need."""
TOOLS = {"pip.txt": "pip==25.3", "uv.txt": "uv==0.13.9"}
EXTRAS = {"test.txt": ("test", "clients", "batch")}
LEFT_OUT = ("tests", "tests-unit")
COMPILED = (".pyc", ".pyo", ".so", ".pyd", ".dll", ".dylib", ".exe")


def compiled(requirements: list[str], constraints: str = "") -> list[str]:
    """The entries of a lock file, each a requirement with its hashes."""
    with tempfile.TemporaryDirectory() as folder:
        requirements_file, constraints_file = pathlib.Path(folder, "wanted.in"), pathlib.Path(folder, "given.txt")
        requirements_file.write_text("\n".join(requirements), encoding="utf-8")
        constraints_file.write_text(constraints, encoding="utf-8")
        done = subprocess.run(
            [*COMPILE, str(requirements_file), "-c", str(constraints_file)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return re.split(r"\n(?=\S)", done.stdout.strip())


def write(name: str, entries: list[str]) -> None:
    (LOCKS / name).write_text("\n".join(entries) + "\n", encoding="utf-8")
    print(f"{name}: {len(entries)} entries")


def is_pinned(path: pathlib.PurePath) -> bool:
    """Whether a path is one of ComfyUI's files that are run or served: not compiled, not a test,
    not a setting of its repository.
    """
    top = path.parts[0]
    is_own = top not in LEFT_OUT and not top.startswith(".")
    return is_own and "__pycache__" not in path.parts and path.suffix not in COMPILED


def write_files(tree: pathlib.Path) -> None:
    files = {path.relative_to(tree).as_posix(): path for path in tree.rglob("*") if path.is_file()}
    names = sorted(name for name in files if is_pinned(pathlib.PurePosixPath(name)))
    lines = [f"{hashlib.sha256(files[name].read_bytes()).hexdigest()}  {name}" for name in names]
    write("comfyui.sha256", lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comfyui", type=pathlib.Path)
    tree = parser.parse_args().comfyui
    [pins] = re.findall(r"^TORCH = (\(.*\))$", (PACK / "run.py").read_text(encoding="utf-8"), re.MULTILINE)
    torch = list(ast.literal_eval(pins))
    LOCKS.mkdir(exist_ok=True)
    write_files(tree)
    entries = compiled([*(tree / "requirements.txt").read_text(encoding="utf-8").splitlines(), *torch])
    write("torch.txt", [entry for entry in entries if TORCH_PARTS.match(entry)])
    write("comfyui.txt", [entry for entry in entries if not TORCH_PARTS.match(entry)])
    names = {entry.split("==")[0] for entry in entries}
    project = tomllib.loads((PACK / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    for name, groups in EXTRAS.items():
        wanted = [package for group in groups for package in extras[group]]
        files = compiled([*wanted, *torch], "\n".join(entries))
        write(name, [entry for entry in files if entry.split("==")[0] not in names])
    for name, requirement in TOOLS.items():
        write(name, compiled([requirement]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
