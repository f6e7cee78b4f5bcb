"""How sure a figure is: patient-level bootstrap for metrics, Wilson for a proportion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation.calibration_error import calibration_error_bounds
from pneumoscope.evaluation.metrics import calibration_gaps, compute
from pneumoscope.evaluation.no_width import NO_WIDTH, bounds_without_width
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.resampling import (
    check_level,
    percentile_bounds,
    resampled_gaps,
    resampled_metrics,
    score_bounds,
)
from pneumoscope.evaluation.tallies import prepare, tally


@dataclass(frozen=True)
class Interval:
    """A point estimate and the bounds of its confidence interval; nan where undefined."""

    value: float
    low: float
    high: float


def bootstrap_intervals(
    predictions: Predictions,
    *,
    metrics: Sequence[str] | None = None,
    resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Metrics with their percentile intervals over resampled patients (Efron 1979).

    Resamples in which a metric is not defined are left out of its interval. Without two patients,
    or a defined resample, there is no interval: nan. Where all resamples are equal, as at a perfect
    figure, the bounds are those of `no_width`, Wilson's for a proportion. Those of the calibration
    error, which percentiles put too high, are those of `calibration_error_bounds`. An interval is
    widened to hold its estimate where it does not.

    Args:
        predictions: of images not trained on.
        metrics: names as in `metric_units`; None: all.
        resamples: of patients, 1 or more.
        confidence_level: in (0, 1).
        seed: of the draws.

    Raises:
        PredictionsError: `confidence_level` is not between 0 and 1, or no resamples.
    """
    check_level(confidence_level)
    found = compute(predictions, np.ones((1, predictions.n_images)))
    points = {name: float(point[0]) for name, point in found.items()}
    names = list(points if metrics is None else metrics)
    if predictions.n_patients < 2:
        return {name: Interval(points[name], math.nan, math.nan) for name in names}
    drawn = resampled_metrics([predictions], names, resamples=resamples, seed=seed)[0]
    bounds = {
        name: _bounds(drawn[name], points[name], confidence_level)
        for name in names if name != "ece"
    }  # fmt: skip
    if "ece" in names:
        gaps = resampled_gaps(predictions, resamples=resamples, seed=seed)
        whole = calibration_gaps(tally(prepare(predictions), np.ones((1, predictions.n_images))))
        bounds["ece"] = calibration_error_bounds(whole[0], gaps, confidence_level=confidence_level)
    return {
        name: _held(name, bounds[name], points, predictions, confidence_level) for name in names
    }


def wilson_interval(successes: int, trials: int, *, confidence_level: float) -> Interval:
    """The proportion of successes and its score interval (Wilson 1927); nan without trials.

    Raises:
        PredictionsError: more successes than trials, negative counts, or a confidence level that
            is not between 0 and 1.
    """
    check_level(confidence_level)
    if not 0 <= successes <= trials:
        message = f"{successes} successes in {trials} trials; allowed: 0 to as many as the trials."
        raise PredictionsError(f"{message} Count again.")
    if trials == 0:
        return Interval(math.nan, math.nan, math.nan)
    proportion = successes / trials
    low, high = score_bounds(proportion, trials, confidence_level=confidence_level)
    return Interval(proportion, low, high)


def _bounds(
    resampled: NDArray[np.float64], value: float, confidence_level: float
) -> tuple[float, float]:
    low, high = percentile_bounds(resampled, np.array(value), confidence_level=confidence_level)
    return float(low), float(high)


def _held(
    name: str,
    bounds: tuple[float, float],
    points: Mapping[str, float],
    predictions: Predictions,
    confidence_level: float,
) -> Interval:
    """The interval with these bounds, or those of `no_width` where they have none."""
    low, high = bounds
    if high - low < NO_WIDTH:
        low, high = bounds_without_width(
            name, points, predictions, confidence_level=confidence_level
        )
    return Interval(points[name], min(low, points[name]), max(high, points[name]))
