"""Areas under ROC curves, how sure they are, and whether two differ, without resampling.

DeLong, DeLong and Clarke-Pearson (1988) get the covariance of areas from structural components:
for a positive image, how many negatives it outranks; for a negative one, how many positives
outrank it. Sun and Xu (2014) get all of them by sorting. Obuchowski (1997) sums the components of
each patient, which is DeLong's covariance again where every patient has one image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray, IntArray
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.no_width import NO_WIDTH, area_bounds
from pneumoscope.evaluation.paired import Difference
from pneumoscope.evaluation.resampling import normal_quantile


@dataclass(frozen=True, eq=False)
class Areas:
    """Areas under the ROC curves of several scores for the same images.

    Attributes:
        values: `[score]`, nan without positives or negatives.
        covariance: `[score, score]`, nan also where only one patient has positives, or negatives.
    """

    values: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Components:
    """Of one label: areas `[score]`, components summed per patient `[score, patient]`."""

    areas: NDArray[np.float64]
    positives: NDArray[np.float64]
    negatives: NDArray[np.float64]
    positive_patients: int
    negative_patients: int


def delong(scores: FloatArray, truth: NDArray[np.bool_], clusters: IntArray | None = None) -> Areas:
    """The areas of several scores and their covariance.

    Args:
        scores: `[score, image]`, higher for positives; equals count half.
        truth: `[image]`, whether the image is positive.
        clusters: `[image]`, patient of each image; without, each image stands alone.

    Raises:
        PredictionsError: lengths differ, or a score is not finite.
    """
    values: NDArray[np.float64] = np.asarray(scores, dtype=np.float64)
    positive, members = np.asarray(truth, dtype=bool), _members(clusters, len(truth))
    _check(values, positive, members)
    return _areas([_components(values, positive, members)], members)


def delong_mean(
    probabilities: FloatArray, truth: IntArray, clusters: IntArray | None = None
) -> Areas:
    """As `delong`, for the mean over labels of the areas of one label against the rest.

    Labels without positives or negatives are left out. With three labels or more the components
    of an image are averaged over labels; the small-sample factors are then a little too large.

    Args:
        probabilities: `[score, image, label]`.
        truth: `[image]`, index of the true label.
        clusters: `[image]`, patient of each image; without, each image stands alone.

    Raises:
        PredictionsError: lengths differ, or a probability is not finite.
    """
    values: NDArray[np.float64] = np.asarray(probabilities, dtype=np.float64)
    members = _members(clusters, len(truth))
    for label in range(values.shape[2]):
        _check(values[:, :, label], truth, members)
    counts = np.bincount(truth, minlength=values.shape[2])
    labels = np.flatnonzero((counts > 0) & (counts < len(truth)))
    if not len(labels):
        n_scores = len(values)
        return Areas(np.full(n_scores, np.nan), np.full((n_scores, n_scores), np.nan))
    return _areas(
        [_components(values[:, :, label], truth == label, members) for label in labels],
        members,
    )


def delong_interval(
    scores: FloatArray,
    truth: NDArray[np.bool_],
    clusters: IntArray | None = None,
    *,
    confidence_level: float = 0.95,
    scale: Literal["logit", "linear"] = "logit",
) -> Interval:
    """The area under one ROC curve and its interval; nan where undefined.

    Where all is ranked right, or all scores are equal, DeLong's interval has no width; it is then
    that of `no_width`, from as many pairs as there are that share no patient.

    Args:
        scores: `[image]`, higher for positives.
        truth: `[image]`, whether the image is positive.
        clusters: `[image]`, patient of each image; without, each image stands alone.
        confidence_level: in (0, 1).
        scale: `logit` keeps the bounds inside (0, 1) and its level near 1 (Pepe 2003, 5.2);
            `linear` is what most programs give, cut off at 0 and 1.

    Raises:
        PredictionsError: lengths differ, a score is not finite, or `confidence_level` is out of
            range.
    """
    z = normal_quantile(confidence_level)
    found = delong(np.asarray(scores, dtype=np.float64)[None], truth, clusters)
    area, error = float(found.values[0]), _error(float(found.covariance[0, 0]))
    if area in (0.0, 1.0) or error < NO_WIDTH:
        positive, members = np.asarray(truth, dtype=bool), _members(clusters, len(truth))
        bounds = area_bounds(area, positive, members, confidence_level=confidence_level)
        return Interval(area, *bounds)
    if math.isnan(error):
        return Interval(area, math.nan, math.nan)
    if scale == "linear":
        return Interval(area, max(0.0, area - z * error), min(1.0, area + z * error))
    center, half = math.log(area / (1 - area)), z * error / (area * (1 - area))
    return Interval(area, _logistic(center - half), _logistic(center + half))


def delong_difference(
    areas: Areas, first: int, second: int, *, confidence_level: float = 0.95
) -> Difference:
    """Area `first` minus area `second`, with DeLong's interval and two-sided test.

    Where neither ranking varies (one all right, one all equals) and they differ, no test applies.

    Raises:
        PredictionsError: `confidence_level` is out of range.
    """
    z = normal_quantile(confidence_level)
    value = float(areas.values[first] - areas.values[second])
    contrast = np.zeros(len(areas.values))
    contrast[first] += 1
    contrast[second] -= 1
    error = _error(float(contrast @ areas.covariance @ contrast))
    low, high = max(-1.0, value - z * error), min(1.0, value + z * error)
    if math.isnan(error) or (error == 0 and value != 0):
        return Difference(Interval(value, math.nan, math.nan), math.nan)
    p_value = math.erfc(abs(value) / error / math.sqrt(2)) if error else 1.0
    return Difference(Interval(value, low, high), p_value)


def _components(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], members: NDArray[np.int64]
) -> _Components:
    n_patients = int(members.max(initial=-1)) + 1
    own, others = members[truth], members[~truth]
    areas = np.full(len(scores), np.nan)
    positives = np.full((len(scores), n_patients), np.nan)
    negatives = positives.copy()
    for row, values in enumerate(scores if len(own) and len(others) else ()):
        beaten, beating = _placements(values[truth], values[~truth])
        areas[row] = beaten.sum() / (len(own) * len(others))
        wins = (beaten / len(others) - areas[row]) / len(own)
        losses = (beating / len(own) - areas[row]) / len(others)
        positives[row] = np.bincount(own, weights=wins, minlength=n_patients)
        negatives[row] = np.bincount(others, weights=losses, minlength=n_patients)
    return _Components(areas, positives, negatives, len(np.unique(own)), len(np.unique(others)))


def _placements(
    positives: NDArray[np.float64], negatives: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Negatives below each positive, positives above each negative; equals count half."""
    ordered, others = np.sort(positives), np.sort(negatives)
    below = np.searchsorted(others, positives, "left") + np.searchsorted(others, positives, "right")
    under = np.searchsorted(ordered, negatives, "left") + np.searchsorted(
        ordered, negatives, "right"
    )
    return below / 2, len(positives) - under / 2


def _areas(components: Sequence[_Components], members: NDArray[np.int64]) -> Areas:
    """Obuchowski 1997, eq. 4 to 7, in a form that has no negative variance."""
    total = np.mean([one.positives + one.negatives for one in components], axis=0)
    factor = _factor(len(np.unique(members)))
    covariance = factor * total @ total.T
    for one in components:
        for sums, patients in (
            (one.positives, one.positive_patients), (one.negatives, one.negative_patients),
        ):  # fmt: skip
            covariance += (_factor(patients) - factor) / len(components) * (sums @ sums.T)
    return Areas(np.mean([one.areas for one in components], axis=0), covariance)


def _factor(patients: int) -> float:
    return patients / (patients - 1) if patients > 1 else math.nan


def _error(variance: float) -> float:
    return math.sqrt(max(variance, 0.0)) if not math.isnan(variance) else math.nan


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > 0 else math.exp(value) / (1 + math.exp(value))


def _members(clusters: IntArray | None, n_images: int) -> NDArray[np.int64]:
    if clusters is None:
        return np.arange(n_images)
    return np.unique(np.asarray(clusters), return_inverse=True)[1].astype(np.int64)


def _check(scores: FloatArray, truth: NDArray[Any], members: IntArray) -> None:
    if scores.ndim != 2 or truth.shape != scores.shape[1:] or members.shape != truth.shape:
        shapes = f"scores {list(scores.shape)}, truth {list(truth.shape)}"
        message = f"{shapes}, clusters {list(members.shape)}; allowed: [score, image] and [image]"
        raise PredictionsError(f"{message} twice. Give one value per image.")
    if not np.isfinite(scores).all():
        place = int(np.argwhere(~np.isfinite(scores))[0, 1])
        message = f"score of image {place} is not finite; allowed: finite numbers."
        raise PredictionsError(f"{message} Predict that image again.")
