"""Line charts as PNG and SVG from one description, with Pillow only."""

import math
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from PIL import Image, ImageDraw, ImageFont

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#888888")
"""Okabe and Ito's palette, which is safe for colour-blind readers, with grey for its yellow."""
INK, GRID = "#222222", "#dddddd"
WIDTH, HEIGHT = 460, 330
"""Pixels of a panel."""
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 46, 48
LEGEND = 340
"""Pixels between the columns of the legend."""
SHARP = 2
"""Pixels of the PNG per unit of the drawing."""


@dataclass
class Panel:
    """A chart: ``curves`` by name, each a list of points (x, y, note) in the order of the line.
    Notes are drawn beside the points.
    """

    x: str
    y: str
    curves: dict[str, list[tuple[float, float, str]]]
    title: str = ""
    log_x: bool = False


@dataclass
class Shapes:
    """Drawing primitives: lines (points, colour, width), dots (x, y, colour) and texts (x, y,
    words, anchor, colour, size). Anchors are start, middle and end.
    """

    size: tuple[int, int]
    lines: list = field(default_factory=list)
    dots: list = field(default_factory=list)
    texts: list = field(default_factory=list)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most ``most`` of them."""
    if high <= low:
        return [low]
    rough = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * number for number in range(first, last + 1)]


def words(value: float) -> str:
    """The label of a tick."""
    return f"{value:.4g}"


def spread(values: Sequence[float]) -> tuple[float, float]:
    """The limits of an axis: the range of the values with a margin."""
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def finite(curve: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """The points with finite coordinates."""
    return [point for point in curve if math.isfinite(point[0]) and math.isfinite(point[1])]


def draw_panel(shapes: Shapes, panel: Panel, left: float, names: list[str]) -> None:
    """One panel whose left border is at ``left``; a panel without points is marked as empty."""
    curves = {name: finite(curve) for name, curve in panel.curves.items()}
    points = [point for curve in curves.values() for point in curve]
    shapes.texts.append((left + LEFT, 18, panel.title, "start", INK, 13))
    shapes.texts.append((left + LEFT, TOP - 10, panel.y, "start", INK, 12))
    shapes.texts.append((left + (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, panel.x, "middle", INK, 12))
    if not points:
        shapes.texts.append((left + WIDTH / 2, HEIGHT / 2, "not measured", "middle", INK, 12))
        return
    scale = math.log10 if panel.log_x else float
    (x0, x1), (y0, y1) = spread([scale(x) for x, _, _ in points]), spread([y for _, y, _ in points])

    def place(x: float, y: float) -> tuple[float, float]:
        across, down = (scale(x) - x0) / (x1 - x0), (y1 - y) / (y1 - y0)
        return left + LEFT + across * (WIDTH - LEFT - RIGHT), TOP + down * (HEIGHT - TOP - BOTTOM)

    marks = sorted({x for x, _, _ in points}) if panel.log_x else ticks(x0, x1)
    for mark in marks:
        across = place(mark, y0)[0]
        shapes.lines.append(([(across, TOP), (across, HEIGHT - BOTTOM)], GRID, 1))
        shapes.texts.append((across, HEIGHT - BOTTOM + 16, words(mark), "middle", INK, 11))
    for mark in ticks(y0, y1):
        down = place(points[0][0], mark)[1]
        shapes.lines.append(([(left + LEFT, down), (left + WIDTH - RIGHT, down)], GRID, 1))
        shapes.texts.append((left + LEFT - 6, down + 4, words(mark), "end", INK, 11))
    for name, curve in curves.items():
        colour = COLOURS[names.index(name) % len(COLOURS)]
        places = [place(x, y) for x, y, _ in curve]
        shapes.lines.append((places, colour, 2))
        for (x, y), (_, _, note) in zip(places, curve):
            shapes.dots.append((x, y, colour))
            shapes.texts.append((x + 6, y - 5, note, "start", colour, 10))


def draw(panels: list[Panel]) -> Shapes:
    """Panels side by side with one legend below."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    columns = max(1, WIDTH * len(panels) // LEGEND)
    rows = math.ceil(len(names) / columns)
    shapes = Shapes((WIDTH * len(panels), HEIGHT + 12 + 20 * rows))
    for number, panel in enumerate(panels):
        draw_panel(shapes, panel, WIDTH * number, names)
    for number, name in enumerate(names):
        x = 20 + (number % columns) * LEGEND
        y = HEIGHT + 14 + 20 * (number // columns)
        colour = COLOURS[number % len(COLOURS)]
        shapes.lines.append(([(x, y), (x + 22, y)], colour, 2))
        shapes.dots.append((x + 11, y, colour))
        shapes.texts.append((x + 30, y + 4, name, "start", INK, 12))
    return shapes


def as_svg(shapes: Shapes) -> str:
    """The drawing as the text of an SVG file."""
    width, height = shapes.size
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for places, colour, thick in shapes.lines:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{thick}"/>')
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y, colour in shapes.dots]
    parts += [
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(text)}</text>'
        for x, y, text, anchor, colour, size in shapes.texts
        if text
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def as_image(shapes: Shapes) -> Image.Image:
    """The drawing as a picture, ``SHARP`` pixels per unit."""
    image = Image.new("RGB", (shapes.size[0] * SHARP, shapes.size[1] * SHARP), "white")
    pen = ImageDraw.Draw(image)
    for places, colour, thick in shapes.lines:
        pen.line([(SHARP * x, SHARP * y) for x, y in places], fill=colour, width=SHARP * thick, joint="curve")
    for x, y, colour in shapes.dots:
        pen.ellipse([SHARP * (x - 3.5), SHARP * (y - 3.5), SHARP * (x + 3.5), SHARP * (y + 3.5)], fill=colour)
    for x, y, text, anchor, colour, size in shapes.texts:
        font = ImageFont.load_default(SHARP * size)
        kind = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
        pen.text((SHARP * x, SHARP * y), text, font=font, fill=colour, anchor=kind)
    return image


def save(panels: list[Panel], stem: pathlib.Path | str) -> list[pathlib.Path]:
    """Write ``stem``.svg and ``stem``.png; returns both paths."""
    shapes = draw(panels)
    svg, png = (pathlib.Path(f"{stem}.{kind}") for kind in ("svg", "png"))
    svg.write_text(as_svg(shapes), encoding="utf-8")
    as_image(shapes).save(png)
    return [svg, png]
