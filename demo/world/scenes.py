"""Scenes of the demo world, their captions, and edits with instructions.

A scene is a plain description; ``render.py`` turns it into pixels and masks. All randomness comes
from the ``random.Random`` given.
"""

import math
import random
from dataclasses import dataclass

from .grounds import VARIANTS
from .things import COLOURS, GROUNDS, HEADS, KINDS, PAINTED, WORN, join, with_article

GROUND_NAMES = tuple(GROUNDS)
COLOUR_NAMES = tuple(COLOURS)


@dataclass(frozen=True)
class Thing:
    """One thing. ``x``, ``y`` (centre) and ``size`` (longest side) are shares of the picture's
    side, ``turn`` is in radians.
    """

    kind: str
    colour: str | None
    x: float
    y: float
    size: float
    turn: float = 0.0
    flip: bool = False
    worn: bool = False  # worn by the previous thing

    @property
    def name(self) -> str:
        """The kind, with the colour if there is one."""
        return f"{self.colour} {self.kind}" if self.colour else self.kind


@dataclass(frozen=True)
class Scene:
    """Things from back to front on a ground.

    ``patch`` is the visible part of the ground's texture: (variant, left, top, side), the last
    three in 0..1. Light comes from ``light`` (radians) with a gradient of ``shade`` from edge to
    edge, and ``bright`` scales all.
    """

    things: tuple[Thing, ...]
    ground: str
    patch: tuple[int, float, float, float] = (0, 0.5, 0.5, 0.7)
    light: float = -2.2
    shade: float = 0.1
    bright: float = 1.0


def held_out(kind: str, ground: str) -> bool:
    """Whether a (thing, ground) pair belongs to the tenth of all pairs that training does not use."""
    return (7 * KINDS.index(kind) + 3 * GROUND_NAMES.index(ground)) % 10 == 0


SIZES = {1: (0.36, 0.67), 2: (0.26, 0.42), 3: (0.20, 0.30)}
"""Smallest and largest size of a thing by the number of things in the picture."""


def random_ground(rng: random.Random) -> dict:
    """Random values of all fields of a Scene except its things."""
    return dict(
        ground=rng.choice(GROUND_NAMES),
        patch=(rng.randrange(VARIANTS), rng.random(), rng.random(), rng.uniform(0.5, 0.9)),
        light=rng.uniform(-math.pi, 0),
        shade=rng.uniform(0.0, 0.25),
        bright=rng.uniform(0.9, 1.05),
    )


def random_thing(rng: random.Random, kind: str, low: float, high: float) -> Thing:
    """A thing of ``kind`` at a random place inside the picture, its size between ``low`` and
    ``high``.
    """
    size = rng.uniform(low, high)
    margin = 0.5 * size + 0.02
    x, y = rng.uniform(margin, 1 - margin), rng.uniform(margin, 1 - margin)
    colour = rng.choice(COLOUR_NAMES) if kind in PAINTED else None
    return Thing(kind, colour, x, y, size, rng.uniform(-0.2, 0.2), rng.random() < 0.5)


def touches(thing: Thing, other: Thing) -> bool:
    """Whether two things are too close to each other."""
    return math.hypot(thing.x - other.x, thing.y - other.y) < 0.5 * 0.95 * (thing.size + other.size)


def put_on(wearer: Thing, kind: str, colour: str | None) -> Thing:
    """A thing of ``kind`` on the head of ``wearer``."""
    across, down, width = HEADS[wearer.kind]
    across = (0.5 - across if wearer.flip else across - 0.5) * wearer.size
    down = (down - 0.5) * wearer.size
    cos, sin = math.cos(wearer.turn), math.sin(wearer.turn)
    size = width * wearer.size
    down -= 0.22 * size
    return Thing(
        kind,
        colour,
        wearer.x + cos * across - sin * down,
        wearer.y + sin * across + cos * down,
        size,
        wearer.turn,
        wearer.flip,
        worn=True,
    )


def random_scene(
    rng: random.Random,
    count: int | None = None,
    unseen: bool = False,
    kinds: tuple[str, ...] = KINDS,
    worn: bool | None = None,
) -> Scene:
    """Draw one to three things that do not touch; one in eight animals wears something.

    ``unseen`` draws only (thing, ground) pairs that training holds out, otherwise only the others.
    ``kinds`` are those of the first thing; ``worn`` determines whether it wears something (None: at
    random).
    """
    count = count or rng.choices((1, 2, 3), (0.62, 0.28, 0.10))[0]
    while True:
        scene = random_ground(rng)
        things: list[Thing] = []
        for place in range(count):
            thing = random_thing(rng, rng.choice(kinds if place == 0 else KINDS), *SIZES[count])
            clash = any(thing.kind == other.kind or touches(thing, other) for other in things)
            if clash or held_out(thing.kind, scene["ground"]) != unseen:
                break
            things.append(thing)
        if len(things) < count:
            continue
        wears = rng.random() < 0.125 if worn is None else worn
        first = things[0]
        if (
            wears
            and first.kind in HEADS
            and first.size > 0.4
            and count < 3
            and not any(thing.kind in WORN for thing in things)
        ):
            kind = rng.choice(WORN)
            worn_thing = put_on(first, kind, rng.choice(COLOUR_NAMES) if kind in PAINTED else None)
            inside = (
                0.5 * worn_thing.size < worn_thing.y
                and 0.5 * worn_thing.size < worn_thing.x < 1 - 0.5 * worn_thing.size
            )
            if not inside or any(touches(worn_thing, other) for other in things[1:]):
                continue
            things.insert(1, worn_thing)
        elif worn:
            continue
        return Scene(tuple(things), **scene)


# ---- words ----


def phrases(scene: Scene, rng: random.Random | None = None) -> list[str]:
    """One phrase per thing, a worn thing with its wearer: ``["a dog wearing a crown", "a red
    car"]``.
    """
    out: list[str] = []
    for thing in scene.things:
        name = thing.kind if rng and thing.colour and rng.random() < 0.12 else thing.name
        if thing.worn:
            out[-1] += f" wearing {with_article(name)}"
        else:
            out.append(with_article(name))
    if rng:
        rng.shuffle(out)
    return out


def caption(scene: Scene) -> str:
    """``"a dog and a red car on snow"``."""
    return f"{join(phrases(scene))} {GROUNDS[scene.ground].phrases[0]}"


def training_caption(scene: Scene, rng: random.Random) -> str:
    """A random caption for training: any order, several wordings, sometimes without the ground or a
    colour, sometimes empty.
    """
    roll = rng.random()
    if roll < 0.10:
        return ""
    things, ground = join(phrases(scene, rng)), GROUNDS[scene.ground]
    where = ground.phrases[0] if rng.random() < 0.75 else rng.choice(ground.phrases)
    if roll < 0.17:
        return things
    if roll < 0.24:
        return f"a picture of {things} {where}"
    if roll < 0.29:
        return f"{where}, {things}"
    return f"{things} {where}"


# ---- edits ----


def caption_vocabulary() -> list[str]:
    """Every word (and the comma) of captions, sorted."""
    texts = [
        ",",
        "a an and the wearing picture of",
        *KINDS,
        *COLOURS,
        *(text for ground in GROUNDS.values() for text in ground.phrases),
    ]
    return sorted({word for text in texts for word in text.split()})


def vocabulary() -> list[str]:
    """Every word of captions and instructions, sorted."""
    instructions = (
        "replace the with turn into change to make paint put it them on "
        "add give in remove take away delete ground picture"
    )
    nouns = [ground.noun for ground in GROUNDS.values()]
    return sorted({*caption_vocabulary(), *instructions.split(), *nouns})
