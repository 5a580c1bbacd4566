"""run.py itself, --version, --json, -v and -q, and the lock files."""

import ast
import importlib.metadata
import json
import pathlib
import re
import signal
import subprocess
import sys

import pytest
import tomllib_compat as tomllib
from packaging.markers import Marker
from packaging.requirements import Requirement

from cli import scripts
from cli.files import ROOT
from cli.install import LOCKS, comfyui_files

EARLY = ("arguments", "console", "environment", "files", "install", "__init__", "batch.arguments", "batch.__init__")
"""Modules of cli that run.py uses before the environment exists."""
SYSTEMS = [
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
]
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# -- run.py --------------------------------------------------------------------------------------


def test_run_py_is_short_and_needs_the_standard_library_alone():
    assert len(read("run.py").splitlines()) <= 350
    for name in ("run.py", *(f"cli/{module.replace('.', '/')}.py" for module in EARLY)):
        for node in ast.walk(ast.parse(read(name))):
            roots = []
            if isinstance(node, ast.Import):
                roots = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                roots = [node.module.split(".")[0]]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module] if node.module else [alias.name for alias in node.names]
                assert set(names) <= set(EARLY), (name, names)
            inside = {"cli"} if name == "run.py" else set()
            assert set(roots) <= sys.stdlib_module_names | inside, (name, roots)


@pytest.mark.parametrize("version", [(3, 7, 17), (3, 9, 18)])
def test_an_old_python_gets_one_line(version):
    ast.parse(read("run.py"), feature_version=version[:2])
    script = (
        f"import runpy, sys; sys.version_info = {version}; runpy.run_path({str(ROOT / 'run.py')!r}, "
        "run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: run.py needs Python 3.10 or newer; this is Python ")


def test_help_version_and_wrong_arguments_make_no_environment(cli):
    for arguments, code in ((["--help"], 0), (["--version"], 0), (["edit", "--steps", "none"], 2), ([], 2)):
        assert cli(*arguments, COMFYUI_PATH=None).returncode == code
    assert not list(cli.home.iterdir())


def test_an_environment_without_comfyuis_packages_is_told(cli):
    (cli.clone / "cli" / "pictures.py").write_text("import surely_not_installed\n")
    done = cli("edit")
    assert done.returncode == 1
    assert "lacks surely_not_installed" in done.stderr
    assert "-m pip install -r" in done.stderr


def test_the_package_is_the_same_command(cli):
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--version"], cwd=cli.clone, env=cli.variables(), capture_output=True, text=True
    )
    assert done.stdout == cli("--version").stdout


# -- --version, --json, -q, -v -------------------------------------------------------------------


def test_version(cli):
    said = cli("--version").stdout
    assert re.fullmatch(r"semantic-edit 1\.2\.3 \(private ComfyUI: \d+\.\d+\.\d+\)\n", said)
    assert json.loads(cli("--json", "--version").stdout)["version"] == "1.2.3"


def test_json_is_one_object_with_the_files(cli):
    for arguments in (["edit", "--cpu", "--json"], ["--json", "edit", "--cpu"]):
        answer = json.loads(cli(*arguments).stdout)
        assert answer["ok"] is True
        assert answer["command"] == "edit"
        assert set(answer["files"]) == {"edited.png", "mask.png", "heatmap.png", "overview.png"}
        assert all((cli.work / path).is_file() for path in (*answer["files"].values(), answer["report"]))
    (cli.work / "g.json").write_text('{"1": {"class_type": "SaveImage", "inputs": {}}}')
    [path] = json.loads(cli("workflow", "g.json", "--cpu", "--json").stdout)["files"]
    assert (cli.work / path).is_file()


@pytest.mark.parametrize(
    "arguments, changes, code, words",
    [
        (["edit", "--image", "none.png"], {}, 1, "--source is missing"),
        (["edit", "--cpu"], {"FAKE_COMFYUI": "dies"}, 1, "ComfyUI stopped by itself"),
        (["edit", "--cpu"], {"COMFYUI_PATH": "nowhere"}, 1, "which is not ComfyUI"),
        (["edit", "--steps", "0"], {}, 2, "from 1 to 10000"),
        (["dance"], {}, 2, "invalid choice"),
        (["bench", "slow"], {}, 1, "there is no such benchmark"),
    ],
)
def test_json_tells_failures_as_well(cli, arguments, changes, code, words):
    done = cli("--json", *arguments, **changes)
    answer = json.loads(done.stdout)
    assert done.returncode == answer["exit_code"] == code
    assert answer["ok"] is False
    assert words in answer["error"]


def test_json_tells_an_interruption(cli):
    process = cli.start("edit", "--cpu", "--json", FAKE_COMFYUI="hangs")
    cli.recorded("pids.json", patience=120)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert json.loads(out) == {"ok": False, "error": json.loads(out)["error"], "exit_code": 130}


def test_json_of_a_script_has_its_exit_code(cli):
    (cli.clone / "benchmarks").mkdir()
    (cli.clone / "benchmarks" / "speed.py").write_text(
        '"""Fast."""\nassert __name__ == "__main__"\nprint("fast")\nexit(5)\n'
    )
    listed = json.loads(cli("--json", "bench", "--list").stdout)
    assert listed["benchmarks"] == {"speed": "Fast."}
    done = cli("--json", "bench", "speed")
    assert json.loads(done.stdout) == {"ok": False, "command": "bench", "exit_code": 5}
    assert "fast" in done.stderr
    assert done.returncode == 5


def test_json_of_the_editor_comes_when_it_is_ready(cli):
    process = cli.start("ui", "--cpu", "--no-browser", "--json")
    answer = json.loads(process.stdout.readline())
    assert answer["ok"]
    assert answer["address"].startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "")


def test_quiet_shows_errors_alone_and_verbose_shows_comfyuis_log(cli):
    done = cli("edit", "--cpu", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert "edited.png" in done.stdout
    assert cli("edit", "-q", "--mask", "none.png").stderr == "error: none.png: no such file.\n"
    assert "ComfyUI: the stand-in listens" in cli("edit", "--cpu", "-v").stderr
    assert cli("edit", "-q", "-v").returncode == 2


# -- locks ---------------------------------------------------------------------------------------


def entries(name: str) -> list[str]:
    return re.split(r"\n(?=\S)", read(f"cli/locks/{name}.txt").strip())


def requirements(name: str, system: dict, python: str) -> dict[str, str]:
    """Versions by package in a lock file, for one system."""
    facts = system | {"python_version": python, "python_full_version": f"{python}.1", "implementation_name": "cpython"}
    facts["platform_python_implementation"] = "CPython"
    result = {}
    for entry in entries(name):
        wanted = Requirement(entry.split(" \\")[0])
        if wanted.marker is None or Marker(str(wanted.marker)).evaluate(facts):
            assert wanted.name not in result, (name, wanted.name)
            result[wanted.name] = str(wanted.specifier).removeprefix("==")
    return result


def test_every_locked_requirement_has_hashes_and_no_file_names_a_host():
    assert {path.name for path in LOCKS.iterdir()} == {
        *("comfyui.sha256", "comfyui.txt", "torch.txt", "test.txt", "pip.txt", "uv.txt")
    }
    for path in LOCKS.glob("*.txt"):
        assert not re.search(r"://|--index|--find-links|--extra", path.read_text(encoding="utf-8"))
        for entry in entries(path.stem):
            assert re.match(r"[a-z0-9-]+==\S+", entry), entry
            assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: f"{system['sys_platform']}-{system['platform_machine']}")
def test_the_locks_hold_all_of_it_on_every_system(system, python):
    comfyui, torch, test = (requirements(name, system, python) for name in ("comfyui", "torch", "test"))
    assert {"aiohttp", "pillow", "tqdm", "filelock", "psutil", "safetensors", "numpy", "transformers"} <= set(comfyui)
    assert {"torch", "torchvision", "torchaudio"} <= set(torch)
    cuda = {name for name in torch if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert bool(cuda) == (system["sys_platform"] == "linux")
    assert not [name for name in (*comfyui, *test) if name.startswith(("nvidia-", "cuda-", "torch=="))]
    assert not set(comfyui) & set(torch)
    assert not set(test) & (set(comfyui) | set(torch))


def test_the_locks_agree_with_what_they_are_made_from(run):
    locked = requirements("torch", SYSTEMS[0], "3.11")
    assert [f"{name}=={locked[name]}" for name in ("torch", "torchvision", "torchaudio")] == list(run.TORCH)
    wanted = [Requirement(text) for text in (*scripts.extra_packages("test"), *scripts.extra_packages("clients"))]
    locked = requirements("test", SYSTEMS[0], "3.11")
    for package in wanted:
        assert package.specifier.contains(locked[package.name]), package
    files = comfyui_files()
    assert {"main.py", "requirements.txt", "custom_nodes/websocket_image_save.py", "utils/extra_config.py"} <= set(
        files
    )
    assert not [name for name in files if name.endswith((".pyc", ".so"))]
    assert tomllib.loads(read("pyproject.toml"))["project"]["version"]


def test_an_environment_that_run_py_made_has_the_locked_versions(run):
    home = pathlib.Path(sys.prefix).parent
    if not (home / "stamps" / "requirements").is_file() or "-" not in home.name:
        pytest.skip("this is not an environment of run.py")
    system = {"sys_platform": sys.platform, "platform_system": "", "os_name": "", "platform_machine": ""}
    python = "{}.{}".format(*sys.version_info)
    locked = requirements("comfyui", SYSTEMS[0] | {key: value for key, value in system.items() if value}, python)
    different = {
        name: (version, importlib.metadata.version(name))
        for name, version in locked.items()
        if importlib.metadata.version(name) != version
    }
    if home.name != run.PrivateHome().folder.name:
        pytest.skip("an environment with other pins")
    assert different == {}
