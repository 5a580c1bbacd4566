"""The pack's editing methods, each by its nodes from pictures and texts to pictures, for benchmarks
on a user's model.
"""

import pathlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from . import common


@dataclass
class Task:
    """One edit: a picture [1, H, W, 3] in 0..1, both texts, and the annotated MASK [1, H, W] or
    None.
    """

    picture: torch.Tensor
    source: str
    target: str
    mask: torch.Tensor | None = None
    seed: int = 0


@dataclass
class Settings:
    """Settings that the methods share. ``None`` keeps a node's default."""

    steps: int = 50
    strength: float = 0.8
    cfg: float = 7.5
    exact_cfg: float = 3.0
    flow_cfg: tuple[float, float] = (3.5, 13.5)
    noises: int = 10
    mask_strength: float = 0.5
    threshold: float = 0.5


@dataclass
class Result:
    """An edited picture [1, H, W, 3], its cost in evaluations and seconds, and the mask [1, H, W]
    that the method made, if any.
    """

    picture: torch.Tensor
    evaluations: int
    seconds: float
    mask: torch.Tensor | None = None


@dataclass(frozen=True)
class Method:
    """An editing method. ``edit(editor, task)`` returns a LATENT and the mask that it made, or
    None.

    ``uses_annotation``: the annotated mask is an input; other methods do not get it.
    """

    label: str
    edit: Callable[["Editor", Task], tuple[dict, torch.Tensor | None]]
    uses_annotation: bool = False
    follows_strength: bool = True


@dataclass
class Editor:
    """A model, and the calls that methods make to it."""

    demo: common.Demo
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self):
        self.evaluations = common.Evaluations(self.demo.model)
        self.mask_costs: dict[tuple, tuple[int, float]] = {}
        self.spared = 0.0
        self.model = self.evaluations.model

    def text(self, words: str) -> Any:
        return self.demo.run("CLIPTextEncode", clip=self.demo.clip, text=words)[0]

    def call(self, name: str, **inputs) -> tuple:
        return self.demo.run(name, model=self.model, **inputs)

    def levels(self) -> dict:
        return {"steps": self.settings.steps, "strength": self.settings.strength, "scheduler": "normal"}

    def run(self, name: str, task: Task) -> Result:
        """One edit by a method of ``METHODS``.

        Raises:
            ValueError: a method that needs an annotated mask got none.
        """
        method = METHODS[name]
        if method.uses_annotation and task.mask is None:
            raise ValueError(f"{name} edits in an annotated mask; this edit has none")
        self.evaluations.take()
        started, self.spared = time.perf_counter(), 0.0
        latent, mask = method.edit(self, task)
        picture = self.demo.decode(latent).clamp(0, 1)
        return Result(picture, self.evaluations.take(), time.perf_counter() - started + self.spared, mask)

    def counted_once(self, key: tuple, find: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The result of ``find()``. If the node returns a cached result, the evaluations and the
        seconds of the first run are counted again.
        """
        before, started = self.evaluations.count, time.perf_counter()
        result = find()
        spent = self.evaluations.count - before
        if spent:
            self.mask_costs[key] = (spent, time.perf_counter() - started)
        elif key in self.mask_costs:
            self.evaluations.count += self.mask_costs[key][0]
            self.spared = self.mask_costs[key][1]
        return result


def reconstruct(editor: Editor, task: Task):
    """The VAE alone: encoding and decoding."""
    return editor.demo.encode(task.picture), None


def sdedit(editor: Editor, task: Task):
    """SDEdit by the stock KSampler."""
    edited = editor.call(
        "KSampler",
        seed=task.seed,
        steps=max(1, round(editor.settings.steps * editor.settings.strength)),
        cfg=editor.settings.cfg,
        sampler_name="ddim",
        scheduler="normal",
        positive=editor.text(task.target),
        negative=editor.text(""),
        latent_image=editor.demo.encode(task.picture),
        denoise=editor.settings.strength,
    )
    return edited[0], None


def encode_decode(editor: Editor, task: Task):
    """DDIM inversion under the empty text and sampling under the target's, without a mask."""
    noised, _, _, sigmas = editor.call(
        "DDIMInvert", conditioning=editor.text(""), latent=editor.demo.encode(task.picture), **editor.levels()
    )
    sampler = editor.demo.run("KSamplerSelect", sampler_name="ddim")[0]
    edited = editor.call(
        "SamplerCustom",
        add_noise=False,
        noise_seed=0,
        cfg=editor.settings.cfg,
        positive=editor.text(task.target),
        negative=editor.text(""),
        sampler=sampler,
        sigmas=sigmas,
        latent_image=noised,
    )
    return edited[0], None


def along_inversion(editor: Editor, task: Task, latent: dict, mask: torch.Tensor | None) -> dict:
    """DiffEdit's steps 2 and 3: DDIM inversion under the empty text, and sampling under the
    target's text inside the mask. Returns a LATENT.
    """
    inversion = editor.call("DDIMInvert", conditioning=editor.text(""), latent=latent, **editor.levels())[1]
    return editor.call(
        "LatentBlendSampler",
        positive=editor.text(task.target),
        negative=editor.text(""),
        latent=latent,
        mask=mask,
        inversion=inversion,
        cfg=editor.settings.cfg,
    )[0]


def diffedit(editor: Editor, task: Task, **mask_widgets):
    """DiffEdit; ``mask_widgets`` replace settings of its mask."""
    latent, chosen = editor.demo.encode(task.picture), editor.settings
    widgets = {"noises": chosen.noises, "noise_strength": chosen.mask_strength, "threshold": chosen.threshold}
    widgets |= mask_widgets

    def find() -> torch.Tensor:
        texts = {"source": editor.text(task.source), "target": editor.text(task.target)}
        return editor.call("DiffEditMask", **texts, latent=latent, seed=task.seed, **widgets)[0]

    picture = hash(task.picture.numpy().tobytes())
    evaluated = (task.source, task.target, task.seed, widgets["noises"], widgets["noise_strength"])
    mask = editor.counted_once((picture, *evaluated), find)
    return along_inversion(editor, task, latent, mask), mask


def diffedit_given_mask(editor: Editor, task: Task):
    """DiffEdit with the annotated mask."""
    return along_inversion(editor, task, editor.demo.encode(task.picture), task.mask), None


def blended(editor: Editor, task: Task):
    edited = editor.call(
        "LatentBlendSampler",
        positive=editor.text(task.target),
        negative=editor.text(""),
        latent=editor.demo.encode(task.picture),
        mask=task.mask,
        seed=task.seed,
        steps=editor.settings.steps,
        cfg=editor.settings.cfg,
    )
    return edited[0], None


def edict(editor: Editor, task: Task):
    cfg, negative = editor.settings.exact_cfg, editor.text("")
    pair = editor.call(
        "EDICTInvert",
        source=editor.text(task.source),
        negative=negative,
        latent=editor.demo.encode(task.picture),
        cfg=cfg,
        **editor.levels(),
    )[0]
    return editor.call("EDICTSampler", target=editor.text(task.target), negative=negative, pair=pair, cfg=cfg)[0], None


def exact(editor: Editor, task: Task, node: str, up: float | None = None, **settings):
    """An exact inversion (``node``) with guidance ``up``, or as the edit, and its sampler, without a mask."""
    cfg, negative = editor.settings.exact_cfg, editor.text("")
    inversion = editor.call(
        node,
        source=editor.text(task.source),
        negative=negative,
        latent=editor.demo.encode(task.picture),
        cfg=cfg if up is None else up,
        **editor.levels(),
        **settings,
    )[0]
    target = editor.text(task.target)
    return editor.call("ExactSampler", target=target, negative=negative, inversion=inversion, cfg=cfg)[0], None


def flow_edit(editor: Editor, task: Task):
    edited = editor.call(
        "FlowEdit",
        source=editor.text(task.source),
        target=editor.text(task.target),
        negative=editor.text(""),
        latent=editor.demo.encode(task.picture),
        seed=task.seed,
        source_cfg=editor.settings.flow_cfg[0],
        target_cfg=editor.settings.flow_cfg[1],
        **editor.levels(),
    )
    return edited[0], None


ALONG_EDGES: dict[str, Any] = {"noise_strength": 0.6, "normalisation": "adaptive", "threshold": 0.6, "edge_radius": 4}
"""Settings of DiffEditMask for a mask along edges (docs/evidence/masks.md)."""

METHODS = {
    "vae": Method("VAE alone (the floor)", reconstruct, follows_strength=False),
    "diffedit": Method("DiffEdit, its own mask", diffedit),
    "diffedit-edges": Method("DiffEdit, its mask along edges", partial(diffedit, **ALONG_EDGES)),
    "diffedit-given-mask": Method("DiffEdit, annotated mask", diffedit_given_mask, uses_annotation=True),
    "blended": Method(
        "Blended Latent Diffusion, annotated mask", blended, uses_annotation=True, follows_strength=False
    ),
    "encode-decode": Method("Encode-Decode (DDIM)", encode_decode),
    "sdedit": Method("SDEdit", sdedit),
    "edict": Method("EDICT", edict),
    "o-belm": Method("O-BELM", partial(exact, node="ExactInvert", method="O-BELM")),
    "directedit": Method("DirectEdit", partial(exact, node="ExactInvert", up=1.0, method="DirectEdit")),
    "edit-friendly": Method(
        "edit-friendly DDPM", lambda editor, task: exact(editor, task, "EditFriendlyInvert", seed=task.seed)
    ),
    "flowedit": Method("FlowEdit", flow_edit),
}


def find_checkpoint(checkpoint: str) -> pathlib.Path:
    """A checkpoint by path, or by its name in ComfyUI's folders."""
    path = common.user_path(checkpoint)
    if path.is_file():
        return path
    import folder_paths

    file = folder_paths.get_full_path("checkpoints", checkpoint)
    if file is None:
        raise SystemExit(f"no checkpoint {checkpoint}: give a file, or a name in ComfyUI's folder checkpoints")
    return pathlib.Path(file)


def load_editor(checkpoint: str, settings: Settings) -> Editor:
    """The methods over a checkpoint (see :func:`find_checkpoint`)."""
    common.load_pack()
    return Editor(common.Demo(find_checkpoint(checkpoint)), settings)
