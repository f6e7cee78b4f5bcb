"""How the lung segmenter learns: pictures and cleaned masks in, weights out."""

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
from pneumoscope.core.types import PixelBatch
from pneumoscope.models.lungs import SIZE, LungNetwork
from pneumoscope.training.lung_views import draw_views


@dataclass(frozen=True, slots=True)
class LungLearning:
    """How long and how fast to learn.

    Attributes:
        steps: Batches in all.
        batch: Views a step.
        rate: Highest learning rate; reached after a twentieth of the steps, then a half cosine
            (Loshchilov and Hutter 2017) down to 0.
        decay: Of the weights, decoupled (AdamW).
        average: Kept of the averaged weights each step; they are what is returned.
        plain: Share of views that are only moved, and that little.
        seed: Of weights, order and views.
    """

    steps: int = 1500
    batch: int = 32
    rate: float = 3e-3
    decay: float = 1e-2
    average: float = 0.995
    plain: float = 0.0
    seed: int = 0


def fit_lungs(
    canvases: PixelBatch,
    lungs: NDArray[np.bool_],
    learning: LungLearning,
    *,
    start: LungNetwork | None = None,
    reporter: Reporter,
) -> LungNetwork:
    """A network that marks the lungs, in evaluation mode, its weights averaged over the steps.

    Args:
        canvases: `[image, 1, side, side]`.
        lungs: `[image, side, side]`.
        learning: How long and how fast.
        start: What to go on from; a new network where there is none.
        reporter: Shown the progress.

    Raises:
        TrainingError: the loss is not finite.
    """
    torch.manual_seed(derive_seed(learning.seed, "lungs", "weights") % 2**63)
    network = copy.deepcopy(start) if start else LungNetwork()
    network = network.to(memory_format=torch.channels_last).train()
    averaged = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=learning.rate, weight_decay=learning.decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _height(step, learning))
    views = _views(torch.from_numpy(canvases), torch.from_numpy(lungs), learning)
    for seen, marked in reporter.track(views, "Learning lungs", learning.steps):
        _step(network, seen, marked, optimizer)
        schedule.step()
        _average(averaged, network, learning.average)
    return averaged.eval()


def overlap_loss(logits: Tensor, lungs: Tensor) -> Tensor:
    """Cross-entropy plus one less the soft Dice of each view, mean over the batch.

    Args:
        logits: `[batch, 1, side, side]`.
        lungs: the same shape, in [0, 1].
    """
    probabilities = logits.sigmoid()
    both = (probabilities * lungs).sum(dim=(1, 2, 3))
    each = probabilities.sum(dim=(1, 2, 3)) + lungs.sum(dim=(1, 2, 3))
    overlap = (2 * both + 1) / (each + 1)
    return functional.binary_cross_entropy_with_logits(logits, lungs) + (1 - overlap).mean()


def _step(
    network: LungNetwork, seen: Tensor, marked: Tensor, optimizer: torch.optim.Optimizer
) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(seen.contiguous(memory_format=torch.channels_last))
    loss = overlap_loss(logits.float(), marked)
    if not math.isfinite(float(loss.detach())):
        raise TrainingError("the lungs' loss is not finite. Lower the learning rate.")
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@torch.no_grad()
def _average(averaged: LungNetwork, network: LungNetwork, kept: float) -> None:
    """Weights and the statistics of normalisation."""
    for old, new in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - kept)


def _views(
    canvases: Tensor, lungs: Tensor, learning: LungLearning
) -> Iterator[tuple[Tensor, Tensor]]:
    """As many batches as there are steps, every image once before any is seen again."""
    order = generator(learning.seed, "lungs", "order")
    random = torch.Generator().manual_seed(derive_seed(learning.seed, "lungs", "views") % 2**63)
    waiting = np.empty(0, dtype=np.int64)
    for _ in range(learning.steps):
        if len(waiting) < learning.batch:
            waiting = np.concatenate([waiting, order.permutation(len(canvases))])
        chosen, waiting = torch.from_numpy(waiting[: learning.batch]), waiting[learning.batch :]
        marked = lungs[chosen][:, None].float()
        seen = canvases[chosen].float()
        yield draw_views(seen, marked, side=SIZE, generator=random, plain=learning.plain)


def _height(step: int, learning: LungLearning) -> float:
    warm = max(learning.steps // 20, 1)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(learning.steps - warm, 1)))
