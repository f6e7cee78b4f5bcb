"""The loop that every phase runs: steps, validation, early stopping, and going on after a kill.

Order, views, dropout and mixing depend on the seed, the epoch and the step alone, so a run that
was killed and goes on ends with the weights of one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.core.errors import TrainingError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.types import IntArray
from pneumoscope.models.classifier import evaluating, seeded
from pneumoscope.training.balance import balanced_order
from pneumoscope.training.checkpoints import (
    Checkpoints,
    Snapshot,
    optimizer_tensors,
    restore_optimizer,
)
from pneumoscope.training.convolutions import fast_convolutions
from pneumoscope.training.distributed import World
from pneumoscope.training.mixing import mixed
from pneumoscope.training.optim import Schedule, make_optimizer, plateau_factor
from pneumoscope.training.plan import Epoch, Plan, computing_with
from pneumoscope.training.precision import computing_in
from pneumoscope.training.sources import Source

_KEEP_SECONDS = 60.0
"""A long epoch is also kept on its way, this often."""


@dataclass
class _Progress:
    """Where a phase is."""

    epoch: int = 1
    step: int = 0
    """Steps of this epoch that are done."""
    loss: float = 0.0
    """Sum over this epoch's batches of the batch's loss times its images."""
    images: int = 0
    history: list[Epoch] = field(default_factory=list)
    precision: str = ""
    """That it began with: a run goes on in it, whatever would be chosen now."""
    done: bool = False


def run_phase(
    network: nn.Module,
    source: Source,
    plan: Plan,
    *,
    checkpoints: Checkpoints,
    world: World,
    reporter: Reporter,
    on_epoch: Callable[[Epoch], None],
) -> list[Epoch]:
    """Train `network` in place to its best epoch; the epochs that were run.

    Args:
        network: From the source's inputs to logits; left in evaluation mode with the weights of
            the epoch that the phase's `monitor` was best at.
        source: Training and validation inputs.
        plan: How to learn.
        checkpoints: Where to go on from, and where to keep what is needed for that.
        world: This process and the others.
        reporter: Shown the progress.
        on_epoch: Called after every new epoch.

    Raises:
        TrainingError: a loss is not finite; the images of the batch are named.
        StorageError: a checkpoint cannot be kept or was damaged.
    """
    run = _Run(network, source, plan, checkpoints, world)
    run.recall()
    work = reporter.track(run.remaining(), f"Training: {plan.name}", run.steps_left())
    with computing_with(plan.threads), fast_convolutions(network):
        for _ in work:
            run.step()
            if run.epoch_is_over():
                on_epoch(run.end_epoch())
            run.keep()
    run.finish()
    return run.at.history


class _Run:
    """One phase under way."""

    def __init__(
        self,
        network: nn.Module,
        source: Source,
        plan: Plan,
        checkpoints: Checkpoints,
        world: World,
    ) -> None:
        self.network, self.source, self.plan = network, source, plan
        self.checkpoints, self.world = checkpoints, world
        self.at = _Progress(precision=plan.precision)
        self.parameters = [p for group in plan.groups for p in group["params"]]
        self.optimizer = make_optimizer(plan.optimizer, plan.groups)
        self.best = _copied(network.state_dict())
        self.average = _copied(network.state_dict()) if plan.regularize.average else None
        held = [p for group in plan.groups if group.get("held") for p in group["params"]]
        self.start = [(parameter, parameter.detach().clone()) for parameter in held]
        self.kept = time.monotonic()
        self.forward = torch.compile(network) if plan.compile else network
        self._batches = self._of_epoch(1)
        steps = len(self._batches) * plan.phase.epochs
        self.schedule = Schedule(plan.phase.schedule, steps=steps, warmup=plan.phase.warmup)

    # What there is to do

    def remaining(self) -> Iterator[int]:
        """One number per step, until the last epoch or none has been better for too long."""
        while not self.at.done:
            yield self.at.step

    def steps_left(self) -> int:
        """Steps up to the last epoch; stopping early leaves some out."""
        if self.at.done:
            return 0
        done = (self.at.epoch - 1) * len(self._batches) + self.at.step
        return self.plan.phase.epochs * len(self._batches) - done

    def epoch_is_over(self) -> bool:
        return self.at.step == len(self._batches)

    def _of_epoch(self, epoch: int) -> list[IntArray]:
        repeats, balance = self.source.repeats, self.plan.balance
        truth = np.repeat(self.source.images.truth, repeats)
        if balance.to is not None:  # it counts images
            balance = balance.model_copy(update={"to": balance.to * repeats})
        names = (self.plan.name, "order")
        order = balanced_order(balance, truth, seed=self.plan.seed, epoch=epoch, names=names)
        batches = max(1, round(len(order) / self.plan.phase.batch_size))
        return np.array_split(order, batches)  # of equal size: no batch of one image at the end

    # One step

    def step(self) -> None:
        items = self._batches[self.at.step]
        mine = items[self.world.part]
        self.plan.training_mode()
        self._set_rate()
        self.optimizer.zero_grad(set_to_none=True)
        place = (self.plan.name, "step", self.at.epoch, self.at.step, self.world.rank)
        with seeded(self.plan.seed, *place):
            total, weight = self._loss(mine)
            whole = self.world.sum(weight.detach().clone())
            loss = total / whole
            if len(mine):
                loss.backward()  # type: ignore[no-untyped-call]
        value = float(self.world.sum(loss.detach().clone()))
        self._require_finite(value, items)
        self.world.sum_gradients(self.parameters)
        self._regularize_and_update()
        self.at.loss += value * len(items)
        self.at.images += len(items)
        self.at.step += 1

    def _loss(self, items: IntArray) -> tuple[Tensor, Tensor]:
        """Sum of weighted losses, and of weights, over this process's part of a batch."""
        if not len(items):
            zero = torch.zeros((), device=self.world.device)
            return zero, zero
        inputs = self.source.inputs(items, self.at.epoch)
        rows = items // self.source.repeats
        target = torch.from_numpy(self.source.images.truth[rows]).to(self.world.device)
        inputs, target = mixed(
            inputs,
            target,
            self.plan.regularize,
            labels=self.plan.loss.labels,
            draw=(self.plan.seed, self.plan.name, self.at.epoch, self.at.step, self.world.rank),
        )
        with computing_in(self.at.precision, self.world.device):
            logits = self.forward(inputs)
        weights = self.plan.loss.weights(target)
        losses = self.plan.loss(logits.to(torch.float32), target)
        return (weights * losses).sum(), weights.sum()

    def _set_rate(self) -> None:
        done = (self.at.epoch - 1) * len(self._batches) + self.at.step
        factor = self.schedule.rate(done)
        if self.plan.phase.schedule == "plateau":
            factor *= plateau_factor(self._monitored(), lower_is_better=self._lower_is_better)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate * group["scale"] * factor

    def _regularize_and_update(self) -> None:
        regularize, clip = self.plan.regularize, self.plan.optimizer.clip_norm
        if regularize.towards_start:
            with torch.no_grad():
                for parameter, start in self.start:
                    if parameter.grad is not None:
                        parameter.grad.add_(parameter - start, alpha=regularize.towards_start)
        if clip:
            nn.utils.clip_grad_norm_(self.parameters, clip)
        self.optimizer.step()
        if self.average is not None:
            _follow(self.average, self.network.state_dict(), regularize.average)

    def _require_finite(self, loss: float, items: IntArray) -> None:
        if math.isfinite(loss):
            return
        names = dict.fromkeys(self.source.images.named(items // self.source.repeats))
        shown = ", ".join(list(names)[:8])
        raise TrainingError(
            f"{self.plan.name}, epoch {self.at.epoch}: the loss is {loss} in the batch of images "
            f"{shown}{', ...' if len(names) > 8 else ''}. Lower the learning rate, or look at them."
        )

    # The end of an epoch

    def end_epoch(self) -> Epoch:
        self._share_statistics()
        loss, auc = self._validate()
        before = self._monitored()
        now = loss if self._lower_is_better else auc
        better = not before or (now < min(before) if self._lower_is_better else now > max(before))
        if better:
            self.best = _copied(self.average or self.network.state_dict())
        rate = self.optimizer.param_groups[-1]["lr"] / self.optimizer.param_groups[-1]["scale"]
        train_loss = self.at.loss / self.at.images
        epoch = Epoch(self.plan.name, self.at.epoch, train_loss, loss, auc, rate, better)
        self.at.history.append(epoch)
        since = self.at.epoch - max(row.epoch for row in self.at.history if row.best)
        self.at.done = since >= self.plan.phase.patience or self.at.epoch == self.plan.phase.epochs
        self.at.epoch, self.at.step, self.at.loss, self.at.images = self.at.epoch + 1, 0, 0.0, 0
        if not self.at.done:
            self._batches = self._of_epoch(self.at.epoch)
        self.kept = -math.inf  # keep it now
        return epoch

    def _validate(self) -> tuple[float, float]:
        learned = None
        if self.average is not None:
            learned = _copied(self.network.state_dict())
            self.network.load_state_dict(self.average)
        logits = self._validation_logits()
        if learned is not None:
            self.network.load_state_dict(learned)
        truth = torch.from_numpy(self.source.validation.truth).to(logits.device)
        weights = self.plan.loss.weights(truth)
        loss = float((weights * self.plan.loss(logits, truth)).sum() / weights.sum())
        if not math.isfinite(loss):
            raise TrainingError(
                f"{self.plan.name}, epoch {self.at.epoch}: the validation loss is {loss}. "
                "Lower the learning rate."
            )
        return loss, self.plan.score(logits.cpu())

    def _validation_logits(self) -> Tensor:
        count, size = len(self.source.validation.ids), self.plan.phase.batch_size
        logits = torch.zeros(count, self.plan.loss.labels, device=self.world.device)
        starts = range(0, count, size)[self.world.part]
        with evaluating(self.network), computing_in(self.at.precision, self.world.device):
            for start in starts:
                rows = np.arange(start, min(start + size, count))
                found = self.network(self.source.validation_inputs(rows))
                logits[start : start + size] = found.to(torch.float32)
        return self.world.sum(logits)

    def _share_statistics(self) -> None:
        """Batch statistics are each process's own: their mean is everybody's."""
        if self.world.size > 1:
            average = self.average or {}
            own = dict(self.network.named_buffers())
            for buffer in (*own.values(), *(average[name] for name in own if name in average)):
                if buffer.is_floating_point():
                    buffer.copy_(self.world.sum(buffer.clone()) / self.world.size)

    @property
    def _lower_is_better(self) -> bool:
        return self.plan.phase.monitor == "validation_loss"

    def _monitored(self) -> list[float]:
        return [float(getattr(row, self.plan.phase.monitor)) for row in self.at.history]

    # Going on after a kill

    def keep(self) -> None:
        if time.monotonic() - self.kept < _KEEP_SECONDS or self.at.done:
            return
        self._save(
            {
                "network": self.network.state_dict(),
                "best": self.best,
                "average": self.average or {},
                "optimizer": optimizer_tensors(self.optimizer),
            }
        )
        self.kept = time.monotonic()

    def finish(self) -> None:
        self.network.load_state_dict(self.best)
        self.network.eval()
        self._save({"best": self.best})

    def _save(self, parts: dict[str, dict[str, Tensor]]) -> None:
        if not self.world.first:
            return
        named = {
            f"{part}.{name}": value
            for part, tensors in parts.items()
            for name, value in tensors.items()
        }
        self.checkpoints.save(self.plan.number, Snapshot(named, asdict(self.at)))

    def recall(self) -> None:
        snapshot = self.checkpoints.load(self.plan.number)
        if snapshot is None:
            return
        facts = dict(snapshot.facts)
        history = [Epoch(**row) for row in facts.pop("history")]
        self.at = _Progress(**facts, history=history)
        self.best = _like(self.best, snapshot.part("best"))
        if self.at.done:
            return
        self.network.load_state_dict(snapshot.part("network"))
        restore_optimizer(self.optimizer, snapshot.part("optimizer"))
        if self.average is not None:
            self.average = _like(self.average, snapshot.part("average"))
        self._batches = self._of_epoch(self.at.epoch)


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}


def _like(state: dict[str, Tensor], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.empty_like(value).copy_(tensors[name]) for name, value in state.items()}


@torch.no_grad()
def _follow(average: dict[str, Tensor], state: dict[str, Tensor], decay: float) -> None:
    for name, value in state.items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)
