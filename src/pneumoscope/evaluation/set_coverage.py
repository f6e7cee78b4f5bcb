"""What label sets held on images that did not fit them: coverage and size, by label and group."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import IntArray
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.no_width import NO_WIDTH, constant_bounds
from pneumoscope.evaluation.resampling import score_bounds


@dataclass(frozen=True)
class SetCoverage:
    """Label sets of one part of the images.

    Attributes:
        group: what the images were divided by: `all`, `label` (the true one), or a group's name.
        value: which part, such as the label.
        n_images: images in it. n_patients: patients they are of.
        coverage: share of sets with the true label.
        size: mean number of labels in a set.
        empty: share of sets without a label. single: share with one.
    """

    group: str
    value: str
    n_images: int
    n_patients: int
    coverage: Interval
    size: Interval
    empty: float
    single: float


def set_coverage(
    label_sets: NDArray[np.bool_],
    truth: IntArray,
    *,
    labels: Sequence[str],
    clusters: IntArray,
    groups: Mapping[str, Sequence[str | None]] | None = None,
    confidence_level: float = 0.95,
) -> tuple[SetCoverage, ...]:
    """Coverage and set size of all images, of each true label, and of each value of each group.

    Images whose value in a group is unknown are left out of that group. Parts without images do
    not appear.

    Args:
        label_sets: `[image, label]`.
        truth: `[image]`, index of the true label.
        labels: the label set.
        clusters: `[image]`, patient of each image.
        groups: a value per image, by the group's name.
        confidence_level: of the intervals, in (0, 1).

    Raises:
        PredictionsError: shapes disagree, or the confidence level is out of range.
    """
    sets, truth, clusters = (
        np.asarray(label_sets, dtype=bool),
        np.asarray(truth),
        np.asarray(clusters),
    )
    groups = groups or {}
    lengths = {len(truth), len(clusters), *(len(values) for values in groups.values())}
    if sets.shape != (len(truth), len(labels)) or len(lengths) > 1 or not len(truth):
        message = f"label sets {list(sets.shape)}, {sorted(lengths)} other values; allowed:"
        raise PredictionsError(f"{message} [image, label] and one per image. Give them so.")
    covered = sets[np.arange(len(truth)), truth]
    sizes = sets.sum(axis=1)
    parts = []
    for group, value, part in _parts(truth, labels, groups):
        patients = clusters[part]
        coverage = cluster_proportion(covered[part], patients, confidence_level=confidence_level)
        size = _mean(sizes[part], patients, len(labels), confidence_level)
        empty, single = (float((sizes[part] == number).mean()) for number in (0, 1))
        n_patients = len(np.unique(patients))
        row = SetCoverage(group, value, int(part.sum()), n_patients, coverage, size, empty, single)
        parts.append(row)
    return tuple(parts)


def cluster_proportion(
    successes: NDArray[np.bool_], clusters: IntArray, *, confidence_level: float
) -> Interval:
    """The share of successes and its score interval, when a patient's images vary together.

    Wilson's interval (1927) at the effective number of images: that of independent ones whose
    share would vary as much as patients make this one vary (Dean and Pagano 2015), at most the
    number of images; where all or none succeed, the number of patients. With an image per patient
    it is Wilson's.

    Raises:
        PredictionsError: no images, or a confidence level that is not between 0 and 1.
    """
    _check(len(successes), confidence_level)
    values = np.asarray(successes, dtype=np.float64)
    share, n_images = float(values.mean()), len(values)
    n_patients = len(np.unique(clusters))
    if n_patients == n_images:
        effective = float(n_images)
    elif share in {0.0, 1.0} or n_patients < 2:
        effective = float(n_patients)
    else:
        variance = _variance(values, clusters)
        effective = share * (1 - share) / variance if variance > 0 else float(n_images)
        effective = min(max(effective, 1.0), float(n_images))
    low, high = score_bounds(share, effective, confidence_level=confidence_level)
    return Interval(share, low, high)


def _mean(
    values: NDArray[np.int64], clusters: IntArray, largest: int, confidence_level: float
) -> Interval:
    """A mean between 0 and `largest`, with Student's interval over patients.

    Where all values are equal it is that of `no_width`.
    """
    from scipy.special import stdtrit

    mean, n_patients = float(values.mean()), len(np.unique(clusters))
    if n_patients < 2:
        return Interval(mean, math.nan, math.nan)
    times = float(stdtrit(n_patients - 1, (1 + confidence_level) / 2))
    half = times * math.sqrt(_variance(values.astype(np.float64), clusters))
    if half < NO_WIDTH:
        low, high = constant_bounds(mean / largest, n_patients, confidence_level=confidence_level)
        return Interval(mean, low * largest, high * largest)
    return Interval(mean, max(0.0, mean - half), min(float(largest), mean + half))


def _variance(values: NDArray[np.float64], clusters: IntArray) -> float:
    """Of the mean of `values`, by how much patients' sums differ from what the mean says."""
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, weights=values - values.mean())
    n_patients = len(sums)
    return float(n_patients / (n_patients - 1) * (sums**2).sum() / len(values) ** 2)


def _parts(
    truth: IntArray, labels: Sequence[str], groups: Mapping[str, Sequence[str | None]]
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    yield "all", "all", np.ones(len(truth), dtype=bool)
    for index, label in enumerate(labels):
        if (truth == index).any():
            yield "label", label, truth == index
    for name, values in groups.items():
        column = np.array(values, dtype=object)
        for value in sorted({value for value in values if value is not None}):
            yield name, value, column == value


def _check(n_images: int, confidence_level: float) -> None:
    if not n_images or not 0 < confidence_level < 1:
        message = f"{n_images} images, confidence_level={confidence_level}; allowed: 1 or more,"
        raise PredictionsError(f"{message} between 0 and 1. 0.95 is usual.")
