"""Train the judge (``world/judge.py``) on renders: clean, degraded and spoiled, never on a model's
pictures.
"""

import random

import safetensors.torch
import torch
import torch.nn.functional as F

from ..world.judge import NOTHING, SPOILED, JudgeNet
from ..world.render import SIZE, Rendered, render_batch
from ..world.scenes import COLOUR_NAMES, GROUND_NAMES, Scene
from ..world.things import KINDS, PAINTED
from .data import autocast
from .loop import Plan, fit, to_channels_last
from .spoil import Spoiler, weather

CELLS = 32
IGNORED = -100


def cell_labels(scenes: list[Scene], drawn: Rendered, places: list[int | None]) -> tuple[torch.Tensor, torch.Tensor]:
    """The thing and the colour of every cell, [N, CELLS, CELLS] each; cells at an outline and
    unpainted things have the label that the loss ignores.
    """
    device = drawn.pictures.device
    things = torch.full((len(scenes), CELLS, CELLS), NOTHING, device=device)
    colours = torch.full((len(scenes), CELLS, CELLS), IGNORED, device=device)
    for row, (scene, masks, spoiled) in enumerate(zip(scenes, drawn.masks, places)):
        cover = F.avg_pool2d(masks[:, None], SIZE // CELLS)[:, 0]
        most, place = cover.max(0)
        numbers = [SPOILED if index == spoiled else KINDS.index(thing.kind) for index, thing in enumerate(scene.things)]
        names = torch.tensor(numbers, device=device)[place]
        things[row] = torch.where(most > 0.45, names, torch.where(most > 0.06, IGNORED, things[row]))
        shades = [COLOUR_NAMES.index(thing.colour) if thing.colour else IGNORED for thing in scene.things]
        colours[row] = torch.where(most > 0.45, torch.tensor(shades, device=device)[place], colours[row])
    return things, colours


def training_scenes(edits, rng: random.Random, count: int) -> list[Scene]:
    return [edit.before if rng.random() < 0.5 else edit.after for edit in (rng.choice(edits) for _ in range(count))]


def train_judge(edits, plan: Plan, batch: int, seed: int, work, device) -> JudgeNet:
    """Train the judge on renders of the edits' scenes."""
    torch.manual_seed(seed + 3)
    net = to_channels_last(JudgeNet(), device).train()
    importance = torch.ones(NOTHING + 1, device=device)
    importance[NOTHING] = 0.25

    def loss_at(step, done):
        rng = random.Random(f"{seed} judge {step}")
        torch.manual_seed(seed + step)
        scenes = training_scenes(edits, rng, batch)
        places = [rng.randrange(len(scene.things)) if scene.things and rng.random() < 0.2 else None for scene in scenes]
        drawn = render_batch(scenes, SIZE, device, Spoiler(scenes, places, rng))
        things, colours = cell_labels(scenes, drawn, places)
        pictures = weather(drawn.pictures, rng).contiguous(memory_format=torch.channels_last)
        with autocast(device):
            named, shaded, grounds = (values.float() for values in net(pictures))
        lookup = torch.full((NOTHING + 1,), IGNORED, device=device)
        lookup[[KINDS.index(kind) for kind in PAINTED]] = torch.arange(len(PAINTED), device=device)
        # each painted cell's row among the painted kinds
        painted = torch.where(things >= 0, lookup[things.clamp(min=0)], IGNORED)
        known = (painted >= 0) & (colours >= 0)
        where = known.nonzero()
        chosen = shaded[where[:, 0], painted[known], :, where[:, 1], where[:, 2]]
        truth = torch.tensor([GROUND_NAMES.index(scene.ground) for scene in scenes], device=device)
        loss = F.cross_entropy(named, things, importance) + F.cross_entropy(grounds, truth)
        if len(where):
            loss = loss + F.cross_entropy(chosen, colours[known])
        sure = things >= 0
        return (
            loss,
            lambda: f"loss {loss.item():.3f}, cells {(named.argmax(1) == things)[sure].float().mean().item():.1%}",
        )

    edges = [net.things, net.colours, net.grounds, net.fine[0][0]]
    smooth = fit("judge", net, loss_at, plan, work, edges)
    settle_statistics(smooth, edits, seed, device)
    return smooth.eval()


@torch.no_grad()
def settle_statistics(net: JudgeNet, edits, seed: int, device, batches: int = 20, batch: int = 48) -> None:
    """Compute batch norm's statistics for the averaged weights, from new training pictures."""
    net.train()
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # None: plain mean over the batches
    for index in range(batches):
        rng = random.Random(f"{seed} statistics {index}")
        scenes = training_scenes(edits, rng, batch)
        net(weather(render_batch(scenes, SIZE, device).pictures, rng))


def save_judge(net: JudgeNet, path) -> None:
    state = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    safetensors.torch.save_file({name: value.detach().cpu().half().contiguous() for name, value in state.items()}, path)
