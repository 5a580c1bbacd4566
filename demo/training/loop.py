"""The training loop of all networks: two optimisers, a moving average of the weights, and state
files from which training resumes.
"""

import copy
import math
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

Net = TypeVar("Net", bound=torch.nn.Module)


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates for matrices and convolutions (Jordan et al. 2024),
    scaled to AdamW's update size.

    Parameters of one shape are orthogonalised together.
    """

    def __init__(self, parameters, lr: float):
        super().__init__(parameters, dict(lr=lr))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for parameters in by_shape.values():
                self.update(parameters, group["lr"])

    def update(self, parameters: list[torch.Tensor], rate: float) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        momenta = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in parameters]
        torch._foreach_lerp_(momenta, gradients, 0.05)
        update = orthogonalised(torch.stack(torch._foreach_lerp(gradients, momenta, 0.95)).flatten(2))
        update = update * (0.2 * math.sqrt(max(update.shape[1:])))
        torch._foreach_add_(parameters, [u.reshape(parameters[0].shape) for u in update], alpha=-rate)


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """Nearest orthogonal matrices [N, rows, columns] by Newton-Schulz iteration, approximately;
    float32.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.mT if tall else x).float()


@dataclass
class Plan:
    """Duration and learning rate of one network's training.

    ``seconds`` (single worker only) ends training early: the rate then follows the larger of the
    shares of steps and of time done.
    """

    steps: int
    rate: float = 1e-3
    matrix_rate: float = 2e-3
    decay: float = 0.35  # share at the end over which the rate falls to zero
    seconds: float | None = None
    save_every: int = 250


@dataclass
class Workers:
    """This process's rank, and the number of processes that share the work."""

    rank: int = 0
    world: int = 1


def make_optimisers(net: torch.nn.Module, plain: Sequence[torch.nn.Module], plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for matrices, AdamW for vectors and for the layers ``plain`` (embeddings, first and last
    layers).
    """
    edges = {id(parameter) for layer in plain for parameter in layer.parameters()}
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2 and id(parameter) not in edges]
    others = [parameter for parameter in trained if parameter.ndim < 2 or id(parameter) in edges]
    return [
        Muon(matrices, plan.matrix_rate),
        torch.optim.AdamW(others, lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.0),
    ]


def to_channels_last(net: Net, device: torch.device | str) -> Net:
    """Move a network to a device, its 4-D weights in channels-last memory format."""
    module: Any = net  # torch's annotations of Module.to lack memory_format
    return module.to(device, memory_format=torch.channels_last)


def average_gradients(parameters: Sequence[torch.Tensor], world: int) -> None:
    """Replace gradients by their means over all workers."""
    if world == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients]).div_(world)
    dist.all_reduce(flat)
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
        gradient.copy_(mean.view_as(gradient))


def fit(
    name: str,
    net: Net,
    loss_at: Callable,
    plan: Plan,
    work: pathlib.Path,
    plain: Sequence[torch.nn.Module] = (),
    workers: Workers = Workers(),
) -> Net:
    """Minimise ``loss_at(step, share done) -> (loss, function that returns a text to print)``;
    returns the network with averaged weights.

    The rate warms up, stays constant, and falls to zero at the end. The state is saved in
    ``work/<name>.pt``, from which training resumes.
    """
    device = next(net.parameters()).device
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimisers = make_optimisers(net, plain, plan)
    rates = [group["lr"] for optimiser in optimisers for group in optimiser.param_groups]
    smooth, first, spent, state = copy.deepcopy(net), 0, 0.0, work / f"{name}.pt"
    if state.is_file():
        saved = torch.load(state, map_location=device)
        net.load_state_dict(saved["net"])
        smooth.load_state_dict(saved["smooth"])
        for optimiser, values in zip(optimisers, saved["optimisers"]):
            optimiser.load_state_dict(values)
        first, spent = saved["step"], saved["spent"]
    averaged: list[torch.Tensor] = [parameter for parameter in smooth.parameters() if parameter.requires_grad]
    started = said = time.time()
    step, done = first, first / plan.steps
    while step < plan.steps and done < 1:
        share = min(1.0, (step + 1) / 100) * min(1.0, (1 - done) / plan.decay)
        for optimiser, rate in zip(optimisers, rates):
            for group in optimiser.param_groups:
                group["lr"] = rate * share
            optimiser.zero_grad()
        loss, words = loss_at(step, done)
        loss.backward()
        average_gradients(parameters, workers.world)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimiser in optimisers:
            optimiser.step()
        keep = min(0.998, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(averaged, [*parameters], 1 - keep)
        step += 1
        passed = spent + time.time() - started
        done = max(step / plan.steps, passed / plan.seconds if plan.seconds else 0.0)
        last = step == plan.steps or done >= 1
        if workers.rank == 0 and (last or time.time() - said > 10):
            said = time.time()
            left = passed / done * (1 - done) / 60 if done < 1 else 0
            print(f"{name}: step {step} of {plan.steps}, {words()}, about {left:.1f} min left", flush=True)
        if workers.rank == 0 and (last or step % plan.save_every == 0):
            values = {
                "net": net.state_dict(),
                "smooth": smooth.state_dict(),
                "step": plan.steps if last else step,
                "spent": passed,
            }
            torch.save(
                values | {"optimisers": [optimiser.state_dict() for optimiser in optimisers]}, state.with_suffix(".new")
            )
            os.replace(state.with_suffix(".new"), state)
    return smooth.requires_grad_(False).eval()
