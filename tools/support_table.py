"""Which node works with which model family: runs the matrix of the tests and writes
docs/evidence/support.md.

``python run.py bench support_table``, or ``python -m tools.support_table`` with COMFYUI_PATH set.
``--print`` writes to the terminal instead.

Every cell is a run of the node on a small random model of the real architecture
(tests/helpers/tiny_models.py, tests/helpers/matrix.py).
"""

import argparse
import sys
from collections.abc import Sequence

from lab import common

PAGE = common.PACK / "docs" / "evidence" / "support.md"
HEAD = """# Which node works with which model

Written by `tools/support_table.py`, not by hand. \
Each cell is a run of the node on a small random model of the real architecture,
through ComfyUI's own classes.

- *yes*: the run succeeded with the required properties: outside a mask the latent equals the source bit for bit, equal
  texts change nothing, all values are finite.
- A number is the relative error of a round trip. For DDIMInvert it uses ComfyUI's samplers (KSamplerAdvanced,
  SamplerCustom, and SamplerCustomAdvanced with NOISE) at strengths 0.8 and 1. \
For the exact inversions it is measured in
  model space; 0 means equal in every bit.

`tests/host/test_matrix.py` asserts all of it. The memory of each node is in [memory.md](memory.md).
"""

RELEASES = """## Releases of ComfyUI

CI runs the suite on the pinned 0.30.0. It was also run by `python run.py test --comfyui TREE` on the oldest supported
release and on the newest one that was available as a complete tree, each with the packages that it pins:

| ComfyUI | tests/unit, edits, host, project, benchmarks | tests/workflows | tests/cli | tests/editor |
|---|---|---|---|---|
| 0.18.2 | passed | passed | passed | see below |
| 0.33.0 | passed | passed | passed | passed |

On 0.18.2 the tests of the editor passed with the frontend of that release, 1.41.21, except one: on a busy machine the
classic canvas did not show the images of Exact Sampler in time. With frontend 1.58.1 on 0.18.2, a combination that
ComfyUI does not install, the tests of the views in Nodes 2.0 and of the widgets failed.

ComfyUI 0.18.2 lacks some features, and the tests of them are skipped: previews for results from the cache, `pre_cfg` of
`CFGNorm`, the node CFG Override, without which the templates *Edit in a third of the time (DiffEdit)* and *Invert
exactly and edit (EDICT)* do not run, and in the classic canvas the previews of inner nodes on the box of a blueprint.
The template files contain inputs of stock nodes that it does not have; the other templates run all the same.

The pin stays at 0.30.0: `run.py` downloads ComfyUI from GitHub or from PyPI, and no package on PyPI contains a newer
release.
"""
"""The parts of the test suite that passed, by release of ComfyUI."""


def measure(nodes: dict[str, type], families: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """The results of the matrix, by family and node; the reason, if a node refuses a family. No
    ``families``: all.
    """
    import matrix
    import tiny_models

    table = {}
    for family in families or tiny_models.FAMILIES:
        bench, row = matrix.Bench(family, lambda name, **inputs: common.call(nodes[name], **inputs)), {}
        for node, check in matrix.NODES.items():
            try:
                row[node] = check(bench)
            except (ValueError, AssertionError) as error:
                row[node] = f"no: {str(error).splitlines()[0]}"
        table[tiny_models.FAMILIES[family].name] = row
        print(f"{family}: {row}", file=sys.stderr, flush=True)
    return table


def page(table: dict[str, dict[str, str]]) -> str:
    """The text of docs/evidence/support.md."""
    nodes = list(next(iter(table.values())))
    rows = [[family, *(row[node] for node in nodes)] for family, row in table.items()]
    known = common.versions()
    return "\n".join(
        [
            HEAD,
            common.markdown_table(["model", *nodes], rows),
            "",
            f"ComfyUI {known['comfyui']}, torch {known['torch'].split('+')[0]}.",
            "",
            RELEASES,
        ]
    )


def main(argv: list[str] | None = None) -> str:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="write to the terminal, not to docs/evidence/support.md")
    parser.add_argument("--families", nargs="+", default=[], help="only these, as sd15 flux; with --print")
    settings = parser.parse_args(argv)
    if settings.families and not settings.print:
        parser.error("--families needs --print: docs/evidence/support.md lists every family")
    nodes = common.load_pack()
    import tiny_models

    unknown = [name for name in settings.families if name not in tiny_models.FAMILIES]
    if unknown:
        parser.error(f"--families {unknown[0]}: expected one of {', '.join(tiny_models.FAMILIES)}")
    text = page(measure(nodes, settings.families))
    if settings.print:
        print(text)
    else:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
        print(f"wrote {PAGE.relative_to(common.PACK)}")
    return text


if __name__ == "__main__":
    main()
