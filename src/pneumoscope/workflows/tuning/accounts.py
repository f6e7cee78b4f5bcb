"""Which trials count: retries stand for the trials that were lost, surplus ones for nothing.

Two workers may begin the last trial at the same moment; the later number is surplus, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from pneumoscope.core.recipe.space import Value

SURPLUS, WORKER, REASON, EPOCHS = "surplus", "worker", "reason", "epochs"
ORIGIN, PRECISION = "provenance", "precision"
RETRIES = 3
"""How often a trial is begun again whose worker died; it may be what kills them."""
FAILURES = 3
"""Trials that may fail, before any has ended well, until the study stops."""


@dataclass(frozen=True)
class TrialRecord:
    """One trial that counts, as the report and `trials.csv` show it.

    Attributes:
        number: From 0, over all workers.
        state: `complete`, `pruned`, `failed` or `running`.
        value: Of the metric; the last one reported where it was pruned.
        params: Stored value by dotted field.
        epochs: That were trained.
        seconds: From begin to end.
        reason: Why it failed or was stopped.
        attempts: How often it was begun.
    """

    number: int
    state: str
    value: float | None
    params: Mapping[str, Value]
    epochs: int
    seconds: float | None
    reason: str
    attempts: int


def original(trial: FrozenTrial) -> int:
    """The number of the trial that this one is, or retries."""
    # As RetryHeartbeatStaleTrialCallback.retried_trial_number, which warns that it is new.
    return int(trial.system_attrs.get("failed_trial", trial.number))


def counted(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that use up the budget, by number: no retries, nothing surplus."""
    return [t for t in trials if original(t) == t.number and SURPLUS not in t.user_attrs]


def rank_of(trial: FrozenTrial, trials: Iterable[FrozenTrial]) -> int:
    """How many trials that count were begun before it."""
    mine = original(trial)
    return sum(1 for other in counted(trials) if other.number < mine)


def latest(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The last attempt at every trial that counts, in order."""
    attempts: dict[int, FrozenTrial] = {t.number: t for t in counted(trials)}
    for trial in trials:
        if original(trial) in attempts:
            attempts[original(trial)] = trial
    return [attempts[number] for number in sorted(attempts)]


def records(trials: Sequence[FrozenTrial]) -> list[TrialRecord]:
    """Every trial that counts, in order."""
    return [_record(trial) for trial in latest(trials)]


def _record(trial: FrozenTrial) -> TrialRecord:
    states = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    value = trial.value
    if trial.state == TrialState.PRUNED and value is None and trial.intermediate_values:
        value = trial.intermediate_values[max(trial.intermediate_values)]
    return TrialRecord(
        number=original(trial),
        state=states.get(trial.state, "running"),
        value=value,
        params=dict(trial.params),
        epochs=len(trial.intermediate_values),
        seconds=trial.duration.total_seconds() if trial.duration else None,
        reason=str(trial.user_attrs.get(REASON, "")),
        attempts=1 + len(trial.system_attrs.get("retry_history", [])),
    )


def hopeless(trials: Sequence[FrozenTrial]) -> str | None:
    """The first reason, where several trials failed and none has ended well."""
    ended = [t for t in latest(trials) if t.state.is_finished()]
    failed = [t for t in ended if t.state == TrialState.FAIL]
    if len(failed) < FAILURES or len(failed) < len(ended):
        return None
    return str(failed[0].user_attrs.get(REASON, "its worker died"))
