"""How a phase learns, and what each of its epochs gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pneumoscope.core.recipe import BalanceRecipe, OptimizerRecipe, Phase, RegularizeRecipe
from pneumoscope.training.losses import Loss


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave; the row of `history.csv`."""

    phase: str
    epoch: int
    train_loss: float
    validation_loss: float
    validation_auc: float
    learning_rate: float
    best: bool


@dataclass(frozen=True)
class Plan:
    """How a phase learns.

    Attributes:
        name: Of the phase, in history and messages.
        number: Its place in the recipe.
        phase: Its part of the recipe.
        groups: Parameters with `params`, `weight_decay`, `scale` of the learning rate, and `held`
            where `regularize.towards_start` holds them.
        loss: Of logits and label indices or label probabilities.
        score: Validation AUC of all validation logits.
        training_mode: Puts the network into the mode it learns in.
        precision: `float32` or `bfloat16`, of the forward and backward pass.
        threads: How many to compute with, None for all: small steps are quicker with one, many
            times so where other work wants the cores too.
    """

    name: str
    number: int
    phase: Phase
    groups: Sequence[dict[str, Any]]
    loss: Loss
    score: Callable[[Tensor], float]
    training_mode: Callable[[], None]
    optimizer: OptimizerRecipe
    regularize: RegularizeRecipe
    balance: BalanceRecipe
    seed: int
    precision: str = "float32"
    threads: int | None = None
    compile: bool = False

    @property
    def rate(self) -> float:
        """The learning rate of scale 1, at the schedule's height."""
        return self.phase.learning_rate or self.optimizer.learning_rate


@contextmanager
def computing_with(threads: int | None) -> Iterator[None]:
    """Torch computes with so many threads inside the block; None leaves it as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
