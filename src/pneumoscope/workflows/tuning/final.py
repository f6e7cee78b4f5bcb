"""What the winner is worth: trained again with several seeds, measured on the sealed test split.

The best trial's validation value is the best of many looks at the same images, so it promises too
much. How much, is the optimism that is reported. Trials train with the recipe's seed, the final
trainings with the seeds that follow it: training repeats itself to the last digit, so that seed
would give the selected trial once more. The starting recipe is trained with the same seeds and
measured on the same images; the difference is tested by resampling patients.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from pneumoscope.core.files import sha256
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import Recipe, dump_recipe, override
from pneumoscope.evaluation.comparison import Comparison, compare
from pneumoscope.evaluation.paired import difference_of_draws, holm
from pneumoscope.evaluation.predictions import Predictions, load_predictions, read_table
from pneumoscope.evaluation.resampling import finite, resampled_metrics
from pneumoscope.tracking import Parent
from pneumoscope.workflows.training import train
from pneumoscope.workflows.tuning.plan import MetricName
from pneumoscope.workflows.unfinished import folder_of

WINNER, START = "winner", "starting recipe"
_COMPARED = ("auc", "accuracy", "balanced_accuracy", "log_loss")


@dataclass(frozen=True)
class FinalRun:
    """One training of the winner or of the starting recipe.

    Attributes:
        who: `winner` or `starting recipe`.
        seed: Of this training.
        folder: The run folder.
        validation: The study's metric, at the epoch whose weights were kept.
        test: Metric by name, on the sealed test split.
        predictions: Of the test split.
    """

    who: str
    seed: int
    folder: Path
    validation: float
    test: Mapping[str, float]
    predictions: Predictions


@dataclass(frozen=True)
class Final:
    """The winner beside the starting recipe.

    Attributes:
        runs: Of both, by seed.
        best_trial: The best trial's validation value.
        metric: The study's.
        comparisons: Means over seeds, winner minus start; none where they are the same recipe.
        by_seed: The same, seed by seed.
    """

    runs: tuple[FinalRun, ...]
    best_trial: float
    metric: MetricName
    comparisons: tuple[Comparison, ...]
    by_seed: Mapping[int, tuple[Comparison, ...]]

    @property
    def same(self) -> bool:
        """Whether the starting recipe itself won."""
        return not any(run.who == START for run in self.runs)

    def of(self, who: str) -> list[FinalRun]:
        """The runs of one; of the winner, where it is the starting recipe itself."""
        return [run for run in self.runs if run.who == (WINNER if self.same else who)]

    def mean(self, who: str, metric: str) -> float:
        """A test metric's mean over seeds."""
        return float(np.mean([run.test[metric] for run in self.of(who)]))

    @property
    def optimism(self) -> dict[str, float | None]:
        """How much the best trial promised too much: against retraining, and against the test.

        Positive where the promise was better; against the test only for areas, which mean the
        same there.
        """
        sign = 1 if self.metric == "validation_auc" else -1
        again = float(np.mean([run.validation for run in self.of(WINNER)]))
        test = self.mean(WINNER, "auc") if self.metric == "validation_auc" else math.nan
        return {
            "best_trial": finite(self.best_trial),
            "retrained_validation": finite(again),
            "over_retrained_validation": finite(sign * (self.best_trial - again)),
            "over_test": finite(sign * (self.best_trial - test)),
        }

    @property
    def words(self) -> str:
        """The finding in a sentence."""
        if self.same:
            return "No trial was better than the starting recipe: it is the winner itself."
        return f"{self.comparisons[0].words()}, mean of {len(self.of(WINNER))} seeds."

    def to_json(self) -> dict[str, object]:
        """Plain values for `study.json`."""
        return {
            "words": self.words,
            "same_as_start": self.same,
            "optimism": self.optimism,
            "runs": [
                {
                    "who": run.who, "seed": run.seed, "folder": run.folder.name,
                    "validation": finite(run.validation),
                    "test": {name: finite(value) for name, value in run.test.items()},
                }
                for run in self.runs
            ],
            "comparisons": [found.to_json() for found in self.comparisons],
            "by_seed": {
                str(seed): [found.to_json() for found in several]
                for seed, several in self.by_seed.items()
            },
        }  # fmt: skip


def measure_winner(
    winner: Recipe,
    start: Recipe,
    *,
    best_trial: float,
    metric: MetricName,
    split: Path,
    seeds: int,
    folder: Path,
    reporter: Reporter,
    parent: Parent | None = None,
) -> Final:
    """Train both with several seeds on the study's split; those done before are not repeated.

    Args:
        winner: The recipe at the best trial's point.
        start: The recipe that was tuned.
        best_trial: Its validation value.
        metric: The study's.
        split: The study's split as Parquet: a seed would draw another one, in which images that
            the winner was chosen by are test images.
        seeds: How many, those that follow the recipe's own.
        folder: Where the runs are put.
        reporter: Shown what happens.
        parent: The study's tracked run.
    """
    runs = []
    drawn = final_seeds(start, seeds)
    sides = {WINNER: winner} if winner == start else {WINNER: winner, START: start}
    for seed in drawn:
        for who, recipe in sides.items():
            reporter.say(f"Training the {who} with seed {seed}.")
            runs.append(_run(who, recipe, seed, split, folder, metric, reporter, parent))
    by_seed: dict[int, tuple[Comparison, ...]] = {}
    means: tuple[Comparison, ...] = ()
    if START in sides:
        by_seed = {seed: tuple(_by_seed(runs, seed, start)) for seed in drawn}
        means = tuple(compare_means(runs, start))
    return Final(tuple(runs), best_trial, metric, means, by_seed)


def final_seeds(start: Recipe, count: int) -> tuple[int, ...]:
    """The seeds of the final trainings: never the one that every trial was trained with."""
    return tuple(range(start.seed + 1, start.seed + 1 + count))


def _run(
    who: str,
    recipe: Recipe,
    seed: int,
    split: Path,
    folder: Path,
    metric: MetricName,
    reporter: Reporter,
    parent: Parent | None,
) -> FinalRun:
    fixed = {"use_given": recipe.split.use_given, "file": str(split)}
    whole = override(recipe, {"split": fixed, "data.limit": None, "seed": seed})
    key = sha256(dump_recipe(recipe).encode())[:8]
    output = folder / f"{who.partition(' ')[0]}-{key}-seed-{seed}"
    if not (output / "metrics.json").is_file():
        begun = folder_of(output).is_dir()
        train(whole, output=output, resume=begun, reporter=reporter, parent=parent)
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf8"))
    test = {
        name: float("nan") if metrics[name]["value"] is None else float(metrics[name]["value"])
        for name in _COMPARED
    }
    predictions = read_table(load_predictions(output / "predictions.parquet"))
    return FinalRun(who, seed, output, _kept(output / "history.csv", metric), test, predictions)


def _kept(history: Path, metric: MetricName) -> float:
    """The metric at the epoch whose weights the last phase kept."""
    table = pl.read_csv(history)
    last = table.filter((pl.col("phase") == table["phase"][-1]) & pl.col("best"))
    return float(last[metric][-1])


def _by_seed(runs: Sequence[FinalRun], seed: int, recipe: Recipe) -> list[Comparison]:
    return compare(
        {run.who: run.predictions for run in runs if run.seed == seed},
        metrics=_COMPARED,
        resamples=recipe.evaluate.resamples,
        confidence_level=recipe.evaluate.confidence_level,
        seed=recipe.seed,
        reference=START,
    )


def compare_means(runs: Sequence[FinalRun], recipe: Recipe) -> list[Comparison]:
    """Means over seeds, winner minus start, by a bootstrap of patients that all runs share.

    Seeds are averaged, patients are resampled: the interval says what other patients would change.
    """
    level = recipe.evaluate.confidence_level
    draws = resampled_metrics(
        [run.predictions for run in runs],
        list(_COMPARED),
        resamples=recipe.evaluate.resamples,
        seed=recipe.seed,
    )
    found = []
    for metric in _COMPARED:
        values, resampled = {}, {}
        for who in (WINNER, START):
            mine = [place for place, run in enumerate(runs) if run.who == who]
            values[who] = float(np.mean([runs[place].test[metric] for place in mine]))
            resampled[who] = np.mean([draws[place][metric] for place in mine], axis=0)
        gap = values[WINNER] - values[START]
        difference = difference_of_draws(
            gap, resampled[WINNER] - resampled[START], confidence_level=level
        )
        found.append((metric, values, difference))
    adjusted = holm([difference.p_value for _, _, difference in found])
    return [
        Comparison(
            metric, WINNER, START, values[WINNER], values[START], difference.interval,
            difference.p_value, p_value, "bootstrap", len(found), level,
        )
        for (metric, values, difference), p_value in zip(found, adjusted, strict=True)
    ]  # fmt: skip
