"""How frequent the labels are where nobody has said: estimated from what the network answers.

Black box shift estimation (Lipton, Wang and Smola 2018): if images of one label look the same in
both splits, and only the labels' shares differ, the answers of the unlabelled split are a known
mixture, and the shares solve a linear system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.randomness import derive_seed
from pneumoscope.core.types import IntArray
from pneumoscope.evaluation.draws import bootstrap_weights
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.tallies import ratio

SMALLEST_SINGULAR_VALUE = 0.01
"""Of the joint shares of answer and label: below, the answers hardly depend on the label."""


@dataclass(frozen=True)
class LabelShift:
    """The labels' shares in the test split, per label in label-set order.

    Attributes:
        labels: the label set.
        shares: share of each label in the test split, in [0, 1], 1 in sum.
        calibration_shares: share of each label in the calibration split.
        weights: how much more frequent each label is in the test split; 1: no shift.
        singular_value: the smallest of the joint shares of answer and label; larger tells more.
    """

    labels: tuple[str, ...]
    shares: tuple[Interval, ...]
    calibration_shares: tuple[float, ...]
    weights: tuple[Interval, ...]
    singular_value: float


def estimate_label_shift(
    truth: IntArray,
    predicted: IntArray,
    test_predicted: IntArray,
    *,
    labels: Sequence[str],
    clusters: IntArray,
    test_clusters: IntArray,
    resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> LabelShift:
    """The shares of labels in a split whose labels are unknown, with percentile intervals.

    Patients of both splits are resampled. A share that would be negative is 0, and the rest are
    scaled to sum to 1.

    Args:
        truth: `[image]` of the calibration split, index of the true label.
        predicted: `[image]`, index of the most probable label.
        test_predicted: `[test image]`, likewise of the test split.
        labels: the label set.
        clusters: `[image]`, patient of each image, 0 to n_patients - 1.
        test_clusters: `[test image]`, likewise.
        resamples: bootstrap resamples of patients.
        confidence_level: of the intervals, in (0, 1).
        seed: of the bootstrap.

    Raises:
        PredictionsError: shapes disagree, a label without calibration images, or answers that
            hardly depend on the label.
    """
    n_labels = len(labels)
    truth, predicted, test_predicted = (
        np.asarray(part) for part in (truth, predicted, test_predicted)
    )
    clusters, test_clusters = np.asarray(clusters), np.asarray(test_clusters)
    _check([truth, predicted, clusters], [test_predicted, test_clusters], n_labels)
    pairs = np.eye(n_labels**2)[predicted * n_labels + truth]
    answers = np.eye(n_labels)[test_predicted]
    joint = pairs.mean(axis=0)
    singular = float(np.linalg.svd(joint.reshape(n_labels, n_labels), compute_uv=False)[-1])
    _check_joint(joint.reshape(n_labels, n_labels).sum(axis=0), singular, labels)
    shares, weights = _solve(joint[None], answers.mean(axis=0)[None])
    many_shares, many_weights = _solve(
        _resampled(pairs, clusters, resamples, seed),
        _resampled(answers, test_clusters, resamples, derive_seed(seed, "test")),
    )
    return LabelShift(
        labels=tuple(labels),
        shares=_intervals(shares[0], many_shares, confidence_level),
        calibration_shares=tuple(joint.reshape(n_labels, n_labels).sum(axis=0).tolist()),
        weights=_intervals(weights[0], many_weights, confidence_level),
        singular_value=singular,
    )


def _resampled(
    columns: NDArray[np.float64], clusters: IntArray, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Means of the columns over resampled patients' images, `[resample, column]`."""
    chunks = bootstrap_weights(clusters, resamples=resamples, seed=seed)
    sums = np.concatenate([weights @ columns for weights in chunks])
    means: NDArray[np.float64] = sums / sums.sum(axis=1, keepdims=True)
    return means


def _solve(
    joint: NDArray[np.float64], answers: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares in the test split, and weights, nan for a label without images; `[resample, label]`.

    Args:
        joint: `[resample, answer * label]`, shares in calibration.
        answers: `[resample, answer]`, shares in test.
    """
    n_labels = answers.shape[1]
    square = joint.reshape(-1, n_labels, n_labels)
    own = square.sum(axis=1)
    # A resample may lack a label, which leaves nothing to invert.
    shares = own * np.einsum("rla,ra->rl", np.linalg.pinv(square), answers)
    shares = np.maximum(shares, 0)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares, ratio(shares, own)


def _intervals(
    values: NDArray[np.float64], resampled: NDArray[np.float64], confidence_level: float
) -> tuple[Interval, ...]:
    tails = ((1 - confidence_level) / 2, (1 + confidence_level) / 2)
    low, high = np.nanquantile(resampled, tails, axis=0)
    return tuple(
        Interval(value, min(least, value), max(most, value))
        for value, least, most in zip(values.tolist(), low.tolist(), high.tolist(), strict=True)
    )


def _check(calibration: Sequence[IntArray], test: Sequence[IntArray], n_labels: int) -> None:
    shapes = [list(part.shape) for part in (*calibration, *test)]
    alike = len({part.shape for part in calibration}) == len({part.shape for part in test}) == 1
    if not alike or calibration[0].ndim != 1 or not (calibration[0].size and test[0].size):
        message = (
            f"arrays {shapes}; allowed: [image] three times, [test image] twice. Give them so."
        )
        raise PredictionsError(message)
    indices = np.concatenate([*calibration[:2], test[0]])
    if indices.min() < 0 or indices.max() >= n_labels:
        message = f"labels {indices.min()} to {indices.max()}; allowed: 0 to {n_labels - 1}."
        raise PredictionsError(f"{message} Use one label set for both splits.")


def _check_joint(shares: NDArray[np.float64], singular: float, labels: Sequence[str]) -> None:
    for label, share in zip(labels, shares.tolist(), strict=True):
        if share == 0:
            message = f"label '{label}' has no calibration images; allowed: 1 or more each."
            raise PredictionsError(f"{message} Use a larger calibration split.")
    if singular < SMALLEST_SINGULAR_VALUE:
        message = f"smallest singular value {singular:.2g}; allowed: {SMALLEST_SINGULAR_VALUE} or"
        raise PredictionsError(f"{message} more. The answers hardly depend on the label.")
