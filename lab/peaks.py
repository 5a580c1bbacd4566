"""The peak memory of this process."""

import contextlib
import pathlib

import psutil


def forget_peak() -> int:
    """Reset the process's peak memory if the system can (a child inherits its parent's); returns
    the resident memory in bytes.
    """
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    return psutil.Process().memory_info().rss


def peak_memory() -> int:
    """The largest resident memory in bytes since :func:`forget_peak`."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
