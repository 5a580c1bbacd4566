"""The vocabulary of the demo world: things, colours and grounds, with their English.

Sprites are Microsoft's Fluent Emoji in their 3-D rendering (MIT licence, see NOTICE); file names
are Unicode code points.
"""

from typing import NamedTuple

FAMILIES = {
    "fruit": ("strawberry", "orange", "lemon", "apple", "pear", "banana", "pineapple"),
    "vegetables": ("carrot", "mushroom"),
    "animals": ("cat", "dog", "rabbit", "fox", "tiger", "horse", "cow", "pig", "elephant", "penguin", "duck", "owl"),
    "vehicles": ("car", "bus", "truck", "tractor", "airplane", "bicycle"),
    "flowers": ("rose", "tulip", "sunflower", "cactus"),
    "food": ("cake", "pizza", "burger", "donut", "cupcake"),
    "wear": ("hat", "crown", "umbrella", "shirt", "dress", "cap", "backpack", "boot"),
    "instruments": ("guitar", "violin", "drum"),
    "home": ("house", "balloon", "teapot", "book", "bucket"),
}
"""Families of things; an edit replaces a thing by another of its family."""

KINDS = tuple(kind for family in FAMILIES.values() for kind in family)
FAMILY_OF = {kind: family for family, kinds in FAMILIES.items() for kind in kinds}

CODE_POINTS = {
    "strawberry": "1f353",
    "orange": "1f34a",
    "lemon": "1f34b",
    "apple": "1f34e",
    "pear": "1f350",
    "banana": "1f34c",
    "pineapple": "1f34d",
    "carrot": "1f955",
    "mushroom": "1f344",
    "cat": "1f408",
    "dog": "1f415",
    "rabbit": "1f407",
    "fox": "1f98a",
    "tiger": "1f405",
    "horse": "1f40e",
    "cow": "1f404",
    "pig": "1f416",
    "elephant": "1f418",
    "penguin": "1f427",
    "duck": "1f986",
    "owl": "1f989",
    "car": "1f697",
    "bus": "1f68c",
    "truck": "1f69a",
    "tractor": "1f69c",
    "airplane": "2708-fe0f",
    "bicycle": "1f6b2",
    "rose": "1f339",
    "tulip": "1f337",
    "sunflower": "1f33b",
    "cactus": "1f335",
    "cake": "1f382",
    "pizza": "1f355",
    "burger": "1f354",
    "donut": "1f369",
    "cupcake": "1f9c1",
    "hat": "1f3a9",
    "crown": "1f451",
    "umbrella": "2602-fe0f",
    "shirt": "1f455",
    "dress": "1f457",
    "cap": "1f9e2",
    "backpack": "1f392",
    "boot": "1f462",
    "guitar": "1f3b8",
    "violin": "1f3bb",
    "drum": "1f941",
    "house": "1f3e0",
    "balloon": "1f388",
    "teapot": "1fad6",
    "book": "1f4d5",
    "bucket": "1faa3",
}


class Paint(NamedTuple):
    """A colour as hue, saturation and value, all in 0..1."""

    hue: float
    saturation: float
    value: float


COLOURS = {
    "red": Paint(0.985, 0.83, 0.88),
    "orange": Paint(0.075, 0.88, 0.97),
    "yellow": Paint(0.145, 0.78, 0.99),
    "green": Paint(0.36, 0.70, 0.66),
    "blue": Paint(0.60, 0.80, 0.90),
    "purple": Paint(0.755, 0.62, 0.70),
    "pink": Paint(0.925, 0.42, 0.98),
}
PAINTED = (
    "car",
    "tulip",
    "umbrella",
    "shirt",
    "dress",
    "cap",
    "backpack",
    "boot",
    "balloon",
    "teapot",
    "book",
    "bucket",
)
"""Things that the renderer draws in any of :data:`COLOURS`; they always have a colour."""

WORN = ("hat", "crown", "cap")
HEADS = {  # position of a worn thing: centre and width as shares of the animal's box, for an animal facing left
    "cat": (0.20, 0.12, 0.38),
    "dog": (0.26, 0.08, 0.38),
    "rabbit": (0.24, 0.15, 0.34),
    "tiger": (0.22, 0.10, 0.36),
    "horse": (0.23, 0.06, 0.32),
    "cow": (0.24, 0.06, 0.34),
    "pig": (0.26, 0.16, 0.38),
    "elephant": (0.34, 0.10, 0.44),
    "penguin": (0.50, 0.07, 0.48),
    "duck": (0.26, 0.06, 0.36),
    "owl": (0.50, 0.04, 0.56),
    "fox": (0.50, 0.06, 0.52),
}


class Ground(NamedTuple):
    """A ground's prepositional phrases (the first is the main one) and its noun."""

    phrases: tuple[str, ...]
    noun: str


GROUNDS = {
    "wood": Ground(("on wood", "on a wooden table"), "wood"),
    "grass": Ground(("on grass", "on the grass"), "grass"),
    "sand": Ground(("on sand", "on the beach"), "sand"),
    "snow": Ground(("on snow", "in the snow"), "snow"),
    "water": Ground(("on water", "on the water"), "water"),
    "bricks": Ground(("on bricks", "on a brick wall"), "bricks"),
    "stone": Ground(("on stone", "on a stone floor"), "stone"),
    "sky": Ground(("in the sky", "on sky"), "sky"),
    "tiles": Ground(("on tiles", "on a tiled floor"), "tiles"),
}


def with_article(noun: str) -> str:
    """``"an orange"``, ``"a dog"``."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def join(phrases: list[str]) -> str:
    """``"a dog"``, ``"a dog and a cat"``, ``"a dog, a cat and a car"``."""
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
