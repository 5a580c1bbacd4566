"""Every node that takes a MODEL, on every family; stock samplers continue from the inversions,
including flow models at sigma 1 and zero-terminal-SNR models.
"""

import pathlib

import matrix
import pytest
import tiny_models
from markdown_tables import table_rows

BENCHES: dict[str, matrix.Bench] = {}


@pytest.fixture(params=list(tiny_models.FAMILIES))
def bench(request, run):
    if request.param not in BENCHES:
        BENCHES[request.param] = matrix.Bench(request.param, run)
    return BENCHES[request.param]


@pytest.mark.parametrize("node", list(matrix.NODES))
def test_node_on_family(bench, node):
    assert matrix.NODES[node](bench)


def test_the_matrix_knows_every_node_with_a_model(pack):
    with_model = {
        name for name, node in pack.items() if any(item.io_type == "MODEL" for item in node.GET_SCHEMA().inputs)
    }
    assert with_model == set(matrix.NODES)


def test_the_support_table_is_of_these_nodes_and_families():
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "evidence" / "support.md").read_text(
        encoding="utf-8"
    )
    head, _, *rows = table_rows(page)
    assert head == ["model", *matrix.NODES], "run tools/support_table.py"
    assert {row[0] for row in rows} >= {family.name for family in tiny_models.FAMILIES.values()}, (
        "run tools/support_table.py"
    )
    assert not any(cell.startswith("no:") for row in rows for cell in row)


@pytest.mark.parametrize(
    "words, message",
    [(["--families", "sd15"], "--families needs --print"), (["--print", "--families", "sd16"], "expected one of sd15")],
)
def test_a_support_table_of_some_families_is_only_printed(words, message, capsys):
    from tools import support_table

    with pytest.raises(SystemExit):
        support_table.main(words)
    assert message in capsys.readouterr().err
