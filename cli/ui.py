"""`run.py ui`: ComfyUI's editor with the pack, until Ctrl-C."""

from __future__ import annotations

import argparse
import time
import webbrowser
from typing import Any

from .console import Problem, Terminated, answer, deliver, say
from .environment import Environment
from .files import home_folder
from .run_folder import RunFolder, base_directory
from .server import Server, port_is_free, serving
from .workflow import samples


def ui_command(options: argparse.Namespace, environment: Environment) -> dict[str, Any]:
    """Run the editor. Images that are saved in it stay in the home folder."""
    if options.port and not port_is_free(options.port):
        raise Problem(
            f"Port {options.port} is used by another program. Choose another --port, or omit it to use a free port."
        )
    base = base_directory(environment, options)
    run = RunFolder(base, keep=home_folder() / "ui")
    for name, picture in samples().items():
        if not (run.input / name).exists():
            run.bring(picture, name)
    with serving(environment, base, run, [], options.cpu, options.port, preferred=8188) as server:
        stay(server, f"http://127.0.0.1:{server.port}/", options)
    return {}


def stay(server: Server, address: str, options: argparse.Namespace) -> None:
    """Wait until Ctrl-C. With --json the object is printed when the editor is ready."""
    run = server.run
    say(f"ComfyUI's editor: {address}  (stop it with Ctrl-C; log: {run.log}; saved images: {run.output})")
    try:
        deliver(address)
        answer(True, command="ui", address=address, log=str(run.log), output=str(run.output))
        if not options.no_browser and not webbrowser.open(address):
            say("no browser could be opened; open the address yourself")
        while True:
            server.check()
            time.sleep(0.5)
    except Terminated:
        raise
    except KeyboardInterrupt:
        say("\nending ComfyUI ...")
