"""How sure a figure is: patient-level bootstrap for metrics, Wilson for a proportion."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.randomness import generator
from pneumoscope.core.types import IntArray
from pneumoscope.evaluation.metrics import compute_prepared
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.tallies import prepare

# The metrics take some six times the memory of the weights; small pieces also stay in the cache.
_CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Interval:
    """A point estimate and the bounds of its confidence interval; nan where undefined."""

    value: float
    low: float
    high: float


def bootstrap_weights(
    clusters: IntArray, *, resamples: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Pieces `[resample, image]` of bootstrap weights, `resamples` rows in all.

    As many patients are drawn, with replacement, as there are; an image weighs (a whole number)
    how often its patient was drawn (Field and Welsh 2007, cluster bootstrap). The rows depend on
    the seed alone, not on how they are cut into pieces.

    Args:
        clusters: `[image]`, patient of each image, 0 to n_patients - 1.
        resamples: 1 or more.
        seed: of the drawing.

    Raises:
        PredictionsError: no resamples or no images.
    """
    if resamples < 1 or not len(clusters):
        message = f"resamples={resamples}, images={len(clusters)}; allowed: 1 or more of each."
        raise PredictionsError(f"{message} Ask for 1000 to 5000 resamples.")
    return _draw(np.asarray(clusters), resamples, generator(seed, "bootstrap"))


def bootstrap_intervals(
    predictions: Predictions,
    *,
    resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Every metric with its percentile interval over resampled patients (Efron 1979).

    Resamples in which a metric is not defined are left out of its interval. Without two patients,
    or a defined resample, there is no interval: nan. Where a figure is perfect all resamples are,
    and the interval has no width; `wilson_interval` then still has one. An interval is widened to
    hold its estimate where the percentiles do not: the calibration error of a resample is biased
    upwards.

    Raises:
        PredictionsError: `confidence_level` is not between 0 and 1, or no resamples.
    """
    _check_level(confidence_level)
    tail = (1 - confidence_level) / 2
    prepared = prepare(predictions)
    points = compute_prepared(prepared, np.ones((1, predictions.n_images)))
    chunks = bootstrap_weights(predictions.clusters, resamples=resamples, seed=seed)
    if predictions.n_patients < 2:
        return {
            name: Interval(float(point[0]), math.nan, math.nan) for name, point in points.items()
        }
    parts = [compute_prepared(prepared, weights) for weights in chunks]
    return {
        name: _interval(float(point[0]), np.concatenate([part[name] for part in parts]), tail)
        for name, point in points.items()
    }


def wilson_interval(successes: int, trials: int, *, confidence_level: float) -> Interval:
    """The proportion of successes and its score interval (Wilson 1927); nan without trials.

    Raises:
        PredictionsError: more successes than trials, negative counts, or a confidence level that
            is not between 0 and 1.
    """
    _check_level(confidence_level)
    if not 0 <= successes <= trials:
        message = f"{successes} successes in {trials} trials; allowed: 0 to as many as the trials."
        raise PredictionsError(f"{message} Count again.")
    if trials == 0:
        return Interval(math.nan, math.nan, math.nan)
    proportion = successes / trials
    z = NormalDist().inv_cdf((1 + confidence_level) / 2)
    shrink = 1 + z**2 / trials
    center = (proportion + z**2 / (2 * trials)) / shrink
    spread = proportion * (1 - proportion) / trials + z**2 / (4 * trials**2)
    half = z * math.sqrt(spread) / shrink
    # At the ends the bound is the end itself, which rounding would miss.
    low = 0.0 if successes == 0 else center - half
    high = 1.0 if successes == trials else center + half
    return Interval(proportion, low, high)


def _draw(
    clusters: IntArray, resamples: int, random: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    n_clusters = int(clusters.max()) + 1
    rows = max(1, _CHUNK_BYTES // (8 * len(clusters)))
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = random.integers(n_clusters, size=(size, n_clusters))
        drawn += np.arange(size)[:, None] * n_clusters
        counts = np.bincount(drawn.ravel(), minlength=size * n_clusters)
        counts = counts.reshape(size, n_clusters).astype(np.float64)
        yield np.take(counts, clusters, axis=1)


def _interval(value: float, resampled: NDArray[np.float64], tail: float) -> Interval:
    resampled = resampled[~np.isnan(resampled)]
    if not resampled.size or math.isnan(value):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(resampled, (tail, 1 - tail))
    return Interval(value, min(float(low), value), max(float(high), value))


def _check_level(confidence_level: float) -> None:
    if not 0 < confidence_level < 1:
        message = f"confidence_level={confidence_level}; allowed: between 0 and 1. 0.95 is usual."
        raise PredictionsError(message)
