"""pip's part of the private environment: its output, its failures, the build of torch."""

import os
import pathlib
import shutil
import subprocess
import sys
import types

import pytest

from cli import install
from cli.console import Problem

posix_only = pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for Python")


def stand_in(tmp_path: pathlib.Path, text: str, code: int) -> pathlib.Path:
    """A "Python" whose pip prints this text."""
    path = tmp_path / "python"
    (tmp_path / "said.txt").write_text(text)
    path.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exit 0\nenv > "{tmp_path}/env.txt"\necho "$@" > "{tmp_path}/arguments.txt"\n'
        f'cat "{tmp_path}/said.txt"\nexit {code}\n'
    )
    path.chmod(0o755)
    return path


@posix_only
def test_pip_is_condensed(tmp_path, capsys):
    text = (
        "Collecting torch\n  Using cached metadata\n"
        + "".join(f"Progress {done} of 50000000\n" for done in range(0, 50000001, 1000000))
        + "Installing collected packages: torch\n"
    )
    install.run_pip(
        stand_in(tmp_path, text, 0), ["install", "torch"], tmp_path, {"PATH": os.environ["PATH"], "PIP_TARGET": "x"}
    )
    lines = capsys.readouterr().err.splitlines()
    assert "    Collecting torch" in lines
    assert "    Installing collected packages: torch" in lines
    assert not any("cached" in line for line in lines)
    assert "    downloading  50% 25.0 MB of 50.0 MB" in lines
    assert len(lines) == 2 + 11
    variables = (tmp_path / "env.txt").read_text()
    assert f"TMPDIR={tmp_path}" in variables
    assert "PIP_TARGET" not in variables
    assert "--progress-bar raw" in (tmp_path / "arguments.txt").read_text()


@posix_only
@pytest.mark.parametrize(
    "text, words",
    [
        (
            "Collecting x\nERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
            "The disk of .* is full. Free some space",
        ),
        (
            "WARNING: Retrying after NewConnectionError(...)\nERROR: No matching distribution found for x\n",
            "there is no network.*completed steps are kept",
        ),
        ("ERROR: No matching distribution found for x\n", "pip failed .*\n    ERROR: No matching"),
    ],
)
def test_pip_failures_say_what_to_do(tmp_path, text, words):
    with pytest.raises(Problem, match="(?s)" + words):
        install.run_pip(stand_in(tmp_path, text, 1), ["install", "x"], tmp_path, {"PATH": os.environ["PATH"]})


def test_no_network(tmp_path):
    variables = dict(
        os.environ,
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_EXTRA_INDEX_URL="",
        PIP_FIND_LINKS="",
        PIP_CONFIG_FILE=os.devnull,
    )
    with pytest.raises(Problem, match="there is no network"):
        install.run_pip(pathlib.Path(sys.executable), ["download", "no-such-thing"], tmp_path, variables)


@pytest.fixture
def pip_calls(monkeypatch):
    """The calls of pip, which is not run; calls with a word of `refuse` fail."""
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
    ((arguments, variables),) = pip_calls.made
    assert arguments == ["install", "--no-deps", "--require-hashes", "-r", str(install.LOCKS / "torch.txt")]
    assert (
        list(pathlib.Path(variables["PIP_FIND_LINKS"]).iterdir()) == []
    )  # with an empty text pip's configuration file would still apply
    assert set(run.TORCH) <= {line.split(" ")[0] for line in (install.LOCKS / "torch.txt").read_text().splitlines()}


@pytest.mark.parametrize(
    "system, nvidia, given, backend",
    [
        ("linux", True, None, ""),
        ("linux", False, None, "cpu"),
        ("darwin", False, None, ""),
        ("win32", False, None, ""),
        ("win32", True, None, "cu130"),
        ("linux", True, "cpu", "cpu"),
        ("linux", False, "default", ""),
    ],
)
def test_torchs_build_is_chosen_for_the_machine(run, monkeypatch, system, nvidia, given, backend):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(run, "WINDOWS", system == "win32")
    monkeypatch.setattr(run, "NVIDIA_SIGNS", (__file__,) if nvidia else ())
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("SEMANTIC_EDIT_TORCH", raising=False)
    if given:
        monkeypatch.setenv("SEMANTIC_EDIT_TORCH", given)
    assert run.torch_backend() == backend


def test_a_machine_without_nvidia_downloads_no_cuda_where_a_cpu_build_can_be_had(
    run, home, monkeypatch, pip_calls, capsys
):
    monkeypatch.setattr(run, "torch_backend", lambda: "cpu")
    run.PrivateHome().install_torch()
    ((arguments, _),) = (
        pip_calls.made
    )  # all three, so that they match: a CPU build beside an ordinary torchvision breaks the import
    assert arguments == [
        "install",
        "--no-deps",
        "torch==2.13.0+cpu",
        "torchvision==0.28.0+cpu",
        "torchaudio==2.11.0+cpu",
    ]
    pip_calls.made, pip_calls.refuse = [], ("+cpu",)
    run.PrivateHome().install_torch()  # pip's own index has none, PyTorch's has
    assert [arguments[-1] for arguments, _ in pip_calls.made] == [
        "torchaudio==2.11.0+cpu",
        str(install.LOCKS / "uv.txt"),
    ]
    assert "CUDA" not in capsys.readouterr().err


def test_where_only_the_cuda_build_can_be_had_it_is_said(run, home, monkeypatch, pip_calls, capsys):
    monkeypatch.setattr(run, "torch_backend", lambda: "cpu")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(install, "output_of", lambda command, **options: ("uv" in command, ""))
    pip_calls.refuse = ("+cpu",)
    run.PrivateHome().install_torch()
    assert pip_calls.made[-1][0][-1] == str(install.LOCKS / "torch.txt")
    assert (
        "cpu build is not available here: installing the default one, which includes CUDA's libraries (about 3 GB"
        in capsys.readouterr().err
    )


def test_a_torch_that_does_not_work_is_told(run, home, monkeypatch, pip_calls):
    monkeypatch.setattr(run, "torch_backend", lambda: "")
    monkeypatch.setattr(
        install,
        "output_of",
        lambda *arguments, **options: (1, "Traceback\nRuntimeError: operator torchvision::nms does not exist\n"),
    )
    with pytest.raises(Problem, match="operator torchvision::nms does not exist.*pip config list"):
        run.PrivateHome().install_torch()


def test_find_links_of_a_configuration_file_are_overruled(run, home, tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text(f"[global]\nfind-links = {tmp_path / 'wheels'}\n")
    variables = dict(os.environ, PIP_CONFIG_FILE=str(tmp_path / "pip.conf"), PIP_FIND_LINKS=run.PrivateHome().nowhere())
    script = (
        "from pip._internal.commands import create_command; "
        "print(create_command('install').parse_args(['x'])[0].find_links)"
    )
    said = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True)
    assert said.stdout.strip() == repr([variables["PIP_FIND_LINKS"]]), said.stderr
