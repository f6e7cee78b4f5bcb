"""One worker of a study: takes trials until none is left, in this process or as one of several.

A trial trains on the train split and is judged on the validation split; calibration and test
splits are not even in the table it is given.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from pneumoscope.core.errors import (
    DownloadError,
    InputError,
    PneumoscopeError,
    StorageError,
    TrainingError,
    WeightsError,
)
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.core.provenance import provenance
from pneumoscope.core.recipe import Recipe
from pneumoscope.training.checkpoints import Checkpoints
from pneumoscope.training.distributed import joined_world
from pneumoscope.training.plan import Epoch
from pneumoscope.training.trainer import Trained, train_classifier
from pneumoscope.workflows.tracked_data import precision_tags
from pneumoscope.workflows.tuning.accounts import (
    ORIGIN,
    PRECISION,
    REASON,
    SURPLUS,
    WORKER,
    hopeless,
    rank_of,
)
from pneumoscope.workflows.tuning.plan import Material, StudyPlan, read_material
from pneumoscope.workflows.tuning.sampling import suggest
from pneumoscope.workflows.tuning.storage import WorkerLock, answering
from pneumoscope.workflows.tuning.study import OpenStudy, open_study, quiet

T = TypeVar("T")
REFUSED = 3
"""Exit status of a worker that says why it ended."""
_POLL = 1.0
"""Seconds between looks at what others do."""
_STUDY_GOES_ON = (InputError, TrainingError, WeightsError, DownloadError, MemoryError, RuntimeError)
"""What fails one trial: its values do not go together, do not train, or do not fit."""


class _Failed(Exception):  # noqa: N818 - Optuna's word for the state
    """One trial failed, the study goes on."""


@dataclass
class Watch:
    """Follows one trial's epochs: what it is worth so far, and whether it is worth going on.

    Attributes:
        plan: The study's.
        trial: The trial.
        value: The metric at the epoch whose weights are kept, of the phase under way.
    """

    plan: StudyPlan
    trial: Trial
    value: float = math.nan
    _phases: list[str] = field(default_factory=list)

    def on_epoch(self, epoch: Epoch) -> None:
        """Report the epoch and stop the trial where its pruner, or the time, says so.

        Raises:
            optuna.TrialPruned: it is to stop.
        """
        if epoch.phase not in self._phases:
            self._phases.append(epoch.phase)
        if epoch.best:
            self.value = float(getattr(epoch, self.plan.metric))
        step = (len(self._phases) - 1) * self.plan.longest + epoch.epoch
        if math.isfinite(self.value):
            self.trial.report(self.value, step)
        _end_without_parent()
        if self.plan.deadline is not None and time.time() > self.plan.deadline:
            self._stop("the time was over")
        if self.trial.should_prune():
            self._stop(f"{epoch.phase}, epoch {epoch.epoch}: behind the others")

    def _stop(self, reason: str) -> None:
        self.trial.set_user_attr(REASON, reason)
        raise optuna.TrialPruned(reason)


class Worker:
    """Runs trials of one study, one after another.

    Args:
        opened: The study.
        material: The data of its recipe.
        reporter: Shown progress and warnings of trials.
    """

    def __init__(self, opened: OpenStudy, material: Material, reporter: Reporter) -> None:
        self._opened, self._plan = opened, opened.plan
        self._reporter = _Background(reporter)
        self._material = {opened.plan.recipe.preprocess.model_dump_json(): material}
        self._lock = WorkerLock(opened.plan.storage)

    def work(self, on_trial: Callable[[], None] = lambda: None) -> None:
        """Take trials until the budget is used up or the time is over.

        Args:
            on_trial: Called after each.

        Raises:
            StorageError: the storage does not answer.
            TrainingError: the first trials all failed.
        """
        with self._lock:
            while not self._late():
                self._opened.revive()
                if self._opened.begun() < self._plan.budget or self._opened.waits():
                    self._one()
                    on_trial()
                elif self._opened.is_over():
                    return
                else:
                    time.sleep(_POLL)
                _end_without_parent()

    def _late(self) -> bool:
        return self._plan.deadline is not None and time.time() > self._plan.deadline

    def _one(self) -> None:
        try:
            with answering(self._plan.storage), quiet():
                self._opened.study.optimize(self._objective, n_trials=1, catch=(_Failed,))
        except BaseException:
            with suppress(StorageError):
                self._interrupted()
            raise
        if reason := hopeless(self._opened.trials()):
            raise TrainingError(
                f"the first trials of study '{self._plan.study}' all failed: {reason} Correct the "
                "recipe or the space, and begin another study."
            )

    def _interrupted(self) -> None:
        """Leave what was under way to be begun again."""
        for trial in self._opened.trials():
            mine = trial.user_attrs.get(WORKER) == self._lock.token
            if mine and trial.state == TrialState.RUNNING:
                self._opened.give_back(trial.number)
            elif mine and trial.state == TrialState.FAIL and REASON not in trial.user_attrs:
                self._opened.retry(trial)

    def _objective(self, trial: Trial) -> float:
        trial.set_user_attr(WORKER, self._lock.token)
        frozen: FrozenTrial = trial.study.get_trials(deepcopy=False)[trial.number]
        if rank_of(frozen, self._opened.trials()) >= self._plan.budget:
            trial.set_user_attr(SURPLUS, value=True)
            raise optuna.TrialPruned("surplus")
        trial.set_user_attr(ORIGIN, provenance())  # of this machine, which may not be the lead's
        point = suggest(trial, self._plan.space)
        watch = Watch(self._plan, trial)
        try:
            trained = self._train(self._plan.space.apply(self._plan.recipe, point), watch)
        except _STUDY_GOES_ON as error:
            reason = " ".join(f"{error}".split())[:300] or type(error).__name__
            trial.set_user_attr(REASON, reason)
            raise _Failed(reason) from error
        trial.set_user_attr(PRECISION, precision_tags(trained))
        if not math.isfinite(watch.value):
            trial.set_user_attr(
                REASON, f"{self._plan.metric} is not defined on the validation split."
            )
            raise _Failed
        return watch.value

    def _train(self, recipe: Recipe, watch: Watch) -> Trained:
        key = recipe.preprocess.model_dump_json()
        if key not in self._material:
            self._material[key] = read_material(recipe, self._reporter)
        material = self._material[key]
        with joined_world(recipe.compute.device) as world:
            return train_classifier(
                recipe,
                material.seen,
                material.labels,
                material.pixels,
                checkpoints=Checkpoints(),
                world=world,
                reporter=self._reporter,
                on_epoch=watch.on_epoch,
            )


class _Background:
    """Lets progress and each warning through once; what a trial chooses is not news."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._warned: set[str] = set()

    def say(self, message: str) -> None:
        """Keep silent."""

    def warn(self, message: str) -> None:
        """Pass on a warning that is new."""
        if message not in self._warned:
            self._warned.add(message)
            self._reporter.warn(message)

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Pass on the progress."""
        yield from self._reporter.track(items, description, total)


def main() -> None:
    """Work as one of several processes, on the plan that stdin gives.

    An error of this program goes to stdout as JSON, with exit status `REFUSED`.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        plan = StudyPlan.model_validate_json(sys.stdin.read())
        material = read_material(plan.recipe, Silent())
        with open_study(plan, data=material.fingerprint) as opened:
            Worker(opened, material, Silent()).work()
    except PneumoscopeError as error:
        sys.stdout.write(json.dumps({"error": type(error).__name__, "reason": str(error)}))
        sys.stdout.flush()
        raise SystemExit(REFUSED) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt


def _end_without_parent() -> None:
    """Stop, as by Ctrl-C, where the command that started this worker has died."""
    parent = os.environ.get("PNEUMOSCOPE_TUNE_PARENT")
    if parent is not None and os.getppid() != int(parent):
        raise KeyboardInterrupt


if __name__ == "__main__":
    main()
