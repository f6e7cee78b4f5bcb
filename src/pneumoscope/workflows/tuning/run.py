"""Tune: from a recipe and a search space to the recipe that is best, and what that is worth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.core.errors import StorageError, TrainingError
from pneumoscope.core.progress import Noting, Reporter, Silent
from pneumoscope.core.recipe import Recipe, recipe_of, save_recipe
from pneumoscope.core.recipe.space import Space, Value, load_space
from pneumoscope.data.split import save_split
from pneumoscope.workflows.tuning.claim import claim, lock_of, require_room
from pneumoscope.workflows.tuning.plan import Material, Search, StudyPlan, read_material
from pneumoscope.workflows.tuning.storage import leading, require_optuna, resolve_storage, shown

if TYPE_CHECKING:
    from pneumoscope.workflows.tuning.final import Final
    from pneumoscope.workflows.tuning.study import OpenStudy
    from pneumoscope.workflows.tuning.tracked import StudyRun

OnTrial = Callable[[int, Mapping[str, Value], float | None, str], None]
"""Told of every trial that ends: number, point, value (None where it failed), state."""


@dataclass(frozen=True)
class TuneResult:
    """A study on disk.

    Attributes:
        output: The folder written.
        report: Its HTML report; None where another command leads the study and will write it.
        best: The winner's recipe, None likewise.
        study: The content of `study.json`.
    """

    output: Path
    report: Path | None
    best: Path | None
    study: Mapping[str, Any]


def tune(
    recipe: Recipe | str | Path,
    space: Space | str | Path,
    *,
    output: str | Path | None = None,
    search: Search | None = None,
    workers: int = 1,
    seeds: int = 3,
    storage: str | None = None,
    study: str | None = None,
    reporter: Reporter | None = None,
    on_trial: OnTrial | None = None,
) -> TuneResult:
    """Search the space for the best recipe, then measure it on the sealed test split.

    Called again with the same output, it goes on; called elsewhere with the same storage, it
    joins; an output that holds another study is refused. The first trial is the recipe itself
    where the space holds it.

    Args:
        recipe: Where to start, as `train` takes it.
        space: What may change, or the file that says so.
        output: The folder to write; default `runs/tune-<study>`.
        search: How many trials, chosen and stopped by what, and judged by what.
        workers: Processes on this machine.
        seeds: How often winner and starting recipe are trained in the end, by the seeds that follow
            the recipe's own, which the trials had; 0 leaves it out.
        storage: `postgresql://...`, or the path of a journal file; default a journal in `output`.
        study: Its name in the storage; default the recipe's name.
        reporter: Shown what happens.
        on_trial: Told of every trial that ends while this command runs.

    Raises:
        InputError: the data, the recipe, the space or the storage cannot be used, or the study
            in the storage or the output is another one.
        StorageError: the storage does not answer, or the output cannot be written.
        TrainingError: no trial succeeds.
        DependencyError: Optuna or the database's driver is missing.

    Example:
        ps.tune("recipe.yaml", "space.yaml", search=ps.Search(trials=30), workers=2).best
    """
    require_optuna()
    start = time.perf_counter()
    recipe = recipe_of(recipe)
    space = space if isinstance(space, Space) else load_space(space, recipe)
    name = study or recipe.name
    folder = Path(output or f"runs/tune-{name}")
    place = resolve_storage(storage, folder, workers=workers)
    plan = _planned(recipe, space, search or Search(), name, place)
    noting = Noting(reporter or Silent())
    require_room(folder, plan)
    with leading(lock_of(folder)) as leads, _alone_in_sqlite(plan):
        material = read_material(recipe, noting)
        with _opened(plan, material) as opened:
            command = _Command(opened, material, folder, workers, seeds, noting, on_trial)
            return command.lead(start) if leads else command.join()


def _planned(recipe: Recipe, space: Space, how: Search, name: str, storage: str) -> StudyPlan:
    """The plan, checked before any work."""
    plan = StudyPlan(
        **how.model_dump(),
        recipe=recipe,
        space=space,
        study=name,
        storage=storage,
        deadline=None if how.minutes is None else time.time() + 60 * how.minutes,
    )
    plan.require_sound()
    return plan


def _opened(plan: StudyPlan, material: Material) -> OpenStudy:
    from pneumoscope.workflows.tuning.study import open_study

    return open_study(plan, data=material.fingerprint)


@dataclass(frozen=True)
class _Command:
    """One command's part in a study that is open."""

    opened: OpenStudy
    material: Material
    folder: Path
    workers: int
    seeds: int
    reporter: Noting
    on_trial: OnTrial | None

    def lead(self, start: float) -> TuneResult:
        """Run trials, tell tracking of all, and conclude; `start` as `perf_counter` gave it."""
        from pneumoscope.workflows.tuning.tracked import study_run

        self._claim(leads=True)
        with study_run(self.opened, self.material, self.folder, self.reporter) as tracked:
            self._search(tracked)
            return self._conclude(tracked, start)

    def join(self) -> TuneResult:
        """Run trials, and leave the result to the command that leads."""
        self._claim(leads=False)
        self._search(None)
        self.reporter.say(f"{self.folder}: the command that leads this study writes its result.")
        return TuneResult(self.folder, None, None, {})

    def _claim(self, *, leads: bool) -> None:
        from pneumoscope.workflows.tuning.tracked import key_of

        claim(self.folder, self.opened.plan, key_of(self.opened), leads=leads)

    def _search(self, tracked: StudyRun | None) -> None:
        """Run the study's trials, here or as processes."""
        from pneumoscope.workflows.tuning.crew import crew
        from pneumoscope.workflows.tuning.worker import Worker

        herald = _Herald(self.opened, self.reporter, self.on_trial, tracked)
        _say_plan(self.opened, self.reporter)
        if self.workers == 1:
            Worker(self.opened, self.material, self.reporter).work(herald.look)
        elif not self.opened.is_over():
            with crew(self.opened.plan, self.workers, self.reporter) as hired:
                hired.watch(herald.look)
        herald.look()

    def _conclude(self, tracked: StudyRun, start: float) -> TuneResult:
        """Retrain, compare, and write everything."""
        from pneumoscope.workflows.tuning.results import best_record, write_results

        plan, folder = self.opened.plan, self.folder
        best = best_record(self.opened)
        if best is None or best.value is None:
            raise TrainingError(
                f"study '{plan.study}': no trial was finished. Give more time (--timeout) or "
                "trials."
            )
        winner = plan.space.apply(plan.recipe, best.params)
        save_recipe(winner, folder / "best.yaml")
        self.reporter.say(f"Best: trial {best.number}, {plan.metric} {best.value:.4f}.")
        final = self._measured(winner, best.value, tracked) if self.seeds else None
        content = write_results(
            self.opened, folder, final, data=self.material.fingerprint,
            seconds=time.perf_counter() - start, notices=self.reporter.notices,
        )  # fmt: skip
        tracked.end(content, final)
        return TuneResult(folder, folder / "tune.html", folder / "best.yaml", content)

    def _measured(self, winner: Recipe, best_trial: float, tracked: StudyRun) -> Final:
        """The winner trained again, on the study's own split."""
        from pneumoscope.workflows.tuning.final import measure_winner

        split = self.folder / "split.parquet"
        save_split(self.material.catalogue, split)
        final = measure_winner(
            winner,
            self.opened.plan.recipe,
            best_trial=best_trial,
            metric=self.opened.plan.metric,
            split=split,
            seeds=self.seeds,
            folder=self.folder / "final",
            reporter=self.reporter,
            parent=tracked.parent,
        )
        self.reporter.say(final.words)
        return final


class _Herald:
    """Says each trial that ends, whoever ran it, once."""

    def __init__(
        self,
        opened: OpenStudy,
        reporter: Reporter,
        on_trial: OnTrial | None,
        tracked: StudyRun | None,
    ) -> None:
        self._opened, self._reporter, self._on_trial = opened, reporter, on_trial
        self._tracked = tracked
        self._known = {record.number for record in self._ended()}

    def look(self) -> None:
        """Say what has ended since."""
        if self._tracked is not None:
            self._tracked.look()
        for record in self._ended():
            if record.number in self._known:
                continue
            self._known.add(record.number)
            value = "" if record.value is None else f" {record.value:.4f}"
            why = f" ({record.reason})" if record.reason else ""
            point = ", ".join(f"{name} {_short(value)}" for name, value in record.params.items())
            self._reporter.say(f"Trial {record.number}: {record.state}{value}{why}; {point}")
            if self._on_trial is not None:
                self._on_trial(record.number, record.params, record.value, record.state)

    def _ended(self) -> list[Any]:
        from pneumoscope.workflows.tuning.accounts import records

        return [found for found in records(self._opened.trials()) if found.state != "running"]


def _say_plan(opened: OpenStudy, reporter: Reporter) -> None:
    plan = opened.plan
    done = opened.begun()
    how = f"{plan.sampler} over {len(plan.space.fields)} fields, pruner {plan.pruner}"
    kept = f"kept in {shown(plan.storage)}"
    reporter.say(f"Study '{plan.study}': {plan.budget} trials, {how}, {kept}.")
    if done:
        reporter.say(f"Going on: {done} trials were begun before.")
    if plan.budget < plan.trials:
        reporter.say(f"The grid has {plan.budget} points: so many trials, not {plan.trials}.")


def _short(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def _alone_in_sqlite(plan: StudyPlan) -> Iterator[None]:
    """Hold an SQLite file for this command alone."""
    if not plan.storage.startswith("sqlite:///"):
        yield
        return
    with leading(Path(plan.storage.removeprefix("sqlite:///") + ".lock")) as free:
        if not free:
            raise StorageError(
                f"{plan.storage}: another command uses it, and SQLite does not bear several. "
                "Give postgresql://USER:PASSWORD@HOST/DATABASE, or leave --storage out."
            )
        yield
