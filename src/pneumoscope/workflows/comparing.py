"""Compare: is one run better than another on the same images, and where do they differ."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.files import paths_of, staged_folder, write_text
from pneumoscope.core.progress import Noting, Reporter, Silent
from pneumoscope.core.provenance import provenance
from pneumoscope.core.tables import save_csv
from pneumoscope.evaluation.agreement import agreements, disputed_images, shared_images
from pneumoscope.evaluation.comparison import Comparison, compare
from pneumoscope.evaluation.curves import confusion_matrix
from pneumoscope.evaluation.intervals import bootstrap_intervals
from pneumoscope.evaluation.metrics import metric_units
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.resampling import check_level
from pneumoscope.evaluation.summary import metric_entry
from pneumoscope.reporting.comparison_report import ComparisonPage, write_comparison_page
from pneumoscope.reporting.standings import standings
from pneumoscope.reporting.words import images_of_patients
from pneumoscope.workflows.run_folders import RunFolder, read_runs, recipe_differences

METRICS = ("auc", "accuracy", "log_loss")
"""What is compared unless told otherwise: ranking, answers, probabilities."""

_MOST_RESAMPLES = 20_000
"""Beyond it patience ends: with hundreds of tests a bootstrapped difference is then a tie."""


@dataclass(frozen=True)
class CompareResult:
    """A comparison on disk.

    Attributes:
        output: The folder written.
        report: Its HTML page.
        verdict: A sentence per metric.
        comparisons: Every pair under every metric.
        content: Of `comparison.json`.
    """

    output: Path
    report: Path
    verdict: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    content: Mapping[str, object]


def compare_runs(
    runs: Sequence[str | Path],
    *,
    output: str | Path | None = None,
    metrics: Sequence[str] = METRICS,
    reference: str | None = None,
    resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> CompareResult:
    """Test runs against each other on the images that all of them answered.

    Writes `comparison.json`, `comparison.csv` (a row per pair and metric), `disagreements.csv` (a
    row per image that some have right and others wrong) and `comparison.html`.

    Args:
        runs: Folders that `train` or `evaluate` wrote, two or more.
        output: The folder to write; default `runs/<time>-compare`.
        metrics: Names as in `metrics.json`, such as `auc` or `sensitivity:PNEUMONIA`.
        reference: Name or folder of the run that each other one is compared with; without, all
            pairs are compared.
        resamples: Of patients, for intervals and for tests that have no formula.
        confidence_level: Of the intervals, in (0, 1).
        seed: Of the resamples.
        reporter: Shown what happens.

    Raises:
        InputError: fewer than two runs, or a folder that holds no predictions.
        PredictionsError: label sets differ, no image is common to all, true labels or patients
            differ, an unknown metric or reference, or an option out of range.
        StorageError: the output cannot be written.

    Example:
        ps.compare(["runs/first", "runs/second"], metrics=["auc"]).verdict
    """
    runs = paths_of(runs)
    noting = Noting(reporter or Silent())
    folder = Path(output or f"runs/{datetime.now(tz=UTC):%Y%m%d-%H%M%S}-compare")
    check_level(confidence_level)
    found = read_runs(runs, reporter=noting)
    _check_labels(found)
    shared = shared_images({name: run.predictions for name, run in found.items()})
    _say_shared(found, shared, noting)
    named = _name(reference, runs, list(found))
    pairs = math.comb(len(found), 2) if named is None else len(found) - 1
    options = _Options(
        tuple(metrics), named, resamples, confidence_level, seed, tests=pairs * len(metrics)
    )
    page = _page(found, shared, options, noting.notices)
    content = _content(page, found)
    with staged_folder(folder) as stage:
        _write(stage, page, content)
    verdict = tuple(one.words() for one in standings(page.comparisons, reference=named))
    return CompareResult(
        folder, folder / "comparison.html", verdict, tuple(page.comparisons), content
    )


@dataclass(frozen=True)
class _Options:
    """What was asked.

    Attributes:
        tests: Number of p-values that Holm's correction is over.
    """

    metrics: tuple[str, ...]
    reference: str | None
    resamples: int
    confidence_level: float
    seed: int
    tests: int

    @property
    def enough(self) -> int:
        """Resamples from which a bootstrapped p-value can pass Holm's correction over all tests.

        No such p-value is below 2 / (resamples + 1); twice as many are taken as would just do.
        """
        needed = math.ceil(4 * self.tests / (1 - self.confidence_level))
        return max(self.resamples, min(needed, _MOST_RESAMPLES))


def _name(reference: str | None, runs: Sequence[Path], names: Sequence[str]) -> str | None:
    """The run's name where its folder was given."""
    if reference is None or reference in names:
        return reference
    folders = {run.resolve(): name for run, name in zip(runs, names, strict=True)}
    return folders.get(Path(reference).resolve(), reference)


def _check_labels(runs: Mapping[str, RunFolder]) -> None:
    first, *others = runs.values()
    for other in others:
        if other.predictions.labels != first.predictions.labels:
            own, theirs = (", ".join(run.predictions.labels) for run in (first, other))
            message = f"{first.name} and {other.name}: labels {own} and {theirs};"
            hint = "allowed: the same, in the same order. Train both on one label set."
            raise PredictionsError(f"{message} {hint}")


def _say_shared(
    runs: Mapping[str, RunFolder], shared: Mapping[str, Predictions], reporter: Reporter
) -> None:
    common = next(iter(shared.values())).n_images
    counts = {name: run.predictions.n_images for name, run in runs.items()}
    if any(own != common for own in counts.values()):
        each = ", ".join(f"{name} {own}" for name, own in counts.items())
        reporter.warn(
            f"the runs did not answer the same images ({each}); all figures here are of the "
            f"{common} that all of them answered."
        )
    splits = {str(run.metrics.get("split", "an unknown split")) for run in runs.values()}
    if len(splits) > 1:
        each = ", ".join(f"{n} {r.metrics.get('split', 'unknown')}" for n, r in runs.items())
        reporter.warn(
            f"the runs were evaluated on different splits ({each}): make sure that none was "
            "trained on images of another's."
        )


def _page(
    runs: Mapping[str, RunFolder],
    shared: Mapping[str, Predictions],
    options: _Options,
    notices: Sequence[str],
) -> ComparisonPage:
    comparisons = compare(
        shared, metrics=options.metrics, reference=options.reference, resamples=options.enough,
        confidence_level=options.confidence_level, seed=options.seed,
    )  # fmt: skip
    pairs = list(dict.fromkeys((one.first, one.second) for one in comparisons))
    recipes = {name: run.recipe for name, run in runs.items()}
    few = sum(recipe is not None for recipe in recipes.values()) < 2
    return ComparisonPage(
        predictions=shared,
        metrics={name: _measure(own, options) for name, own in shared.items()},
        comparisons=comparisons,
        reference=options.reference,
        agreements=agreements(shared, pairs),
        disputed=_with_paths(disputed_images(shared), runs),
        differences=None if few else recipe_differences(recipes),
        histories={name: run.history for name, run in runs.items() if run.history is not None},
        facts={name: _facts(run) for name, run in runs.items()},
        notices=notices,
        settings={
            "confidence_level": options.confidence_level,
            "resamples": options.resamples,
            "resamples_of_tests": options.enough,
            "seed": options.seed,
        },
        provenance=provenance(),
    )


def _measure(predictions: Predictions, options: _Options) -> dict[str, object]:
    """As `metrics.json`, for the shared images."""
    units = metric_units(predictions.labels)
    intervals = bootstrap_intervals(
        predictions,
        resamples=options.resamples,
        confidence_level=options.confidence_level,
        seed=options.seed,
    )
    return {
        **{name: metric_entry(interval, units[name]) for name, interval in intervals.items()},
        "confusion_matrix": confusion_matrix(predictions).tolist(),
        "labels": list(predictions.labels),
        "n_images": predictions.n_images,
        "n_patients": predictions.n_patients,
        "n_unknown_patients": predictions.n_unknown_patients,
        "confidence_level": options.confidence_level,
        "resamples": options.resamples,
    }


def _with_paths(disputed: pl.DataFrame, runs: Mapping[str, RunFolder]) -> pl.DataFrame:
    """The table with `path` beside the image ids, null where no catalogue names it."""
    known = {image: path for run in runs.values() for image, path in run.paths.items()}
    paths = [known.get(image) for image in disputed["image_id"]]
    return disputed.insert_column(1, pl.Series("path", paths, dtype=pl.String))


def _facts(run: RunFolder) -> dict[str, str]:
    recorded = {key: run.metrics.get(key) for key in ("bundle", "data", "split")}
    named = {"bundle": "model", "data": "evaluated on"}
    facts = {
        named.get(key, key): "not recorded" if value is None else str(value)
        for key, value in recorded.items()
    }
    own = run.predictions
    images = images_of_patients(own.n_images, own.n_patients, own.n_unknown_patients)
    return {**facts, "images": images}


def _content(page: ComparisonPage, runs: Mapping[str, RunFolder]) -> dict[str, object]:
    some = next(iter(page.predictions.values()))
    found = standings(page.comparisons, reference=page.reference)
    return {
        "verdict": [standing.to_json() for standing in found],
        "comparisons": [comparison.to_json() for comparison in page.comparisons],
        "runs": {name: {**page.facts[name], "metrics": page.metrics[name]} for name in runs},
        "labels": list(some.labels),
        "images": {
            "shared": some.n_images,
            "patients": some.n_patients,
            "unknown_patients": some.n_unknown_patients,
            "answered": {name: run.predictions.n_images for name, run in runs.items()},
            "disputed": page.disputed.height,
        },
        "agreements": [agreement.to_json() for agreement in page.agreements],
        "recipe_differences": page.differences,
        "reference": page.reference,
        "settings": page.settings,
        "notices": list(page.notices),
        "provenance": page.provenance,
    }


def _write(stage: Path, page: ComparisonPage, content: Mapping[str, object]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(stage / "comparison.json", text + "\n")
    rows = pl.DataFrame([comparison.to_json() for comparison in page.comparisons])
    save_csv(rows, stage / "comparison.csv")
    save_csv(page.disputed, stage / "disagreements.csv")
    write_comparison_page(page, stage / "comparison.html")
