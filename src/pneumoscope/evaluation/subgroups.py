"""Is the model as good for everyone: metrics per source, view, sex, age band or other column."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation.intervals import Interval, bootstrap_intervals
from pneumoscope.evaluation.metrics import metric_units
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.resampling import Rate, finite, proportion

UNKNOWN = "unknown"
FEWEST_IMAGES, FEWEST_PATIENTS = 20, 10
AGE_BANDS = (18, 40, 65)


@dataclass(frozen=True)
class Subgroup:
    """What the model is worth for the images with one value of a column.

    Attributes:
        column: such as "sex".
        group: the value; "unknown" for the images that have none.
        n_images: number of images.
        n_patients: number of patients, every image of an unknown patient counted as one.
        n_unknown_patients: number of images whose patient nobody knows.
        metrics: the chosen metrics with patient-level bootstrap intervals.
        error_rates: by label, how many of its images were not answered with it.
        warnings: what is too small to say much.
    """

    column: str
    group: str
    n_images: int
    n_patients: int
    n_unknown_patients: int
    metrics: dict[str, Interval]
    error_rates: dict[str, Rate]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values, None where a number is not finite."""
        return {
            "column": self.column,
            "group": self.group,
            "n_images": self.n_images,
            "n_patients": self.n_patients,
            "n_unknown_patients": self.n_unknown_patients,
            "metrics": {
                name: {"value": finite(one.value), "low": finite(one.low), "high": finite(one.high)}
                for name, one in self.metrics.items()
            },
            "error_rates": {label: rate.to_json() for label, rate in self.error_rates.items()},
            "warnings": list(self.warnings),
        }

    def to_row(self) -> dict[str, str | int | float | None]:
        """One flat row for a table: NAME, NAME_low and NAME_high for each figure."""
        row: dict[str, str | int | float | None] = {
            "column": self.column, "group": self.group,
            "n_images": self.n_images, "n_patients": self.n_patients,
        }  # fmt: skip
        errors = {f"error:{label}": rate for label, rate in self.error_rates.items()}
        figures: dict[str, Interval | Rate] = {**self.metrics, **errors}
        for name, one in figures.items():
            bounds = {"": one.value, "_low": one.low, "_high": one.high}
            row |= {f"{name}{bound}": finite(value) for bound, value in bounds.items()}
        return {**row, "warning": " ".join(self.warnings) or None}


def subgroups(
    predictions: Predictions,
    columns: Mapping[str, Mapping[str, str | None]],
    *,
    metrics: Sequence[str] = ("accuracy", "balanced_accuracy", "auc"),
    resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> list[Subgroup]:
    """One entry per column and value, values in ascending order (2-9 before 10+), unknown last.

    Images without a value, or that a column does not name, are the group "unknown". Patients are
    resampled within a group.

    Args:
        predictions: of images not trained on.
        columns: for each column, the value by image id, None when unknown.
        metrics: names as in `metric_units`.
        resamples: of patients.
        confidence_level: of the intervals.
        seed: of the bootstrap.

    Raises:
        PredictionsError: an unknown metric, a column that knows no image here, or an option out of
            range.
    """
    known = metric_units(predictions.labels)
    for metric in metrics:
        if metric not in known:
            message = f"metric '{metric}'; allowed: {', '.join(known)}. Name some of these."
            raise PredictionsError(message)
    found = []
    for column, values in columns.items():
        for group, chosen in _members(predictions, column, values):
            part = select_images(predictions, chosen)
            intervals = bootstrap_intervals(
                part,
                metrics=metrics,
                resamples=resamples,
                confidence_level=confidence_level,
                seed=seed,
            )
            found.append(_subgroup(column, group, part, intervals, confidence_level))
    return found


def column_values(table: pl.DataFrame, columns: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """The values by image id of a predictions table's group columns, for `subgroups`.

    Raises:
        PredictionsError: a column is not there.
    """
    for column in columns:
        if column not in table.columns:
            message = f"column '{column}'; allowed: {', '.join(table.columns)}."
            raise PredictionsError(f"{message} Name one of these.")
    ids = table["image_id"].to_list()
    return {
        column: dict(zip(ids, table[column].cast(pl.String).to_list(), strict=True))
        for column in columns
    }


def age_bands(
    ages: Mapping[str, str | float | None], *, edges: Sequence[int] = AGE_BANDS
) -> dict[str, str | None]:
    """The band of each age, such as "40-64", in whole years; None for what is no age.

    Args:
        ages: in years, a number or its text, by image id.
        edges: first year of each band but the lowest, ascending.

    Raises:
        PredictionsError: the edges do not ascend from above 0.
    """
    if not edges or any(low >= high for low, high in pairwise((0, *edges))):
        message = f"edges {list(edges)}; allowed: ascending years above 0."
        raise PredictionsError(f"{message} {list(AGE_BANDS)} is usual.")
    names = [f"{low}-{high - 1}" for low, high in pairwise((0, *edges))] + [f"{edges[-1]}+"]
    places = {image_id: _years(age) for image_id, age in ages.items()}
    return {
        image_id: None if years is None else names[sum(years >= edge for edge in edges)]
        for image_id, years in places.items()
    }


def select_images(predictions: Predictions, chosen: NDArray[np.bool_]) -> Predictions:
    """The predictions of some images, `[image]`, their patients numbered anew."""
    return Predictions(
        labels=predictions.labels,
        image_ids=tuple(np.array(predictions.image_ids, dtype=object)[chosen]),
        truth=predictions.truth[chosen],
        logits=predictions.logits[chosen],
        probabilities=predictions.probabilities[chosen],
        clusters=np.unique(predictions.clusters[chosen], return_inverse=True)[1].astype(np.int64),
        unknown=None if predictions.unknown is None else predictions.unknown[chosen],
    )


def _members(
    predictions: Predictions, column: str, values: Mapping[str, str | None]
) -> list[tuple[str, NDArray[np.bool_]]]:
    own = [values.get(image_id) for image_id in predictions.image_ids]
    if all(value is None for value in own):
        message = f"column '{column}' has a value for none of the {len(own)} images;"
        raise PredictionsError(f"{message} allowed: one or more. Leave the column out.")
    named = np.array([UNKNOWN if value is None else value for value in own], dtype=object)
    groups = sorted(set(named), key=_order)
    return [(group, named == group) for group in groups]


def _order(group: str) -> tuple[bool, float, str]:
    """Numbers by their size, then text, then the unknown."""
    leading = re.match(r"\d+", group)
    return group == UNKNOWN, float(leading.group()) if leading else math.inf, group


def _subgroup(
    column: str,
    group: str,
    part: Predictions,
    metrics: dict[str, Interval],
    confidence_level: float,
) -> Subgroup:
    wrong = part.predicted != part.truth
    rates = {}
    for index, label in enumerate(part.labels):
        own = part.truth == index
        rates[label] = proportion(wrong[own], part.clusters[own], confidence_level=confidence_level)
    warnings = tuple(
        f"{column} {group}: {_counted(rate)} of {label}; below {FEWEST_IMAGES} images or "
        f"{FEWEST_PATIENTS} patients of a label, figures say little."
        for label, rate in rates.items()
        if rate.trials < FEWEST_IMAGES or rate.patients < FEWEST_PATIENTS
    )
    return Subgroup(
        column, group, part.n_images, part.n_patients, part.n_unknown_patients, metrics, rates,
        warnings,
    )  # fmt: skip


def _counted(rate: Rate) -> str:
    images = f"{rate.trials} image{'' if rate.trials == 1 else 's'}"
    return f"{images} of {rate.patients} patient{'' if rate.patients == 1 else 's'}"


def _years(age: str | float | None) -> float | None:
    try:
        years = math.nan if age is None else float(age)
    except ValueError:
        return None
    return years if math.isfinite(years) and years >= 0 else None
