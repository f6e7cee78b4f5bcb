"""A study opened: begun, or joined if it is the same; trials of dead workers begun again."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from pneumoscope.core.errors import InputError
from pneumoscope.workflows.tuning.accounts import RETRIES, WORKER, counted
from pneumoscope.workflows.tuning.plan import StudyPlan
from pneumoscope.workflows.tuning.sampling import make_pruner, make_sampler
from pneumoscope.workflows.tuning.storage import answering, is_dead, open_storage, shown

_UNNAMED = timedelta(minutes=1)
"""How long a trial may be under way without saying whose it is."""


@dataclass(frozen=True)
class OpenStudy:
    """A study and the plan it follows; closed as a context ends."""

    plan: StudyPlan
    study: optuna.Study
    storage: Any

    def __enter__(self) -> OpenStudy:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of a database's connections."""
        self.storage.remove_session()
        if "://" in self.plan.storage:
            self.storage.engine.dispose()

    def trials(self) -> list[FrozenTrial]:
        """Every trial of every worker, by number."""
        with answering(self.plan.storage):
            return self.study.get_trials(deepcopy=False)

    def begun(self) -> int:
        """How many trials of the budget have been begun."""
        return len(counted(self.trials()))

    def waits(self) -> bool:
        """Whether a trial is to be begun again."""
        return any(trial.state == TrialState.WAITING for trial in self.trials())

    def is_over(self) -> bool:
        """Whether nothing is left to do, by anybody."""
        trials = self.trials()
        return len(counted(trials)) >= self.plan.budget and all(
            trial.state.is_finished() for trial in trials
        )

    def revive(self) -> None:
        """Begin again, later, what dead workers had under way."""
        with answering(self.plan.storage), quiet():
            if "://" in self.plan.storage:
                fail_stale_trials(self.study)
                return
            for trial in self.trials():
                if trial.state == TrialState.RUNNING and self._is_lost(trial):
                    self.give_back(trial.number)

    def give_back(self, number: int) -> None:
        """End a trial that nobody goes on with, and queue another attempt at it."""
        with answering(self.plan.storage), quiet():
            try:
                found = self.study.tell(number, state=TrialState.FAIL, skip_if_finished=False)
            except (UpdateFinishedTrialError, ValueError):
                return  # another worker was quicker
        self.retry(found)

    def retry(self, trial: FrozenTrial) -> None:
        """Queue another attempt at a trial that ended without a result, with the same values."""
        with answering(self.plan.storage), quiet():
            attrs = {k: v for k, v in trial.user_attrs.items() if k != WORKER}
            again = copy(trial)
            again.user_attrs = attrs
            RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)(self.study, again)

    def _is_lost(self, trial: FrozenTrial) -> bool:
        token = trial.user_attrs.get(WORKER)
        if token is not None:
            return is_dead(self.plan.storage, str(token))
        return trial.datetime_start is None or datetime.now() - trial.datetime_start > _UNNAMED  # noqa: DTZ005 - as Optuna notes it


def open_study(plan: StudyPlan, *, data: str) -> OpenStudy:
    """The plan's study, begun now or earlier.

    Args:
        plan: What it is.
        data: The fingerprint of the data.

    Raises:
        InputError: a study of this name is there and of another recipe, space or data.
        StorageError: the storage does not answer.
    """
    storage = open_storage(plan.storage, heartbeat=plan.heartbeat)
    with answering(plan.storage), quiet():
        study = optuna.create_study(
            storage=storage,
            study_name=plan.study,
            direction=plan.direction,
            sampler=make_sampler(plan),
            pruner=make_pruner(plan),
            load_if_exists=True,
        )
        known: dict[str, Any] = study.user_attrs
        for name, text in plan.facts(data).items():
            if name not in known:
                study.set_user_attr(name, text)
            elif known[name] != text:
                raise InputError(_other(plan, name, str(known[name]), text))
        return OpenStudy(plan, study, storage)


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna neither logs what this program says itself, nor warns that something is new."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _other(plan: StudyPlan, name: str, then: str, now: str) -> str:
    pairs = zip_longest(then.splitlines(), now.splitlines(), fillvalue="nothing")
    line, other = next(pair for pair in pairs if pair[0] != pair[1])
    what = f"({line.strip()[:80]!r}, now {other.strip()[:80]!r})"
    return (
        f"study '{plan.study}' in {shown(plan.storage)}: was begun with another {name} {what}. "
        "Give that one again, or begin another study: another --output, and in a database another "
        "--study."
    )
