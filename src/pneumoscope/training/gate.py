"""How the gate's head learns: maps of the frozen trunk in, a head out."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pneumoscope.core.errors import TrainingError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.randomness import derive_seed, generator
from pneumoscope.models.gate import GateHead

UNKNOWN = -1
"""Of a target that a view has not, or that is not known."""


@dataclass(frozen=True, slots=True)
class GateLearning:
    """How long and how fast to learn.

    Attributes:
        steps: Batches in all.
        batch: Views a step.
        rate: Highest learning rate, reached after a twentieth of the steps, then a half cosine
            (Loshchilov and Hutter 2017) down to 0.
        decay: Of the weights, decoupled (AdamW).
        average: Kept of the averaged weights each step; they are what is returned.
        smoothing: Of the targets, towards a half.
        seed: Of weights and order.
    """

    steps: int = 900
    batch: int = 192
    rate: float = 2e-3
    decay: float = 5e-2
    average: float = 0.99
    smoothing: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class GateTargets:
    """What is known of each view, `[view]` int64 each.

    Attributes:
        chest: 1 for a chest radiograph, 0 for anything else.
        inverted: 1 for a negative; `UNKNOWN` for what is no chest.
        cut_off: 1 where part of the lungs is missing.
        turned: Quarter turns to the left, 0 to 3.
    """

    chest: NDArray[np.int64]
    inverted: NDArray[np.int64]
    cut_off: NDArray[np.int64]
    turned: NDArray[np.int64]

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> GateTargets:
        """Those of some rows."""
        return GateTargets(
            self.chest[rows], self.inverted[rows], self.cut_off[rows], self.turned[rows]
        )


def fit_head(
    maps: NDArray[np.float16],
    targets: GateTargets,
    weights: NDArray[np.float64],
    learning: GateLearning,
    *,
    reporter: Reporter,
) -> GateHead:
    """A head in evaluation mode, its weights averaged over the steps.

    Args:
        maps: `[view, channels, rows, columns]`, as the trunk gives them.
        targets: Of each view.
        weights: How often a view is drawn, relative to others.
        learning: How long and how fast.
        reporter: Shown the progress.

    Raises:
        TrainingError: the loss is not finite.
    """
    torch.manual_seed(derive_seed(learning.seed, "gate", "weights") % 2**63)
    head = GateHead().train()
    averaged = copy.deepcopy(head)
    optimizer = torch.optim.AdamW(head.parameters(), lr=learning.rate, weight_decay=learning.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _height(step, learning))
    batches = _batches(len(maps), weights, learning)
    for rows in reporter.track(batches, "Learning the gate", learning.steps):
        seen = torch.from_numpy(maps[rows]).float()
        loss = gate_loss(head(seen), targets.at(rows), learning.smoothing)
        if not math.isfinite(float(loss.detach())):
            raise TrainingError("the gate's loss is not finite. Lower the learning rate.")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        _average(averaged, head, learning.average)
    return averaged.eval()


def gate_loss(logits: Tensor, targets: GateTargets, smoothing: float = 0.0) -> Tensor:
    """Cross-entropies of the four questions, added; a mean over the views that have an answer.

    Args:
        logits: `[batch, 7]`, see `models.gate.ANSWERS`.
        targets: Of the same views.
        smoothing: Of yes and no, towards a half.
    """
    total = logits.new_zeros(())
    for column, known in enumerate((targets.chest, targets.inverted, targets.cut_off)):
        has = torch.from_numpy(known != UNKNOWN)
        wanted = torch.from_numpy(known).float() * (1 - smoothing) + smoothing / 2
        if has.any():
            chosen = logits[:, column][has]
            total = total + functional.binary_cross_entropy_with_logits(chosen, wanted[has])
    turned = torch.from_numpy(targets.turned)
    if (targets.turned != UNKNOWN).any():
        total = total + functional.cross_entropy(
            logits[:, 3:], turned, ignore_index=UNKNOWN, label_smoothing=smoothing
        )
    return total


@torch.no_grad()
def _average(averaged: GateHead, head: GateHead, kept: float) -> None:
    for old, new in zip(averaged.state_dict().values(), head.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - kept)
        else:
            old.copy_(new)


def _batches(
    count: int, weights: NDArray[np.float64], learning: GateLearning
) -> Iterator[NDArray[np.intp]]:
    rng = generator(learning.seed, "gate", "order")
    shares = np.cumsum(weights / weights.sum())
    for _ in range(learning.steps):
        drawn = np.searchsorted(shares, rng.random(learning.batch))
        yield np.minimum(drawn, count - 1)


def _height(step: int, learning: GateLearning) -> float:
    warm = max(learning.steps // 20, 1)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(learning.steps - warm, 1)))
