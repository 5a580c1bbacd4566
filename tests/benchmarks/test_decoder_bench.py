"""The runs of Decoder Finetune that ``benchmarks.decoder_finetune`` measures."""

import pytest

from benchmarks import decoder_bench
from lab import common


@pytest.mark.parametrize("make", ["item", "textured_item"])
def test_a_run_raises_the_background_of_an_edited_scene(make):
    bench = decoder_bench.Bench(1, str(common.CHECKPOINT))
    vae = bench.vae(decoder_bench.DECODERS[0])
    report = bench.tune(vae, getattr(bench, make)(vae, 64, 0), "default", 3)
    assert report["outside_after"] > report["outside_before"] + 1
