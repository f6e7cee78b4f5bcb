"""Optimisers, what of the weights decays, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from pneumoscope.core.recipe import OptimizerRecipe, ScheduleName

NamedParameters: TypeAlias = Sequence[tuple[str, nn.Parameter]]

PLATEAU_FACTOR = 0.3
PLATEAU_EPOCHS = 3

# Learned places of a transformer are neither matrices nor filters.
_PLACES = ("pos_embed", "cls_token", "reg_token", "dist_token", "relative_position_bias_table")

_COSINE_END = 0.01
_CYCLE_START, _CYCLE_PEAK, _CYCLE_END = 1 / 25, 0.3, 1e-4


def make_optimizer(
    recipe: OptimizerRecipe, groups: Sequence[dict[str, Any]]
) -> torch.optim.Optimizer:
    """The optimiser the recipe names.

    Args:
        recipe: `adamw` decays weights apart from the gradient (Loshchilov and Hutter 2019), the
            others add the decay to it; `sgd` has Nesterov's momentum where it has any.
        groups: As `parameter_groups` gives them; what a group does not say is the recipe's.
    """
    common: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    momentum = recipe.momentum
    parameters = list(groups)
    if recipe.name == "adamw":
        return torch.optim.AdamW(parameters, **common)
    if recipe.name == "adam":
        return torch.optim.Adam(parameters, **common)
    if recipe.name == "rmsprop":
        return torch.optim.RMSprop(parameters, momentum=momentum, **common)
    return torch.optim.SGD(parameters, momentum=momentum, nesterov=momentum > 0, **common)


def parameter_groups(
    parts: Sequence[tuple[NamedParameters, float]],
    weight_decay: float,
    *,
    base_rate: float | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser, those without parameters left out.

    Each part becomes a group that decays (matrices, filters) and one that does not (biases,
    normalisation, learned places). A group holds `params`, `lr`, `weight_decay`, and `scale`, its
    rate relative to `base_rate`: what stays when a schedule moves the rates.

    Args:
        parts: Named parameters and their learning rate; those that need no gradient are dropped.
        weight_decay: Of the groups that decay.
        base_rate: The phase's; default the largest rate of the parts.
    """
    base = base_rate or max((rate for _, rate in parts), default=1.0)
    groups: list[dict[str, Any]] = []
    for named, rate in parts:
        for decays in (True, False):
            chosen = [p for name, p in named if p.requires_grad and _decays(name, p) == decays]
            decay = weight_decay if decays else 0.0
            group = {"params": chosen, "lr": rate, "scale": rate / base, "weight_decay": decay}
            groups += [group] if chosen else []
    return groups


def _decays(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and not name.endswith(_PLACES)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate of a phase, relative to its base rate, step by step.

    Attributes:
        name: `constant` and `plateau` stay at 1 (see `plateau_factor` for the latter's epochs).
            `cosine` falls to 1 % (Loshchilov and Hutter 2017). `one_cycle` rises from 1/25 to 1
            over the first 30 % and falls to 1e-4 (Smith and Topin 2018), both on a cosine.
        steps: How many the phase has at most.
        warmup: Fraction of the steps over which the rate rises linearly from nothing to where the
            schedule begins; the schedule takes the steps after that.
    """

    name: ScheduleName
    steps: int
    warmup: float = 0.0

    def rate(self, step: int) -> float:
        """The factor at `step`, counted from 0; beyond the last step it stays."""
        warm = int(self.warmup * self.steps)
        last = self.steps - warm - 1
        if step < warm:
            return self._shape(0, last) * (step + 1) / (warm + 1)
        return self._shape(min(step - warm, last), last)

    def _shape(self, step: int, last: int) -> float:
        if self.name == "cosine":
            return _cosine(1.0, _COSINE_END, step / last if last else 0.0)
        if self.name == "one_cycle":
            return _one_cycle(step, last)
        return 1.0


def plateau_factor(history: Sequence[float], lower_is_better: bool) -> float:
    """The factor after these epochs: times 0.3 for every 3 epochs in a row without a better value.

    As torch's ReduceLROnPlateau without threshold and cooldown, but of the history alone, so that
    a resumed run needs no state. A value that is no number is never better.

    Args:
        history: The monitored value of each epoch so far.
        lower_is_better: A loss; otherwise higher is better.
    """
    factor, best, waited = 1.0, math.inf, 0
    for value in history:
        signed = value if lower_is_better else -value
        waited = 0 if signed < best else waited + 1
        best = signed if signed < best else best
        if waited == PLATEAU_EPOCHS:
            factor, waited = factor * PLATEAU_FACTOR, 0
    return factor


def _cosine(start: float, end: float, part: float) -> float:
    """From `start` to `end` on half a cosine wave, `part` of the way in [0, 1]."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _one_cycle(step: int, last: int) -> float:
    peak = max(_CYCLE_PEAK * (last + 1) - 1, 0.0)
    if step <= peak:
        return _cosine(_CYCLE_START, 1.0, step / peak if peak else 1.0)
    return _cosine(1.0, _CYCLE_END, (step - peak) / (last - peak))
