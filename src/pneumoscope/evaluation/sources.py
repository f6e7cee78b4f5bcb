"""How far a label can be told by where an image comes from, and what is left at another source.

The sources table has a row per image: `image_id`, `patient_id` (null when unknown), `label`,
`source`, then probabilities in [0, 1] that small models give who have not seen the patient:
`told:<source>` of the image's source, `outside:<label>` learned from all other sources, and
`inside:<label>` learned from the image's own. The last two are null where a source cannot be
judged so. Where no two sources can be compared, there are no probabilities, and a row stands for
each image whose source is recorded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.association import cramers_v
from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray, IntArray
from pneumoscope.evaluation.delong import delong_interval, delong_mean
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.resampling import normal_quantile, proportion
from pneumoscope.evaluation.summary import MetricEntry, metric_entry

_KEYS = ("image_id", "patient_id", "label", "source")
_TOLD, _OUTSIDE, _INSIDE = "told:", "outside:", "inside:"


@dataclass(frozen=True)
class _Read:
    """The table's columns as arrays, images in the order of their ids."""

    labels: NDArray[np.object_]
    sources: NDArray[np.object_]
    clusters: NDArray[np.int64]
    names: tuple[str, ...]
    label_set: tuple[str, ...]
    told: NDArray[np.float64]
    outside: NDArray[np.float64]
    inside: NDArray[np.float64]


def summarise_sources(table: pl.DataFrame, *, confidence_level: float = 0.95) -> dict[str, object]:
    """The entry "sources" of an assessment; the order of rows is free.

    Where no two sources can be compared, the names of all and how many images they have.

    Areas have DeLong's interval and the oracle Wilson's, both by patient: nothing is drawn. The
    oracle names the label that most of the source's other patients have (`told_by_others`).

    Args:
        table: see above.
        confidence_level: in (0, 1).

    Raises:
        PredictionsError: the table breaks its contract.
    """
    if not any(name.startswith((_TOLD, _OUTSIDE, _INSIDE)) for name in table.columns):
        return _recorded(table)
    read = _read(table)
    codes = np.array([read.names.index(source) for source in read.sources], dtype=np.int64)
    told = mean_area(read.told, codes, read.clusters, confidence_level=confidence_level)
    return {
        "sources": list(read.names),
        "told": metric_entry(told, "area"),
        "tie": cramers_v(read.labels, read.sources),
        "oracle": _oracle(read, confidence_level),
        "left_out": [_left_out(read, name, confidence_level) for name in read.names],
    }


def _recorded(table: pl.DataFrame) -> dict[str, object]:
    """Sources that cannot be compared: one, or several of too few patients."""
    missing = [key for key in _KEYS if key not in table.columns]
    if missing or table.is_empty() or table["source"].null_count():
        lacking = ", ".join(missing) or "rows, or the source of one"
        raise PredictionsError(f"the sources table lacks {lacking}. Evaluate again.")
    return {"sources": table["source"].unique().sort().to_list(), "n_images": table.height}


def mean_area(
    probabilities: FloatArray, truth: IntArray, clusters: IntArray, *, confidence_level: float
) -> Interval:
    """The mean area under one ROC curve per label against the rest; nan where undefined.

    DeLong's interval for clustered images, on the logit scale. Where all is ranked right its lower
    bound is the lowest of the labels' own.

    Args:
        probabilities: `[image, label]`.
        truth: `[image]`, index of the true label.
        clusters: `[image]`, patient of each image.
        confidence_level: in (0, 1).

    Raises:
        PredictionsError: lengths differ, or `confidence_level` is out of range.
    """
    from scipy.special import expit

    areas = delong_mean(np.asarray(probabilities)[None], truth, clusters)
    value, variance = float(areas.values[0]), float(areas.covariance[0, 0])
    z = normal_quantile(confidence_level)
    if value in (0.0, 1.0):
        bounds = [
            delong_interval(
                probabilities[:, label], truth == label, clusters, confidence_level=confidence_level
            )
            for label in np.unique(truth)
        ]
        return Interval(value, min(one.low for one in bounds), max(one.high for one in bounds))
    if math.isnan(value) or math.isnan(variance):
        return Interval(value, math.nan, math.nan)
    center = math.log(value / (1 - value))
    half = z * math.sqrt(max(variance, 0.0)) / (value * (1 - value))
    low, high = expit(np.array([center - half, center + half])).tolist()
    return Interval(value, low, high)


def _oracle(read: _Read, level: float) -> dict[str, object]:
    """What naming the most frequent label of the source's other patients gets right."""
    codes, sources = (
        np.array([names.index(name) for name in own], dtype=np.int64)
        for names, own in ((read.label_set, read.labels), (read.names, read.sources))
    )
    answers = told_by_others(codes, sources, read.clusters, n_labels=len(read.label_set))
    rate = proportion(answers == codes, read.clusters, confidence_level=level)
    shares = np.bincount(codes) / len(codes)
    accuracy = metric_entry(Interval(rate.value, rate.low, rate.high), "fraction")
    return {"accuracy": accuracy, "share_of_most_frequent_label": float(shares.max())}


def told_by_others(
    labels: IntArray, sources: IntArray, clusters: IntArray, *, n_labels: int
) -> NDArray[np.int64]:
    """`[image]`: the most frequent label at the image's source, its own patient left out.

    Counted on all patients, a source of a few would name their labels by having seen them. Of
    labels that are equally frequent there, the one more frequent among all other patients is
    taken, then the first. Where a source has just as many of each label, leaving one out tips the
    balance to another, so that it counts for nothing: that errs on the side of telling too little.

    Args:
        labels: `[image]`, index of the true label.
        sources: `[image]`, index of the source.
        clusters: `[image]`, patient of each image, 0 to n_patients - 1.
        n_labels: of the label set.
    """
    pairs = np.unique(sources * (clusters.max(initial=0) + 1) + clusters, return_inverse=True)[1]
    there, own, by_patient = (
        np.bincount(group * n_labels + labels, minlength=(group.max(initial=-1) + 1) * n_labels)
        .reshape(-1, n_labels)
        .astype(np.int64)
        for group in (sources, pairs, clusters)
    )
    elsewhere = by_patient.sum(axis=0) - by_patient[clusters]
    # Whole numbers: what is counted elsewhere can only decide between equals.
    votes = (there[sources] - own[pairs]) * (len(labels) + 1) + elsewhere
    winners: NDArray[np.int64] = votes.argmax(axis=1)
    return winners


def _left_out(read: _Read, name: str, level: float) -> dict[str, object]:
    own = read.sources == name
    judged = own & ~np.isnan(read.outside).any(axis=1)
    areas = {
        "auc": _area(read, read.outside, judged, level),
        "inside_auc": _area(read, read.inside, judged, level),
    }
    n_images = int(judged.sum() or own.sum())
    return {"source": name, "n_images": n_images, **areas, "reason": _reason(read, own, judged)}


def _area(
    read: _Read, scores: NDArray[np.float64], rows: NDArray[np.bool_], level: float
) -> MetricEntry:
    if not rows.any() or np.isnan(scores[rows]).any():
        return metric_entry(Interval(math.nan, math.nan, math.nan), "area")
    codes = np.array([read.label_set.index(label) for label in read.labels[rows]], dtype=np.int64)
    found = mean_area(scores[rows], codes, read.clusters[rows], confidence_level=level)
    return metric_entry(found, "area")


def _reason(read: _Read, own: NDArray[np.bool_], judged: NDArray[np.bool_]) -> str | None:
    """Why a figure is missing; None where both are there."""
    labels = sorted(set(read.labels[own]))
    if len(labels) == 1:
        return f"All its {own.sum()} images are {labels[0]}: there is nothing to tell apart."
    if not judged.any():
        others = ", ".join(sorted(set(read.labels[~own])))
        return f"The other sources have {others}: fewer than two of its labels to learn."
    if np.isnan(read.inside[judged]).any():
        return "Too few patients of a label to cross-validate inside it: five are needed."
    return None


def _read(table: pl.DataFrame) -> _Read:
    names, told = _scores(table, _TOLD)
    label_set, _ = _scores(table, _OUTSIDE)
    missing = [key for key in _KEYS if key not in table.columns]
    inside = [f"{_INSIDE}{label}" for label in label_set]
    missing += [name for name in inside if name not in table.columns]
    if missing or len(names) < 2 or len(label_set) < 2 or table.is_empty():
        lacking = ", ".join(missing) or "rows, or columns told: or outside: of two names"
        raise PredictionsError(f"the sources table lacks {lacking}. Evaluate again.")
    table = table.sort("image_id")
    told, outside = _scores(table, _TOLD)[1], _scores(table, _OUTSIDE)[1]
    _check(table, names, label_set, told)
    patients = table.select(
        pl.coalesce(
            pl.lit("patient ") + pl.col("patient_id").cast(pl.String),
            pl.lit("image ") + pl.col("image_id"),
        )
    ).to_series()
    return _Read(
        labels=table["label"].to_numpy().astype(object),
        sources=table["source"].to_numpy().astype(object),
        clusters=np.unique(patients.to_numpy().astype(str), return_inverse=True)[1],
        names=names,
        label_set=label_set,
        told=told,
        outside=outside,
        inside=_matrix(table, inside),
    )


def _check(
    table: pl.DataFrame, names: tuple[str, ...], label_set: tuple[str, ...], told: FloatArray
) -> None:
    for column, allowed in (("source", names), ("label", label_set)):
        unknown = table.filter(~pl.col(column).is_in(allowed).fill_null(value=False))
        if len(unknown):
            found = f"image {unknown['image_id'][0]}: {column} {unknown[column][0]!r}"
            message = f"sources table: {found}; allowed: {', '.join(allowed)}."
            raise PredictionsError(f"{message} Evaluate again.")
    if table["image_id"].is_duplicated().any():
        raise PredictionsError("sources table: an image is there twice; allowed: once. Repair it.")
    if np.isnan(told).any():
        message = "sources table: a told: probability is missing; allowed: none."
        raise PredictionsError(f"{message} Evaluate again.")


def _scores(table: pl.DataFrame, prefix: str) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    columns = [name for name in table.columns if name.startswith(prefix)]
    return tuple(name.removeprefix(prefix) for name in columns), _matrix(table, columns)


def _matrix(table: pl.DataFrame, columns: list[str]) -> NDArray[np.float64]:
    numbers = table.select(pl.col(name).cast(pl.Float64) for name in columns)
    return np.asarray(numbers.fill_null(float("nan")).to_numpy(), dtype=np.float64)
