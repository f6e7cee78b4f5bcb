"""A study as one tracked run: a child for each trial that ended, and the final trainings.

Workers, on whatever machine, tell the study's storage; the command that leads tells the tracking
store. Each trial's record is kept in `trials`, so that `sync` can tell it later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pneumoscope.core.errors import RecipeError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import Recipe, save_recipe
from pneumoscope.core.recipe.space import Value
from pneumoscope.evaluation.resampling import finite
from pneumoscope.tracking import (
    NOTE_TAG,
    DataInput,
    Identity,
    Parent,
    Point,
    Record,
    TrackedRun,
    load_record,
    tracked_run,
)
from pneumoscope.tracking.naming import flatten, provenance_tags
from pneumoscope.workflows.prepare import name_of
from pneumoscope.workflows.tracked_data import data_inputs
from pneumoscope.workflows.tuning.accounts import ORIGIN, PRECISION, TrialRecord, latest, records
from pneumoscope.workflows.tuning.plan import Material, StudyPlan
from pneumoscope.workflows.tuning.storage import answering

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from pneumoscope.workflows.tuning.final import Final
    from pneumoscope.workflows.tuning.study import OpenStudy

TRIALS = "trials"
"""Folder of the trials' records in a study's."""

RECIPE = "trial.yaml"
"""A trial's recipe. Not `recipe.yaml`: a run folder is known by the content of that file, and two
trials may have drawn the same values."""

_SEEN = ("data", "train", "validation")
"""What a trial is given of the study's inputs; calibration and test stay sealed."""
_KEY = "run"
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
_TAG = "pneumoscope.trial"


class StudyRun:
    """Tells the tracking store of a study.

    Args:
        run: The study's.
        opened: The study.
        folder: Its output.
        inputs: The data and each split of them.
    """

    def __init__(
        self, run: TrackedRun, opened: OpenStudy, folder: Path, inputs: Sequence[DataInput]
    ) -> None:
        self._run, self._opened, self._folder = run, opened, folder
        self._seen = [one for one in inputs if one.context in _SEEN]
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
        plan, trials = self._opened.plan, self._opened.trials()
        for found, trial in zip(records(trials), latest(trials), strict=True):
            seen = (found.state, found.attempts)
            if found.state == "running" or self._told.get(found.number) == seen:
                continue
            self._told[found.number] = seen
            record = trial_record(found, trial, plan, parent=parent, inputs=self._seen)
            self._tell(record, recipe_at(plan, found.params))
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

    def _tell(self, record: Record, recipe: Recipe | None) -> None:
        folder = self._folder / TRIALS / record.tags[_TAG]
        kept = load_record(folder)
        if kept is None or not kept.complete or kept.digest != record.digest:
            if recipe is not None:
                save_recipe(recipe, folder / RECIPE)
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
    inputs = data_inputs(name_of(plan.recipe.data), material.catalogue)
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
        inputs=inputs,
        identity=Identity(plan.study, kind="tune", key=key_of(opened)),
        memory=folder,
    ) as run:
        yield StudyRun(run, opened, folder, inputs)


def trial_record(
    found: TrialRecord,
    trial: FrozenTrial,
    plan: StudyPlan,
    *,
    parent: Parent,
    inputs: Sequence[DataInput],
) -> Record:
    """What tracking is told of a trial that ended; a pruned one is `KILLED`, and says so.

    Args:
        found: The trial, as it counts.
        trial: Its last attempt.
        plan: The study's.
        parent: The study's run.
        inputs: What the trial was given.
    """
    name, recipe = f"trial-{found.number}", recipe_at(plan, found.params)
    whole = flatten(recipe.model_dump(mode="json")) if recipe else {}
    return Record(
        name=name if found.state == "complete" else f"{name} ({found.state})",
        experiment=parent.experiment,
        kind="trial",
        key=parent.key_of(name),
        status=_STATUS[found.state],
        started=_moment(trial.datetime_start),
        ended=_moment(trial.datetime_complete),
        params=whole | {field: str(value) for field, value in found.params.items()},
        tags=_tags(found, trial),
        inputs=list(inputs),
        metrics=_points(found, trial, plan.metric),
        parent=parent,
        uri=parent.uri,
    )


def recipe_at(plan: StudyPlan, params: Mapping[str, Value]) -> Recipe | None:
    """The recipe that a trial trained; None where its values are not all drawn or do not fit."""
    if set(params) != set(plan.space.fields):
        return None
    try:
        return plan.space.apply(plan.recipe, params)
    except RecipeError:
        return None  # the trial failed by it, and its reason says so


def _points(found: TrialRecord, trial: FrozenTrial, metric: str) -> list[Point]:
    ended, curve = _moment(trial.datetime_complete), sorted(trial.intermediate_values.items())
    points = [Point(f"trial/{metric}", value, ended, step) for step, value in curve]
    points.append(Point("trial/epochs", found.epochs, ended, 0))
    if found.seconds is not None:
        points.append(Point("trial/seconds", found.seconds, ended, 0))
    return points


def _tags(found: TrialRecord, trial: FrozenTrial) -> dict[str, str]:
    """Code version and machine as its worker noted them; the precision only of a whole training."""
    tags = {
        **provenance_tags(trial.user_attrs.get(ORIGIN, {})),
        **trial.user_attrs.get(PRECISION, {}),
        _TAG: str(found.number),
        f"{_TAG}.state": found.state,
    }
    if found.reason:
        tags |= {f"{_TAG}.reason": found.reason, NOTE_TAG: f"{found.state}: {found.reason}"}
    return tags


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
