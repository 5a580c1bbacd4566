"""Rows through one worker in this process; its stages overlap in threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from .rows import Row
from .worker import OVERLAP, Outcome, Worker


def run_here(worker: Worker, rows: Iterable[Row], take: Callable[[Outcome], None]) -> None:
    """Process all rows; `take` is called with the outcomes in this thread, as they finish.

    If `take` raises, or on Ctrl-C, the current row is interrupted and no other is started.
    """
    left = iter(rows)
    with ThreadPoolExecutor(OVERLAP) as pool:
        pending: set[Future] = set()

        def top_up() -> None:
            for row in itertools.islice(left, OVERLAP - len(pending)):
                pending.add(pool.submit(worker.process, row))

        try:
            top_up()
            while pending:
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                pending -= done
                top_up()
                for future in done:
                    take(future.result())
        except BaseException:
            worker.comfy.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
