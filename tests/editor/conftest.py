"""The real editor for tests: ComfyUI's servers (with the frontend it ships, and with the newest
one), Chromium, and what drives it. Skips, with the reason, where a piece of that is missing.
"""

import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile

import pytest

PACK = pathlib.Path(__file__).resolve().parents[2]
SCREENSHOTS = PACK / "screenshots"
PLAYWRIGHT = "playwright-core@1.65.1"  # drives a browser that is there already; downloads none
BROWSERS = (
    "/usr/lib/chromium/chromium",
    "/usr/bin/chromium",
    "/opt/google/chrome/chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
)
COMMANDS = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome")
SERVER_SECONDS, EDITOR_SECONDS = 120, 300  # a quiet machine needs a tenth


@pytest.fixture(scope="session")
def chromium() -> str:
    given = os.environ.get("CHROME")
    if given:
        if not pathlib.Path(given).is_file():
            pytest.fail(
                f"CHROME is {given}, which is no file; name Chromium's or Chrome's program, or unset it", pytrace=False
            )
        return given
    found = next((place for place in BROWSERS if pathlib.Path(place).is_file()), None) or next(
        filter(None, map(shutil.which, COMMANDS)), None
    )
    return found or pytest.skip("no Chromium or Chrome found; install one, or set CHROME to its program")


def home_or(tmp_path_factory) -> pathlib.Path:
    """Where downloads are kept: in SEMANTIC_EDIT_HOME where that is set, else only for this run."""
    home = os.environ.get("SEMANTIC_EDIT_HOME")
    return pathlib.Path(home).expanduser() / "browser" if home else tmp_path_factory.getbasetemp() / "browser"


@pytest.fixture(scope="session")
def packages(tmp_path_factory) -> pathlib.Path:
    """A folder with playwright-core."""
    if not shutil.which("node"):
        pytest.skip("no node found; install Node.js 18 or newer to test in the editor")
    folder = home_or(tmp_path_factory)
    if (folder / "node_modules" / "playwright-core").is_dir():
        return folder
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("no npm found; it comes with Node.js and is needed once, to install playwright-core")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", PLAYWRIGHT], cwd=folder, capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        pytest.skip(
            f"npm could not install {PLAYWRIGHT}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        )
    return folder


def fetch_frontend(folder: pathlib.Path, version: str = "") -> pathlib.Path:
    """The static files of a frontend on the package index (the newest by default), for
    ``--front-end-root``; LookupError where it is not to be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = f"comfyui-frontend-package=={version}" if version else "comfyui-frontend-package"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--dest",
        str(folder),
        wanted,
    ]
    wheels = list(folder.glob(f"comfyui_frontend_package-{version}-*.whl")) if version else []
    if not wheels:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        wheels = sorted(
            folder.glob(f"comfyui_frontend_package-{version or '*'}-*.whl"),
            key=lambda file: [int(number) for number in re.findall(r"\d+", file.name.split("-")[1])],
        )
        if not wheels:
            raise LookupError(
                f"{wanted} could not be fetched: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
            )
    unpacked = folder / wheels[-1].stem
    if not unpacked.is_dir():
        with zipfile.ZipFile(wheels[-1]) as archive:
            archive.extractall(unpacked)
    return unpacked / "comfyui_frontend_package" / "static"


def shipped_frontend(folder: pathlib.Path) -> list[str]:
    """The server's flags for the frontend that this ComfyUI asks for, where another one is
    installed (``run.py test --comfyui`` shares the packages).
    """
    found = re.search(
        r"^comfyui-frontend-package==([\d.]+)",
        (pathlib.Path(os.environ["COMFYUI_PATH"]) / "requirements.txt").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    if found is None or found[1] == importlib.metadata.version("comfyui-frontend-package"):
        return []
    return ["--front-end-root", str(fetch_frontend(folder, found[1]))]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_base(base: pathlib.Path) -> None:
    """A base folder for the server with this pack as its only custom node. The workflows' picture
    is not there: the pack brings it.
    """
    for name in ("custom_nodes", "input", "models/checkpoints"):
        (base / name).mkdir(parents=True)
    place = base / "custom_nodes" / "semantic-edit"
    try:
        place.symlink_to(PACK, target_is_directory=True)
    except OSError:  # Windows without the right to make links
        shutil.copytree(PACK, place, ignore=shutil.ignore_patterns(".*", "tests", "node_modules", "screenshots"))
    write_random_clip(base / "models" / "clip_rank" / "random-clip")


def write_random_clip(folder: pathlib.Path) -> None:
    """A small CLIP without knowledge, as Hugging Face folders hold one, with ComfyUI's own
    tokenizer files.
    """
    import torch
    from transformers import CLIPConfig, CLIPModel

    tower = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, projection_dim=32)
    torch.manual_seed(0)
    CLIPModel(
        CLIPConfig(
            text_config={**tower, "eos_token_id": 49407, "bos_token_id": 49406, "pad_token_id": 49407},
            vision_config={**tower, "image_size": 32, "patch_size": 8},
            projection_dim=32,
        )
    ).save_pretrained(folder)
    for file in pathlib.Path(os.environ["COMFYUI_PATH"], "comfy", "sd1_tokenizer").iterdir():
        shutil.copy(file, folder)


class Server:
    """ComfyUI with the pack, as a process of its own."""

    def __init__(self, base: pathlib.Path, *flags: str):
        make_base(base)
        port = free_port()
        self.address, self.log = f"http://127.0.0.1:{port}/", base / "server.log"
        command = [
            sys.executable,
            "main.py",
            "--cpu",
            "--listen",
            "127.0.0.1",
            "--port",
            str(port),
            "--disable-auto-launch",
            "--disable-api-nodes",
            "--base-directory",
            str(base),
            "--database-url",
            "sqlite:///:memory:",
            "--preview-method",
            "latent2rgb",
            *flags,
        ]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=os.environ["COMFYUI_PATH"],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            )

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_until_up(self) -> None:
        end = time.monotonic() + SERVER_SECONDS
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(self.address + "system_stats", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.3)
        pytest.fail(
            "ComfyUI's server did not come up. It said:\n" + "\n".join(self.text().splitlines()[-30:]), pytrace=False
        )

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def servers(request, tmp_path_factory):
    """Both servers, started side by side; the second only where its tests are run."""
    frontends, made = home_or(tmp_path_factory) / "frontend", {}
    try:
        try:
            made["shipped"] = Server(tmp_path_factory.mktemp("comfyui"), *shipped_frontend(frontends))
        except LookupError as error:
            made["shipped"] = error
        made["newest"] = LookupError("no test of it is run")
        if any("newest" in item.nodeid for item in request.session.items):
            try:
                made["newest"] = Server(
                    tmp_path_factory.mktemp("comfyui-newest"), "--front-end-root", str(fetch_frontend(frontends))
                )
            except LookupError as error:
                made["newest"] = error
        yield made
    finally:
        for one in made.values():
            if isinstance(one, Server):
                one.stop()


@pytest.fixture(scope="session")
def server(servers):
    """ComfyUI with the pack and the frontend it ships."""
    return running(servers["shipped"])


@pytest.fixture(scope="session")
def newest_server(servers):
    """The same with the newest frontend."""
    return running(servers["newest"])


def running(server: Server | LookupError) -> Server:
    if isinstance(server, LookupError):
        pytest.skip(str(server))
    server.wait_until_up()
    return server


@pytest.fixture(scope="session")
def drive(packages, chromium, pack, tmp_path_factory):
    """``drive("editor.mjs", server, ...)``: what a script of this folder found in the editor."""

    def visit(script: str, server: Server, **job) -> dict:
        SCREENSHOTS.mkdir(exist_ok=True)
        job = {
            "url": server.address,
            "chromium": chromium,
            "packages": str(packages),
            "screenshots": str(SCREENSHOTS),
            "nodes": sorted(pack),
            **job,
        }
        file = tmp_path_factory.mktemp("job") / "job.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        command = ["node", str(pathlib.Path(__file__).with_name(script)), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=EDITOR_SECONDS)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return visit


def faults(found: dict) -> list[dict]:
    """An exception anywhere in the page, or an error that a file of the pack reports. (404s for a
    user's own files are ComfyUI's daily bread.)
    """
    return [
        error
        for error in found["errors"]
        if error["thrown"] or "extensions/semantic-edit" in error["from"] + error["text"]
    ]


@pytest.fixture(scope="session")
def faults_of():
    return faults
