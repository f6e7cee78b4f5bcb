"""What every comparison with patients needs: sums per patient, shared draws, bounds, proportions.

A patient's images are drawn together, so a resample is fixed by how often each patient was drawn:
whatever is a sum over images is summed per patient once, and resampled as one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray, IntArray
from pneumoscope.evaluation.draws import bootstrap_weights
from pneumoscope.evaluation.metrics import METRICS, calibration_gaps
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.tallies import Prepared, Ranking, Tallies, prepare, tally

_NONE = np.zeros(0, dtype=np.int64)
_UNRANKED = Ranking(_NONE, _NONE, _NONE, _NONE, _NONE)
_RANKED = ("auc", "average_precision")


@dataclass(frozen=True)
class Rate:
    """A proportion of images and its score interval; nan where there are no trials.

    Attributes:
        value: `successes / trials`.
        low: bound of the interval.
        high: bound of the interval.
        successes: images counted.
        trials: images that could have been.
        patients: patients with a trial.
        effective: independent images that would say as much as these do.
    """

    value: float
    low: float
    high: float
    successes: int
    trials: int
    patients: int
    effective: float

    def to_json(self) -> dict[str, float | int | None]:
        """The fields, None where a number is not finite."""
        return {name: finite(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Rate:
        """The rate that `to_json` wrote.

        Raises:
            KeyError: a field is missing.
            TypeError: a field is no number.
            ValueError: the counts contradict each other.
        """
        value, low, high, effective = (
            number(content[name]) for name in ("value", "low", "high", "effective")
        )
        successes, trials, patients = (
            int(content[name]) for name in ("successes", "trials", "patients")
        )
        rate = cls(value, low, high, successes, trials, patients, effective)
        if not 0 <= rate.successes <= rate.trials:
            raise ValueError(f"{rate.successes} successes in {rate.trials} trials")
        return rate


def proportion(
    hits: NDArray[np.bool_], clusters: IntArray, *, confidence_level: float = 0.95
) -> Rate:
    """How many images are hits, with Wilson's interval (1927) for images of patients.

    Wilson's formula is given the effective number of images, what Rao and Scott (1992) make of
    the spread between patients: all images where each patient has one, as many as there are
    patients where those of a patient always agree, which is also assumed where all images do.

    Args:
        hits: `[image]`.
        clusters: `[image]`, patient of each image; any integers.
        confidence_level: in (0, 1).

    Raises:
        PredictionsError: lengths differ, or `confidence_level` is not between 0 and 1.
    """
    check_level(confidence_level)
    hits, members = np.asarray(hits, dtype=bool), np.asarray(clusters)
    if hits.shape != members.shape or hits.ndim != 1:
        message = f"hits {list(hits.shape)}, clusters {list(members.shape)}; allowed: [image]"
        raise PredictionsError(f"{message} each. Give a patient per image.")
    if not len(hits):
        return Rate(math.nan, math.nan, math.nan, 0, 0, 0, 0.0)
    place = np.unique(members, return_inverse=True)[1]
    sizes, sums = np.bincount(place), np.bincount(place, weights=hits)
    effective = _effective(sums.astype(np.float64), sizes.astype(np.int64))
    value = float(hits.mean())
    low, high = score_bounds(value, effective, confidence_level=confidence_level)
    return Rate(value, low, high, int(hits.sum()), len(hits), len(sizes), effective)


def patient_sums(values: FloatArray | IntArray, clusters: IntArray) -> NDArray[np.float64]:
    """`[patient, ...]`, the sum over a patient's images of `values`, `[image, ...]`.

    `clusters` are 0 to n_patients - 1, each there.
    """
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    return np.add.reduceat(np.asarray(values, dtype=np.float64)[order], starts, axis=0)


def resampled_sums(sums: NDArray[np.float64], *, resamples: int, seed: int) -> NDArray[np.float64]:
    """`[resample, column]`: `sums`, `[patient, column]`, of patients drawn with replacement.

    The draws are those of `bootstrap_weights` with the same seed.

    Raises:
        PredictionsError: no resamples.
    """
    chunks = bootstrap_weights(np.arange(len(sums)), resamples=resamples, seed=seed)
    return np.concatenate([counts @ sums for counts in chunks])


def resampled_metrics(
    models: Sequence[Predictions], names: Sequence[str], *, resamples: int, seed: int
) -> list[dict[str, NDArray[np.float64]]]:
    """For each model the wanted metrics, `[resample]`, all models under the same draws.

    Only AUC and average precision need the weights of single images; all others are formulas of
    sums, which takes a tenth of the time.

    Args:
        models: predictions for the same images, with the same clusters and labels.
        names: of metrics, as `metric_units` gives them.
        resamples: 1 or more.
        seed: of the draws, which are those of `bootstrap_weights`.
    """
    ranked = [name for name in names if name.partition(":")[0] in _RANKED]
    plain = [name for name in names if name not in ranked]
    prepared = [prepare(model) for model in models]
    results: list[dict[str, NDArray[np.float64]]] = [{} for _ in models]
    clusters = models[0].clusters
    if plain:
        summed = [_by_patient(one, clusters) for one in prepared]
        patients = np.arange(models[0].n_patients)
        _fill(results, summed, plain, bootstrap_weights(patients, resamples=resamples, seed=seed))
    if ranked:
        weights = bootstrap_weights(clusters, resamples=resamples, seed=seed)
        _fill(results, prepared, ranked, weights)
    return results


def resampled_gaps(model: Predictions, *, resamples: int, seed: int) -> NDArray[np.float64]:
    """The parts of the calibration error, `[resample, bin]`; draws as in `resampled_metrics`."""
    summed = _by_patient(prepare(model), model.clusters)
    chunks = bootstrap_weights(np.arange(model.n_patients), resamples=resamples, seed=seed)
    return np.concatenate([calibration_gaps(tally(summed, weights)) for weights in chunks])


def percentile_bounds(
    resampled: FloatArray, point: FloatArray, *, confidence_level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile bounds over the first axis, as `bootstrap_intervals` has them.

    Undefined resamples are left out, bounds are widened to hold the estimate, and there are none
    (nan) where the estimate or all resamples are undefined.

    Args:
        resampled: `[resample, ...]`.
        point: `[...]`, the estimates.
        confidence_level: in (0, 1).

    Raises:
        PredictionsError: `confidence_level` is not between 0 and 1.
    """
    check_level(confidence_level)
    ordered = np.sort(np.asarray(resampled, dtype=np.float64), axis=0)  # nan goes last
    defined = (~np.isnan(ordered)).sum(axis=0)
    tail = (1 - confidence_level) / 2
    low, high = (_quantile(ordered, defined, at) for at in (tail, 1 - tail))
    known = ~np.isnan(point)
    return (
        np.where(known, np.minimum(low, point), np.nan),
        np.where(known, np.maximum(high, point), np.nan),
    )


def score_bounds(value: float, trials: float, *, confidence_level: float) -> tuple[float, float]:
    """Bounds of a proportion by its score test (Wilson 1927); `trials` need not be whole.

    Args:
        value: the proportion, in [0, 1].
        trials: above 0.
        confidence_level: in (0, 1).
    """
    z = normal_quantile(confidence_level)
    shrink = 1 + z**2 / trials
    center = (value + z**2 / (2 * trials)) / shrink
    half = z * math.sqrt(value * (1 - value) / trials + z**2 / (4 * trials**2)) / shrink
    # At the ends the bound is the end itself, which rounding would miss.
    low = 0.0 if value == 0 else min(center - half, value)
    high = 1.0 if value == 1 else max(center + half, value)
    return low, high


def check_level(confidence_level: float) -> None:
    """Refuse a confidence level that is not between 0 and 1.

    Raises:
        PredictionsError: it is not.
    """
    if not 0 < confidence_level < 1:
        message = f"confidence_level={confidence_level}; allowed: between 0 and 1. 0.95 is usual."
        raise PredictionsError(message)


def normal_quantile(confidence_level: float) -> float:
    """How many standard errors a two-sided interval goes to each side."""
    check_level(confidence_level)
    return NormalDist().inv_cdf((1 + confidence_level) / 2)


def finite(value: float) -> float | None:
    """The number, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None


def number(value: object) -> float:
    """The number that `finite` came from: nan for None.

    Raises:
        TypeError: neither a number nor None.
    """
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _fill(
    results: list[dict[str, NDArray[np.float64]]],
    prepared: Sequence[Prepared],
    names: Sequence[str],
    chunks: Iterator[NDArray[np.float64]],
) -> None:
    parts: list[list[dict[str, NDArray[np.float64]]]] = [[] for _ in prepared]
    for weights in chunks:
        for collected, one in zip(parts, prepared, strict=True):
            collected.append(_evaluate(tally(one, weights), one.labels, names))
    for result, collected in zip(results, parts, strict=True):
        result.update({name: np.concatenate([part[name] for part in collected]) for name in names})


def _evaluate(
    tallies: Tallies, labels: tuple[str, ...], names: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    formulas = {(metric.name, metric.per_label): metric.formula for metric in METRICS}
    results = {}
    for name in names:
        base, per_label, label = name.partition(":")
        values = formulas[base, bool(per_label)](tallies)
        results[name] = values[:, labels.index(label)] if per_label else values
    return results


def _by_patient(prepared: Prepared, clusters: IntArray) -> Prepared:
    """Patients in the place of images: sums stay what they are, and rankings are left out."""
    columns = patient_sums(prepared.columns, clusters)
    return replace(prepared, columns=columns, rankings=(_UNRANKED,) * len(prepared.labels))


def _quantile(
    ordered: NDArray[np.float64], defined: NDArray[np.int64], at: float
) -> NDArray[np.float64]:
    """Linear interpolation, as `numpy.quantile`, in columns of different lengths."""
    place = at * np.maximum(defined - 1, 0)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(defined - 1, 0))
    low = np.take_along_axis(ordered, below[None], axis=0)[0]
    high = np.take_along_axis(ordered, above[None], axis=0)[0]
    value: NDArray[np.float64] = low + (high - low) * (place - below)
    return value


def _effective(sums: NDArray[np.float64], sizes: NDArray[np.int64]) -> float:
    trials, patients = int(sizes.sum()), len(sizes)
    value = float(sums.sum()) / trials
    if patients == trials:
        return float(trials)
    if patients == 1 or value in (0.0, 1.0):
        return float(patients)
    residuals = sums - value * sizes
    variance = patients / (patients - 1) * float(residuals @ residuals) / trials**2
    independent = value * (1 - value) / (trials - 1)
    # Counted from 1, so that patients who always agree are worth one image each.
    return min(float(trials), 1 + (trials - 1) * independent / variance) if variance else trials
