"""Whether processes run, and waiting for their end."""

import os
import time

import pytest

needs_signals = pytest.mark.skipif(os.name == "nt", reason="signals are sent as POSIX systems send them")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = f"/proc/{pid}/stat"  # a zombie does not count as alive
    return not (os.path.exists(status) and open(status).read().rpartition(")")[2].split()[0] == "Z")


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 30
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))
