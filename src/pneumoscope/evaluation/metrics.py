"""The metrics: each a formula of weighted tallies, for any number of resamples at once.

Conventions where a formula says 0/0. A label absent from the truth has no sensitivity, no AUC and
no average precision: nan. A label never predicted has no precision; one neither present nor
predicted has no F1. Means over labels leave nan out, and are nan when nothing is left. The
Matthews coefficient is 0 when the model always gives one label, nan when the truth has but one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.types import FloatArray, IntArray
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.tallies import Prepared, Tallies, prepare, ratio, tally


@dataclass(frozen=True)
class Metric:
    """A named formula: tallies to `[resample]`, or to `[resample, label]` if `per_label`."""

    name: str
    unit: str
    formula: Callable[[Tallies], NDArray[np.float64]]
    per_label: bool = False


def compute(
    predictions: Predictions, weights: FloatArray | IntArray
) -> dict[str, NDArray[np.float64]]:
    """Every metric by name, `[resample]` each; a row of ones gives the point estimates.

    Args:
        predictions: the images.
        weights: `[resample, image]`, 0 or more: how often each image counts. About six times
            the memory of `weights` is used, so pass many resamples in pieces.
    """
    return compute_prepared(prepare(predictions), weights)


def compute_prepared(
    prepared: Prepared, weights: FloatArray | IntArray
) -> dict[str, NDArray[np.float64]]:
    """As `compute`, for callers with many pieces of weights."""
    tallies = tally(prepared, weights)
    results: dict[str, NDArray[np.float64]] = {}
    for metric in METRICS:
        values = metric.formula(tallies)
        if metric.per_label:
            for index, label in enumerate(prepared.labels):
                results[f"{metric.name}:{label}"] = values[:, index]
        else:
            results[metric.name] = values
    return results


def calibration_gaps(tallies: Tallies) -> NDArray[np.float64]:
    """Each bin's part in correctness less confidence of all images, `[resample, bin]`."""
    return ratio(tallies.gaps, _total(tallies)[:, None])


def metric_units(labels: Sequence[str]) -> dict[str, str]:
    """The unit of every metric that `compute` gives for these labels, in the same order."""
    return {
        name: metric.unit
        for metric in METRICS
        for name in (
            [f"{metric.name}:{label}" for label in labels] if metric.per_label else [metric.name]
        )
    }


def _total(tallies: Tallies) -> NDArray[np.float64]:
    weight: NDArray[np.float64] = tallies.confusion.sum(axis=(1, 2))
    return weight


def _correct(tallies: Tallies) -> NDArray[np.float64]:
    """Weight of the images answered with their label, `[resample, label]`."""
    return np.diagonal(tallies.confusion, axis1=1, axis2=2)


def _present(tallies: Tallies) -> NDArray[np.float64]:
    weight: NDArray[np.float64] = tallies.confusion.sum(axis=2)
    return weight


def _answered(tallies: Tallies) -> NDArray[np.float64]:
    weight: NDArray[np.float64] = tallies.confusion.sum(axis=1)
    return weight


def _label_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1).astype(np.float64))


def _accuracy(tallies: Tallies) -> NDArray[np.float64]:
    return ratio(_correct(tallies).sum(axis=1), _total(tallies))


def _sensitivity(tallies: Tallies) -> NDArray[np.float64]:
    return ratio(_correct(tallies), _present(tallies))


def _specificity(tallies: Tallies) -> NDArray[np.float64]:
    absent = _total(tallies)[:, None] - _present(tallies)
    false_alarms = _answered(tallies) - _correct(tallies)
    return ratio(absent - false_alarms, absent)


def _precision(tallies: Tallies) -> NDArray[np.float64]:
    return ratio(_correct(tallies), _answered(tallies))


def _f1(tallies: Tallies) -> NDArray[np.float64]:
    return ratio(2 * _correct(tallies), _present(tallies) + _answered(tallies))


def _mcc(tallies: Tallies) -> NDArray[np.float64]:
    """Gorodkin's R_K (2004), the Matthews correlation of any number of labels."""
    present, answered, total = _present(tallies), _answered(tallies), _total(tallies)
    agreement = _correct(tallies).sum(axis=1) * total - (present * answered).sum(axis=1)
    spread = _spread(present) * _spread(answered)
    coefficient = np.where(_spread(present) > 0, 0.0, np.nan)
    np.divide(agreement, np.sqrt(spread), out=coefficient, where=spread > 0)
    return coefficient


def _spread(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 exactly when all weight is on one label."""
    spread: NDArray[np.float64] = (counts * (counts.sum(axis=1, keepdims=True) - counts)).sum(
        axis=1
    )
    return spread


def _ece(tallies: Tallies) -> NDArray[np.float64]:
    """Expected calibration error of the top label (Guo et al. 2017, eq. 3), 15 bins."""
    error: NDArray[np.float64] = np.abs(calibration_gaps(tallies)).sum(axis=1)
    return error


METRICS: tuple[Metric, ...] = (
    Metric("accuracy", "fraction", _accuracy),
    Metric("balanced_accuracy", "fraction", lambda tallies: _label_mean(_sensitivity(tallies))),
    Metric("auc", "area", lambda tallies: _label_mean(tallies.auc)),
    Metric("average_precision", "area", lambda tallies: _label_mean(tallies.average_precision)),
    Metric("macro_f1", "fraction", lambda tallies: _label_mean(_f1(tallies))),
    Metric("mcc", "correlation", _mcc),
    Metric("brier", "squared probability", lambda tallies: ratio(tallies.brier, _total(tallies))),
    Metric("ece", "probability", _ece),
    Metric("log_loss", "nats", lambda tallies: ratio(tallies.log_loss, _total(tallies))),
    Metric("sensitivity", "fraction", _sensitivity, per_label=True),
    Metric("specificity", "fraction", _specificity, per_label=True),
    Metric("precision", "fraction", _precision, per_label=True),
    Metric("f1", "fraction", _f1, per_label=True),
    Metric("auc", "area", lambda tallies: tallies.auc, per_label=True),
)
"""All in [0, 1], except mcc in [-1, 1] and log_loss from 0 (probabilities are taken as 2.2e-16 at
least). `auc` and `average_precision` without a label are means over labels, one against the rest.
`brier` is half the sum over labels of squared differences, which for two labels is the usual
squared error of the positive one (Brier 1950 has twice that)."""
