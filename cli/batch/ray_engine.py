"""Process rows by Ray Data: images are read on the driver's machine and edited in actors that keep
the model loaded; every outcome is sent to the driver, and only the driver writes the run's folder.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import logging
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..console import VERBOSE, Problem, say, settings
from ..files import ROOT
from ..run_folder import RunFolder
from .comfy import RowError
from .plan import Plan
from .rows import Row
from .worker import OVERLAP, Outcome, Worker, failed, load

MOST_BLOCKS = 20_000
"""Maximum number of blocks of a run. Up to this many, each row is a separate task, and only that
row is repeated after a worker dies.
"""
MOST_READERS = 8
"""Maximum number of processes that read images on the driver's machine. They use none of Ray's
CPUs, so without a limit there would be as many as rows.
"""
TRIES = 5
"""Number of times that a row is retried after its worker died, before it is recorded as failed."""


def available() -> bool:
    return importlib.util.find_spec("ray") is not None


class Reader:
    """Reads the images of a row on the driver's machine, which has the job's files."""

    def __init__(self, plan: Plan):
        self.plan = plan

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        row: Row = pickle.loads(item["row"])
        try:
            return {"work": pickle.dumps((row, load(self.plan, row), None))}
        except RowError as error:
            return {"work": pickle.dumps((row, None, failed(row, error.stage, error.reason)))}


class Editor:
    """An actor with one worker. Ray calls it from several threads, so its stages overlap."""

    def __init__(self, plan: Plan):
        folder = RunFolder(Path(plan.place.base))
        atexit.register(folder.remove)
        self.worker = Worker(plan, folder.path)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        row, loaded, outcome = pickle.loads(item["work"])
        return {"outcome": pickle.dumps(outcome or self.worker.process(row, loaded))}


def connect(address: str | None, workers: int | None, cpu: bool) -> int:
    """Join the cluster at `address`, or start one on this machine; returns the number of workers.

    Raises:
        Problem: there is no cluster, or it has no GPU although one is needed.
    """
    import ray
    import ray.data

    if settings.verbosity < VERBOSE:
        warnings.filterwarnings("ignore", module=__name__)  # Ray's warnings about its own options
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    loud = settings.verbosity >= VERBOSE
    options: dict[str, Any] = {"log_to_driver": loud, "logging_level": logging.INFO if loud else logging.CRITICAL}
    options["runtime_env"] = {"env_vars": {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}}
    if address in (None, "local"):
        # The number of threads is set for each worker, so one of Ray's CPUs is assigned to a
        # worker.
        places = max(os.cpu_count() or 1, (workers or 1) + 1)
        options |= {"address": "local", "num_cpus": places, "include_dashboard": False}
    else:
        options["address"] = address
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise Problem(f"--ray {address}: could not connect to a cluster at this address: {error}") from error
    if cpu:
        return workers or 1
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if not gpus:
        raise Problem("The cluster has no GPU; add --cpu to compute on its CPUs.")
    return workers or gpus


def run_on_ray(plan: Plan, rows: list[Row], workers: int, take: Callable[[Outcome], None]) -> None:
    """Process all rows; `take` is called with the outcomes in this thread, as they finish. Call
    `connect` first.

    A row whose worker died TRIES times becomes a failed outcome.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1
    context.execution_options.preserve_order = False
    context.target_max_block_size = 1  # every outcome is sent as soon as it exists
    this_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    items = [{"row": pickle.dumps(row)} for row in rows]
    data: ray.data.Dataset = ray.data.from_items(items, override_num_blocks=min(len(rows), MOST_BLOCKS))
    readers = ray.data.TaskPoolStrategy(size=min(MOST_READERS, 1 + workers // 4))
    data = data.map(Reader(plan).__call__, num_cpus=0, scheduling_strategy=this_node, compute=readers)
    pool = ray.data.ActorPoolStrategy(
        size=workers, max_tasks_in_flight_per_actor=OVERLAP, enable_true_multi_threading=True
    )
    options: dict[str, Any] = {"num_cpus": 1} if plan.place.cpu else {"num_gpus": 1}
    options |= {"max_concurrency": OVERLAP, "max_restarts": -1, "max_task_retries": TRIES}
    editor: Any = Editor  # Ray makes its instances from a class
    data = data.map(editor, fn_constructor_args=(plan,), compute=pool, **options)
    missing = {row.key: row for row in rows}
    for item in data.iter_rows():
        outcome = pickle.loads(item["outcome"])
        if missing.pop(outcome.key, None):
            take(outcome)
    for row in missing.values():
        take(failed(row, "worker", f"its worker died in each of {TRIES + 1} attempts"))


def disconnect() -> None:
    import ray

    with contextlib.suppress(Exception):
        ray.shutdown()
    say("the workers have ended")
