"""A study as one tracked run: a child for each trial that ended, and the final trainings.

Workers, on whatever machine, tell the study's storage; the command that leads tells the tracking
store. Each trial's record is kept in `trials`, so that `sync` can tell it later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pneumoscope.core.progress import Reporter
from pneumoscope.evaluation.resampling import finite
from pneumoscope.tracking import (
    NOTE_TAG,
    Identity,
    Parent,
    Point,
    Record,
    TrackedRun,
    load_record,
    tracked_run,
)
from pneumoscope.workflows.tracked_data import data_inputs
from pneumoscope.workflows.tuning.accounts import TrialRecord, latest, records
from pneumoscope.workflows.tuning.plan import Material
from pneumoscope.workflows.tuning.storage import answering

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from pneumoscope.workflows.tuning.final import Final
    from pneumoscope.workflows.tuning.study import OpenStudy

TRIALS = "trials"
"""Folder of the trials' records in a study's."""

_KEY = "run"
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
_TAG = "pneumoscope.trial"


class StudyRun:
    """Tells the tracking store of a study.

    Args:
        run: The study's.
        opened: The study.
        folder: Its output.
    """

    def __init__(self, run: TrackedRun, opened: OpenStudy, folder: Path) -> None:
        self._run, self._opened, self._folder = run, opened, folder
        self._told: dict[int, tuple[str, int]] = {}

    @property
    def parent(self) -> Parent | None:
        """What the final trainings name as their parent."""
        return self._run.parent

    def look(self) -> None:
        """Tell every trial that has ended since, whoever ran it."""
        parent = self._run.parent
        if parent is None:
            return
        trials = self._opened.trials()
        for found, trial in zip(records(trials), latest(trials), strict=True):
            seen = (found.state, found.attempts)
            if found.state == "running" or self._told.get(found.number) == seen:
                continue
            self._told[found.number] = seen
            self._tell(trial_record(found, trial, parent, self._opened.plan.metric))
        self._best()

    def end(self, content: Mapping[str, Any], final: Final | None) -> None:
        """The study's result, and its folder."""
        values: dict[str, float | None] = {}
        if final is not None:
            for who in dict.fromkeys(run.who for run in final.runs):
                for metric in final.of(who)[0].test:
                    values[f"final/{who}/{metric}"] = finite(final.mean(who, metric))
            values |= {f"optimism/{name}": value for name, value in final.optimism.items()}
        known = {name: value for name, value in values.items() if value is not None}
        self._run.log_metrics(known, step=len(final.runs) if final else 0)
        self._run.set_tags({
            NOTE_TAG: study_note(content),
            "pneumoscope.best": f"trial-{content['best']['number']}",
        })  # fmt: skip
        self._run.log_folder(self._folder)

    def _tell(self, record: Record) -> None:
        folder = self._folder / TRIALS / record.tags[_TAG]
        kept = load_record(folder)
        if kept is None or not kept.complete or kept.digest != record.digest:
            self._run.log_child(record, folder)

    def _best(self) -> None:
        from pneumoscope.workflows.tuning.results import best_record

        best = best_record(self._opened)
        if best is not None and best.value is not None:
            name = f"best/{self._opened.plan.metric}"
            self._run.log_metrics({name: best.value}, step=len(self._told))


@contextmanager
def study_run(
    opened: OpenStudy, material: Material, folder: Path, reporter: Reporter
) -> Iterator[StudyRun]:
    """The run over all trials of a study; a study that goes on, anywhere, is the same run.

    Raises:
        StorageError: the tracking server refuses the login, or the storage does not answer.
    """
    plan = opened.plan
    with tracked_run(
        plan.recipe,
        store=folder.resolve().parent,
        tags={
            "pneumoscope.study": plan.study,
            "pneumoscope.metric": plan.metric,
            "pneumoscope.sampler": plan.sampler,
            "pneumoscope.pruner": plan.pruner,
            "pneumoscope.space": ", ".join(plan.space.fields),
        },
        reporter=reporter,
        inputs=data_inputs(Path(str(plan.recipe.data.path)), material.catalogue),
        identity=Identity(plan.study, kind="tune", key=key_of(opened)),
        memory=folder,
    ) as run:
        yield StudyRun(run, opened, folder)


def trial_record(found: TrialRecord, trial: FrozenTrial, parent: Parent, metric: str) -> Record:
    """What tracking is told of a trial that ended; a pruned one is `KILLED`, and says so."""
    name, ended = f"trial-{found.number}", _moment(trial.datetime_complete)
    curve = sorted(trial.intermediate_values.items())
    points = [Point(f"trial/{metric}", value, ended, step) for step, value in curve]
    points.append(Point("trial/epochs", found.epochs, ended, 0))
    if found.seconds is not None:
        points.append(Point("trial/seconds", found.seconds, ended, 0))
    tags = {_TAG: str(found.number), f"{_TAG}.state": found.state}
    if found.reason:
        tags |= {f"{_TAG}.reason": found.reason, NOTE_TAG: f"{found.state}: {found.reason}"}
    return Record(
        name=name if found.state == "complete" else f"{name} ({found.state})",
        experiment=parent.experiment,
        kind="trial",
        key=parent.key_of(name),
        status=_STATUS[found.state],
        started=_moment(trial.datetime_start),
        ended=ended,
        params={field: str(value) for field, value in found.params.items()},
        tags=tags,
        metrics=points,
        parent=parent,
        uri=parent.uri,
    )


def study_note(content: Mapping[str, Any]) -> str:
    """The study's result in Markdown, as the run's description."""
    best, final = content["best"], content["final"]
    trials = ", ".join(f"{count} {state}" for state, count in content["trials"].items())
    value = "not defined" if best["value"] is None else f"{best['value']:.4f}"
    lines = [
        f"Trials: {trials}. Best: trial {best['number']}, {content['metric']} {value}.",
        "",
        "| field | value |",
        "|---|---|",
        *(f"| `{name}` | `{value}` |" for name, value in best["params"].items()),
        "",
    ]
    if final:
        lines += [final["words"], ""]
    lines.append(_REST)
    return "\n".join(lines)


_REST = (
    "Everything else: `tune.html`, `trials.csv` and `best.yaml` among the artifacts; trials and "
    "final trainings are the children of this run. For research use. Not a medical device."
)


def key_of(opened: OpenStudy) -> str:
    """The run's key, kept with the study: whoever goes on with it tells the same run."""
    with answering(opened.plan.storage):
        known = opened.study.user_attrs.get(_KEY)
        if known is None:
            known = uuid4().hex
            opened.study.set_user_attr(_KEY, known)
    return str(known)


def _moment(when: datetime | None) -> int:
    """Milliseconds since 1970; Optuna notes local time."""
    return int((when or datetime.now()).timestamp() * 1000)  # noqa: DTZ005 - as Optuna notes it
