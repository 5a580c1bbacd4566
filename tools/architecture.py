"""Draw docs/architecture.svg: the layers of nodes/, their folders, and the number of files that
import from each layer into another, counted in the source.

``python -m tools.architecture`` writes the drawing; ``--check`` writes nothing. Exit status 1 if a
layer imports from a layer above it.
"""

import argparse
import ast
import pathlib
import sys
from collections import Counter
from html import escape

PACK = pathlib.Path(__file__).resolve().parents[1]
NODES = PACK / "nodes"
PAGE = PACK / "docs" / "architecture.svg"
FLOORS = ("core", "host", "edits", "nodes", "extension")
"""From the bottom up; a file may import from its own layer or below."""
ABOUT = {
    "core": "algorithms: pure functions on tensors",
    "host": "the contact with ComfyUI",
    "edits": "what each node does",
    "nodes": "schemas, one call each",
    "extension": "the list of nodes",
}
WIDTH, HEIGHT, GAP, LEFT = 560, 62, 34, 20


def floor_of(parts: tuple[str, ...]) -> str:
    """The layer of a path below nodes/, given as its parts."""
    if parts and parts[0] in FLOORS[:3]:
        return parts[0]
    return "extension" if not parts or parts[0] in ("extension", "extension.py", "__init__.py") else "nodes"


def imports(path: pathlib.Path) -> set[str]:
    """The layers from which a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*path.parents[node.level - 1].relative_to(NODES).parts, *(node.module or "").split(".")]
            names |= {floor_of(tuple(part for part in (*base, alias.name) if part)) for alias in node.names}
    return names


def survey() -> tuple[dict[str, Counter], Counter]:
    """The number of files in each folder, by layer; and the number of files that import, by pair of
    layers.
    """
    folders: dict[str, Counter] = {floor: Counter() for floor in FLOORS}
    arrows: Counter = Counter()
    for path in sorted(NODES.rglob("*.py")):
        parts = path.relative_to(NODES).parts
        floor = floor_of(parts)
        if path.name != "__init__.py":
            folders[floor][parts[1] if len(parts) > 2 else ""] += 1
        arrows.update((floor, other) for other in imports(path) if other != floor)
    return folders, arrows


def drawing(folders: dict[str, Counter], arrows: Counter) -> str:
    """The drawing as SVG."""
    layers = [floor for floor in reversed(FLOORS) if folders[floor]]
    top = {floor: LEFT + row * (HEIGHT + GAP) for row, floor in enumerate(layers)}
    total = LEFT * 2 + len(layers) * HEIGHT + (len(layers) - 1) * GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 260} {total}" '
        'font-family="sans-serif" font-size="14">',
        '<defs><marker id="tip" markerWidth="9" markerHeight="9" refX="8" refY="4.5" orient="auto">'
        '<path d="M0,0 L9,4.5 L0,9 z" fill="#555"/></marker></defs>',
        f'<rect width="{WIDTH + 260}" height="{total}" fill="white"/>',
    ]
    for floor in layers:
        named = ", ".join(f"{folder} {count}" for folder, count in sorted(folders[floor].items()) if folder)
        plain = f"files: {sum(folders[floor].values())}" + (f" ({named})" if named else "")
        parts += [
            f'<rect x="{LEFT}" y="{top[floor]}" width="{WIDTH}" height="{HEIGHT}" rx="8" '
            'fill="#eef3fa" stroke="#3b5b8c"/>',
            f'<text x="{LEFT + 14}" y="{top[floor] + 26}" font-weight="bold" fill="#1d2d47">{escape(floor)}</text>',
            f'<text x="{LEFT + 110}" y="{top[floor] + 26}" fill="#333">{escape(ABOUT[floor])}</text>',
            f'<text x="{LEFT + 110}" y="{top[floor] + 47}" fill="#666" font-size="12">{escape(plain)}</text>',
        ]
    side = 0
    for (floor, other), count in sorted(arrows.items(), key=lambda item: (top[item[0][1]] - top[item[0][0]], item[0])):
        start, end = top[floor], top[other]
        if end - start == HEIGHT + GAP:
            x, y = LEFT + 60, start + HEIGHT
            parts += [
                f'<line x1="{x}" y1="{y}" x2="{x}" y2="{end}" stroke="#555" marker-end="url(#tip)"/>',
                f'<text x="{x + 10}" y="{y + GAP / 2 + 5}" fill="#555" font-size="12">{count}</text>',
            ]
            continue
        side += 1
        x, middle, target = LEFT + WIDTH, start + HEIGHT / 2, end + 8 + 7 * side
        parts += [
            f'<path d="M{x},{middle} H{x + 32 * side} V{target} H{x + 2}" '
            'fill="none" stroke="#555" marker-end="url(#tip)"/>',
            f'<text x="{x + 32 * side + 4}" y="{(middle + target) / 2}" fill="#555" font-size="12">{count}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    settings = parser.parse_args()
    folders, arrows = survey()
    upwards = [
        f"{floor} imports {other}, which is above it"
        for floor, other in arrows
        if FLOORS.index(other) > FLOORS.index(floor)
    ]
    text = drawing(folders, arrows)
    if not settings.check:
        PAGE.write_text(text, encoding="utf-8")
    print("\n".join(upwards) or "imports go down")
    return 1 if upwards else 0


if __name__ == "__main__":
    sys.exit(main())
