"""The probe phase: the head learns on embeddings of a frozen backbone."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.core.errors import TrainingError
from pneumoscope.core.randomness import generator
from pneumoscope.core.recipe import OptimizerRecipe, ProbePhase
from pneumoscope.models.classifier import evaluating, seeded
from pneumoscope.models.head import Head

Loss = Callable[[Tensor, Tensor], Tensor]


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
class ProbeData:
    """Embeddings `[image, view, features]` and label indices `[image]` of the two splits used."""

    train: Tensor
    train_truth: Tensor
    validation: Tensor
    validation_truth: Tensor


def run_probe(
    head: Head,
    data: ProbeData,
    *,
    phase: ProbePhase,
    optimizer: OptimizerRecipe,
    loss: Loss,
    score: Callable[[Tensor], float],
    seed: int,
    on_epoch: Callable[[Epoch], None],
) -> list[Epoch]:
    """Train `head` in place to its epoch of lowest validation loss; the epochs that were run.

    Args:
        head: Left with its best epoch's parameters.
        data: What to learn from; the validation images are seen in their plain view only.
        phase: Epochs, batch size, patience.
        optimizer: Learning rate and weight decay.
        loss: Of logits `[batch, label]` and label indices `[batch]`.
        score: Validation AUC of the validation logits, for the history.
        seed: Fixes order and dropout.
        on_epoch: Called after every epoch.

    Raises:
        TrainingError: the loss is not finite.
    """
    stepper = torch.optim.AdamW(
        head.parameters(), lr=optimizer.learning_rate, weight_decay=optimizer.weight_decay
    )
    best_loss, best_state, best_epoch = math.inf, copy.deepcopy(head.state_dict()), 0
    history: list[Epoch] = []
    with seeded(seed, "probe"):
        for number in range(1, phase.epochs + 1):
            train_loss = _train_epoch(head, data, phase, loss, stepper, seed, number)
            with evaluating(head):
                logits = head(data.validation[:, 0])
                validation_loss = float(loss(logits, data.validation_truth))
                auc = score(logits)
            _require_finite(validation_loss, number)
            better = validation_loss < best_loss
            if better:
                best_loss, best_epoch = validation_loss, number
                best_state = copy.deepcopy(head.state_dict())
            rate = optimizer.learning_rate
            history.append(Epoch("probe", number, train_loss, validation_loss, auc, rate, better))
            on_epoch(history[-1])
            if number - best_epoch >= phase.patience:
                break
    head.load_state_dict(best_state)
    head.eval()
    return history


def _train_epoch(
    head: nn.Module,
    data: ProbeData,
    phase: ProbePhase,
    loss: Loss,
    stepper: torch.optim.Optimizer,
    seed: int,
    number: int,
) -> float:
    head.train()
    total = 0.0
    images, views, _ = data.train.shape
    for chosen in _shuffled(images * views, phase.batch_size, seed, number):
        rows, view = chosen // views, chosen % views
        value = loss(head(data.train[rows, view]), data.train_truth[rows])
        _require_finite(value.item(), number)
        stepper.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        stepper.step()
        total += value.item() * len(chosen)
    return total / (images * views)


def _require_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise TrainingError(f"epoch {epoch}: the loss is {loss}. Lower optimizer.learning_rate.")


def _shuffled(count: int, batch_size: int, seed: int, epoch: int) -> Iterator[Tensor]:
    order = generator(seed, "probe order", epoch).permutation(count).astype(np.int64)
    for start in range(0, count, batch_size):
        yield torch.from_numpy(order[start : start + batch_size])
