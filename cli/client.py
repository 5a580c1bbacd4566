"""ComfyUI's HTTP and WebSocket interface."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import signal
import time
import urllib.parse
import uuid
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp

from .console import Problem, Progress, Terminated, handling, indented, raising_signals, say
from .graphs import named

if TYPE_CHECKING:
    from .server import Server

UNREACHABLE = (OSError, aiohttp.ClientError, asyncio.TimeoutError)
CLOSED = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)

T = TypeVar("T")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` in an event loop of its own. Ctrl-C and SIGTERM cancel it and are raised once the
    loop has closed. A handler that raises at once would do so in whichever task is running, and
    asyncio would print the exception of a task that nobody waits for.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Terminated: SIGTERM or SIGHUP.
    """
    caught: list[int] = []
    running: list[tuple[asyncio.AbstractEventLoop, Any]] = []

    def cancel(number, frame) -> None:
        caught.append(number)
        for loop, task in running:
            with contextlib.suppress(RuntimeError):  # the loop has closed
                loop.call_soon_threadsafe(task.cancel)

    async def cancellable() -> T:
        running.append((asyncio.get_running_loop(), asyncio.current_task()))
        if caught:  # before there was a task to cancel
            cancel(caught[0], None)
        return await work

    try:
        with handling(raising_signals(), cancel):
            return asyncio.run(cancellable())
    finally:
        if caught:
            raise KeyboardInterrupt if caught[0] == signal.SIGINT else Terminated


class Client:
    """Requests to a server on a port of this machine. Proxies in the environment are not used."""

    def __init__(self, port: int):
        self.address = f"http://127.0.0.1:{port}"

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(self.address, timeout=aiohttp.ClientTimeout(total=None, sock_read=120))

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        async def ask() -> tuple[int, bytes]:
            async with self.session() as session:
                return await request(session, method, path, body)

        return run_async(ask())

    def get(self, path: str) -> Any:
        status, data = self.request("GET", path)
        return parsed(status, data, path)

    def node_info(self, kind: str) -> dict | None:
        """The server's definition of a node type; None when it does not know the type."""
        status, data = self.request("GET", f"/object_info/{urllib.parse.quote(kind, safe='', errors='replace')}")
        return json.loads(data).get(kind) if status == 200 else None

    def view(self, file: dict) -> bytes:
        fields = {
            "filename": file["filename"],
            "subfolder": file.get("subfolder", ""),
            "type": file.get("type", "output"),
        }
        status, data = self.request("GET", f"/view?{urllib.parse.urlencode(fields)}")
        if status != 200:
            raise Problem(f"ComfyUI wrote {file['filename']} but did not return it (status {status}).")
        return data


async def request(session: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    async with session.request(method, path, json=body) as answer:
        return answer.status, await answer.read()


def parsed(status: int, data: bytes, path: str) -> Any:
    if status != 200:
        raise Problem(f"ComfyUI answered the request {path} with status {status}.")
    return json.loads(data)


async def submit(session: aiohttp.ClientSession, graph: dict, client_id: str) -> str:
    """Queue a graph and return its id.

    Raises:
        Problem: the server rejected the graph; the message lists its validation errors.
    """
    status, data = await request(session, "POST", "/prompt", {"prompt": graph, "client_id": client_id})
    try:
        answer = json.loads(data)
    except ValueError:
        answer = {}
    if status != 200 or answer.get("node_errors") or "prompt_id" not in answer:
        raise Problem(refusal(answer, graph, status))
    return answer["prompt_id"]


def refusal(answer: dict, graph: dict, status: int) -> str:
    """ComfyUI's validation errors, one line per node and input."""
    lines = []
    for node_id, report in (answer.get("node_errors") or {}).items():
        for error in report.get("errors", []):
            name = (error.get("extra_info") or {}).get("input_name")
            place = f"node {named(graph, node_id)}{f', input {name!r}' if name else ''}"
            details = error.get("details") or ""
            lines.append(f"{place}: {error.get('message', '')}{f': {details}' if details and details != name else ''}")
    error = answer.get("error") or {}
    if not lines:
        error = error if isinstance(error, dict) else {"message": str(error)}
        lines = [f"{error.get('message') or f'status {status}'} {error.get('details') or ''}".strip()]
    return "ComfyUI rejected this graph:\n" + indented(lines)


# -- one run -------------------------------------------------------------------------------------


@dataclasses.dataclass
class Result:
    """ComfyUI's outputs by node id, seconds by node id, seconds in all."""

    outputs: dict[str, dict] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    total: float = 0.0


class Watch:
    """Converts ComfyUI's messages about one run into lines of progress and seconds per node."""

    def __init__(self, graph: dict):
        self.graph, self.seen = graph, 0
        self.prompt_id: str | None = None
        self.seconds: dict[str, float] = {}
        self.node: str | None = None
        self.progress: Progress | None = None
        self.error: dict | None = None
        self.begun, self.finished = 0.0, False

    def take(self, text: str) -> None:
        with contextlib.suppress(ValueError, AttributeError):
            event = json.loads(text)
            data = event.get("data") or {}
            if data.get("prompt_id", self.prompt_id) == self.prompt_id:
                self.event(event.get("type"), data)

    def event(self, kind: str, data: dict) -> None:
        if kind == "executing":
            self.enter(data.get("node"))
        elif kind == "execution_cached":
            self.seen += len(data.get("nodes", []))
        elif kind == "progress" and self.progress and data.get("node") == self.node and data.get("max", 0) > 1:
            self.progress.show(data["value"], data["max"], f"step {data['value']:g} of {data['max']:g}")
        elif kind in ("execution_error", "execution_interrupted"):
            self.error, self.finished = data, True
        elif kind == "execution_success":
            self.finished = True
        if self.finished:
            self.leave()

    def enter(self, node: str | None) -> None:
        if node == self.node:
            return
        self.leave()
        if node is not None:
            self.seen += node in self.graph and node not in self.seconds
            self.node, self.begun = node, time.monotonic()
            self.progress = Progress(f"[{self.seen}/{len(self.graph)}] {named(self.graph, node)}")
            self.progress.show(0, 0)

    def leave(self) -> None:
        if self.node is not None and self.progress:
            self.seconds[self.node] = self.seconds.get(self.node, 0.0) + time.monotonic() - self.begun
            self.progress.end()
        self.node, self.progress = None, None


def run_graph(server: Server, graph: dict) -> Result:
    """Send a graph to ComfyUI, show the progress, and return its results. ComfyUI's history decides
    whether the run succeeded.
    """
    began, watch = time.monotonic(), Watch(graph)
    try:
        entry = run_async(follow(server, graph, watch))
    except UNREACHABLE:
        time.sleep(1)  # the exit code of an ending process is known with a delay
        server.check()
        raise
    except RecursionError as error:
        raise Problem("The graph is nested too deeply to be sent.") from error
    fail_on_error(graph, watch, entry)
    return Result(entry.get("outputs", {}), watch.seconds, time.monotonic() - began)


async def follow(server: Server, graph: dict, watch: Watch) -> dict:
    """The run's entry in ComfyUI's history, once it has finished."""
    client_id = uuid.uuid4().hex
    async with server.client.session() as session:
        socket = await open_socket(session, server, client_id)
        watch.prompt_id = await submit(session, graph, client_id)
        next_check = time.monotonic() + 5
        while True:
            server.check()
            message = await receive(socket)
            if message and message.type in CLOSED:
                socket, message = None, None
            if message and message.type == aiohttp.WSMsgType.TEXT:
                watch.take(message.data)
            if watch.finished or socket is None or (message is None and time.monotonic() > next_check):
                path = f"/history/{watch.prompt_id}"
                entry = parsed(*await request(session, "GET", path), path).get(watch.prompt_id)
                if entry:
                    watch.leave()
                    return entry
                next_check = time.monotonic() + 5


async def open_socket(session: aiohttp.ClientSession, server: Server, client_id: str):
    """Connect the WebSocket and wait for its first message, after which no message is missed. None
    if it cannot be connected.
    """
    try:
        socket = await session.ws_connect(f"/ws?clientId={client_id}", max_msg_size=0)
        await socket.receive(5)
        return socket
    except UNREACHABLE as error:
        server.check()
        say(f"no progress can be shown ({error})")
        return None


async def receive(socket) -> aiohttp.WSMessage | None:
    """The next message, or None after half a second without a message."""
    if socket is None:
        await asyncio.sleep(0.5)
        return None
    try:
        return await socket.receive(0.5)
    except asyncio.TimeoutError:  # noqa: UP041 (another class on Python 3.10)
        return None
    except UNREACHABLE:  # raised while it answers a ping
        return aiohttp.WSMessage(aiohttp.WSMsgType.CLOSED, None, None)


def fail_on_error(graph: dict, watch: Watch, entry: dict) -> None:
    status = entry.get("status") or {}
    messages = {kind: data for kind, data in status.get("messages", [])}
    error = watch.error or messages.get("execution_error") or messages.get("execution_interrupted")
    if error and "exception_message" in error:
        kind = error.get("exception_type", "Error").rpartition(".")[2]
        node = named(graph, str(error.get("node_id")))
        raise Problem(f"The node {node} failed: {kind}: {error['exception_message'].strip()}")
    if error or status.get("status_str") == "error":
        raise Problem("ComfyUI interrupted the run before it finished.")
