"""ComfyUI's server with the pack as its only custom node, and the frontends that it serves."""

import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile

import pytest
from PIL import Image

from cli.server import free_port

PACK = pathlib.Path(__file__).resolve().parents[2]
SMALL = ("dog", "backpack")
"""Samples that the scripts use at half their size: they look at the editor, not at the edit."""
SERVER_SECONDS = 400  # 30 times what an idle machine needs


def fetch_frontend(folder: pathlib.Path, version: str = "") -> pathlib.Path:
    """The static files of a frontend on the package index (the newest by default), for
    ``--front-end-root``; LookupError if it is not available.
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
    """The server's flags for the frontend that this ComfyUI requires, if another one is installed
    (``run.py test --comfyui`` shares the packages).
    """
    result = re.search(
        r"^comfyui-frontend-package==([\d.]+)",
        (pathlib.Path(os.environ["COMFYUI_PATH"]) / "requirements.txt").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    if result is None or result[1] == importlib.metadata.version("comfyui-frontend-package"):
        return []
    return ["--front-end-root", str(fetch_frontend(folder, result[1]))]


def make_base(base: pathlib.Path) -> None:
    """A base folder for the server, with this pack as its only custom node. The pack copies the
    workflows' pictures there.
    """
    for name in ("custom_nodes", "input", "models/checkpoints"):
        (base / name).mkdir(parents=True)
    place = base / "custom_nodes" / "semantic-edit"
    try:
        place.symlink_to(PACK, target_is_directory=True)
    except OSError:  # Windows without the permission to create links
        shutil.copytree(PACK, place, ignore=shutil.ignore_patterns(".*", "tests", "node_modules", "screenshots"))
    for name in SMALL:
        with Image.open(PACK / "demo" / "samples" / f"{name}.png") as sample:
            sample.resize((128, 128), Image.Resampling.LANCZOS).save(base / "input" / f"small-{name}.png")
    write_random_clip(base / "models" / "clip_rank" / "random-clip")


def write_random_clip(folder: pathlib.Path) -> None:
    """Write a small CLIP with random weights in the layout of Hugging Face folders, with ComfyUI's
    own tokenizer files.
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
    """ComfyUI with the pack, in a separate process."""

    def __init__(self, base: pathlib.Path, *flags: str):
        make_base(base)
        self.base, self.flags, self.log = base, flags, base / "server.log"
        self.start()

    def start(self) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}/"
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
            str(self.base),
            "--database-url",
            "sqlite:///:memory:",
            "--preview-method",
            "latent2rgb",
            *self.flags,
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

    def is_up(self) -> bool:
        """Whether this server answers, and not another program that took the port first."""
        try:
            with urllib.request.urlopen(self.address + "system_stats", timeout=5) as answer:
                return str(self.base) in json.load(answer)["system"]["argv"]
        except (OSError, ValueError, LookupError):
            return False

    def wait_until_up(self) -> None:
        end = time.monotonic() + SERVER_SECONDS
        while time.monotonic() < end:
            if self.is_up():
                return
            if self.process.poll() is not None:
                if "address already in use" not in self.text():
                    break
                self.start()
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
