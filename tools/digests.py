"""Digests of every node's outputs on tiny models and of every workflow's outputs on the demo
checkpoint, to show that a change leaves results bit for bit.

``python -m tools.digests --write before.json`` before the change and ``python -m tools.digests
--compare before.json`` after it, on one machine with one installation (bytes depend on the CPU's
kernels), with COMFYUI_PATH set. Exit status 1 if something differs. ``--record`` renews
tests/digests.json, the statistics that the test suite compares on any machine, after a change that
alters results on purpose. ``--all`` covers every family of models.
"""

import argparse
import contextlib
import functools
import json
import pathlib
import sys
import tempfile

from lab import common


@contextlib.contextmanager
def runner():
    """ComfyUI's executor in this process, with the checkpoint of the shapes."""
    from graph_runner import GraphRunner, folders_at, load_extras
    from shapes import model

    load_extras()
    model.register()
    with tempfile.TemporaryDirectory() as folder, folders_at(pathlib.Path(folder), model.CHECKPOINT.parent):
        yield GraphRunner(pathlib.Path(folder))


def collect(condense, families=None) -> dict[str, dict]:
    """``condense`` of all outputs, by name."""
    nodes = common.load_pack()
    import digests
    import torch

    def run(name, **inputs):
        return common.call(nodes[name], **inputs)

    digests_by_name: dict[str, dict] = {"nodes": {}, "workflows": {}}
    with runner() as running:
        for name, case in digests.node_cases(run, families or digests.FAMILIES).items():
            with torch.inference_mode():
                digests_by_name["nodes"][name] = condense(case())
        for name in digests.workflow_names():
            digests_by_name["workflows"][name] = condense(digests.workflow_pictures(running, name))
    return digests_by_name


def changed(current: dict, wanted: dict) -> list[str]:
    """Names whose digests differ, or that only one side has."""
    return [
        f"{part} {name}: {place}"
        for part in wanted
        for name in sorted(current[part].keys() | wanted[part].keys())
        for place in sorted(current[part].get(name, {}).keys() | wanted[part].get(name, {}).keys())
        if current[part].get(name, {}).get(place) != wanted[part].get(name, {}).get(place)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--write", type=pathlib.Path, metavar="FILE", help="write exact digests to FILE")
    task.add_argument("--compare", type=pathlib.Path, metavar="FILE", help="compare with the exact digests in FILE")
    task.add_argument("--record", action="store_true", help="renew tests/digests.json")
    parser.add_argument("--all", action="store_true", help="every family of models")
    settings = parser.parse_args()
    common.load_pack = functools.lru_cache(common.load_pack)
    common.load_pack()
    import digests

    if settings.record:
        digests.RECORD.write_text(dumped(collect(digests.statistics)), encoding="utf-8")
        return 0
    current = collect(digests.exact, digests.all_families() if settings.all else None)
    if settings.write:
        settings.write.write_text(dumped(current), encoding="utf-8")
        print(f"{sum(map(len, current.values()))} cases written")
        return 0
    lines = changed(current, json.loads(settings.compare.read_text(encoding="utf-8")))
    print("\n".join(lines) or f"all {sum(map(len, current.values()))} cases are the same to the last bit")
    return 1 if lines else 0


def dumped(document: dict) -> str:
    """JSON with a line for every output."""
    lines = [
        f' "{part}": {{\n'
        + ",\n".join(
            f"  {json.dumps(name)}: {{\n"
            + ",\n".join(f"   {json.dumps(place)}: {json.dumps(value)}" for place, value in places.items())
            + "\n  }"
            for name, places in cases.items()
        )
        + "\n }"
        for part, cases in document.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
