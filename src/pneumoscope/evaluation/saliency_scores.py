"""How good saliency maps are, in numbers: inside the lungs, and by what removing pixels does.

The saliency table has a row per image and method. Columns: `image_id`, `patient_id` (null when
unknown), `label` (the true one, whose map it is), `method`; then, null where not measured,
`energy_in_lungs`, `lung_area`, `hit` (bool), `deletion`, `insertion`, `randomised_similarity`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.resampling import (
    patient_sums,
    percentile_bounds,
    proportion,
    resampled_sums,
)
from pneumoscope.evaluation.saliency_removal import Removal
from pneumoscope.evaluation.summary import metric_entry

SCHEMA: dict[str, type[pl.DataType]] = {
    "image_id": pl.String,
    "patient_id": pl.String,
    "label": pl.String,
    "method": pl.String,
    "energy_in_lungs": pl.Float64,
    "lung_area": pl.Float64,
    "hit": pl.Boolean,
    "deletion": pl.Float64,
    "insertion": pl.Float64,
    "randomised_similarity": pl.Float64,
}
"""Columns of the saliency table."""

DEFAULT_METHOD = "gradcam"
"""What bundles serve."""

_NAMES = ("image_id", "label", "method")
_UNITS = {
    "energy_in_lungs": "fraction",
    "lung_area": "fraction",
    "deletion": "probability",
    "insertion": "probability",
}
_SIMILARITY = "randomised_similarity"

_Means = Callable[[pl.DataFrame, Sequence[str]], dict[str, Interval]]


def energy_inside(maps: FloatArray, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """`[image]`: share of each map's sum that lies inside its mask, in [0, 1].

    The energy-based pointing game (Wang et al. 2020, Score-CAM). nan where a map is zero
    everywhere. A map that knows nothing of the mask gets `area_inside`, on average.

    Args:
        maps: `[image, height, width]`, >= 0.
        masks: of the same shape.

    Raises:
        PredictionsError: shapes differ, or a value is negative or not finite.
    """
    _check_maps(maps, masks)
    values = np.asarray(maps, dtype=np.float64)
    total = values.sum(axis=(1, 2))
    inside = np.where(masks, values, 0).sum(axis=(1, 2))
    return _quotient(inside, total)


def area_inside(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """`[image]`: share of the canvas that the mask covers, what an even map has inside."""
    area: NDArray[np.float64] = masks.mean(axis=(1, 2), dtype=np.float64)
    return area


def pointing_hit(maps: FloatArray, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`[image]`: whether the map's highest value lies inside the mask (Zhang et al. 2018).

    Of equals the first counts; without a margin around the mask.

    Raises:
        PredictionsError: as `energy_inside`.
    """
    _check_maps(maps, masks)
    highest = np.asarray(maps).reshape(len(maps), -1).argmax(axis=1)
    hits: NDArray[np.bool_] = masks.reshape(len(masks), -1)[np.arange(len(masks)), highest]
    return hits


def saliency_table(
    *,
    image_ids: Sequence[str],
    patient_ids: Sequence[str | None],
    labels: Sequence[str],
    method: str,
    maps: FloatArray,
    masks: Mapping[str, NDArray[np.bool_]],
    removal: Removal | None = None,
    similarity: Mapping[str, float] | None = None,
) -> pl.DataFrame:
    """A row per image, in the order of `image_ids`.

    Args:
        image_ids: unique.
        patient_ids: of each image, None when unknown.
        labels: of each image, the label its map is for.
        method: that made the maps.
        maps: `[image, size, size]`, >= 0.
        masks: `[size, size]` lungs by image id; images without one, or whose mask is empty, are
            not scored inside.
        removal: deletion and insertion curves; their means are the scores.
        similarity: rank correlation with maps of random weights, by image id.

    Raises:
        PredictionsError: a mask and its map differ in shape, or a map is negative or not finite.
    """
    n_images = len(image_ids)
    scores = _inside(image_ids, maps, masks)
    if removal is not None:
        scores |= {name: getattr(removal, name).mean(axis=1) for name in removal._fields}
    if similarity is not None:
        scores[_SIMILARITY] = np.array([similarity.get(name, np.nan) for name in image_ids])
    columns = {
        "image_id": list(image_ids),
        "patient_id": list(patient_ids),
        "label": list(labels),
        "method": [method] * n_images,
        **{name: [None if np.isnan(one) else one for one in scores[name]] for name in scores},
    }
    unmeasured = [None] * n_images
    table = pl.DataFrame(
        {name: columns.get(name, unmeasured) for name in SCHEMA},
        schema={**SCHEMA, "hit": pl.Float64},
    )
    return table.cast({"hit": pl.Boolean})


def summarise_saliency(
    table: pl.DataFrame,
    *,
    resamples: int,
    confidence_level: float,
    seed: int,
    method: str | None = None,
) -> dict[str, object]:
    """The section "saliency" of an assessment, whatever the order of the table's rows.

    Per label the means over its images, with patient-level bootstrap intervals (percentile), and
    the hit rate with Wilson's interval; over all images the mean similarity with maps of random
    weights, None where it was not measured.

    Args:
        table: as `saliency_table` makes it; several methods may be there.
        resamples: of patients.
        confidence_level: of the intervals, in (0, 1).
        seed: of the bootstrap.
        method: which one; None: what bundles serve, where it is there, else the table's first.

    Raises:
        PredictionsError: the table breaks its contract, has no row of the method, or an option is
            out of range.
    """
    rows = _checked(table, method)
    means = partial(_means, resamples=resamples, confidence_level=confidence_level, seed=seed)
    similarity = means(rows.filter(pl.col(_SIMILARITY).is_not_null()), [_SIMILARITY])
    return {
        "method": rows["method"][0],
        "labels": {
            str(label): _label_entry(rows.filter(pl.col("label") == label), means, confidence_level)
            for label in rows["label"].unique().sort()
        },
        _SIMILARITY: metric_entry(similarity[_SIMILARITY], "rank correlation")
        if rows[_SIMILARITY].count()
        else None,
    }


def _inside(
    image_ids: Sequence[str], maps: FloatArray, masks: Mapping[str, NDArray[np.bool_]]
) -> dict[str, NDArray[np.float64]]:
    """Scores `[image]` that need a mask, nan without one; an empty map points nowhere."""
    energy, area, hit = (np.full(len(image_ids), np.nan) for _ in range(3))
    for at, name in enumerate(image_ids):
        if name not in masks or not masks[name].any():
            continue
        one, mask = maps[at : at + 1], masks[name][None]
        energy[at], area[at] = energy_inside(one, mask)[0], area_inside(mask)[0]
        hit[at] = pointing_hit(one, mask)[0] if one.any() else np.nan
    return {"energy_in_lungs": energy, "lung_area": area, "hit": hit}


def _label_entry(rows: pl.DataFrame, means: _Means, confidence_level: float) -> dict[str, object]:
    found = means(rows, list(_UNITS))
    entries = {name: metric_entry(found[name], unit) for name, unit in _UNITS.items()}
    pointed = rows.filter(pl.col("hit").is_not_null())
    rate = proportion(
        pointed["hit"].to_numpy(), _clusters(pointed), confidence_level=confidence_level
    )
    return {"n_images": rows.height, **entries, "hit_rate": rate.to_json()}


def _means(
    rows: pl.DataFrame, names: Sequence[str], *, resamples: int, confidence_level: float, seed: int
) -> dict[str, Interval]:
    """Means over the images that have a value; no bounds with fewer than two patients."""
    values = rows.select(pl.col(names).cast(pl.Float64)).to_numpy().reshape(rows.height, len(names))
    there = ~np.isnan(values)
    columns = np.concatenate([np.where(there, values, 0), there], axis=1)
    points = _ratios(columns.sum(axis=0, keepdims=True))[0]
    clusters = _clusters(rows)
    bounds = np.full((2, len(names)), np.nan)
    if len(np.unique(clusters)) > 1:
        sums = patient_sums(columns, clusters)
        drawn = _ratios(resampled_sums(sums, resamples=resamples, seed=seed))
        bounds = np.array(percentile_bounds(drawn, points, confidence_level=confidence_level))
    return {
        name: Interval(float(point), float(low), float(high))
        for name, point, low, high in zip(names, points, *bounds, strict=True)
    }


def _ratios(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[row, column]`: sums over counts, the second half of the columns; nan for none."""
    totals, counts = np.split(sums, 2, axis=1)
    return _quotient(totals, counts)


def _quotient(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """One by the other, nan where that is 0."""
    quotient = np.full(one.shape, np.nan)
    np.divide(one, other, out=quotient, where=other > 0)
    return quotient


def _clusters(rows: pl.DataFrame) -> NDArray[np.int64]:
    """`[image]`: the patient of each, 0 to n - 1; an image of an unknown patient stands alone."""
    patients = rows["patient_id"].cast(pl.String)
    keys = ("patient " + patients).fill_null("image " + rows["image_id"])
    return np.unique(keys.to_numpy(), return_inverse=True)[1].astype(np.int64)


def _check_maps(maps: FloatArray, masks: NDArray[np.bool_]) -> None:
    if maps.ndim != 3 or maps.shape != masks.shape or masks.dtype != np.bool_:
        found = f"maps {list(maps.shape)}, masks {list(masks.shape)} of {masks.dtype}"
        message = f"{found}; allowed: [image, height, width] each, masks of bool."
        raise PredictionsError(f"{message} Bring both to canvas size.")
    if not (np.isfinite(maps).all() and (maps >= 0).all()):
        message = "a saliency map has values that are negative or not finite; allowed: 0 or more."
        raise PredictionsError(f"{message} Take its positive part.")


def _checked(table: pl.DataFrame, method: str | None) -> pl.DataFrame:
    """The rows of the method, in the order of their ids."""
    missing = [name for name in SCHEMA if name not in table.columns]
    if missing:
        message = f"the saliency table has no column {', '.join(missing)}; allowed: all of"
        raise PredictionsError(f"{message} {', '.join(SCHEMA)}. Score the maps again.")
    if table.select(pl.col(_NAMES).null_count()).sum_horizontal().sum():
        message = f"the saliency table has rows without {', '.join(_NAMES)}; allowed: none."
        raise PredictionsError(f"{message} Score the maps again.")
    methods = table["method"].unique().sort().to_list()
    chosen = method or (DEFAULT_METHOD if DEFAULT_METHOD in methods else "".join(methods[:1]))
    if chosen not in methods:
        message = f"saliency method '{chosen}'; in the table: {', '.join(methods) or 'no rows'}."
        raise PredictionsError(f"{message} Choose one of these.")
    rows = table.filter(pl.col("method") == chosen).sort("image_id")
    if rows["image_id"].n_unique() < rows.height:
        message = f"the saliency table has images more than once for {chosen}; allowed: one row"
        raise PredictionsError(f"{message} per image and method. Remove the repeated rows.")
    return rows
