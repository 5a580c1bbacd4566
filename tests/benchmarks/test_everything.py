"""The run of all benchmarks: finished ones are not repeated; failed ones and those with other
arguments are.
"""

import re
import sys
import time

import pytest

from benchmarks import everything


def test_a_run_goes_on_where_it_stopped(tmp_path):
    mark = tmp_path / "mended"

    def command(name, quick, out):
        fails = f"import pathlib, sys; sys.exit(0 if pathlib.Path({str(mark)!r}).exists() else 3)"
        return [sys.executable, "-c", f"print('page of {name}', {quick})" if name == "good" else fails]

    first = everything.run_all(["good", "bad"], True, tmp_path / "out", command)
    assert [entry["code"] for entry in first.values()] == [0, 3]
    page = tmp_path / "out" / "good.md"
    assert page.read_text() == "page of good True\n"
    page.write_text("kept")
    mark.touch()
    again = everything.run_all(["good", "bad"], True, tmp_path / "out", command)
    assert [entry["code"] for entry in again.values()] == [0, 0]
    assert page.read_text() == "kept"
    everything.run_all(["good"], False, tmp_path / "out", command)
    assert page.read_text() == "page of good False\n"


def test_short_forms_run_at_once(tmp_path, monkeypatch):
    """Each of two waits for the other's mark, so that neither ends alone."""
    monkeypatch.setattr(everything.os, "cpu_count", lambda: 2)
    program = (
        "import pathlib, sys, time\nmine, other = map(pathlib.Path, sys.argv[1:])\nmine.touch()\n"
        "until = time.monotonic() + 60\nwhile not other.exists() and time.monotonic() < until:\n    time.sleep(0.01)\n"
        "sys.exit(0 if other.exists() else 1)"
    )

    def command(name, quick, out):
        marks = [str(tmp_path / mark) for mark in (name, "ba"["ab".index(name)])]
        return [sys.executable, "-c", program, *marks]

    results = everything.run_all(["a", "b"], True, tmp_path / "out", command)
    assert [entry["code"] for entry in results.values()] == [0, 0]


def test_an_interruption_ends_the_whole_run(tmp_path, monkeypatch):
    ran = []

    def run_one(line, page):
        ran.append(page.stem)
        if len(ran) == 1:
            raise KeyboardInterrupt
        time.sleep(0.2)
        return {"code": 0}

    monkeypatch.setattr(everything, "run_one", run_one)
    with pytest.raises(KeyboardInterrupt):
        everything.run_all(list("abcdefgh"), False, tmp_path, lambda name, quick, out: [name])
    assert ran[0] == "a"
    assert len(ran) < 4


def test_the_first_line_says_what_runs_where_and_for_how_long(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(everything, "MINUTES", tmp_path / "minutes.json")
    everything.record({"a": {"cpu_minutes": 2.4}, "b": {"cpu_minutes": 3.2}}, "short")

    def command(name, quick, out):
        return [sys.executable, "-c", "pass"]

    everything.run_all(["a"], True, tmp_path / "out", command)
    assert "1 benchmark to run (short form), about 2 CPU minutes; pages in" in capsys.readouterr().err
    everything.run_all(["a", "b", "c"], True, tmp_path / "out", command)
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith("2 benchmarks to run (short form, 1 done before), about 3 CPU minutes")
    assert "and the time of c, which is not recorded" in line
    assert line.endswith(f"pages in {tmp_path / 'out'}: b, c")
    everything.run_all(["a", "b", "c"], True, tmp_path / "out", command)
    assert capsys.readouterr().err.startswith("3 benchmarks (short form), all done before")


@pytest.mark.parametrize("name", everything.BENCHMARKS)
def test_every_benchmark_takes_the_arguments_of_both_forms(name, tmp_path):
    source = everything.source_of(everything.BENCHMARKS[name])
    for quick in (False, True):
        line = everything.command(name, quick, tmp_path)
        options = [part for part in line[3:] if re.match("--[a-z]", part)]
        assert all(f'"{option}"' in source for option in options), (line, options)
    assert "benchmarks.everything" not in line
