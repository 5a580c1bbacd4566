"""Train the demo world's own CLIP (Radford et al. 2021), in the layout of a Hugging Face folder,
for ranking edits.

It is trained on CLIPRank's inputs: whole pictures, pictures that are black outside a mask, and
crops. There are three kinds of negatives: the other pictures and captions of the batch, captions
that are wrong in one word, and spoiled pictures with the typical errors of generators.
"""

import math
import pathlib
import random
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from ..world.render import SIZE, render_batch
from ..world.scenes import COLOUR_NAMES, GROUND_NAMES, Scene, Thing, caption, join, phrases
from ..world.things import KINDS, PAINTED
from .data import autocast
from .judge import training_scenes
from .loop import Plan, fit
from .spoil import Spoiler, weather
from .tokenizer import LENGTH, MEAN, PIXELS, STD, Reader, write_tokenizer

PATCH, WIDTH, HEADS = 16, 144, 4
VISION_LAYERS, TEXT_LAYERS = 4, 2
VIEWS = ("whole", "masked", "crop")


# ---- views ----


@dataclass(frozen=True)
class Frame:
    """A view of a scene (whole, through a mask or in a crop) and the things that it shows.

    ``box`` (left, top, right, bottom in shares of the side) is the mask's or the crop's; ``round``
    masks are ellipses.
    """

    view: str
    box: tuple[float, float, float, float]
    round: bool
    things: tuple[Thing, ...]
    ground: str | None


def share_inside(thing: Thing, box) -> float:
    """Share of a thing's bounding box that is inside ``box``."""
    half = thing.size / 2
    across = min(thing.x + half, box[2]) - max(thing.x - half, box[0])
    down = min(thing.y + half, box[3]) - max(thing.y - half, box[1])
    return max(0.0, across) * max(0.0, down) / thing.size**2


def choose_frame(scene: Scene, rng: random.Random) -> Frame:
    """A view of the whole scene, or of a single thing if the frame cuts no other."""
    view = rng.choices(VIEWS, (0.35, 0.40, 0.25))[0]
    for _ in range(4):
        if view == "whole" or not scene.things:
            break
        thing = rng.choice(scene.things)
        margins = [0.5 * thing.size + rng.uniform(0.0, 0.12) for _ in range(4)]
        if view == "crop":
            margins = [0.5 * thing.size * rng.uniform(1.0, 1.4)] * 4
        edges = (thing.x - margins[0], thing.y - margins[1], thing.x + margins[2], thing.y + margins[3])
        left, top, right, bottom = (min(1.0, max(0.0, edge)) for edge in edges)
        box = (left, top, right, bottom)
        shares = [share_inside(other, box) for other in scene.things]
        if all(share < 0.05 or share > 0.9 for share in shares):
            seen = tuple(other for other, share in zip(scene.things, shares) if share > 0.9)
            if seen and not (
                seen[0].worn or any(b.worn and a not in seen for a, b in zip(scene.things, scene.things[1:]))
            ):
                return Frame(view, box, view == "masked" and rng.random() < 0.3, seen, scene.ground)
    return Frame("whole", (0.0, 0.0, 1.0, 1.0), False, scene.things, scene.ground)


def look_through(frames: list[Frame], pictures: torch.Tensor) -> torch.Tensor:
    """Pictures [N, 3, SIZE, SIZE] as CLIPRank prepares them for these frames, [N, 3, PIXELS,
    PIXELS].
    """
    device = pictures.device
    axis = (torch.arange(SIZE, device=device) + 0.5) / SIZE
    small = F.interpolate(pictures, (PIXELS, PIXELS), mode="bicubic", antialias=True).clamp(0, 1)
    out = small.clone()
    for row, frame in enumerate(frames):
        left, top, right, bottom = frame.box
        if frame.view == "masked":
            across, down = axis[:: SIZE // PIXELS], axis[:: SIZE // PIXELS, None]
            if frame.round:
                x = (across - (left + right) / 2) / (0.7 * (right - left))
                y = (down - (top + bottom) / 2) / (0.7 * (bottom - top))
                inside = x.square() + y.square() < 1
            else:
                inside = (across > left) & (across < right) & (down > top) & (down < bottom)
            out[row] = small[row] * inside
        elif frame.view == "crop":
            edges = [round(edge * SIZE) for edge in (left, top, right, bottom)]
            crop = pictures[row : row + 1, :, edges[1] : edges[3], edges[0] : edges[2]]
            out[row] = F.interpolate(crop, (PIXELS, PIXELS), mode="bicubic", antialias=True)[0].clamp(0, 1)
    return out


def normalise(pictures: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values, device=pictures.device)[:, None, None] for values in (MEAN, STD))
    return (pictures - mean) / std


# ---- captions ----


def say(scene: Scene, ground: bool) -> str:
    """The caption of a frame's view."""
    return caption(scene) if ground else join(phrases(scene))


def wrong_captions(scene: Scene, ground: bool, rng: random.Random) -> list[str]:
    """Four captions, each wrong in one word: a colour (or a kind, if there is none), two kinds, and
    the ground.
    """
    place = rng.randrange(len(scene.things))
    thing, taken = scene.things[place], {thing.kind for thing in scene.things}

    def with_thing(new: Thing) -> Scene:
        return replace(scene, things=(*scene.things[:place], new, *scene.things[place + 1 :]))

    kinds = rng.sample([kind for kind in KINDS if kind not in taken], 3)
    news = [replace(thing, kind=kind, colour=rng.choice(COLOUR_NAMES) if kind in PAINTED else None) for kind in kinds]
    if thing.colour:
        news[0] = replace(thing, colour=rng.choice([name for name in COLOUR_NAMES if name != thing.colour]))
    elsewhere = replace(scene, ground=rng.choice([name for name in GROUND_NAMES if name != scene.ground]))
    return [*(say(with_thing(new), ground) for new in news), say(elsewhere, True)]


def names(scene: Scene) -> frozenset:
    """(Kind, colour) of a scene's things, without their order."""
    return frozenset((thing.kind, thing.colour) for thing in scene.things)


def make_model(vocabulary_size: int):
    from transformers import CLIPConfig, CLIPModel

    end = vocabulary_size - 1
    text = dict(
        vocab_size=vocabulary_size,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=TEXT_LAYERS,
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
        num_hidden_layers=VISION_LAYERS,
        num_attention_heads=HEADS,
        image_size=PIXELS,
        patch_size=PATCH,
        projection_dim=WIDTH,
    )
    # The fused attention's backward pass takes three quarters of a step on a CPU.
    model = CLIPModel._from_config(
        CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH), attn_implementation="eager"
    )
    with torch.no_grad():  # CLIP's own initialisation is for towers six times as wide
        for name, value in model.named_parameters():
            if value.ndim >= 2 and "embedding" not in name:
                value.normal_(std=value[0].numel() ** -0.5)
            elif "embedding" in name:
                value.normal_(std=0.02 if "patch" in name else 0.1)
            if name.endswith(("out_proj.weight", "fc2.weight")):
                value.mul_(0.3)
        model.logit_scale.fill_(math.log(10))
    return model


class Tutored(torch.nn.Module):
    """CLIP with an auxiliary layer that classifies the thing at every patch. It speeds up learning
    the kinds and is discarded at the end.
    """

    def __init__(self, size: int):
        super().__init__()
        self.clip, self.namer = make_model(size), torch.nn.Linear(WIDTH, len(KINDS) + 1)


def patch_names(frames: list[Frame]) -> torch.Tensor:
    """Index of the kind whose box covers the middle of each patch of a frame, [N, patches];
    len(KINDS) if there is none.
    """
    count = PIXELS // PATCH
    middle = (torch.arange(count) + 0.5) / count
    out = torch.full((len(frames), count, count), len(KINDS))
    for row, frame in enumerate(frames):
        left, top, right, bottom = frame.box if frame.view == "crop" else (0.0, 0.0, 1.0, 1.0)
        across, down = left + middle * (right - left), top + middle * (bottom - top)
        for thing in frame.things:
            half = 0.36 * thing.size
            inside = ((across - thing.x).abs() < half)[None, :] & ((down - thing.y).abs() < half)[:, None]
            out[row][inside] = KINDS.index(thing.kind)
    return out.flatten(1)


def train_clip(edits, plan: Plan, batch: int, seed: int, folder: pathlib.Path, work: pathlib.Path, device):
    """Train CLIP and write it as a Hugging Face folder."""
    torch.manual_seed(seed + 4)
    write_tokenizer(folder)
    reader = Reader(folder)
    net = Tutored(len(reader.tokenizer)).to(device)
    twins = batch // 3
    weights = torch.ones(len(KINDS) + 1, device=device)
    weights[-1] = 0.2

    def loss_at(step, done):
        rng = random.Random(f"{seed} clip {step}")
        torch.manual_seed(seed + step)
        scenes = [scene for scene in training_scenes(edits, rng, 2 * batch) if scene.things][:batch]
        frames = [choose_frame(scene, rng) for scene in scenes]
        seen = [
            replace(
                scene,
                things=tuple(
                    rng.sample(frame.things, len(frame.things))
                    if not any(t.worn for t in frame.things)
                    else frame.things
                ),
            )
            for scene, frame in zip(scenes, frames)
        ]
        grounds = [rng.random() < 0.7 for _ in scenes]
        captions = [say(scene, ground) for scene, ground in zip(seen, grounds)]
        wrong = [wrong_captions(scene, ground, rng) for scene, ground in zip(seen, grounds)]
        places = [scene.things.index(rng.choice(frame.things)) for scene, frame in zip(scenes[:twins], frames[:twins])]
        pictures = render_batch(scenes, SIZE, device).pictures
        spoiled = render_batch(scenes[:twins], SIZE, device, Spoiler(scenes[:twins], places, rng)).pictures
        looked = look_through([*frames, *frames[:twins]], weather(torch.cat([pictures, spoiled]), rng, 0.6))
        sets = [names(scene) for scene in seen]
        maybe = torch.tensor(
            [
                [
                    row != column and a == b and (not ground or seen[row].ground == seen[column].ground)
                    for column, b in enumerate(sets)
                ]
                for row, (a, ground) in enumerate(zip(sets, grounds))
            ],
            device=device,
        )
        texts = list(dict.fromkeys(captions + [text for row in wrong for text in row]))
        place = {text: index for index, text in enumerate(texts)}
        count = len(scenes)
        with autocast(device):
            output = net.clip(input_ids=reader(texts).to(device), pixel_values=normalise(looked))
            patches = net.clip.vision_model.post_layernorm(output.vision_model_output.last_hidden_state[:count, 1:])
            named = net.namer(patches).float()
        images, words = output.image_embeds.float(), output.text_embeds.float()
        scale = net.clip.logit_scale.exp().clamp(max=50)
        positive = words[[place[text] for text in captions]]
        near = words[[place[text] for row in wrong for text in row]].view(count, -1, words.shape[1])
        by_text = scale * positive @ images.T
        by_text = torch.cat([by_text[:, :count].masked_fill(maybe, -1e4), by_text[:, count:]], 1)
        by_picture = torch.cat([by_text[:, :count].T, scale * (near @ images[:count, :, None])[..., 0]], 1)
        truth = torch.arange(count, device=device)
        loss = F.cross_entropy(by_text, truth) + F.cross_entropy(by_picture, truth)
        loss = loss + F.cross_entropy(named.flatten(0, 1), patch_names(frames).to(device).flatten(), weights)
        return (
            loss / 2,
            lambda: f"loss {loss.item():.3f}, right {(by_text.argmax(1) == truth).float().mean().item():.0%}",
        )

    clip = net.clip
    edges = [
        clip.text_model.embeddings,
        clip.vision_model.embeddings,
        clip.visual_projection,
        clip.text_projection,
        net.namer,
    ]
    smooth = fit("clip", net, loss_at, plan, work, edges)
    return smooth.clip
