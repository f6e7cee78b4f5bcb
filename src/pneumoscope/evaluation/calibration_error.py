"""How far probabilities are from frequencies, in bins that hold equally many images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray, IntArray
from pneumoscope.evaluation.curves import BINS


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
    total = np.zeros(len(counts))
    for label in range(probabilities.shape[1]):
        gaps = (truth == label) - probabilities[:, label]
        place = equal_mass_bins(probabilities[:, label], bins=bins)
        columns = np.zeros((len(truth), bins))
        columns[np.arange(len(truth)), place] = gaps
        total += np.abs(counts @ columns).sum(axis=1)
    mean: NDArray[np.float64] = total / counts.sum(axis=1) / probabilities.shape[1]
    return mean


def equal_mass_bins(values: FloatArray, *, bins: int) -> NDArray[np.int64]:
    """The bin of each value, `[image]`, about equally many in each; equal values stay together.

    >>> equal_mass_bins(np.array([0.1, 0.9, 0.2, 0.9]), bins=2).tolist()
    [0, 1, 0, 1]
    """
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left")
    return (below * bins // len(values)).astype(np.int64)
