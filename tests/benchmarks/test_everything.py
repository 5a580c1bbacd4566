"""All benchmarks in a row: what is done stays done, what failed or has other arguments is run again."""

import sys

from benchmarks import everything
from lab.common import PACK


def test_a_run_goes_on_where_it_stopped(tmp_path):
    mark = tmp_path / "mended"

    def command(name, quick):
        fails = f"import pathlib, sys; sys.exit(0 if pathlib.Path({str(mark)!r}).exists() else 3)"
        return [sys.executable, "-c", f"print('page of {name}', {quick})" if name == "good" else fails]

    first = everything.run_all(["good", "bad"], True, tmp_path / "out", command)
    assert [one["code"] for one in first.values()] == [0, 3]
    page = tmp_path / "out" / "good.md"
    assert page.read_text() == "page of good True\n"
    page.write_text("kept")
    mark.touch()
    again = everything.run_all(["good", "bad"], True, tmp_path / "out", command)
    assert [one["code"] for one in again.values()] == [0, 0]
    assert page.read_text() == "kept"
    everything.run_all(["good"], False, tmp_path / "out", command)
    assert page.read_text() == "page of good False\n"


def test_every_benchmark_is_there_and_takes_its_short_form():
    for name in everything.NAMES:
        text = (PACK / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
        assert ('"--quick"' in text) == (name in everything.QUICK), name
