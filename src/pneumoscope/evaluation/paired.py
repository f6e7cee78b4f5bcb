"""Tests of two models on the same images, with patients whole, and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray, IntArray
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.metrics import compute
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.resampling import (
    patient_sums,
    percentile_bounds,
    resampled_metrics,
)

_MOST_EXACT = 20_000


@dataclass(frozen=True)
class Difference:
    """One model minus another, the interval, and the p-value of their being equal; nan where none.

    The p-value is nan too where the models differ and no test applies.
    """

    interval: Interval
    p_value: float


def bootstrap_difference(
    first: Predictions,
    second: Predictions,
    metric: str,
    *,
    resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """The metric of the first minus that of the second, over patients drawn for both alike.

    Args:
        first: predictions of a model.
        second: of another, for the same images, patients and labels (see `check_same_images`).
        metric: as `metric_units` names it.
        resamples: of patients.
        confidence_level: in (0, 1).
        seed: of the draws, which are those of `bootstrap_intervals`.

    Raises:
        PredictionsError: the images differ, or an option is out of range.
    """
    check_same_images({"first": first, "second": second})
    ones = np.ones((1, first.n_images))
    one, other = (compute(model, ones)[metric] for model in (first, second))
    drawn = resampled_metrics([first, second], [metric], resamples=resamples, seed=seed)
    if first.n_patients < 2:
        return Difference(Interval(float(one[0] - other[0]), math.nan, math.nan), math.nan)
    resampled = drawn[0][metric] - drawn[1][metric]
    return difference_of_draws(
        float(one[0] - other[0]), resampled, confidence_level=confidence_level
    )


def difference_of_draws(
    value: float, resampled: FloatArray, *, confidence_level: float
) -> Difference:
    """The percentile interval of a difference, and the p-value that belongs to it.

    The p-value is twice the part of resamples in which the sign is not that of the difference,
    the sample itself counted in (Davison and Hinkley 1997, eq. 4.11): never below
    2 / (resamples + 1), and 1 where there is no difference.

    Args:
        value: the difference.
        resampled: `[resample]`, the difference in resamples; nan where undefined.
        confidence_level: in (0, 1).

    Raises:
        PredictionsError: `confidence_level` is not between 0 and 1.
    """
    low, high = percentile_bounds(resampled, np.array(value), confidence_level=confidence_level)
    interval = Interval(value, float(low), float(high))
    defined = resampled[~np.isnan(resampled)]
    if math.isnan(value) or not len(defined):
        return Difference(interval, math.nan)
    beyond = int((defined * math.copysign(1, value) <= 0).sum()) if value else len(defined)
    return Difference(interval, min(1.0, 2 * (beyond + 1) / (len(defined) + 1)))


def mcnemar(
    first_correct: NDArray[np.bool_],
    second_correct: NDArray[np.bool_],
    clusters: IntArray | None = None,
) -> float:
    """The two-sided p-value of two models being right equally often, with patients whole.

    Where no model is better, each patient's images could as well have been answered the other way
    round: the difference of right answers is compared with all ways of swapping the models at
    some patients. Where each patient has one image that is McNemar's exact test (1947). Above
    20,000 images answered differently, the normal limit is taken (Obuchowski 1998).

    Args:
        first_correct: `[image]`, whether one model is right.
        second_correct: `[image]`, whether the other is.
        clusters: `[image]`, patient of each image, 0 to n_patients - 1; without, each image
            stands alone.
    """
    members = np.arange(len(first_correct)) if clusters is None else np.asarray(clusters)
    gain = np.asarray(first_correct, dtype=np.float64) - np.asarray(
        second_correct, dtype=np.float64
    )
    margins = np.rint(patient_sums(gain, members)).astype(np.int64)
    lead, sizes = abs(int(margins.sum())), np.abs(margins[margins != 0])
    total = int(sizes.sum())
    if lead == 0:
        return 1.0
    if total > _MOST_EXACT:
        return math.erfc(lead / math.sqrt(2 * float((sizes**2).sum())))
    # Patients swapped to one side leave a lead of twice their sum, less the total.
    return min(1.0, 2 * float(_swap_chances(sizes)[(total + lead) // 2 :].sum()))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number (Holm 1979), in the same order; nan stays out."""
    tested = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected, highest = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        corrected[place] = highest
    return corrected


def check_same_images(models: Mapping[str, Predictions]) -> None:
    """Refuse models that are not for the same images, patients and labels.

    Raises:
        PredictionsError: images, true labels, label sets or patients differ.
    """
    names = list(models)
    for other in names[1:]:
        _check_pair(names[0], models[names[0]], other, models[other])


def _swap_chances(sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """`[sum]`, chance that patients of these sizes, each taken or not, add up to that sum."""
    from scipy.stats import binom

    chances = np.ones(1)
    for size, patients in zip(*np.unique(sizes, return_counts=True), strict=True):
        steps = np.zeros(int(size * patients) + 1)
        steps[:: int(size)] = binom.pmf(np.arange(patients + 1), patients, 0.5)
        chances = np.convolve(chances, steps)
    return chances


def _check_pair(name: str, model: Predictions, other_name: str, other: Predictions) -> None:
    both = f"{name} and {other_name}"
    if model.labels != other.labels:
        labels = f"{', '.join(model.labels)} and {', '.join(other.labels)}"
        message = f"{both}: labels {labels}; allowed: the same, in the same order."
        raise PredictionsError(f"{message} Train both on one label set.")
    if model.image_ids != other.image_ids:
        common = len(set(model.image_ids) & set(other.image_ids))
        counts = f"{model.n_images} and {other.n_images} images, {common} in common"
        message = f"{both}: {counts}; allowed: the same images."
        raise PredictionsError(f"{message} Evaluate both on one split.")
    differing = np.flatnonzero(model.truth != other.truth)
    if len(differing):
        message = f"{both}: true labels of {len(differing)} images differ, first that of"
        where = f"{message} {model.image_ids[int(differing[0])]}; allowed: none."
        raise PredictionsError(f"{where} Evaluate both on one catalogue.")
    meetings = len(np.unique(model.clusters * other.n_patients + other.clusters))
    if not meetings == model.n_patients == other.n_patients:
        message = f"{both}: images are grouped into other patients; allowed: the same patients."
        raise PredictionsError(f"{message} Evaluate both on one catalogue.")
