"""What the figures show: ROC, precision against recall, reliability, confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.types import FloatArray, IntArray
from pneumoscope.evaluation.predictions import Predictions

BINS = 15


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Rates in [0, 1] at falling thresholds, from (0, 0) at infinity to (1, 1); `[point]` each.

    A rate is nan throughout where no image could count in it.
    """

    false_positive_rate: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    thresholds: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve:
    """Recall and precision in [0, 1] at falling thresholds; `[point]` each.

    The first point, at infinity, answers nothing: recall 0, precision 1 by convention. Recall is
    nan throughout without positives.
    """

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    thresholds: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """Mean top-label probability and accuracy in equal-width bins, nan where a bin is empty.

    `edges` is `[bin + 1]`; bin b holds confidences above edges[b], up to and with edges[b + 1].
    """

    edges: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    count: NDArray[np.int64]


def roc_curve(truth: NDArray[np.bool_], scores: FloatArray) -> RocCurve:
    """The receiver operating characteristic, one point per distinct score.

    Args:
        truth: `[image]`, whether the image has the label.
        scores: `[image]`, higher for the label; an image counts as positive at a threshold when
            its score is the threshold or above.
    """
    hits, false_alarms, thresholds = _counts(truth, scores)
    return RocCurve(_rate(false_alarms), _rate(hits), thresholds)


def precision_recall_curve(truth: NDArray[np.bool_], scores: FloatArray) -> PrecisionRecallCurve:
    """Precision against recall, one point per distinct score; arguments as `roc_curve`."""
    hits, false_alarms, thresholds = _counts(truth, scores)
    precision = np.ones(len(hits))
    precision[1:] = hits[1:] / (hits[1:] + false_alarms[1:])
    return PrecisionRecallCurve(_rate(hits), precision, thresholds)


def reliability_bins(
    probabilities: FloatArray, truth_index: IntArray, *, bins: int = BINS
) -> ReliabilityBins:
    """How often the most probable label is right, against how probable it was said to be.

    Args:
        probabilities: `[image, label]`.
        truth_index: `[image]`, index of the true label.
        bins: number of equal-width bins on [0, 1].
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth_index
    place = bin_indices(confidence, bins=bins)
    count = np.bincount(place, minlength=bins)
    return ReliabilityBins(
        edges=np.linspace(0, 1, bins + 1),
        confidence=_mean(np.bincount(place, weights=confidence, minlength=bins), count),
        accuracy=_mean(np.bincount(place, weights=correct, minlength=bins), count),
        count=count.astype(np.int64),
    )


def bin_indices(confidence: FloatArray, *, bins: int = BINS) -> NDArray[np.int64]:
    """The equal-width, right-closed bin of each confidence in [0, 1]; 0 goes to the first."""
    inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    return np.searchsorted(inner_edges, confidence, side="left").astype(np.int64)


def confusion_matrix(predictions: Predictions) -> NDArray[np.int64]:
    """Number of images, `[truth, predicted]`, in label-set order."""
    n_labels = len(predictions.labels)
    pairs = predictions.truth * n_labels + predictions.predicted
    counts = np.bincount(pairs, minlength=n_labels**2).reshape(n_labels, n_labels)
    return counts.astype(np.int64)


def _counts(
    truth: NDArray[np.bool_], scores: FloatArray
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    order = np.argsort(-scores, kind="stable")
    truth, scores = np.asarray(truth, dtype=bool)[order], scores[order].astype(np.float64)
    last_of_ties = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.cumsum(truth)[last_of_ties]
    false_alarms = last_of_ties + 1 - hits
    thresholds = np.concatenate([[np.inf], scores[last_of_ties]])
    return np.append(0.0, hits), np.append(0.0, false_alarms), thresholds


def _rate(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return counts / counts[-1] if counts[-1] else np.full_like(counts, np.nan)


def _mean(total: NDArray[Any], count: NDArray[Any]) -> NDArray[np.float64]:
    means = np.full(len(count), np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means
