"""Makes the demo world's own small CLIP from nothing: python -m demo.train_clip (with COMFYUI_PATH
set, because ``train.py`` wants ComfyUI).

A picture tower and a text tower in the layout of a Hugging Face CLIP folder, with a small
vocabulary of its own, trained to tell which caption belongs to which picture (Radford et al. 2021).
It is made for ranking edits, so it learns on what CLIPRank shows it: whole pictures, pictures that
are black
outside a mask, and crops. Captions meet wrong pictures of three kinds: those of the other captions,
    those that differ in one word, and spoiled ones
(outlines between two shapes, dents, two colours in one object, specks, nothing at all), which is
how a generator fails.

Data depend only on the seed and the step; a tenth of all combinations is held out
(``scenes.held_out``) and every measure printed at the end is taken there.
"""

import argparse
import json
import math
import os
import pathlib
import random
import time
from collections import Counter
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from .scenes import (
    COLOUR_NAMES,
    COLOURS,
    SHAPES,
    SIZE,
    Scene,
    Shape,
    caption,
    clash,
    coverage,
    random_scene,
    render,
    signed_distance,
)
from .training.clip import Reader, byte_letters, learn_merges

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE.parent / "clip_rank" / "semantic-edit-demo"
PIXELS, PATCH, WIDTH, HEADS, LENGTH = 64, 8, 96, 4, 32
START, END = "<|startoftext|>", "<|endoftext|>"
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
VIEWS = ("whole", "masked", "crop")


# ---- words ----


def write_tokenizer(folder: pathlib.Path) -> None:
    """The world's words as one token each, anything else letter by letter."""
    letters, merges = byte_letters(), learn_merges(["a", "and", "on", "background", *COLOURS, *SHAPES])
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), START, END]
    (folder / "vocab.json").write_text(
        json.dumps({token: index for index, token in enumerate(dict.fromkeys(tokens))}) + "\n", encoding="utf-8"
    )
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges), encoding="utf-8"
    )
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=1) + "\n", encoding="utf-8")
    settings = {**special, "tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    pictures = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"height": PIXELS, "width": PIXELS},
        "resample": 3,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
        "do_convert_rgb": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures, indent=1) + "\n", encoding="utf-8")


# ---- pictures ----


def kinds(objects: tuple[Shape, ...]) -> list[tuple[str, str]]:
    """What objects are, wherever and in whatever order."""
    return sorted((item.shape, item.colour) for item in objects)


@dataclass(frozen=True)
class View:
    """What one picture [3, PIXELS, PIXELS] shows: its ``objects`` and its ``ground`` (None where
    the mask hides it), and where its shapes are.

    ``places`` [PIXELS / PATCH, PIXELS / PATCH] holds the number of the shape that covers a patch,
        ``len(SHAPES)`` where there is none.
    """

    picture: torch.Tensor
    places: torch.Tensor
    objects: tuple[Shape, ...]
    ground: str | None

    def agrees(self, scene: Scene, ground: bool) -> bool:
        """Whether the caption of ``scene`` (with or without its ground) may be said of this
        picture.
        """
        return (not ground or self.ground is None or self.ground == scene.ground) and kinds(self.objects) == kinds(
            scene.objects
        )


@dataclass(frozen=True)
class Frame:
    """How a scene is looked at: a mask [S, S] or a square of it in shares of the side (left, top,
    side), and what is seen through it.
    """

    kind: str
    mask: torch.Tensor | None
    square: tuple[float, float, float] | None
    objects: tuple[Shape, ...]
    ground: str | None


def rectangle(item: Shape, rng: random.Random, size: int, widest: float) -> tuple[int, int, int, int]:
    """A box around an object with a margin of its own on every side, as (left, top, right, bottom)
    in pixels.
    """
    inside = coverage(item, size) > 0.1
    rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
    margins = [round(size * rng.uniform(0.01, widest)) for _ in range(4)]
    return (
        max(0, int(columns[0]) - margins[0]),
        max(0, int(rows[0]) - margins[1]),
        min(size, int(columns[-1]) + 1 + margins[2]),
        min(size, int(rows[-1]) + 1 + margins[3]),
    )


def mask_around(item: Shape, rng: random.Random, size: int) -> tuple[torch.Tensor, bool]:
    """A mask as people draw them, box, ellipse or the grown outline, and whether enough of the
    ground is seen in it to be named.
    """
    left, top, right, bottom = rectangle(item, rng, size, 0.14)
    roll = rng.random()
    if roll < 0.6:
        mask = torch.zeros(size, size)
        mask[top:bottom, left:right] = 1
        return mask, True
    if roll < 0.8:
        axis = torch.arange(size) + 0.5
        across, down = (
            (axis - (left + right) / 2) / (0.70 * (right - left)),
            (axis - (top + bottom) / 2) / (0.70 * (bottom - top)),
        )
        return (across.square() + down.square()[:, None] < 1).float(), True
    reach = rng.randint(1, 4)
    return F.max_pool2d((coverage(item, size) > 0.3).float()[None], 2 * reach + 1, 1, reach)[0], False


def choose_frame(scene: Scene, rng: random.Random, kind: str) -> Frame:
    """Look at the whole scene, or at one of its objects alone where no other comes into the frame
    by halves (else at the whole).
    """
    for _ in range(4):
        if kind == "whole":
            break
        item = rng.choice(scene.objects)
        if kind == "masked":
            mask, ground = mask_around(item, rng, PIXELS)
            square = None
        else:
            left, top, right, bottom = rectangle(item, rng, SIZE, 0.10)
            side = min(SIZE, max(right - left, bottom - top))
            left, top = (
                min(max(0, (low + high - side) // 2), SIZE - side) for low, high in ((left, right), (top, bottom))
            )
            mask, ground, square = torch.zeros(PIXELS, PIXELS), True, (left / SIZE, top / SIZE, side / SIZE)
            inner = [
                round(edge * PIXELS) for edge in (square[0], square[1], square[0] + square[2], square[1] + square[2])
            ]
            mask[inner[1] : inner[3], inner[0] : inner[2]] = 1
        covers = [coverage(other, PIXELS) for other in scene.objects]
        shares = [float((cover * mask).sum() / cover.sum()) for cover in covers]
        if all(share < 0.08 or share > 0.9 for share in shares):
            seen = tuple(other for other, share in zip(scene.objects, shares) if share > 0.9)
            return Frame(kind, None if square else mask, square, seen, scene.ground if ground else None)
    return Frame("whole", None, None, scene.objects, scene.ground)


def look_through(frame: Frame, draw) -> torch.Tensor:
    """``draw(size)`` channels [C, size, size] in 0..1 and look at them through a frame, [C, PIXELS,
    PIXELS].
    """
    if frame.square:
        left, top, side = (round(edge * SIZE) for edge in frame.square)
        crop = draw(SIZE)[:, top : top + side, left : left + side]
        return F.interpolate(crop[None], (PIXELS, PIXELS), mode="bicubic", antialias=True)[0].clamp(0, 1)
    picture = draw(PIXELS)
    return picture * frame.mask if frame.mask is not None else picture


def view_of(scene: Scene, frame: Frame) -> View:
    """A scene through a frame, with its shapes' places."""

    def draw(size: int) -> torch.Tensor:
        picture, masks = render(scene, size)
        areas = torch.zeros(len(SHAPES), size, size)
        for item, mask in zip(scene.objects, masks):
            areas[SHAPES.index(item.shape)] += mask
        return torch.cat([picture, areas])

    seen = look_through(frame, draw)
    share, number = F.avg_pool2d(seen[3:], PATCH).max(0)
    return View(seen[:3], torch.where(share > 0.15, number, len(SHAPES)), frame.objects, frame.ground)


def spoiled(scene: Scene, item: Shape, rng: random.Random):
    """``draw(size)`` for the scene with one object gone wrong in one of the ways that generators
    have.
    """
    rest = replace(scene, objects=tuple(other for other in scene.objects if other is not item))
    kind = rng.choices(("between", "dented", "two colours", "speck", "nothing"), (0.34, 0.34, 0.14, 0.12, 0.06))[0]
    other, share, phase = (
        rng.choice([name for name in SHAPES if name != item.shape]),
        rng.uniform(0.35, 0.65),
        rng.uniform(0, 2 * math.pi),
    )
    waves, depth = rng.choice((2, 3, 4, 5)), rng.uniform(0.16, 0.34)
    second = rng.choice([name for name in COLOUR_NAMES if name != item.colour])

    def draw(size: int) -> torch.Tensor:
        picture = render(rest, size)[0]
        axis = torch.arange(size) + 0.5
        y, x = torch.meshgrid(axis - item.y * size, axis - item.x * size, indexing="ij")
        right, down = (
            math.cos(item.turn) * x + math.sin(item.turn) * y,
            math.cos(item.turn) * y - math.sin(item.turn) * x,
        )
        radius = item.radius * size
        distance = signed_distance(item.shape, right, down, radius)
        angle = torch.atan2(down, right)
        if kind == "between":
            distance = torch.lerp(distance, signed_distance(other, right, down, radius), share)
        elif kind == "dented":
            distance = distance + depth * radius * torch.sin(waves * angle + phase)
        light = 0.5 * ((x + item.x * size) / size - 0.5) * math.cos(scene.light) * scene.shade
        light = light + 0.5 * ((y + item.y * size) / size - 0.5) * math.sin(scene.light) * scene.shade
        first, wrong = (
            (torch.tensor(COLOURS[name])[:, None, None] + light).clamp(0, 1) for name in (item.colour, second)
        )
        cover = (0.5 - distance).clamp(0, 1)
        if kind == "nothing":
            return picture
        if kind == "two colours":
            first = torch.where(
                (right * math.cos(phase) + down * math.sin(phase) > 0.3 * (share - 0.5) * radius), wrong, first
            )
        picture = picture * (1 - cover) + first * cover
        if kind == "speck":
            far = (0.5 + share) * radius
            speck = (
                0.5 - (torch.hypot(x - far * math.cos(phase), y - far * math.sin(phase)) - (0.2 + 0.4 * depth) * radius)
            ).clamp(0, 1)
            picture = picture * (1 - speck) + wrong * speck
        return picture

    return draw


def weather(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blur and noise, as a small autoencoder adds them, on pictures [N, 3, S, S]; black outside a
    mask stays black.
    """
    count = pictures.shape[0]
    shown = (pictures.amax(1, keepdim=True) > 0).float()
    blur = torch.rand(count, 1, 1, 1, generator=generator) * 0.8
    soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    noise = torch.rand(count, 1, 1, 1, generator=generator) * 0.03 * torch.randn(pictures.shape, generator=generator)
    tint = 0.03 * torch.randn(count, 3, 1, 1, generator=generator)
    return ((torch.lerp(pictures, soft, blur) + noise + tint) * shown).clamp(0, 1)


def normalise(pictures: torch.Tensor) -> torch.Tensor:
    return (pictures - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


# ---- training ----


def wrong_captions(scene: Scene, objects: tuple[Shape, ...], ground: bool, rng: random.Random) -> list[str]:
    """Three captions that are wrong in one word: a colour, a shape, and the ground (a second shape
    where the ground is not named).
    """
    item, *others = objects
    colour = replace(item, colour=rng.choice([name for name in COLOUR_NAMES if name != item.colour]))
    shapes = rng.sample([name for name in SHAPES if name != item.shape], 2)
    elsewhere = replace(scene, ground=rng.choice([name for name in COLOUR_NAMES if name != scene.ground]))
    changed = [replace(scene, objects=(new, *others)) for new in (colour, replace(item, shape=shapes[0]))]
    last = (
        replace(elsewhere, objects=objects)
        if ground
        else replace(scene, objects=(replace(item, shape=shapes[1]), *others))
    )
    return [caption(one, ground) for one in (*changed, last)]


class Batch:
    """Pictures and captions of one step. ``maybe`` [captions, pictures] marks pairs that agree
    though they were not drawn together: those are not judged.
    """

    def __init__(self, settings, step: int):
        rng, drawn = random.Random(f"{settings.seed} clip {step}"), torch.Generator().manual_seed(step)
        views, captions, said, twins = [], [], [], []
        self.wrong: list[str] = []
        for index in range(settings.batch):
            scene = random_scene(rng)
            frame = choose_frame(scene, rng, rng.choices(VIEWS, (0.35, 0.45, 0.20))[0])
            views.append(view_of(scene, frame))
            ground = frame.ground is not None and rng.random() < 0.7
            objects = tuple(rng.sample(frame.objects, len(frame.objects)))
            said.append((replace(scene, objects=objects), ground))
            captions.append(caption(*said[-1]))
            self.wrong += wrong_captions(scene, objects, ground, rng)
            if index < (settings.spoiled if step >= 0.3 * settings.steps else 0):  # whole shapes first
                twins.append(look_through(frame, spoiled(scene, rng.choice(frame.objects), rng)))
        self.captions, self.places = captions, torch.stack([view.places for view in views]).flatten(1)
        self.pictures = normalise(weather(torch.stack([view.picture for view in views] + twins), drawn))
        self.maybe = torch.zeros(settings.batch, settings.batch, dtype=torch.bool)
        for row, (scene, ground) in enumerate(said):
            for column, view in enumerate(views):
                self.maybe[row, column] = row != column and view.agrees(scene, ground)


def make_model(vocabulary: int):
    from transformers import CLIPConfig, CLIPModel

    end = vocabulary - 1
    text = dict(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        max_position_embeddings=LENGTH,
        projection_dim=WIDTH,
        bos_token_id=end - 1,
        eos_token_id=end,
        pad_token_id=end,
    )
    vision = dict(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=HEADS,
        image_size=PIXELS,
        patch_size=PATCH,
        projection_dim=WIDTH,
    )
    # The fused attention's backward pass takes three quarters of a step on a CPU.
    model = CLIPModel(
        CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH, attn_implementation="eager")
    )
    with torch.no_grad():  # CLIP's own start is made for towers six times as wide
        for name, value in model.named_parameters():
            if value.ndim >= 2 and "embedding" not in name:
                value.normal_(std=value[0].numel() ** -0.5)
            elif "embedding" in name:
                value.normal_(std=0.02 if "patch" in name else 0.1)
            if name.endswith(("out_proj.weight", "fc2.weight")):
                value.mul_(0.3)
        model.logit_scale.fill_(math.log(10))
    return model


def loss_of(model, namer: torch.nn.Linear, reader: Reader, batch: Batch) -> tuple[torch.Tensor, float]:
    """Both directions of the contrastive loss; spoiled pictures join the pictures' side, wrong
    captions that of their own picture.

    Colours are learnt in minutes this way, shapes hardly: so ``namer`` has to name the shape at
        every patch as well, and is thrown away in the end.
    """
    texts = list(dict.fromkeys(batch.captions + batch.wrong))
    place = {text: index for index, text in enumerate(texts)}
    with torch.autocast("cpu", torch.bfloat16):
        output = model(input_ids=reader(texts), pixel_values=batch.pictures)
        named = namer(
            model.vision_model.post_layernorm(output.vision_model_output.last_hidden_state[: len(batch.captions), 1:])
        )
    pictures, words = output.image_embeds.float(), output.text_embeds.float()
    count, scale = len(batch.captions), model.logit_scale.exp().clamp(max=50)
    own = words[[place[text] for text in batch.captions]]
    wrong = words[[place[text] for text in batch.wrong]].view(count, -1, words.shape[1])
    by_text = scale * own @ pictures.T
    by_text[:, :count] = by_text[:, :count].masked_fill(batch.maybe, -1e4)
    by_picture = torch.cat([by_text[:, :count].T, scale * (wrong @ pictures[:count, :, None])[..., 0]], 1)
    truth = torch.arange(count)
    loss = F.cross_entropy(by_text, truth) + F.cross_entropy(by_picture, truth)
    weights = torch.tensor([1.0] * len(SHAPES) + [0.2])
    loss = loss + F.cross_entropy(named.float().flatten(0, 1), batch.places.flatten(), weights)
    return loss / 2, (by_text.argmax(1) == truth).float().mean().item()


def train(settings, folder: pathlib.Path):
    from .train import Muon

    torch.manual_seed(settings.seed)
    reader = Reader(folder)
    model, namer = make_model(len(reader.tokenizer)), torch.nn.Linear(WIDTH, len(SHAPES) + 1)
    edges = ("embedding", "logit_scale", "visual_projection", "text_projection")
    matrices = [
        value for name, value in model.named_parameters() if value.ndim >= 2 and not any(edge in name for edge in edges)
    ]
    kept = {id(value) for value in matrices}
    others = [value for value in [*model.parameters(), *namer.parameters()] if id(value) not in kept]
    optimisers = [
        Muon(matrices, settings.matrix_rate),
        torch.optim.AdamW(others, lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    smooth = {name: value.detach().clone() for name, value in model.state_dict().items()}
    first, right, state = 0, 0.0, settings.work / "clip.pt"
    if state.is_file():
        saved = torch.load(state)
        model.load_state_dict(saved["model"])
        namer.load_state_dict(saved["namer"])
        for optimiser, values in zip(optimisers, saved["optimisers"]):
            optimiser.load_state_dict(values)
        first, right, smooth = saved["step"], saved["right"], saved["smooth"]
    started = said = time.time()
    for step in range(first, settings.steps):
        share = min(1.0, (step + 1) / 100) * min(1.0, (settings.steps - step) / (settings.steps * 0.35))
        for optimiser, rate in zip(optimisers, (settings.matrix_rate, settings.rate)):
            optimiser.param_groups[0]["lr"] = rate * share
            optimiser.zero_grad()
        loss, accuracy = loss_of(model, namer, reader, Batch(settings, step))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        right += 0.05 * (accuracy - right)
        keep = min(0.995, (step + 1) / (step + 10))
        for name, value in model.state_dict().items():
            smooth[name].lerp_(value, 1 - keep) if value.is_floating_point() else smooth[name].copy_(value)
        if time.time() - said > 20 or step + 1 == settings.steps:
            said = time.time()
            left = (said - started) / (step + 1 - first) * (settings.steps - step - 1) / 60
            print(
                f"step {step + 1} of {settings.steps}, loss {loss.item():.3f}, "
                f"right {right:.0%}, about {left:.0f} min left",
                flush=True,
            )
        if (step + 1) % 50 == 0 or step + 1 == settings.steps:
            kept = {
                "model": model.state_dict(),
                "namer": namer.state_dict(),
                "smooth": smooth,
                "step": step + 1,
                "right": right,
            }
            torch.save(
                kept | {"optimisers": [optimiser.state_dict() for optimiser in optimisers]}, state.with_suffix(".new")
            )
            os.replace(state.with_suffix(".new"), state)
    model.load_state_dict(smooth)
    return model.eval()


# ---- measures ----


def all_captions() -> list[Scene]:
    """Every one-object caption that the world allows, as scenes without places."""
    return [
        Scene((Shape(shape, colour, 0.5, 0.5, 0.25, 0.0),), ground)
        for shape in SHAPES
        for colour in COLOUR_NAMES
        for ground in COLOUR_NAMES
        if not clash(colour, ground)
    ]


@torch.inference_mode()
def measure(folder: pathlib.Path, count: int = 300, seed: int = 0) -> dict[str, float]:
    """What the pair knows of held-out scenes of one object, by view.

    ``caption``: share of pictures whose own caption is the nearest of all that the world allows;
        ``shape`` and ``colour``: share of captions whose own picture
    is nearer than all that differ in the object's shape, or colour, alone; ``spoiled``: share of
    captions that are nearer to the picture than to its spoiled twin.
    """
    from transformers import CLIPModel

    model, reader = CLIPModel.from_pretrained(folder, local_files_only=True).float().eval(), Reader(folder)
    catalogue = all_captions()
    nothing = torch.zeros(1, 3, PIXELS, PIXELS)
    table = model(input_ids=reader([caption(scene) for scene in catalogue]), pixel_values=nothing).text_embeds
    found = {}
    for kind in VIEWS:
        rng, right = random.Random(f"{seed} held-out {kind}"), Counter()
        for _ in range(count):
            scene = random_scene(rng, 1, unseen=True)
            frame, item = choose_frame(scene, rng, kind), scene.objects[0]
            shapes = [replace(scene, objects=(replace(item, shape=shape),)) for shape in SHAPES if shape != item.shape]
            others = [name for name in COLOUR_NAMES if name != item.colour and not clash(name, scene.ground)]
            colours = [replace(scene, objects=(replace(item, colour=name),)) for name in others]
            rows = [view_of(one, frame).picture for one in (scene, *shapes, *colours)] + [
                look_through(frame, spoiled(scene, item, rng))
            ]
            output = model(input_ids=reader([caption(scene)]), pixel_values=normalise(torch.stack(rows)))
            cosines = output.image_embeds @ output.text_embeds[0]
            seen = View(rows[0], nothing, frame.objects, frame.ground)
            right["caption"] += seen.agrees(catalogue[int((table @ output.image_embeds[0]).argmax())], True)
            right["shape"] += bool(cosines[0] > cosines[1 : len(SHAPES)].max())
            right["colour"] += bool(cosines[0] > cosines[len(SHAPES) : -1].max())
            right["spoiled"] += bool(cosines[0] > cosines[-1])
        found |= {f"{kind} {name}": number / count for name, number in right.items()}
    return found


def print_measures(folder: pathlib.Path, count: int = 300) -> None:
    found, columns = measure(folder, count), ("caption", "shape", "colour", "spoiled")
    print(
        f"\n| {count} held-out scenes, seen | own caption nearest of {len(all_captions())} | "
        f"nearest of {len(SHAPES)} shapes | nearest of all colours | "
        "nearer than its spoiled twin |\n|---|---:|---:|---:|---:|"
    )
    for kind in VIEWS:
        print(f"| {kind} | " + " | ".join(f"{found[f'{kind} {column}']:.1%}" for column in columns) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER, help="the folder to write")
    parser.add_argument(
        "--work", type=pathlib.Path, default=pathlib.Path("demo-training"), help="folder for the state to resume from"
    )
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--batch", type=int, default=64, help="pictures with their captions a step")
    parser.add_argument("--spoiled", type=int, default=24, help="how many of them get a spoiled twin")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of vectors, embeddings and projections")
    parser.add_argument("--matrix-rate", type=float, default=2e-3, help="learning rate of all other weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", action="store_true", help="only measure the folder that is there")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    if not settings.measure:
        settings.output.mkdir(parents=True, exist_ok=True)
        settings.work.mkdir(parents=True, exist_ok=True)
        write_tokenizer(settings.output)
        started = time.time(), time.process_time()
        model = train(settings, settings.output)
        print(
            f"trained in {(time.time() - started[0]) / 60:.0f} minutes, "
            f"{(time.process_time() - started[1]) / 60:.0f} of them computing"
        )
        model.half().save_pretrained(settings.output)
        size = sum(path.stat().st_size for path in settings.output.iterdir()) / 1e6
        print(
            f"{settings.output.name}: {size:.1f} MB, "
            f"{sum(value.numel() for value in model.parameters()) / 1e6:.2f} M numbers"
        )
    print_measures(settings.output)


if __name__ == "__main__":
    main()
