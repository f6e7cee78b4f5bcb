"""Which values a trial tries: every sampler draws by the trial's rank, whoever runs it.

A study of one worker is therefore repeatable, also when it was interrupted; parallel workers never
draw the same numbers, and a grid is walked once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from pneumoscope.core.randomness import derive_seed, generator
from pneumoscope.core.recipe.space import Choices, Range, Space, Value
from pneumoscope.workflows.tuning.accounts import rank_of
from pneumoscope.workflows.tuning.plan import PrunerName, StudyPlan

_STARTUP = 5
"""Trials before a median or a model of good values says anything; TPE takes twice as many."""
_WARMUP = 3
"""Epochs that every trial is left."""


def suggest(trial: Trial, space: Space) -> dict[str, Value]:
    """The trial's point in the space."""
    return {name: _suggested(trial, name, field) for name, field in space.fields.items()}


def _suggested(trial: Trial, name: str, field: Range | Choices) -> Value:
    if isinstance(field, Choices):
        return trial.suggest_categorical(name, field.values)
    low, high = field.ends
    if field.whole:
        step = 1 if field.log else int(field.step or 1)
        return trial.suggest_int(name, int(low), int(high), log=field.log, step=step)
    return trial.suggest_float(name, low, high, log=field.log, step=field.step)


def make_sampler(plan: StudyPlan) -> BaseSampler:
    """The plan's sampler."""
    seed, start = plan.recipe.seed, plan.space.start(plan.recipe)
    if plan.sampler == "grid":
        return RankedSampler(RandomSampler, seed, points=_grid(plan))
    fixed = (lambda rank: start if rank == 0 else None) if start else (lambda _: None)
    if plan.sampler == "random":
        return RankedSampler(RandomSampler, seed, points=fixed)
    startup = max(2, min(2 * _STARTUP, plan.trials // 2))
    return RankedSampler(
        lambda seed: TPESampler(seed=seed, n_startup_trials=startup), seed, points=fixed
    )


def make_pruner(plan: StudyPlan) -> BasePruner:
    """The plan's pruner, on steps of one epoch."""
    pruners: dict[PrunerName, Callable[[], BasePruner]] = {
        "median": lambda: MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=_WARMUP),
        "hyperband": lambda: HyperbandPruner(
            min_resource=_WARMUP,
            max_resource=max(_WARMUP + 1, len(plan.recipe.phases) * plan.longest),
        ),
        "none": NopPruner,
    }
    return pruners[plan.pruner]()


def _grid(plan: StudyPlan) -> Callable[[int], Mapping[str, Value] | None]:
    order = generator(plan.recipe.seed, "tune", "grid").permutation(plan.space.size or 1)
    return lambda rank: plan.space.point(int(order[rank % len(order)]))


class RankedSampler(BaseSampler):
    """Draws for each trial with a seed of its own, or gives the point that its rank fixes.

    Args:
        make: From a seed to the sampler that draws.
        seed: The study's.
        points: From a rank to the point fixed for it, None where it is drawn.
    """

    def __init__(
        self,
        make: Callable[[int], BaseSampler],
        seed: int,
        *,
        points: Callable[[int], Mapping[str, Value] | None],
    ) -> None:
        self._make, self._seed, self._points = make, seed, points
        self._drawing: BaseSampler = make(0)
        self._fixed: Mapping[str, Value] | None = None

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Take up the trial's own seed or point."""
        # Hyperband shows a sampler its own bracket only; the rank is among all.
        rank = rank_of(trial, Study.get_trials(study, deepcopy=False))
        self._fixed = self._points(rank)
        self._drawing = self._make(derive_seed(self._seed, "tune", rank) % 2**32)
        self._drawing.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What is drawn together; nothing where the point is fixed."""
        if self._fixed is not None:
            return {}
        return self._drawing.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What the sampler draws together."""
        return self._drawing.sample_relative(study, trial, search_space) if search_space else {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The fixed value, or one drawn alone."""
        if self._fixed is not None:
            return self._fixed[param_name]
        return self._drawing.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: Any, values: Any) -> None:
        """Nothing is remembered between trials."""
