"""How far probabilities are from frequencies, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray, IntArray
from pneumoscope.evaluation.curves import BINS
from pneumoscope.evaluation.no_width import NO_WIDTH
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.resampling import patient_sums, resampled_sums

_HALVINGS = 24


def adaptive_calibration_error(
    probabilities: FloatArray,
    truth: IntArray,
    *,
    bins: int = BINS,
    weights: FloatArray | IntArray | None = None,
) -> NDArray[np.float64]:
    """Adaptive calibration error in [0, 1] of each resample, `[resample]` (Nixon et al. 2019).

    For every label, images fall by its probability into bins of equally many (as equal as ties and
    division allow, each bin counting by its images); absolute differences of mean probability and
    frequency are averaged over bins, then over labels. Unlike the expected calibration error it
    looks at every label, and no bin is nearly empty. "ACE" elsewhere can also mean the average
    calibration error of Neumann et al. 2018, the unweighted mean over equal-width bins.

    Args:
        probabilities: `[image, label]`.
        truth: `[image]`, index of the true label.
        bins: 1 or more; the bins are those of the unweighted images.
        weights: `[resample, image]`, how often each image counts; None: once, one resample.

    Raises:
        PredictionsError: shapes disagree, no images, or no bins.
    """
    probabilities, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    counts = np.ones((1, len(truth))) if weights is None else np.asarray(weights, dtype=np.float64)
    shapes = f"probabilities {list(probabilities.shape)}, truth {list(truth.shape)}"
    belong = probabilities.ndim == 2 and truth.shape == probabilities.shape[:1]
    if not (belong and truth.size and counts.shape[1:] == truth.shape) or bins < 1:
        message = f"{shapes}, weights {list(counts.shape)}, bins={bins}; allowed: [image, label],"
        raise PredictionsError(f"{message} [image], [resample, image], 1 or more. Give them so.")
    columns = _adaptive_gaps(probabilities, truth, bins)
    error: NDArray[np.float64] = np.abs(counts @ columns).sum(axis=1) / counts.sum(axis=1)
    return error


def adaptive_error_bounds(
    predictions: Predictions, *, resamples: int, confidence_level: float, seed: int
) -> tuple[float, float]:
    """`calibration_error_bounds` of the adaptive error, in the bins of all images; nan: none.

    Args:
        predictions: the images.
        resamples: of patients, 1 or more.
        confidence_level: in (0, 1).
        seed: of the draws, which are those of `bootstrap_weights`.
    """
    if predictions.n_patients < 2:
        return math.nan, math.nan
    columns = _adaptive_gaps(predictions.probabilities, predictions.truth, BINS)
    counted = np.column_stack([np.ones(predictions.n_images), columns])
    sums = patient_sums(counted, predictions.clusters)
    drawn = resampled_sums(sums, resamples=resamples, seed=seed)
    low, high = calibration_error_bounds(
        columns.mean(axis=0), drawn[:, 1:] / drawn[:, :1], confidence_level=confidence_level
    )
    return (low, high) if low < high else (math.nan, math.nan)


def calibration_error_bounds(
    gaps: FloatArray, drawn: FloatArray, *, confidence_level: float
) -> tuple[float, float]:
    """Bounds of a calibration error: the errors that make the one seen no surprise.

    An error is a sum of absolute gaps, so chance adds to it: that of a calibrated model is never 0
    (Roelofs et al. 2022; Kumar, Liang and Ma 2019), and that of a resample is larger than that of
    the images. Percentiles of resamples therefore lie too high, and hold the 0 of a calibrated
    model never. Here a true error of each size is given the seen gaps' shape and the resamples'
    noise, and rejected where the error seen is in a tail of what comes of it (test inversion,
    Carpenter 1999; at 0 that is consistency resampling, Broecker and Smith 2007). The lower bound
    is 0 unless the error is more than chance gives a calibrated model. An error smaller than
    chance gives by half counts as that much: good luck is no proof.

    Args:
        gaps: `[bin]`, sum of correctness less confidence in each, over the number of images.
        drawn: `[resample, bin]`, likewise.
        confidence_level: in (0, 1).
    """
    noise, error = drawn - gaps, float(np.abs(gaps).sum())
    shape = gaps if error > 0 else noise.std(axis=0)
    scale = float(np.abs(shape).sum())
    if np.abs(noise).max() < NO_WIDTH:
        return error, error
    tail, most = (1 - confidence_level) / 2, float(np.abs(noise).sum(axis=1).max())

    def seen(size: float, at: float) -> float:
        return float(np.quantile(np.abs(size / scale * shape + noise).sum(axis=1), at))

    low = _reached(lambda size: seen(size, 1 - tail), error, error + most)
    level = max(error, seen(0, 0.5))
    high = _reached(lambda size: seen(size, tail), level, level + most)
    return min(low, error), max(min(high, 1.0), error)


def _adaptive_gaps(probabilities: FloatArray, truth: IntArray, bins: int) -> NDArray[np.float64]:
    """`[image, label * bin]`: frequency less probability in its bin, over the number of labels."""
    n_images, n_labels = probabilities.shape
    columns = np.zeros((n_images, n_labels, bins))
    for label in range(n_labels):
        place = equal_mass_bins(probabilities[:, label], bins=bins)
        gaps = (truth == label) - probabilities[:, label]
        columns[np.arange(n_images), label, place] = gaps / n_labels
    return columns.reshape(n_images, -1)


def _reached(rising: Callable[[float], float], level: float, most: float) -> float:
    """Where a function of a size from 0 to `most` comes to `level`; 0 where it begins there."""
    least = 0.0
    if rising(least) >= level:
        return least
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        least, most = (middle, most) if rising(middle) < level else (least, middle)
    return least


def equal_mass_bins(values: FloatArray, *, bins: int) -> NDArray[np.int64]:
    """The bin of each value, `[image]`, about equally many in each; equal values stay together.

    >>> equal_mass_bins(np.array([0.1, 0.9, 0.2, 0.9]), bins=2).tolist()
    [0, 1, 0, 1]
    """
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    return (below * bins // len(values)).astype(np.int64)
