"""Bounds for figures that no resample moves: a bootstrap gives them an interval without width.

60 of 60 found does not prove that all are found. What the images do allow is said by the chance
that the unseen would have stayed unseen:

- a proportion of images has Wilson's bound (1927) for as many trials as patients carry it;
- a mean of a quantity between 0 and 1 that was the same for all of k independent patients differs
  from it in at most a share u of all patients, Clopper and Pearson's bound (1934) for none in k;
  u is about 3.7 / k at 95 % (on one side 3 / k, the rule of three, Hanley and Lippman-Hand 1983);
- an area under a ROC curve is such a mean over pairs of a positive and a negative, and k the pairs
  that share no patient; no formula for an estimated area of 1 is sharper without a model of the
  scores (Obuchowski and Lieber 2002 assume one);
- a figure made of proportions takes their bounds in its formula. At a perfect figure that keeps
  the level without a correction: it can lie beyond only if one of the proportions does, and that
  one then looked perfect by a chance of half the error level at most.

Average precision and log loss have no bounds (nan): the former hangs on where an unseen error
would rank, and one unseen image can cost any log loss. Nor has a Matthews coefficient of 0, which
is a convention for a model that always gives one label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.types import IntArray
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.resampling import Rate, proportion

NO_WIDTH = 1e-9
"""Intervals as narrow as this have no width but for rounding."""

Bounds = tuple[float, float]
_NOTHING = (math.nan, math.nan)
_Rates = Mapping[str, Rate]


def bounds_without_width(
    name: str, points: Mapping[str, float], predictions: Predictions, *, confidence_level: float
) -> Bounds:
    """The bounds of a metric whose resamples are all equal; nan where there are none.

    Args:
        name: as `metric_units` has it.
        points: the estimates of all metrics, by name.
        predictions: what they are of.
        confidence_level: in (0, 1).
    """
    base, _, label = name.partition(":")
    if base in ("accuracy", "brier", "ece"):
        return _overall(base, points[name], predictions, confidence_level)
    labels = [label] if label else predictions.labels
    if base == "auc":
        return _mean([_area(one, points, predictions, confidence_level) for one in labels])
    rates = [_rates(predictions, predictions.labels.index(one), confidence_level) for one in labels]
    if base == "mcc":
        return _mcc(points[name], rates)
    bounds = _OF_RATES.get(base)
    return _NOTHING if bounds is None else _mean([bounds(of_label) for of_label in rates])


def constant_bounds(value: float, trials: int, *, confidence_level: float) -> Bounds:
    """Bounds of the mean of a quantity in [0, 1] that was `value` in all of so many trials.

    >>> low, high = constant_bounds(1.0, 60, confidence_level=0.95)
    >>> round(low, 3), high
    (0.94, 1.0)
    """
    if not trials or math.isnan(value):
        return _NOTHING
    other = 1 - ((1 - confidence_level) / 2) ** (1 / trials)
    return value * (1 - other), value * (1 - other) + other


def area_bounds(
    value: float, truth: NDArray[np.bool_], clusters: IntArray, *, confidence_level: float
) -> Bounds:
    """Bounds of an area under a ROC curve that no resample of patients moves.

    Args:
        value: the area.
        truth: `[image]`, whether the image is positive.
        clusters: `[image]`, patient of each image.
        confidence_level: in (0, 1).
    """
    patients = [len(np.unique(part)) for part in (clusters[truth], clusters[~truth])]
    pairs = min(*patients, len(np.unique(clusters)) // 2)
    return constant_bounds(value, pairs, confidence_level=confidence_level)


def _overall(base: str, value: float, predictions: Predictions, level: float) -> Bounds:
    if base == "accuracy":
        right = predictions.predicted == predictions.truth
        rate = proportion(right, predictions.clusters, confidence_level=level)
        return rate.low, rate.high
    low, high = constant_bounds(value, predictions.n_patients, confidence_level=level)
    # What is not seen can cancel as much of a calibration error as it can add.
    return (low, high) if base == "brier" else (max(0.0, low - (high - low)), high)


def _area(
    label: str, points: Mapping[str, float], predictions: Predictions, level: float
) -> Bounds:
    truth = predictions.truth == predictions.labels.index(label)
    value = points[f"auc:{label}"]
    return area_bounds(value, truth, predictions.clusters, confidence_level=level)


def _rates(predictions: Predictions, index: int, level: float) -> _Rates:
    truth, answered = predictions.truth == index, predictions.predicted == index
    trials = {
        "sensitivity": (answered, truth), "specificity": (~answered, ~truth),
        "precision": (truth, answered), "silence": (~truth, ~answered),
    }  # fmt: skip
    return {
        name: proportion(hits[among], predictions.clusters[among], confidence_level=level)
        for name, (hits, among) in trials.items()
    }


def _of_rate(name: str) -> Callable[[_Rates], Bounds]:
    return lambda rates: (rates[name].low, rates[name].high)


def _f1(rates: _Rates) -> Bounds:
    parts = [rates["sensitivity"], rates["precision"]]
    if not any(rate.trials for rate in parts):
        return _NOTHING
    lows = [rate.low if rate.trials else 0.0 for rate in parts]
    highs = [rate.high if rate.trials else 1.0 for rate in parts]
    return _harmonic(*lows), _harmonic(*highs)


def _harmonic(first: float, second: float) -> float:
    return 2 * first * second / (first + second) if first + second else 0.0


def _mcc(value: float, rates: list[_Rates]) -> Bounds:
    """Of Gorodkin's coefficient at 1 or -1, from the worst of the rates.

    It is the geometric mean of two means over labels: of sensitivity and specificity less one, and
    of both predictive values less one. Below 2 w - 1 it lies only where one of the four is below w.
    """
    if not math.isclose(abs(value), 1.0, abs_tol=NO_WIDTH):
        return _NOTHING
    known = [rate for of_label in rates for rate in of_label.values() if rate.trials]
    if value > 0:
        return 2 * min(rate.low for rate in known) - 1, 1.0
    return -1.0, 2 * max(rate.high for rate in known) - 1


def _mean(bounds: list[Bounds]) -> Bounds:
    known = [one for one in bounds if not math.isnan(one[0])]
    if not known:
        return _NOTHING
    return sum(low for low, _ in known) / len(known), sum(high for _, high in known) / len(known)


_OF_RATES: Mapping[str, Callable[[_Rates], Bounds]] = {
    "sensitivity": _of_rate("sensitivity"), "specificity": _of_rate("specificity"),
    "precision": _of_rate("precision"), "balanced_accuracy": _of_rate("sensitivity"),
    "f1": _f1, "macro_f1": _f1,
}  # fmt: skip
