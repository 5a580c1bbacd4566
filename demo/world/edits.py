"""Edits of the demo world: a scene, the scene after the edit, and the instruction."""

import random
from dataclasses import dataclass, replace

from .scenes import COLOUR_NAMES, GROUND_NAMES, Scene, Thing, held_out, random_ground, random_scene
from .things import FAMILIES, FAMILY_OF, GROUNDS, HEADS, KINDS, PAINTED, with_article

EDITS = ("replace", "recolour", "remove", "add", "ground")


@dataclass(frozen=True)
class Edit:
    """``before`` becomes ``after``; ``changed`` are the indices of the things in either that differ
    (none for the ground).
    """

    kind: str
    before: Scene
    after: Scene
    changed_before: tuple[int, ...]
    changed_after: tuple[int, ...]
    instruction: str


def said(rng: random.Random | None, *wordings: str) -> str:
    """The main wording, or a random one if ``rng`` is given."""
    return wordings[0] if rng is None or rng.random() < 0.5 else rng.choice(wordings)


def random_edit(
    rng: random.Random, kind: str, unseen: bool = False, count: int | None = None, vary: bool = True
) -> Edit:
    """A scene and the same scene after an edit of ``kind``, with an instruction (the main wording
    unless ``vary``).

    If ``unseen``, both scenes consist of (thing, ground) pairs that training holds out; if the
    ground changes, only the scene after the edit does. Otherwise they consist of pairs that
    training uses.
    """
    words = rng if vary else None
    while True:
        edit = EDITORS[kind](rng, words, unseen, count)
        if edit and all(held_out(thing.kind, edit.after.ground) == unseen or thing.worn for thing in edit.after.things):
            return edit


def exchange(scene: Scene, place: int, thing: Thing) -> Scene:
    """The scene with the thing number ``place`` replaced."""
    return replace(scene, things=(*scene.things[:place], thing, *scene.things[place + 1 :]))


def replaced(rng, words, unseen, count) -> Edit | None:
    scene = random_scene(rng, count, unseen, worn=False)
    place = rng.randrange(len(scene.things))
    old = scene.things[place]
    near = [kind for kind in FAMILIES[FAMILY_OF[old.kind]] if kind != old.kind]
    kind = rng.choice(near if rng.random() < 0.7 else [kind for kind in KINDS if kind != old.kind])
    if any(thing.kind == kind for thing in scene.things):
        return None
    new = replace(old, kind=kind, colour=rng.choice(COLOUR_NAMES) if kind in PAINTED else None)
    text = said(
        words,
        f"replace the {old.kind} with {with_article(new.name)}",
        f"turn the {old.kind} into {with_article(new.name)}",
        f"change the {old.kind} to {with_article(new.name)}",
    )
    return Edit("replace", scene, exchange(scene, place, new), (place,), (place,), text)


def recoloured(rng, words, unseen, count) -> Edit | None:
    scene = random_scene(rng, count, unseen, kinds=PAINTED, worn=False)
    old = scene.things[0]
    new = replace(old, colour=rng.choice([name for name in COLOUR_NAMES if name != old.colour]))
    text = said(
        words,
        f"make the {old.kind} {new.colour}",
        f"turn the {old.kind} {new.colour}",
        f"paint the {old.kind} {new.colour}",
    )
    return Edit("recolour", scene, exchange(scene, 0, new), (0,), (0,), text)


def added(rng, words, unseen, count) -> Edit:
    if rng.random() < 0.5:
        scene = random_scene(rng, min(count or rng.choice((1, 1, 2)), 2), unseen, kinds=tuple(HEADS), worn=True)
        new, place, wearer = scene.things[1], 1, scene.things[0].kind
        text = said(
            words,
            f"put {with_article(new.name)} on the {wearer}",
            f"add {with_article(new.name)} to the {wearer}",
            f"give the {wearer} {with_article(new.name)}",
        )
    else:
        scene = random_scene(rng, max(count or rng.choice((2, 2, 3)), 2), unseen, worn=False)
        place = len(scene.things) - 1
        new = scene.things[place]
        text = said(words, f"add {with_article(new.name)}", f"put {with_article(new.name)} in the picture")
    before = replace(scene, things=scene.things[:place] + scene.things[place + 1 :])
    return Edit("add", before, scene, (), (place,), text)


def removed(rng, words, unseen, count) -> Edit:
    edit = added(rng, None, unseen, count)
    thing = edit.after.things[edit.changed_after[0]]
    text = said(words, f"remove the {thing.kind}", f"take the {thing.kind} away", f"delete the {thing.kind}")
    return Edit("remove", edit.after, edit.before, edit.changed_after, (), text)


def regrounded(rng, words, unseen, count) -> Edit | None:
    scene = random_scene(rng, count)  # at most one ground per thing is held out, so only the result can be unseen
    other = random_ground(rng)
    fitting = [
        name
        for name in GROUND_NAMES
        if all(held_out(thing.kind, name) == unseen or thing.worn for thing in scene.things)
    ]
    fitting = [name for name in fitting if name != scene.ground]
    if not fitting:
        return None
    other["ground"] = rng.choice(fitting)
    after = replace(scene, ground=other["ground"], patch=other["patch"])
    ground, it = GROUNDS[after.ground], "it" if len(scene.things) == 1 else "them"
    text = said(
        words,
        f"put {it} {ground.phrases[0]}",
        f"change the ground to {ground.noun}",
        f"put {it} {rng.choice(ground.phrases)}",
    )
    return Edit("ground", scene, after, (), (), text)


EDITORS = {"replace": replaced, "recolour": recoloured, "remove": removed, "add": added, "ground": regrounded}
