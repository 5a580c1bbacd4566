"""README.md and docs/: links, quoted messages, sources of the tables, the node reference,
pictures.
"""

import ast
import pathlib
import re
import runpy

import pytest
from markdown_tables import table_rows
from PIL import Image

PACK = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([*PACK.glob("*.md"), *(PACK / "docs").rglob("*.md"), *(PACK / "js" / "docs").rglob("*.md")])
TABLES = [PACK / "docs" / "guide" / "troubleshooting.md"]
OURS = [*(PACK / "nodes").rglob("*.py"), *(PACK / "cli").rglob("*.py"), PACK / "run.py"]
COMFYUIS = ("execution.py", "nodes.py")
NODE_IDS = tuple(page.stem for page in (PACK / "js" / "docs").glob("*.md"))
QUOTED_FROM = (0, 30)
"""The release whose messages are quoted; an older one may have other words."""
LEAST = 15
"""Minimum number of characters of fixed text; a shorter text could be found anywhere."""


def literals(path: pathlib.Path) -> set[str]:
    """Every text in a file's source, with "\0" for formatted values; adjacent texts are joined."""
    result = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            result.add("".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            result.add(node.value)
    return result


def messages(page: pathlib.Path) -> list[str]:
    """The first column of the tables whose first heading is "message"."""
    rows, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        inside = line.startswith("| message |") or inside and line.startswith("|")
        if inside and line.startswith("| `"):
            rows.append(re.match(r"\| `([^`]+)`", line)[1])
    return rows


def says(texts: set[str], message: str) -> bool:
    """Whether one of the texts contains the message, in which "..." stands for anything.

    A node's name at the start of a message is not in the source: the wrapper around every node adds
    it.
    """
    message = re.sub(rf"^(\.{{3}}|{'|'.join(NODE_IDS)}): ", "", message)
    pattern = re.compile(".*".join(map(re.escape, message.split("..."))), re.DOTALL)
    return any(pattern.search(text) for text in texts)


@pytest.fixture(scope="module")
def ours() -> set[str]:
    return set().union(*map(literals, OURS))


@pytest.fixture(scope="module")
def comfyuis() -> set[str]:
    import comfyui_version

    if tuple(map(int, comfyui_version.__version__.split(".")[:2])) < QUOTED_FROM:
        return set()
    return set().union(*(literals(pathlib.Path(comfyui_version.__file__).with_name(name)) for name in COMFYUIS))


@pytest.mark.parametrize("page, message", [(page.name, message) for page in TABLES for message in messages(page)])
def test_every_message_that_is_explained_can_be_met(page, message, ours, comfyuis):
    assert len(message.replace("...", "")) >= LEAST, "too short to be distinctive"
    if not says(ours, message) and not comfyuis:
        pytest.skip("not the pack's own, and this ComfyUI is older than the one that is quoted")
    assert says(ours | comfyuis, message), f"{page}: no source contains this message"


def test_there_are_messages_at_all_and_a_wrong_one_would_be_found(ours, comfyuis):
    assert all(len(messages(page)) >= 29 for page in TABLES)
    assert says(ours, "the network predicted NaN or infinite values at step ... (sigma ...)")
    assert not says(ours | comfyuis, "a mask is empty; raise the threshold")


def anchors(page: pathlib.Path) -> list[str]:
    """GitHub's anchors of a page's headings."""
    heads = re.findall(r"^#+ (.+)", page.read_text(encoding="utf-8"), re.M)
    return [re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PACK).as_posix())
def test_links_and_pictures_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            name, _, part = target.partition("#")
            place = page.parent / name if name else page
            assert place.exists(), f"{page.name}: {target}"
            assert not part or part in anchors(place), f"{page.name}: {target}"


def test_the_table_of_workflows_names_them_all():
    text = (PACK / "README.md").read_text(encoding="utf-8").partition("## The workflows")[2].partition("\n## ")[0]
    named = [name for row in re.findall(r"^\| (`.+?) \|", text, re.M) for name in re.findall(r"`([^`]+)`", row)]
    assert sorted(named) == sorted(file.stem for file in (PACK / "workflows").glob("*.json")), (
        "as the editor lists them"
    )


@pytest.mark.parametrize("workflow", sorted((PACK / "workflows").glob("*.json")), ids=lambda file: file.stem)
def test_every_workflow_has_a_thumbnail(workflow):
    with Image.open(workflow.with_suffix(".jpg")) as picture:
        assert picture.width == picture.height >= 300
        low, high = picture.convert("L").getextrema()
        assert high - low > 60, "a picture of nothing"


def test_the_animation_moves_and_is_small():
    file = PACK / "js" / "docs" / "media" / "edit.webp"
    assert file.stat().st_size < 600_000
    with Image.open(file) as film:
        assert film.n_frames > 40
        assert film.width > 800
        assert film.info["loop"] == 0
        first = film.convert("RGB")
        film.seek(film.n_frames - 1)
        assert first.tobytes() != film.convert("RGB").tobytes()


def test_the_reference_is_made_from_the_schemas(pack):
    wanted = runpy.run_path(str(PACK / "tools" / "make_reference.py"))["pages"](pack)
    written = {page.name: page.read_text(encoding="utf-8") for page in (PACK / "docs" / "reference").glob("*.md")}
    assert written == wanted, "run: python -m tools.make_reference"


def test_the_readme_is_short():
    assert len((PACK / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_numbers_of_the_readme_are_in_a_table_of_measurements():
    text = (PACK / "docs" / "evidence" / "edit-quality.md").read_text(encoding="utf-8")
    readme = " ".join((PACK / "README.md").read_text(encoding="utf-8").split())
    said = r"DiffEdit at strength 0\.8.* ([\d.]+) dB better than Encode-Decode at 0\.5, and (\d+) against (\d+) %"
    [(gain, *accepted)] = re.findall(said, readme)
    rows = table_rows(text)
    shares = {row[0]: row[1].rstrip("%") for row in rows}
    assert accepted == [shares["DiffEdit 0.8"], shares["Encode-Decode 0.5"]]
    [paired] = [row for row in rows if row[:2] == ["0.8", "Encode-Decode 0.5"]]
    assert float(paired[-1].split(" +- ")[0]) == float(gain)


SAID = [
    ("js/docs/DiffEditMask.md", r"(\d+) % succeeded without the margin", "masks", "mask along edges", 3),
    ("js/docs/DiffEditMask.md", r"margin, (\d+) % with it", "masks", "mask along edges, grow 2", 3),
    ("js/docs/DiffEditMask.md", r"(\d+) % with the defaults", "masks", "default mask", 3),
    ("js/docs/CLIPRank.md", r"(\d+) % \(\*masked\*\)", "clip-ranking", "masked, 0 (the paper)", 2),
    ("js/docs/CLIPRank.md", r"(\d+) % \(\*crop\*\)", "clip-ranking", "crop, 0", 2),
    ("js/docs/CLIPRank.md", r"(\d+) % of the bottom fifth", "clip-ranking", "masked, 0 (the paper)", 4),
    ("js/docs/EDICTInvert.md", r"(\d+) % of 40 edits", "evaluations", "50 steps", 3),
    ("js/docs/EDICTInvert.md", r"(\d+) % at 32", "evaluations", "32 steps", 3),
    ("js/docs/EDICTInvert.md", r"(\d+) % of the same 40 edits", "evaluations", "50 steps, guided 0% to 50%", 3),
    ("js/docs/EDICTInvert.md", r"(\d+) % of 20 other edits", "inversions", "EDICT, unguided inversion", 8),
    ("js/docs/EDICTInvert.md", r"(\d+) % of them with `cfg` 3", "inversions", "EDICT", 8),
    (
        "tools/templates/exact_inversions.py",
        r"(\d+) % were accepted with it",
        "evaluations",
        "50 steps, guided 0% to 50%",
        3,
    ),
    ("tools/templates/exact_inversions.py", r"and (\d+) % with guidance in every", "evaluations", "50 steps", 3),
    (
        "tools/templates/exact_inversions.py",
        r"(\d+) % were accepted with 120",
        "inversions",
        "DirectEdit, unguided inversion",
        8,
    ),
    ("tools/templates/exact_inversions.py", r"every step (\d+) % with 320", "inversions", "EDICT", 8),
]
"""Numbers of help pages and template notes: where they stand, a pattern, and the row and column of a table."""


@pytest.mark.parametrize("file, said, page, row, column", SAID, ids=[f"{one[0]}-{one[3]}-{one[4]}" for one in SAID])
def test_numbers_of_help_pages_and_notes_are_those_of_the_tables(file, said, page, row, column):
    text = (PACK / file).read_text(encoding="utf-8").replace('"', "")
    [number] = re.findall(said, " ".join(text.split()))
    table = (PACK / "docs" / "evidence" / f"{page}.md").read_text(encoding="utf-8")
    [cells] = [cells for cells in table_rows(table) if cells[0] == row and len(cells) > column and "%" in cells[column]]
    assert cells[column].split("%")[0].strip() == number


@pytest.mark.parametrize("page", sorted((PACK / "docs" / "evidence").glob("*.md")), ids=lambda page: page.stem)
def test_every_table_of_measurements_names_a_script_that_is_there(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"python run\.py bench (\w+)", text) + re.findall(r"`tools/(\w+)\.py`", text)
    assert named
    for name in named:
        assert any((PACK / folder / f"{name}.py").is_file() for folder in ("benchmarks", "tools")), name


@pytest.mark.parametrize("name, tool", [("memory", "memory"), ("support", "support_table")])
def test_pages_that_tools_write_begin_as_the_tool_does(name, tool):
    [head] = [text for text in literals(PACK / "tools" / f"{tool}.py") if text.startswith("# ")]
    assert (PACK / "docs" / "evidence" / f"{name}.md").read_text(encoding="utf-8").startswith(head)
