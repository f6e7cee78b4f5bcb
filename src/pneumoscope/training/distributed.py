"""One process or several that train together, as `torchrun` starts them.

Every process has all images at hand and takes its share of each batch; gradients are summed, so
that the step is the one a single process would take.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from torch import Tensor, distributed

from pneumoscope.core.errors import RecipeError

_PATIENCE = timedelta(hours=4)
"""Others wait while the first process reads, exports and evaluates."""


@dataclass(frozen=True, slots=True)
class World:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    @property
    def part(self) -> slice:
        """Which of all items are this process's: every `size`-th."""
        return slice(self.rank, None, self.size)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of `value` over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(value)
        return value

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by its sum over all processes, in one message."""
        if self.size == 1:
            return
        chosen = list(parameters)
        gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for parameter in chosen
        ]
        flat = self.sum(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for parameter, gradient, part in zip(chosen, gradients, parts, strict=True):
            parameter.grad = gradient.copy_(part.view(gradient.shape))

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.size > 1:
            distributed.barrier()

    def agreed(self, text: str) -> str:
        """What the first process says, in all of them."""
        said = [text]
        if self.size > 1:
            distributed.broadcast_object_list(said, src=0)
        return said[0]


@contextmanager
def joined_world(device: str) -> Iterator[World]:
    """This process's place, joined to the others that `torchrun` started; alone without it.

    Args:
        device: `auto`, `cpu` or `cuda`; auto takes CUDA where there is one.

    Raises:
        RecipeError: CUDA was asked for and is not there.
    """
    place = _device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or distributed.is_initialized():
        yield World(device=place)
        return
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield World(distributed.get_rank(), size, place)
    finally:
        distributed.destroy_process_group()


def _device(name: str) -> torch.device:
    available = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not available):
        return torch.device("cpu")
    if not available:
        raise RecipeError("compute.device: 'cuda' is not there. Allowed here: auto, cpu.")
    number, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= count:
        raise RecipeError(f"{number + 1} processes share {count} GPUs. Start {count} or fewer.")
    return torch.device("cuda", number)
