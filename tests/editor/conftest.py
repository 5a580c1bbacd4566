"""The real editor for tests: ComfyUI's servers (with the frontend it ships, and with the newest
one), Chromium, and its driver. Tests are skipped, with the reason, if a part is missing.
"""

import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from editor_server import PACK, Server, fetch_frontend, shipped_frontend
from filelock import FileLock

SCREENSHOTS = PACK / "screenshots"
PLAYWRIGHT = "playwright-core@1.65.1"  # uses an installed browser and downloads none
BROWSERS = (
    "/usr/lib/chromium/chromium",
    "/usr/bin/chromium",
    "/opt/google/chrome/chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
)
COMMANDS = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome")
EDITOR_SECONDS = 600  # 10 times what an idle machine needs


@pytest.fixture(scope="session")
def chromium() -> str:
    given = os.environ.get("CHROME")
    if given:
        if not pathlib.Path(given).is_file():
            pytest.fail(
                f"CHROME is {given}, which is no file; name Chromium's or Chrome's program, or unset it", pytrace=False
            )
        return given
    result = next((place for place in BROWSERS if pathlib.Path(place).is_file()), None) or next(
        filter(None, map(shutil.which, COMMANDS)), None
    )
    return result or pytest.skip("no Chromium or Chrome found; install one, or set CHROME to its program")


def home_or(tmp_path_factory) -> pathlib.Path:
    """The folder of downloads: in SEMANTIC_EDIT_HOME if that is set, otherwise a temporary one."""
    home = os.environ.get("SEMANTIC_EDIT_HOME")
    return pathlib.Path(home).expanduser() / "browser" if home else tmp_path_factory.getbasetemp() / "browser"


@pytest.fixture(scope="session")
def packages(tmp_path_factory) -> pathlib.Path:
    """A folder with playwright-core."""
    if not shutil.which("node"):
        pytest.skip("no node found; install Node.js 18 or newer to test in the editor")
    folder = home_or(tmp_path_factory)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "packages.lock"):  # a parallel run has two processes here
        if not (folder / "node_modules" / "playwright-core").is_dir():
            install_playwright(folder)
    return folder


def install_playwright(folder: pathlib.Path) -> None:
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("no npm found; it comes with Node.js and is needed once, to install playwright-core")
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", PLAYWRIGHT], cwd=folder, capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        pytest.skip(
            f"npm could not install {PLAYWRIGHT}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        )


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """ComfyUI with the pack and the frontend that it ships."""
    yield from serve(tmp_path_factory, shipped_frontend)


@pytest.fixture(scope="session")
def newest_server(tmp_path_factory):
    """ComfyUI with the pack and the newest frontend."""
    yield from serve(tmp_path_factory, lambda folder: ["--front-end-root", str(fetch_frontend(folder))])


def serve(tmp_path_factory, flags_for: Callable[[pathlib.Path], list[str]]) -> Iterator[Server]:
    """A running server, until the tests end; `flags_for` gets the folder of downloaded frontends."""
    home = home_or(tmp_path_factory)
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home / "frontend.lock"):
            flags = flags_for(home / "frontend")
    except LookupError as error:
        pytest.skip(str(error))
    server = Server(tmp_path_factory.mktemp("comfyui"), *flags)
    try:
        server.wait_until_up()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def drive(packages, chromium, pack, tmp_path_factory):
    """``drive("editor.mjs", server, ...)``: the JSON result of a script of this folder."""

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
        command = ["node", str(pathlib.Path(__file__).parent / script), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=EDITOR_SECONDS)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return visit


def faults(found: dict) -> list[dict]:
    """Exceptions in the page, and errors reported by files of the pack. (404s for a user's optional
    files are normal.)
    """
    return [
        error
        for error in found["errors"]
        if error["thrown"] or "extensions/semantic-edit" in error["from"] + error["text"]
    ]


@pytest.fixture(scope="session")
def faults_of():
    return faults
