"""Is one model better than another on the same images: a paired test, a paired interval, words.

Each metric has the sharpest test there is for it, with patients whole: DeLong's for areas under
ROC curves, McNemar's exact for accuracy, the paired bootstrap for all others. Holm's correction
(1979) is over everything that one call compares; intervals are not corrected. A bootstrapped
p-value is never below 2 / (resamples + 1): many comparisons need more resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation.delong import Areas, delong, delong_difference, delong_mean
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.metrics import compute, metric_units
from pneumoscope.evaluation.paired import (
    Difference,
    check_same_images,
    difference_of_draws,
    holm,
    mcnemar,
)
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.resampling import check_level, finite, resampled_metrics

Test = Literal["DeLong", "McNemar", "bootstrap"]
Verdict = Literal["better", "tie", "undecided"]

LOWER_IS_BETTER = ("brier", "ece", "log_loss")

_NAMES = {
    "auc": "AUC", "mcc": "MCC", "brier": "Brier score", "ece": "calibration error",
    "macro_f1": "macro F1", "f1": "F1",
}  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Two models under one metric.

    Attributes:
        metric: as `metric_units` names it.
        first: name of a model.
        second: name of the other.
        first_value: the metric of the first; nan where undefined.
        second_value: the metric of the second.
        difference: first minus second, with the interval of the pairs; nan where there is none.
        p_value: of no difference, two-sided; nan where no test applies.
        adjusted_p_value: after Holm's correction.
        test: where the p-value is from.
        comparisons: number of p-values that Holm's correction was over.
        confidence_level: of the interval; one minus it is the level of the verdict.
    """

    metric: str
    first: str
    second: str
    first_value: float
    second_value: float
    difference: Interval
    p_value: float
    adjusted_p_value: float
    test: Test
    comparisons: int
    confidence_level: float

    @property
    def verdict(self) -> Verdict:
        """Whether one is better after correction, or neither, or nothing can be said."""
        if math.isnan(self.adjusted_p_value):
            return "undecided"
        return "better" if self.adjusted_p_value < self._level else "tie"

    @property
    def better(self) -> str | None:
        """The better model where the verdict says there is one."""
        if self.verdict != "better":
            return None
        lower = self.metric.partition(":")[0] in LOWER_IS_BETTER
        return self.second if (self.difference.value > 0) == lower else self.first

    @property
    def _level(self) -> float:
        return round(1 - self.confidence_level, 12)  # 0.05, not 0.05000000000000004

    def words(self) -> str:
        """A sentence: "A is better than B in AUC by 0.012 (0.003 to 0.021), p = 0.004"."""
        metric, both = _metric_words(self.metric), f"{self.first} and {self.second}"
        gap, ending = self.difference, _p_words(self.adjusted_p_value)
        if math.isnan(gap.value):
            return f"{both} cannot be compared in {metric}: it is not defined"
        if self.verdict == "undecided":
            return f"{both} differ in {metric} by {_decimals(gap.value, 3)}, and no test applies"
        ending += " after Holm" if self.comparisons > 1 else ""
        if self.better is None and self.p_value < self._level:
            ending += f" ({_p_words(self.p_value)} before)"
        if self.better is None:
            return f"{both} are a statistical tie in {metric}: {_interval_words(gap)}, {ending}"
        worse = self.second if self.better == self.first else self.first
        positive = gap if gap.value > 0 else Interval(-gap.value, -gap.high, -gap.low)
        by = f"{metric} by {_interval_words(positive)}"
        return f"{self.better} is better than {worse} in {by}, {ending}"

    def to_json(self) -> dict[str, object]:
        """Plain values, None where a number is not finite, with the verdict and the words."""
        return {
            "metric": self.metric,
            "first": self.first,
            "second": self.second,
            "first_value": finite(self.first_value),
            "second_value": finite(self.second_value),
            "difference": finite(self.difference.value),
            "low": finite(self.difference.low),
            "high": finite(self.difference.high),
            "p_value": finite(self.p_value),
            "adjusted_p_value": finite(self.adjusted_p_value),
            "test": self.test,
            "comparisons": self.comparisons,
            "confidence_level": self.confidence_level,
            "verdict": self.verdict,
            "better": self.better,
            "words": self.words(),
        }


@dataclass(frozen=True, eq=False)
class _Evidence:
    """What all pairs share.

    Attributes:
        models: by name.
        values: metric of each model, by model and metric.
        areas: of all models in order, by metric, where it is an area.
        draws: `[resample]` by model and metric, where it is none.
        confidence_level: of the intervals.
    """

    models: Mapping[str, Predictions]
    values: Mapping[str, Mapping[str, float]]
    areas: Mapping[str, Areas]
    draws: Mapping[str, Mapping[str, NDArray[np.float64]]]
    confidence_level: float


def compare(
    predictions: Mapping[str, Predictions],
    *,
    metrics: Sequence[str] = ("auc", "accuracy"),
    resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
    reference: str | None = None,
) -> list[Comparison]:
    """Every pair of models under every metric, pair by pair, in the order given.

    Args:
        predictions: by name of the model, all for the same images, patients and labels.
        metrics: names as in `metric_units`, such as "auc", "auc:PNEUMONIA" or "log_loss".
        resamples: of patients, for the intervals of all metrics but areas.
        confidence_level: of the intervals, in (0, 1).
        seed: of the bootstrap; all models are resampled alike.
        reference: a model that each other one is compared with, other minus reference; without,
            all pairs are compared.

    Raises:
        PredictionsError: fewer than two models, an unknown model or metric, images, labels or
            patients that differ, or an option out of range.
    """
    check_level(confidence_level)
    pairs = _pairs(list(predictions), reference)
    check_same_images(predictions)
    _check_metrics(metrics, next(iter(predictions.values())).labels)
    evidence = _gather(
        predictions, metrics, resamples=resamples, confidence_level=confidence_level, seed=seed
    )
    asked = [(metric, *pair) for pair in pairs for metric in metrics]
    tested = [_difference(evidence, *question) for question in asked]
    adjusted = holm([difference.p_value for _, difference in tested])
    family = sum(not math.isnan(p) for p in adjusted)
    return [
        Comparison(
            metric, first, second, evidence.values[first][metric], evidence.values[second][metric],
            difference.interval, difference.p_value, p_value, test, family, confidence_level,
        )
        for (metric, first, second), (test, difference), p_value in zip(
            asked, tested, adjusted, strict=True
        )
    ]  # fmt: skip


def _gather(
    predictions: Mapping[str, Predictions],
    metrics: Sequence[str],
    *,
    resamples: int,
    confidence_level: float,
    seed: int,
) -> _Evidence:
    models = list(predictions.values())
    values = {}
    for name, model in predictions.items():
        found = compute(model, np.ones((1, model.n_images)))
        values[name] = {metric: float(found[metric][0]) for metric in metrics}
    areas = {metric: _areas(models, metric) for metric in metrics if _is_area(metric)}
    others = [metric for metric in metrics if metric not in areas]
    draws = resampled_metrics(models, others, resamples=resamples, seed=seed)
    by_name = dict(zip(predictions, draws, strict=True))
    return _Evidence(predictions, values, areas, by_name, confidence_level)


def _difference(
    evidence: _Evidence, metric: str, first: str, second: str
) -> tuple[Test, Difference]:
    level, names = evidence.confidence_level, list(evidence.models)
    if metric in evidence.areas:
        places = names.index(first), names.index(second)
        return "DeLong", delong_difference(evidence.areas[metric], *places, confidence_level=level)
    one, other = evidence.models[first], evidence.models[second]
    gap = evidence.values[first][metric] - evidence.values[second][metric]
    resampled = evidence.draws[first][metric] - evidence.draws[second][metric]
    if one.n_patients < 2:
        resampled = np.full_like(resampled, np.nan)
    found = difference_of_draws(gap, resampled, confidence_level=level)
    if metric != "accuracy":
        return "bootstrap", found
    right = one.predicted == one.truth, other.predicted == other.truth
    return "McNemar", Difference(found.interval, mcnemar(*right, one.clusters))


def _areas(models: Sequence[Predictions], metric: str) -> Areas:
    first, label = models[0], metric.partition(":")[2]
    probabilities = np.stack([model.probabilities for model in models])
    if not label:
        return delong_mean(probabilities, first.truth, first.clusters)
    place = first.labels.index(label)
    return delong(probabilities[:, :, place], first.truth == place, first.clusters)


def _is_area(metric: str) -> bool:
    return metric.partition(":")[0] == "auc"


def _pairs(names: list[str], reference: str | None) -> list[tuple[str, str]]:
    if len(names) < 2:
        message = f"{len(names)} models; allowed: two or more. Give the predictions of another."
        raise PredictionsError(message)
    if reference is None:
        return list(combinations(names, 2))
    if reference not in names:
        message = f"reference '{reference}'; allowed: {', '.join(names)}. Name one of these."
        raise PredictionsError(message)
    return [(name, reference) for name in names if name != reference]


def _check_metrics(metrics: Sequence[str], labels: Sequence[str]) -> None:
    known = metric_units(labels)
    for metric in metrics:
        if metric not in known:
            message = f"metric '{metric}'; allowed: {', '.join(known)}. Name some of these."
            raise PredictionsError(message)
    if not metrics or len(set(metrics)) < len(metrics):
        message = f"metrics {', '.join(metrics) or 'none'}; allowed: one or more, each once."
        raise PredictionsError(f"{message} Give the metrics to compare.")


def _metric_words(metric: str) -> str:
    name, _, label = metric.partition(":")
    words = _NAMES.get(name, name.replace("_", " "))
    return f"{words} of {label}" if label else words


def _interval_words(interval: Interval) -> str:
    if math.isnan(interval.low):
        return f"{_decimals(interval.value, _places(interval.value))} (no interval)"
    numbers = interval.value, interval.low, interval.high
    value, low, high = (_decimals(number, _places(*numbers)) for number in numbers)
    return f"{value} ({low} to {high})"


def _places(*numbers: float) -> int:
    """Three decimals, or four where one would be lost."""
    return 4 if any(0 < abs(number) < 0.001 for number in numbers) else 3


def _decimals(value: float, places: int) -> str:
    return f"{round(value, places) + 0.0:.{places}f}"  # adding 0 turns -0 into 0


def _p_words(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
