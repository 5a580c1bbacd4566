"""Signals that come while requests run in an event loop."""

import signal
import subprocess
import sys

import pytest
from live_processes import needs_signals

from cli.files import ROOT

PROGRAM = """
import asyncio, os, signal, sys
from cli import client, console

async def part():
    os.kill(os.getpid(), int(sys.argv[1]))  # Python runs the handler here, in a task that nobody waits for
    await asyncio.sleep(60)

async def work():
    task = asyncio.create_task(part())
    try:
        {wait}
    finally:
        await asyncio.sleep(0)
        print("cleaned up", flush=True)

signal.signal(signal.SIGINT, signal.SIG_DFL)  # it may be ignored where the tests run in the background
console.catch_signals()
sys.exit(console.guarded(lambda: client.run_async(work())))
"""


@needs_signals
@pytest.mark.parametrize(
    "number, code, words", [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize(
    "wait",
    ["await asyncio.sleep(60)", "await asyncio.sleep(0.1); raise OSError('the server has gone')"],
    ids=["waits", "fails"],
)
def test_a_signal_in_any_task_cancels_the_work_and_is_told_in_one_line(number, code, words, wait):
    command = [sys.executable, "-c", PROGRAM.format(wait=wait), str(int(number))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert done.stdout == "cleaned up\n"
    assert done.stderr.startswith(f"error: {words}; ")
    assert done.stderr.count("\n") == 1
