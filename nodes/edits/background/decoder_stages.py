"""Record the stages of a decoder of any class, in execution order, during one decode."""

from dataclasses import dataclass

import torch
from torch.utils.hooks import RemovableHandle

from ...host.vae_copy import Network, decoder_parts

SAME = 2e-3
"""Maximum difference between a replayed and the decoded image, whose values are in -1..1."""
SAME_MIXED = 0.2
"""The same with activations in bfloat16."""


@dataclass(frozen=True)
class Stage:
    """A module of the decoder, how often it ran in one decode, and the height of its output."""

    module: torch.nn.Module
    runs: int
    height: int


@dataclass(frozen=True)
class Recording:
    """A decoder on one latent: the decoded image [B, C, ..., H, W] and the stages in the order of
    their first run.
    """

    network: Network
    latent: torch.Tensor
    mixed: bool
    picture: torch.Tensor
    stages: list[Stage]

    @property
    def runs_once(self) -> bool:
        """Whether every stage ran exactly once; video decoders run in several pieces."""
        return all(stage.runs == 1 for stage in self.stages)

    @property
    def last_level(self) -> int:
        """Index of the first stage at the highest resolution."""
        heights = [stage.height for stage in self.stages]
        return heights.index(max(heights)) if heights else 0

    def run(self, network: Network) -> torch.Tensor:
        """Decode the latent with ``network`` (the decoder or a view of it), in bfloat16 where
        ``mixed``.
        """
        with torch.autocast(self.latent.device.type, torch.bfloat16, enabled=self.mixed):
            return network.decode(self.latent)

    def is_same(self, piece: torch.Tensor, window: tuple = ()) -> bool:
        """Whether ``piece`` equals the decoded image at ``window`` (rows, columns) within the
        tolerance.
        """
        wanted = self.picture[(..., *window)]
        if piece.shape != wanted.shape:
            return False
        return float((piece.float() - wanted).abs().amax()) < (SAME_MIXED if self.mixed else SAME)


def record(network: Network, latent: torch.Tensor, mixed: bool = False) -> Recording:
    """Decode once in float32 and record the stages."""
    seen: dict[torch.nn.Module, tuple[int, int]] = {}
    hooks: list[RemovableHandle] = []

    def note(module, _, output):
        runs, _ = seen.get(module, (0, 0))
        seen[module] = (runs + 1, output.shape[-2] if isinstance(output, torch.Tensor) and output.ndim > 3 else 0)

    modules = [module for part in decoder_parts(network).values() for module in _blocks(part)]
    try:
        hooks = [module.register_forward_hook(note) for module in modules]
        with torch.no_grad():
            picture = network.decode(latent)
    finally:
        for hook in hooks:
            hook.remove()
    return Recording(network, latent, mixed, picture, [Stage(module, *values) for module, values in seen.items()])


def _blocks(part: torch.nn.Module, top: bool = True):
    """The blocks of a decoder: containers are replaced by their children, blocks are not."""
    opened = top or isinstance(part, (torch.nn.Sequential, torch.nn.ModuleList)) or type(part) is torch.nn.Module
    children = list(part.children())
    if not (opened and children):
        yield part
        return
    for child in children:
        yield from _blocks(child, top=False)
