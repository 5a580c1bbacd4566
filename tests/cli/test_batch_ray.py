"""`run.py batch` through Ray Data: a local cluster of two workers makes the same pictures as one
process, bit for bit, and loses or repeats nothing when workers and the driver are killed at random
moments.
"""

import importlib.util
import json
import random
import subprocess
import time

import batch_jobs
import psutil
import pytest
from batch_jobs import BAD, ROWS

KILLS = ROWS // 6
DRIVERS = KILLS // 3
WORKERS = ("--workers", "2", "--threads", "1")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason='Ray is not installed: pip install "ray[data]" pyarrow'
)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return batch_jobs.make_job(tmp_path_factory.mktemp("job"), ROWS, bad=True)


@pytest.fixture(scope="module")
def alone(job, tmp_path_factory):
    """The folder of a run in one process."""
    output = tmp_path_factory.mktemp("alone") / "run"
    batch_jobs.run(job, output, *WORKERS, "--no-ray")
    return output


def ends(output) -> dict[str, list]:
    """How each row ended, and its pixels."""
    named = ("id", "status", "stage", "reason", "pixels_sha256", "row")
    return {record["key"]: [record.get(name) for name in named] for record in batch_jobs.journal(output)}


def workers_of(driver: psutil.Process) -> list[psutil.Process]:
    """The processes below a driver that edit."""
    result = []
    for process in driver.children(recursive=True):
        try:
            if "MapWorker" in " ".join(process.cmdline()):
                result.append(process)
        except psutil.Error:
            continue
    return result


def wait_for(condition, process: subprocess.Popen, seconds: float = 600) -> bool:
    began = time.monotonic()
    while not condition():
        if process.poll() is not None or time.monotonic() - began > seconds:
            return False
        time.sleep(0.02)
    return True


def victims(rng: random.Random) -> list[list[str]]:
    """The processes to kill, one list per run of the command: KILLS in all, DRIVERS of them the
    driver, each of which ends its run. The last run is not killed.
    """
    order = ["worker"] * (KILLS - 1 - DRIVERS) + ["driver"] * DRIVERS
    rng.shuffle(order)
    runs: list[list[str]] = [[]]
    for victim in [*order, "worker"]:
        runs[-1].append(victim)
        if victim == "driver":
            runs.append([])
    return runs


def test_kills_of_workers_and_of_the_driver_lose_nothing_and_repeat_nothing(job, alone, tmp_path):
    output, rng, kills = tmp_path / "run", random.Random(20261127), {"worker": 0, "driver": 0}
    command, environment = batch_jobs.command(job, output, *WORKERS), batch_jobs.environment(tmp_path / "home")
    with open(tmp_path / "log", "wb") as log:
        for run in victims(rng):
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, env=environment)
            driver = psutil.Process(process.pid)
            for victim in run:
                wanted = len(batch_jobs.journal(output)) + rng.randint(1, 3)
                more = wait_for(lambda: len(batch_jobs.journal(output)) >= wanted, process)  # noqa: B023
                assert more, (kills, (tmp_path / "log").read_text()[-3000:])
                time.sleep(rng.random() / 10)
                if victim == "driver":
                    process.kill()
                else:
                    assert wait_for(lambda: workers_of(driver), process)  # noqa: B023
                    rng.choice(workers_of(driver)).kill()
                kills[victim] += 1
            process.wait(600)
    said = (tmp_path / "log").read_text()
    assert kills == {"worker": KILLS - DRIVERS, "driver": DRIVERS}
    assert process.returncode == 0, said[-3000:]
    answer = json.loads(said.strip().splitlines()[-1])
    assert (answer["done"], answer["failed"], answer["left"]) == (ROWS, BAD, 0), answer
    keys = [record["key"] for record in batch_jobs.journal(output)]
    assert len(keys) == len(set(keys)) == ROWS + BAD
    assert len(list((output / "pictures").iterdir())) == ROWS
    assert batch_jobs.pixels(output) == batch_jobs.pixels(alone)
    assert ends(output) == ends(alone), "rows fail in the same stages and for the same reasons as in one process"
