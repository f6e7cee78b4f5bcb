"""The metrics file: one evaluation's figures with their intervals, as plain Python."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, cast

import polars as pl

from pneumoscope.core.files import write_text
from pneumoscope.evaluation.curves import confusion_matrix
from pneumoscope.evaluation.intervals import Interval, bootstrap_intervals
from pneumoscope.evaluation.metrics import metric_units
from pneumoscope.evaluation.predictions import read_table


class MetricEntry(TypedDict):
    """A metric in the metrics file; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None
    unit: str


def evaluate_predictions(
    table: pl.DataFrame,
    *,
    resamples: int,
    confidence_level: float,
    seed: int,
    split: str,
    bundle: str,
    data: str,
) -> dict[str, object]:
    """The content of `metrics.json`: an entry per metric, then what was evaluated and how.

    The same table gives the same content, whatever the order of its rows.

    Args:
        table: a predictions table.
        resamples: bootstrap resamples of patients.
        confidence_level: of the intervals, in (0, 1).
        seed: of the bootstrap.
        split: which part of the data the images are, such as "test".
        bundle: what predicted.
        data: where the images came from.

    Raises:
        PredictionsError: the table breaks its contract, or an option is out of range.
    """
    predictions = read_table(table)
    units = metric_units(predictions.labels)
    intervals = bootstrap_intervals(
        predictions, resamples=resamples, confidence_level=confidence_level, seed=seed
    )
    return {
        **{name: metric_entry(interval, units[name]) for name, interval in intervals.items()},
        "confusion_matrix": confusion_matrix(predictions).tolist(),
        "labels": list(predictions.labels),
        "n_images": predictions.n_images,
        "n_patients": predictions.n_patients,
        "n_unknown_patients": predictions.n_unknown_patients,
        "split": split,
        "bundle": bundle,
        "data": data,
        "confidence_level": confidence_level,
        "resamples": resamples,
    }


def save_metrics(metrics: Mapping[str, object], path: Path) -> None:
    """Write metrics as JSON, whole or not at all.

    Raises:
        StorageError: the place cannot be written.
        ValueError: a value is not finite; use None for what is not defined.
    """
    write_text(path, json.dumps(metrics, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def label_metric(metrics: Mapping[str, object], name: str) -> dict[str, MetricEntry]:
    """The entries of a metric that exists per label, such as "sensitivity", by label."""
    labels = cast("list[str]", metrics["labels"])
    return {label: cast("MetricEntry", metrics[f"{name}:{label}"]) for label in labels}


def format_metric(entry: MetricEntry) -> str:
    """The value and its interval in three decimals, or "not defined".

    >>> format_metric({"value": 0.9931, "low": 0.987, "high": 0.997, "unit": "fraction"})
    '0.993 [0.987, 0.997]'
    """
    if entry["value"] is None:
        return "not defined"
    if entry["low"] is None or entry["high"] is None:
        return f"{entry['value']:.3f} [no interval]"
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"


def metric_entry(interval: Interval, unit: str) -> MetricEntry:
    """The interval as the metrics file has it."""
    value, low, high = (
        number if math.isfinite(number) else None
        for number in (interval.value, interval.low, interval.high)
    )
    return {"value": value, "low": low, "high": high, "unit": unit}
