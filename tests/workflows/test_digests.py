"""Results do not change: every node on tiny models and every workflow on the shapes' checkpoint
against the statistics in tests/digests.json.

The statistics hold on any machine; ``python -m tools.digests --write`` and ``--compare`` show on
one machine whether results are equal bit for bit. After an intended change of results: ``python -m
tools.digests --record``.
"""

import json

import digests
import pytest
import torch
from older_comfyui import runnable

RECORD = json.loads(digests.RECORD.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def loaders(extras):
    """ComfyUI's extra nodes."""


@pytest.mark.parametrize("name", sorted(RECORD["nodes"]))
def test_nodes_give_what_they_gave(run, name):
    with torch.inference_mode():
        outputs = digests.node_cases(run)[name]()
    assert not digests.differences(digests.statistics(outputs), RECORD["nodes"][name])


@pytest.mark.parametrize("name", runnable(sorted(RECORD["workflows"])))
def test_workflows_give_what_they_gave(runner, name):
    assert not digests.differences(
        digests.statistics(digests.workflow_pictures(runner, name)), RECORD["workflows"][name]
    )


def test_the_record_holds_every_node_and_workflow(run, pack):
    assert set(RECORD["nodes"]) == set(digests.node_cases(run))
    assert set(RECORD["workflows"]) == set(digests.workflow_names())
    called = " ".join(RECORD["nodes"]) + " CLIPRankModelLoader"  # its models are ranked with
    assert not [name for name in pack if name not in called]


def test_a_digest_notices_a_value_that_moved():
    values = torch.arange(12.0).view(3, 4)
    moved = values.flatten()[torch.tensor([1, 0, *range(2, 12)])].view(3, 4)
    assert digests.exact([values]) != digests.exact([moved])
    assert digests.differences(digests.statistics([values]), digests.statistics([moved]))
    assert not digests.differences(digests.statistics([values]), digests.statistics([values * (1 + 1e-5)]))
