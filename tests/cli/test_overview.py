"""The overview of an edit: texts above the pictures, every picture whole and in its place."""

import importlib.util
import pathlib

import pytest

PACK = pathlib.Path(__file__).resolve().parents[2]
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def sheets():
    spec = importlib.util.spec_from_file_location("overview_under_test", PACK / "cli" / "overview.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pictures(tmp_path) -> list:
    panels = []
    for label, colour in {"source": "red", "mask": "white", "edited": "blue"}.items():
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{label}.png")
        panels.append((label, tmp_path / f"{label}.png"))
    return panels


def ink(sheet, box) -> int:
    """Number of dark pixels in a box."""
    return sum(sheet.crop(box).convert("L").histogram()[:128])


def test_every_picture_is_there_and_enlarged_by_whole_pixels(sheets, pictures):
    sheet = sheets.overview(pictures, pictures[-1][1])
    side = 64 * 5
    assert sheet.width == 2 * sheets.MARGIN + 3 * side + 2 * sheets.GAP
    for number, colour in enumerate([(255, 0, 0), (255, 255, 255), (0, 0, 255)]):
        left = sheets.MARGIN + number * (side + sheets.GAP)
        box = (left, sheet.height - sheets.MARGIN - side, left + side, sheet.height - sheets.MARGIN)
        assert sheet.crop(box).getcolors() == [(side * side, colour)]


def test_both_sentences_are_printed_above_the_pictures(sheets, pictures):
    said = [("source", "a dog on grass"), ("target", "a cat on grass")]
    plain, told = sheets.overview(pictures, pictures[-1][1]), sheets.overview(pictures, pictures[-1][1], said)
    extra = told.height - plain.height
    assert extra == 2 * (sheets.SENTENCE_SIZE + 6) + sheets.MARGIN
    middle = sheets.MARGIN + sheets.SENTENCE_SIZE + 3
    assert ink(told, (0, 0, told.width, middle)) > 100
    assert ink(told, (0, middle, told.width, extra)) > 100


def test_a_long_sentence_is_wrapped_and_loses_no_word(sheets):
    words = " ".join(f"word{number}" for number in range(80))
    lines = sheets.wrapped("source", words, 600)
    assert len(lines) > 2
    assert " ".join(line[1] for line in lines) == words
    assert [line[0] for line in lines] == ["source"] + [""] * (len(lines) - 1)
    assert max(sheets.font(sheets.SENTENCE_SIZE).getlength(line[1]) + line[2] for line in lines) <= 600


def test_a_method_with_one_sentence_prints_one(sheets, pictures):
    one = sheets.overview(pictures, pictures[-1][1], [("source", ""), ("target", "a cat on grass")])
    assert one.height == sheets.overview(pictures, pictures[-1][1], [("target", "a cat on grass")]).height
