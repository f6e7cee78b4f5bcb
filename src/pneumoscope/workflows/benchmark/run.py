"""Benchmark: many candidates under one protocol, and a leaderboard that says who is tied."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from pneumoscope.core.errors import StorageError, TrainingError
from pneumoscope.core.files import storage_errors, write_text
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.core.recipe import Recipe, override, recipe_of
from pneumoscope.core.tables import save_csv
from pneumoscope.reporting.benchmark_report import BenchmarkPage, write_benchmark_page
from pneumoscope.tracking import Parent, TrackedRun
from pneumoscope.workflows.benchmark.leaderboard import (
    BY,
    Outcome,
    leaderboard_table,
    make_leaderboard,
)
from pneumoscope.workflows.benchmark.process import run_apart, run_here
from pneumoscope.workflows.benchmark.protocol import (
    HALF_THE_EVIDENCE,
    PROTOCOL,
    SUITES,
    Candidate,
    Protocol,
    Run,
    begin,
    choose_candidates,
)
from pneumoscope.workflows.benchmark.record import Job, Record, is_finished
from pneumoscope.workflows.benchmark.serving import serving_of
from pneumoscope.workflows.benchmark.tracked import benchmark_run, log_leaderboard
from pneumoscope.workflows.training import quickened

__all__ = ["SUITES", "BenchmarkResult", "benchmark", "children"]


@dataclass(frozen=True)
class BenchmarkResult:
    """A benchmark on disk.

    Attributes:
        output: The folder written.
        report: Its page.
        leaderboard: The content of `leaderboard.json`.
        runs: The run folders of finished trainings.
    """

    output: Path
    report: Path
    leaderboard: dict[str, Any]
    runs: tuple[Path, ...]


def benchmark(
    data: str | Path | None,
    candidates: Sequence[str],
    *,
    recipe: Recipe | str | Path | None = None,
    seeds: int = 3,
    output: str | Path | None = None,
    random_weights: bool = False,
    quick: bool = False,
    isolate: bool = True,
    reporter: Reporter | None = None,
) -> BenchmarkResult:
    """Train every candidate by every seed under one protocol, and rank them.

    The same output goes on where it was left: what is finished is not done again, what failed is
    tried again. Candidates and seeds may be added.

    Args:
        data: A folder of radiographs; None takes the recipe's.
        candidates: Backbones, as `model.backbone` takes them; `SUITES` has some together.
        recipe: What every run's recipe is made from; default the default recipe, asking half as
            many images about shortcuts and robustness.
        seeds: Trainings of each candidate: by the recipe's seed, and those that follow it.
        output: The folder to write; default `runs/<time>-benchmark`.
        random_weights: Train those whose weights are not at hand from random ones.
        quick: A small but complete pass.
        isolate: Train in processes of their own, so that none can take the others with it.
        reporter: Shown what happens.

    Raises:
        InputError: an unknown backbone, data that cannot be used, another protocol in this folder.
        StorageError: another benchmark is at work in this folder, or it cannot be written.
        TrainingError: no candidate finished.

    Example:
        ps.benchmark("chest_xray", ["tf_efficientnet_lite0", "lenet5"], seeds=2).leaderboard
    """
    heard = reporter or Silent()
    base = recipe_of(recipe or override(Recipe(), HALF_THE_EVIDENCE))
    base = base if data is None else override(base, {"data.path": str(data)})
    base = quickened(base) if quick else base
    chosen = choose_candidates(
        candidates, base, random_weights=random_weights, quick=quick, reporter=heard
    )
    folder = Path(output or f"runs/{datetime.now(tz=UTC):%Y%m%d-%H%M%S}-benchmark")
    with _alone(folder):
        protocol = begin(base, folder, seeds=seeds, quick=quick, reporter=heard)
        with benchmark_run(protocol, chosen, heard) as run:
            outcomes = _train_all(protocol, chosen, run, isolate=isolate, reporter=heard)
            result = _write(protocol, outcomes, heard)
            log_leaderboard(run, protocol, result.leaderboard)
            _require_one(outcomes)
    return result


def children(output: Path) -> list[Path]:
    """The run folders of a benchmark's finished trainings, by name: what a parent run is over."""
    found = (path.parent for path in (output / "runs").glob("*/metrics.json"))
    return sorted(path for path in found if not path.name.startswith("."))


def _require_one(outcomes: Sequence[Outcome]) -> None:
    if not any(one.finished for one in outcomes):
        reasons = [one.reason for one in outcomes if one.reason]
        raise TrainingError(f"no candidate finished; the first says: {reasons[0]}")


def _train_all(
    protocol: Protocol,
    candidates: Sequence[Candidate],
    tracked: TrackedRun,
    *,
    isolate: bool,
    reporter: Reporter,
) -> list[Outcome]:
    """What became of each candidate, in order."""
    plans = [tuple(protocol.runs(one)) if not one.skipped else () for one in candidates]
    every = [run for runs in plans for run in runs]
    done = {run.output: _record_of(run) for run in every if is_finished(run.recipe, run.output)}
    if done:
        reporter.say(f"{len(done)} trainings are finished already.")
    records: dict[Path, Record] = {}
    pace = _Pace(every)
    parent = tracked.parent
    work = (pair for runs in plans for pair in _ended(runs, done, parent, isolate=isolate))
    for run, record in reporter.track(work, "Training candidates", len(every)):
        records[run.output] = record
        pace.count(run, record)
        if run.output not in done:
            reporter.say(pace.words(run, record))
        ended = [one.status for one in records.values()]
        told = {f"trainings/{status}": ended.count(status) for status in ("finished", "failed")}
        tracked.log_metrics(told, step=len(ended))
    return [
        Outcome(one, runs, tuple(records[run.output] for run in runs if run.output in records))
        for one, runs in zip(candidates, plans, strict=True)
    ]


def _record_of(run: Run) -> Record:
    """Of a finished run; its seconds are lost if it was killed before they were written."""
    record = Record.load(run.record)
    return record if record and record.status == "finished" else Record("finished")


def _ended(
    runs: Sequence[Run], done: dict[Path, Record], parent: Parent | None, *, isolate: bool
) -> Iterator[tuple[Run, Record]]:
    """Each training of a candidate with how it ended; what is done first."""
    yield from ((run, done[run.output]) for run in runs if run.output in done)
    left = [run for run in runs if run.output not in done]
    jobs = [Job(run.recipe, run.output, run.record, run.log, parent) for run in left]
    ended = run_apart(jobs) if isolate else run_here(jobs)
    record = Record("failed", "not tried")
    for run in left:
        record = next(ended, record)  # where seeds after a hopeless one are not tried: the same
        yield run, record


class _Pace:
    """How many trainings have ended, and how long the others will take."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs
        self._ended: dict[Path, Record] = {}

    def count(self, run: Run, record: Record) -> None:
        """Take one that has ended."""
        self._ended[run.output] = record

    def words(self, run: Run, record: Record) -> str:
        """A line about one that has ended, and the time left."""
        name = f"[{len(self._ended)}/{len(self.runs)}] {run.candidate.name}, seed {run.seed}"
        if record.status != "finished":
            return f"{name}: {record.status}: {record.reason} {self._left()}"
        metrics = json.loads((run.output / "metrics.json").read_text(encoding="utf8"))
        return (
            f"{name}: AUC {metrics[BY]['value']:.3f} in {record.seconds or 0:.0f} s. {self._left()}"
        )

    def _left(self) -> str:
        """As long as the same candidate took, or the mean of all, for each that is left."""
        mine: dict[str, list[float]] = {}
        for run in self.runs:
            ended = self._ended.get(run.output)
            if ended is not None and ended.seconds is not None:
                mine.setdefault(run.candidate.backbone, []).append(ended.seconds)
        if not mine:
            return ""
        typical = statistics.fmean(statistics.fmean(seconds) for seconds in mine.values())
        left = [run for run in self.runs if run.output not in self._ended]
        if not left:
            return "That was the last."
        seconds = sum(statistics.fmean(mine.get(run.candidate.backbone, [typical])) for run in left)
        return f"About {max(1, round(seconds / 60))} min left."


def _write(protocol: Protocol, outcomes: Sequence[Outcome], reporter: Reporter) -> BenchmarkResult:
    """Measure answers, and write leaderboard and page."""
    folder = protocol.output
    bundles = {
        one.candidate.name: one.finished[0][0].output / "bundle" for one in outcomes if one.finished
    }
    serving = serving_of(
        bundles, protocol.test_paths, memory=folder / "records" / "serving.json", reporter=reporter
    )
    content = make_leaderboard(protocol, outcomes, serving)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(folder / "leaderboard.json", text + "\n")
    save_csv(leaderboard_table(content), folder / "leaderboard.csv")
    page = BenchmarkPage(
        title=f"Benchmark on {protocol.data.partition('@')[0]}",
        leaderboard=content,
        predictions={one.candidate.name: one.predictions() for one in outcomes if one.finished},
        histories={
            one.candidate.name: [pl.read_csv(run.output / "history.csv") for run, _ in one.finished]
            for one in outcomes
            if one.finished
        },
        protocol=(folder / PROTOCOL).read_text(encoding="utf8"),
    )
    write_benchmark_page(page, folder)
    runs = tuple(run.output for one in outcomes for run, _ in one.finished)
    return BenchmarkResult(folder, folder / "benchmark.html", content, runs)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse a folder that another benchmark is at work in; a killed one has let go."""
    from filelock import FileLock, Timeout

    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            message = f"{folder}: another benchmark is at work here. Wait for it to end, or give "
            raise StorageError(f"{message}another --output.") from error
    try:
        yield
    finally:
        if [path.name for path in folder.iterdir()] == [".lock"]:
            shutil.rmtree(folder, ignore_errors=True)  # nothing was begun
        lock.release()
