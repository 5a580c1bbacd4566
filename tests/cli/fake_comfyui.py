"""A stand-in for ComfyUI's server, started as a process by run.py.

It serves /system_stats, /object_info, /prompt, /history, /view and the websocket. FAKE_COMFYUI is
its behaviour, FAKE_RECORD the folder for its command line and requests.
"""

import argparse
import base64
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fake_replies import TYPES, definition, frame, grey_png, refusal

MODE = os.environ.get("FAKE_COMFYUI", "well")
RECORD = pathlib.Path(os.environ["FAKE_RECORD"])
PROMPT_ID = "00000000-0000-4000-8000-{:012}"


def note(name: str, value) -> None:
    """Write a record atomically, because a test may be waiting for the file."""
    part = RECORD / (name + ".part")
    part.write_text(json.dumps(value), encoding="utf-8")
    os.replace(part, RECORD / name)


class Fake:
    """State that the handler threads share."""

    def __init__(self, options: argparse.Namespace, is_other: bool):
        self.options, self.history, self.sockets, self.lock = options, {}, [], threading.Lock()
        self.is_other = is_other  # answers as a ComfyUI that someone else started
        self.count = 0

    @property
    def prompt_id(self) -> str:
        """The id of the latest run; runs are sequential."""
        return PROMPT_ID.format(self.count)

    def send(self, kind: str, **data) -> None:
        payload = json.dumps(
            {"type": kind, "data": data | ({} if kind == "status" else {"prompt_id": self.prompt_id})}
        ).encode()
        half = len(payload) // 2
        with self.lock:
            for connection in self.sockets:  # a ping between two fragments of one message, as the protocol allows
                connection.sendall(frame(1, payload[:half], last=False) + frame(9, b"?") + frame(0, payload[half:]))

    def run(self, graph: dict) -> None:
        outputs = {}
        for number, (node_id, node) in enumerate(graph.items()):
            self.send("executing", node=node_id)
            if number == 1:
                self.misbehave(node_id, node)
                if self.prompt_id in self.history:
                    return
            for value in (1, 2):
                self.send("progress", node=node_id, value=value, max=2)
            if node["class_type"] == "SaveImage":
                name = f"{node_id.replace(' ', '-')}_00001_.png"
                (pathlib.Path(self.options.output_directory) / name).write_bytes(grey_png(16, 255))
                outputs[node_id] = {"images": [{"filename": name, "subfolder": "", "type": "output"}]}
                self.send("executed", node=node_id, output=outputs[node_id])
        if MODE == "no picture":
            outputs = {}
        self.finish(
            {"outputs": outputs, "status": {"status_str": "success", "completed": True, "messages": []}},
            "execution_success",
        )

    def misbehave(self, node_id: str, node: dict) -> None:
        if MODE == "dies":
            print("Loading the model\nMemoryError: no memory for tensors", file=sys.stderr, flush=True)
            os._exit(7)
        elif MODE == "hangs":
            sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            note("pids.json", [os.getpid(), sleeper.pid])
            time.sleep(600)
        elif MODE == "drops the websocket":
            with self.lock:
                for connection in self.sockets:
                    connection.shutdown(2)
                self.sockets.clear()
        elif MODE == "node error":
            error = {
                "node_id": node_id,
                "node_type": node["class_type"],
                "exception_type": "builtins.ValueError",
                "exception_message": "expected 4 channels, got 3\n",
                "traceback": ["..."],
            }
            self.finish(
                {
                    "outputs": {},
                    "status": {"status_str": "error", "completed": False, "messages": [["execution_error", error]]},
                },
                "execution_error",
                **error,
            )

    def finish(self, entry: dict, kind: str, **data) -> None:
        self.history[self.prompt_id] = entry
        self.send(kind, **data)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: Fake

    def log_message(self, *arguments) -> None:
        pass

    def answer(self, value, status: int = 200, kind: str = "application/json") -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        url = urllib.parse.urlparse(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/ws":
            self.websocket()
        elif url.path == "/system_stats":
            self.answer(
                {
                    "system": {
                        "comfyui_version": "9.9.9",
                        "pytorch_version": "8.8",
                        "python_version": "3.99.0 (fake)",
                        "argv": ["main.py"] if self.fake.is_other else sys.argv,
                    }
                }
            )
        elif url.path == "/object_info":
            self.answer({kind: definition(kind) for kind in TYPES})
        elif url.path.startswith("/object_info/"):
            kind = url.path.rpartition("/")[2]
            self.answer({kind: definition(kind)} if kind in TYPES else {})
        elif url.path.startswith("/history/"):
            self.answer(self.fake.history)
        elif url.path == "/view":
            self.answer(
                (pathlib.Path(self.fake.options.output_directory) / query["filename"]).read_bytes(), kind="image/png"
            )
        else:
            self.answer({}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        note("prompt.json", body)
        if MODE == "refuses":
            self.answer(refusal(body["prompt"]), 400)
            return
        self.fake.count += 1
        threading.Thread(target=self.fake.run, args=(body["prompt"],), daemon=True).start()
        self.answer({"prompt_id": self.fake.prompt_id, "number": 1, "node_errors": {}})

    def websocket(self) -> None:
        accept = base64.b64encode(
            hashlib.sha1((self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        )
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.wfile.flush()
        with self.fake.lock:
            self.fake.sockets.append(self.connection)
        self.fake.send("status", status={})
        self.connection.settimeout(None)
        while self.connection.recv(4096):
            pass
        with self.fake.lock:
            if self.connection in self.fake.sockets:
                self.fake.sockets.remove(self.connection)
        self.close_connection = True


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in (
        "listen",
        "port",
        "input-directory",
        "output-directory",
        "temp-directory",
        "user-directory",
        "extra-model-paths-config",
    ):
        parser.add_argument(f"--{name}", required=True)
    options, _ = parser.parse_known_args()
    config = json.loads(pathlib.Path(options.extra_model_paths_config).read_text(encoding="utf-8"))
    packs = pathlib.Path(config["pack"]["custom_nodes"])
    is_other = MODE == "another has the port" and not (RECORD / "start.json").exists()
    note(
        "start.json",
        {
            "argv": sys.argv,
            "config": config,
            "cwd": os.getcwd(),
            "packs": {path.name: str(path.resolve()) for path in packs.iterdir()},
            "input": sorted(path.name for path in pathlib.Path(options.input_directory).iterdir()),
            "pid": os.getpid(),
            "no_bytecode": os.environ.get("PYTHONDONTWRITEBYTECODE"),
        },
    )
    if MODE == "dies at start":
        print("Traceback ...\nModuleNotFoundError: No module named 'einops'", file=sys.stderr, flush=True)
        sys.exit(1)
    if MODE == "port taken":
        print(
            f"OSError: [Errno 98] error while attempting to bind on address ('127.0.0.1', {options.port}): address "
            "already in use",
            flush=True,
        )
        sys.exit(1)
    if MODE == "no pack":
        TYPES.pop("DiffEditMask")
        print("Import times:\n   0.0 seconds (IMPORT FAILED): semantic-edit", flush=True)
    if MODE == "old":
        TYPES.pop("CFGOverride")
    print("the stand-in listens", flush=True)
    Handler.fake = Fake(options, is_other)
    ThreadingHTTPServer((options.listen, int(options.port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
