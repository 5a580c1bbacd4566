"""Messages, progress, the JSON answer and exit codes. Standard library only: run.py uses this
first.

Messages for users go to stderr; paths and addresses, or with --json one JSON object, go to stdout.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import files

QUIET, NORMAL, VERBOSE = 0, 1, 2


class Problem(Exception):
    """A failure that the user can correct. The message states what was given, what was expected and
    what to do; it is shown without a traceback.
    """


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, as opposed to Ctrl-C, which a terminal sends to the children as well."""


@dataclasses.dataclass
class Settings:
    verbosity: int = NORMAL
    json: bool = False
    answered: bool = False
    """The JSON object has been printed."""


settings = Settings()


def configure(options: Any) -> None:
    """Apply --json, -v and -q. Names that are not valid UTF-8 are printed escaped."""
    settings.json, settings.answered = options.json, False
    settings.verbosity = QUIET if options.quiet else VERBOSE if options.verbose else NORMAL
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """A progress message, unless -q was given."""
    if settings.verbosity >= NORMAL:
        print(text, file=sys.stderr, flush=True)


def detail(text: str) -> None:
    """A message that only -v shows."""
    if settings.verbosity >= VERBOSE:
        print(text, file=sys.stderr, flush=True)


def deliver(text: str) -> None:
    """Print a line of the result, such as a path. With --json it is in the JSON object instead."""
    if not settings.json:
        print(text, flush=True)


def answer(ok: bool, **values: Any) -> None:
    """Print the JSON object of --json; nothing without --json."""
    if settings.json and not settings.answered:
        settings.answered = True
        print(json.dumps({"ok": ok, **values}), flush=True)


class Progress:
    """A progress line: rewritten in place on a terminal, one line per tenth (or per 10 s) in a
    log.
    """

    def __init__(self, label: str):
        self.label, self.tenth, self.spoken, self.open = label, -1, 0.0, False

    def show(self, done: float, total: float, text: str = "") -> None:
        if settings.verbosity < NORMAL:
            return
        share = f"{min(done / total, 1):4.0%} " if total else ""
        line = f"{self.label} {share}{text}".rstrip()
        tenth, now = int(10 * done / total) if total else 0, time.monotonic()
        if sys.stderr.isatty():
            columns = shutil.get_terminal_size().columns - 1
            print(f"\r{line[:columns]}\x1b[K", end="", file=sys.stderr, flush=True)
            self.open = True
        elif not self.spoken or (total and tenth > self.tenth) or now - self.spoken > 10:
            self.tenth, self.spoken = tenth, now
            say(line)

    def end(self) -> None:
        if self.open:
            print(file=sys.stderr, flush=True)
        self.open = False


def human_bytes(count: float) -> str:
    if count >= 1e9:
        return f"{count / 1e9:.2f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def last_line(text: str, otherwise: str = "") -> str:
    """The last line that a program printed, usually the reason of its failure."""
    return (text.strip().splitlines() or [otherwise])[-1]


def indented(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line.rstrip()}" for line in lines)


def is_disk_full(error: BaseException) -> bool:
    reason = getattr(error, "reason", None)
    numbers = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    return any(getattr(e, "errno", None) in numbers for e in (error, reason)) or getattr(error, "winerror", None) == 112


# -- signals -------------------------------------------------------------------------------------


def terminate(number, frame) -> None:
    raise Terminated


def catch_signals() -> None:
    """SIGTERM and SIGHUP end the children as Ctrl-C does. A signal that was ignored before (nohup)
    stays ignored.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, terminate)


def raising_signals() -> list[int]:
    """Ctrl-C and the signals of `catch_signals`, as far as they raise at present."""
    raising = (signal.default_int_handler, terminate)
    return [int(number) for number in signal.valid_signals() if signal.getsignal(number) in raising]


@contextlib.contextmanager
def handling(numbers: Iterable[int], handler: Any) -> Iterator[None]:
    """Give the signals `numbers` to `handler`. Outside the main thread, which alone gets signals,
    nothing changes.
    """
    before = {}
    try:
        with contextlib.suppress(ValueError):  # not the main thread
            for number in numbers:
                before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, handler_before in before.items():
            if handler_before is not None:
                signal.signal(number, handler_before)


def ignoring_ctrl_c() -> contextlib.AbstractContextManager[None]:
    return handling([signal.SIGINT], signal.SIG_IGN)


# -- exit codes ----------------------------------------------------------------------------------


def guarded(work: Callable[[], int]) -> int:
    """The exit code of `work`; a failure becomes one message, and with --json one object."""
    try:
        return work()
    except Problem as problem:
        return fail(str(problem))
    except Terminated:
        return fail("terminated; no process is left running.", 143)
    except KeyboardInterrupt:
        return fail("interrupted; no process is left running. Run the same command again to continue.", 130)
    except OSError as error:
        return fail(explain_os_error(error))
    except Exception:
        return fail(unexpected())


def fail(message: str, code: int = 1) -> int:
    if settings.verbosity >= VERBOSE and sys.exc_info()[0]:
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr, flush=True)
    answer(False, error=message, exit_code=code)
    return code


def explain_os_error(error: OSError) -> str:
    if is_disk_full(error):
        where = f" ({error.filename})" if error.filename else ""
        return f"The disk is full{where}. Free some space, or use another disk (--output, SEMANTIC_EDIT_HOME)."
    return f"{error.filename}: {error.strerror}." if error.filename else f"{error}."


def unexpected() -> str:
    """The message for an error in the project. The traceback is written to a file, for a report."""
    text = traceback.format_exc()
    report = files.home_folder() / "last-error.txt"
    with contextlib.suppress(OSError):
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(text, encoding="utf-8", errors="backslashreplace")
    return f"{last_line(text)} (an error in run.py; please report it with {report})."
