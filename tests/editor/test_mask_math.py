"""The browser and the server threshold equally, bit for bit: the module of the slider, run alone,
against nodes/core.
"""

import json
import pathlib
import re
import shutil
import subprocess

import pytest
import torch

JS = pathlib.Path(__file__).resolve().parents[2] / "js"


def contrasts():
    """Smooth and rough contrasts, contrasts with many equal values, an empty one; also thresholds
    at a cell's exact value, from both sides.
    """
    generator = torch.Generator().manual_seed(7)
    for number in range(60):
        height, width = 3 + number % 9, 2 + number % 13
        contrast = torch.rand(1, height, width, generator=generator) ** 2
        if number % 5 == 0:
            contrast = (contrast * 4).round() / 4
        yield (
            torch.zeros_like(contrast) if number == 59 else contrast,
            ("clamp", "min-max", "quantile", "adaptive")[number % 4],
            number % 7 - 3,
        )


@pytest.fixture(scope="module")
def cases(pack_module):
    """(The browser's input, the server's mask of it)."""
    diffedit, reports = pack_module("core.masks.diffedit"), pack_module("host.previews")
    result = []
    for contrast, method, grow in contrasts():
        _, heat = diffedit.mask_from_contrast(contrast, 0.5, method, 0.7)
        value = float(heat.flatten()[heat.numel() // 2])
        for threshold in (0.0, 0.31, 0.5, 1.0, value, value - 1e-9, value + 1e-9):
            mask, _ = diffedit.mask_from_contrast(contrast, threshold, method, 0.7, grow)
            asked = {"heat": reports.encode_maps(heat)[0], "threshold": threshold, "grow": grow}
            result.append((asked, mask[0]))
    return result


@pytest.fixture(scope="module")
def answers(cases, tmp_path_factory):
    if not shutil.which("node"):
        pytest.skip("no node found; install Node.js 18 or newer")
    file = tmp_path_factory.mktemp("masks") / "cases.json"
    file.write_text(json.dumps([given for given, _ in cases]), encoding="utf-8")
    done = subprocess.run(
        ["node", str(pathlib.Path(__file__).with_name("mask_math.mjs")), str(JS), str(file)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_every_cell_is_decided_alike(cases, answers):
    assert len(cases) == len(answers) == 420
    for (given, mask), answer in zip(cases, answers):
        assert answer["cells"] == mask.flatten().int().tolist(), (given["threshold"], given["grow"])


def test_coverage_is_the_servers(cases, answers, pack_module):
    for (_, mask), answer in zip(cases, answers):
        assert answer["coverage"] == pytest.approx(
            float(pack_module("core.masks.operations").coverage(mask[None])), abs=1e-6
        )


def test_the_drawn_path_covers_exactly_the_cells(cases, answers):
    for (_, mask), answer in zip(cases, answers):
        drawn = torch.zeros_like(mask)
        for x, y, run in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", answer["path"]):
            assert not drawn[int(y), int(x) : int(x) + int(run)].any(), "drawn twice"
            drawn[int(y), int(x) : int(x) + int(run)] = 1
        assert torch.equal(drawn, mask)
