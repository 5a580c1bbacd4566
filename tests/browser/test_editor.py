"""The pack in the real editor: ComfyUI's server, its frontend, and Chromium. Skipped, with the reason, where a piece of that is missing."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

PACK = pathlib.Path(__file__).resolve().parents[2]
WORKFLOWS = PACK / "workflows"
NAMES = sorted(file.stem for file in WORKFLOWS.glob("*.json"))
SCREENSHOTS = PACK / "screenshots"
PLAYWRIGHT = "playwright-core@1.65.1"  # drives a browser that is there already; downloads none
BROWSERS = ("/usr/lib/chromium/chromium", "/usr/bin/chromium", "/opt/google/chrome/chrome",
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", r"C:\Program Files\Google\Chrome\Application\chrome.exe")
COMMANDS = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome")
SERVER_SECONDS, EDITOR_SECONDS = 120, 90


def find_chromium() -> str:
    given = os.environ.get("CHROME")
    if given:
        if not pathlib.Path(given).is_file():
            pytest.fail(f"CHROME is {given}, which is no file; name Chromium's or Chrome's program, or unset it", pytrace=False)
        return given
    found = next((place for place in BROWSERS if pathlib.Path(place).is_file()), None) or next(filter(None, map(shutil.which, COMMANDS)), None)
    return found or pytest.skip("no Chromium or Chrome found; install one, or set CHROME to its program")


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> pathlib.Path:
    """A folder with playwright-core: kept in SEMANTIC_EDIT_HOME where that is set, else made anew."""
    if not shutil.which("node"):
        pytest.skip("no node found; install Node.js 18 or newer to test in the editor")
    home = os.environ.get("SEMANTIC_EDIT_HOME")
    folder = pathlib.Path(home).expanduser() / "browser" if home else tmp_path_factory.mktemp("browser")
    if (folder / "node_modules" / "playwright-core").is_dir():
        return folder
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("no npm found; it comes with Node.js and is needed once, to install playwright-core")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    done = subprocess.run([npm, "install", "--no-audit", "--no-fund", PLAYWRIGHT], cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"npm could not install {PLAYWRIGHT}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_base(base: pathlib.Path) -> None:
    """A base folder for the server with this pack as its only custom node and a picture under the workflows' name."""
    from PIL import Image
    for name in ("custom_nodes", "input", "models/checkpoints"):
        (base / name).mkdir(parents=True)
    place = base / "custom_nodes" / "semantic-edit"
    try:
        place.symlink_to(PACK, target_is_directory=True)
    except OSError:  # Windows without the right to make links
        shutil.copytree(PACK, place, ignore=shutil.ignore_patterns(".*", "tests", "node_modules", "screenshots"))
    Image.new("RGB", (512, 512), (40, 110, 60)).save(base / "input" / "semantic-edit-source.png")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """ComfyUI with the pack: (address, log)."""
    base = tmp_path_factory.mktemp("comfyui")
    make_base(base)
    port, log = free_port(), base / "server.log"
    command = [sys.executable, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port), "--disable-auto-launch", "--disable-api-nodes",
               "--base-directory", str(base), "--database-url", "sqlite:///:memory:"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=os.environ["COMFYUI_PATH"], stdout=output, stderr=subprocess.STDOUT,
                                   env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"})
    try:
        address = f"http://127.0.0.1:{port}/"
        wait_until_up(address, process, log)
        yield address, log
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_up(address: str, process: subprocess.Popen, log: pathlib.Path) -> None:
    end = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address + "system_stats", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None:
                break
            time.sleep(0.3)
    pytest.fail("ComfyUI's server did not come up. It said:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-30:]), pytrace=False)


@pytest.fixture(scope="module")
def seen(packages, server, pack, tmp_path_factory) -> dict:
    """What the editor made of the workflows; one visit for all tests."""
    chromium = find_chromium()
    SCREENSHOTS.mkdir(exist_ok=True)
    job = {"url": server[0], "chromium": chromium, "packages": str(packages), "screenshots": str(SCREENSHOTS), "nodes": sorted(pack),
           "workflows": {name: json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8")) for name in NAMES}}
    file = tmp_path_factory.mktemp("job") / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    command = ["node", str(pathlib.Path(__file__).with_name("editor.mjs")), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=EDITOR_SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_server_loads_the_pack(server):
    text = server[1].read_text(errors="replace")
    assert "semantic-edit" in text and "IMPORT FAILED" not in text, text[-3000:]


def test_the_pack_causes_no_error(seen):
    """An exception anywhere in the page, or an error that a file of the pack reports. (404s for a user's own files are ComfyUI's daily bread.)"""
    assert [error for error in seen["errors"] if error["thrown"] or "extensions/semantic-edit" in error["from"] + error["text"]] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_loads_complete(seen, name):
    found, saved = seen["workflows"][name], json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    assert found["missing"] == []
    assert found["count"] == len(saved["nodes"]) and sorted(found["titles"]) == sorted(node["title"] for node in saved["nodes"])
    assert found["groups"] == [group["title"] for group in saved["groups"]]
    assert found["tight"] == [], "these nodes are too small for what is in them"


@pytest.mark.parametrize("name", NAMES)
def test_the_editor_sends_the_api_form(seen, name):
    assert seen["workflows"][name]["api"] == json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
