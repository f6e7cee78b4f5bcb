"""Weighted counts and sums of many resamples at once: what every metric is a formula of.

What does not depend on the weights (sorting, bins, losses of single images) is prepared once.
Integer weights are counted exactly: float64 holds whole numbers up to 2**53.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray, IntArray
from pneumoscope.evaluation.curves import BINS, bin_indices
from pneumoscope.evaluation.predictions import Predictions

_SMALLEST = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Ranking:
    """How the images of one label stand among the others by its probability.

    Attributes:
        positives: `[positive]`, images with the label, most probable first.
        negatives: `[negative]`, images without it, most probable first.
        hits: `[positive]`, number of positives as probable as this one or more.
        above: `[positive]`, number of negatives more probable than this positive.
        level: `[positive]`, number of negatives as probable or more; larger than `above` by ties.
    """

    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    hits: NDArray[np.int64]
    above: NDArray[np.int64]
    level: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Prepared:
    """The part of the work that all resamples share.

    Attributes:
        labels: the label set.
        columns: `[image, label * label + bin + 2]`: one-hot pair of true and predicted label,
            correctness minus confidence in its bin, Brier score, log loss.
        rankings: one per label.
    """

    labels: tuple[str, ...]
    columns: NDArray[np.float64]
    rankings: tuple[Ranking, ...]


@dataclass(frozen=True, eq=False)
class Tallies:
    """Sums over images for each resample.

    Attributes:
        confusion: `[resample, truth, predicted]`, weight.
        gaps: `[resample, bin]`, correctness minus confidence.
        brier: `[resample]`. log_loss: `[resample]`, nats.
        auc: `[resample, label]` and average_precision: `[resample, label]`, one against the rest;
            nan without positives (the former also without negatives).
    """

    confusion: NDArray[np.float64]
    gaps: NDArray[np.float64]
    brier: NDArray[np.float64]
    log_loss: NDArray[np.float64]
    auc: NDArray[np.float64]
    average_precision: NDArray[np.float64]


def prepare(predictions: Predictions) -> Prepared:
    """What `tally` needs of the predictions, whatever the weights."""
    rankings = tuple(
        _rank(predictions.probabilities[:, index], predictions.truth == index)
        for index in range(len(predictions.labels))
    )
    return Prepared(predictions.labels, _columns(predictions), rankings)


def tally(prepared: Prepared, weights: FloatArray | IntArray) -> Tallies:
    """The tallies of each row of `weights`, `[resample, image]`.

    Raises:
        PredictionsError: `weights` has another number of columns than there are images.
    """
    n_images, n_labels = len(prepared.columns), len(prepared.labels)
    if weights.ndim != 2 or weights.shape[1] != n_images:
        message = f"weights {list(weights.shape)}; allowed: [resample, {n_images}]."
        raise PredictionsError(f"{message} Give one weight per image.")
    counts: NDArray[np.float64] = np.ascontiguousarray(weights, dtype=np.float64)
    sums = counts @ prepared.columns
    areas = np.stack([_areas(ranking, counts) for ranking in prepared.rankings], axis=-1)
    return Tallies(
        confusion=sums[:, : n_labels**2].reshape(-1, n_labels, n_labels),
        gaps=sums[:, n_labels**2 : -2],
        brier=sums[:, -2],
        log_loss=sums[:, -1],
        auc=areas[0],
        average_precision=areas[1],
    )


def ratio(numerator: FloatArray, denominator: FloatArray) -> NDArray[np.float64]:
    """`numerator / denominator`, nan where the denominator is 0."""
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _columns(predictions: Predictions) -> NDArray[np.float64]:
    n_labels, images = len(predictions.labels), np.arange(predictions.n_images)
    probabilities, truth, predicted = (
        predictions.probabilities, predictions.truth, predictions.predicted,
    )  # fmt: skip
    confidence = probabilities[images, predicted]
    one_hot = np.eye(n_labels)[truth]
    columns = np.zeros((predictions.n_images, n_labels**2 + BINS + 2))
    columns[images, truth * n_labels + predicted] = 1
    columns[images, n_labels**2 + bin_indices(confidence)] = (predicted == truth) - confidence
    columns[:, -2] = ((probabilities - one_hot) ** 2).sum(axis=1) / 2
    columns[:, -1] = -np.log(np.maximum(probabilities[images, truth], _SMALLEST))
    return columns


def _rank(scores: FloatArray, positive: NDArray[np.bool_]) -> Ranking:
    order = np.argsort(-scores, kind="stable")
    positives, negatives = order[positive[order]], order[~positive[order]]
    wanted, others = -scores[positives], -scores[negatives]
    return Ranking(
        positives=positives,
        negatives=negatives,
        hits=np.searchsorted(wanted, wanted, side="right"),
        above=np.searchsorted(others, wanted, side="left"),
        level=np.searchsorted(others, wanted, side="right"),
    )


def _areas(ranking: Ranking, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area under the ROC curve (midrank for ties) and average precision, `[2, resample]`."""
    own = np.take(weights, ranking.positives, axis=1)
    hits, negatives = _running_sums(own), _running_sums(weights, ranking.negatives)
    n_positive, n_negative = hits[:, -1], negatives[:, -1]
    hits = np.take(hits, ranking.hits, axis=1)
    level = np.take(negatives, ranking.level, axis=1)
    above = np.take(negatives, ranking.above, axis=1)
    above += level
    beaten = n_positive * n_negative - np.einsum("rp,rp->r", own, above) / 2
    level += hits
    np.divide(hits, level, out=hits, where=level > 0)
    precision = np.einsum("rp,rp->r", own, hits)
    return np.stack([ratio(beaten, n_positive * n_negative), ratio(precision, n_positive)])


def _running_sums(
    weights: NDArray[np.float64], columns: IntArray | None = None
) -> NDArray[np.float64]:
    """Sums of the first 0, 1, 2, ... columns."""
    chosen = weights if columns is None else np.take(weights, columns, axis=1)
    sums = np.zeros((len(chosen), chosen.shape[1] + 1))
    np.cumsum(chosen, axis=1, out=sums[:, 1:])
    return sums
