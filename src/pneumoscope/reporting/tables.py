"""The rows of the report's tables, worded and in order, from metrics and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from pneumoscope.reporting.words import (
    OVERALL,
    PER_LABEL,
    count,
    format_interval,
    format_level,
    format_number,
    group_digits,
    is_entry,
    labels_of,
    most_patients,
    name_metric,
    number,
    spell,
)

Metrics = Mapping[str, object]

EXCLUDED_SHOWN = 20
SPLITS = ("train", "validation", "calibration", "test")
_CONTEXT = {
    "confusion_matrix", "labels", "n_images", "n_patients", "n_unknown_patients", "split",
    "bundle", "data", "confidence_level", "resamples",
}  # fmt: skip
_UNIT_RANGE = {"fraction", "area", "probability"}


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """One metric in words, and where its interval lies on a line from 0 to 1 (in percent).

    `low`, `width` and `at` are None where the metric has no interval or another range.
    """

    name: str
    gloss: str
    value: str
    interval: str
    defined: bool
    low: str | None
    width: str | None
    at: str | None


@dataclass(frozen=True)
class LabelRow:
    """A label and the cells of its row."""

    label: str
    cells: tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class LabelTable:
    """Metrics that exist per label: names of the columns, a row per label."""

    columns: tuple[str, ...]
    rows: tuple[LabelRow, ...]


@dataclass(frozen=True)
class CountTable:
    """Images and patients: a column per split, a row per label, and the images of each split."""

    splits: tuple[str, ...]
    rows: tuple[LabelRow, ...]
    totals: tuple[str, ...]


@dataclass(frozen=True)
class ExcludedTable:
    """The first excluded images, and how many there are."""

    caption: str
    rows: tuple[tuple[str, str], ...]


def metric_row(entry: object, *, name: str, gloss: str = "", level: str = "") -> MetricRow:
    """One metric in words; `level` is put before its interval."""
    value, low, high = (number(entry, key) for key in ("value", "low", "high"))
    interval = format_interval(entry)
    unit = entry.get("unit") if isinstance(entry, Mapping) else None
    place: dict[str, str | None] = {"low": None, "width": None, "at": None}
    if unit in _UNIT_RANGE and value is not None and low is not None and high is not None:
        percent = (100 * low, 100 * (high - low), 100 * value)
        place = dict(zip(place, (f"{number:.2f}" for number in percent), strict=True))
    return MetricRow(
        name=name,
        gloss=gloss,
        value=format_number(value),
        interval=f"{level} {interval}".strip() if interval else "",
        defined=value is not None,
        low=place["low"],
        width=place["width"],
        at=place["at"],
    )


def headline_tiles(metrics: Metrics) -> list[MetricRow]:
    """The figures to see first: AUC, then sensitivities (of many labels, the two extremes)."""
    level = f"{level} CI" if (level := format_level(metrics)) else ""
    tiles = [metric_row(metrics.get("auc"), name="AUC", level=level)]
    labels = list(labels_of(metrics))
    chosen = [(label, f"Sensitivity, {label}") for label in labels]
    if len(labels) > 3:
        known = [label for label in labels if _sensitivity(metrics, label) is not None]
        known.sort(key=lambda label: _sensitivity(metrics, label) or 0.0)
        ends = [(known[0], "Lowest"), (known[-1], "Highest")] if known else []
        chosen = [(label, f"{which} sensitivity, {label}") for label, which in ends]
    return tiles + [
        metric_row(metrics.get(f"sensitivity:{label}"), name=name, level=level)
        for label, name in chosen
    ]


def overall_rows(metrics: Metrics) -> list[MetricRow]:
    """Every metric that is about all labels together: the known ones first, then the others."""
    grouped = set(_label_keys(metrics))
    present = [key for key, entry in metrics.items() if is_entry(entry) and key not in grouped]
    known = [key for key in OVERALL if key in present]
    return [
        metric_row(
            metrics[key],
            name=name_metric(key),
            gloss=OVERALL[key].gloss if key in OVERALL else "",
        )
        for key in [*known, *(key for key in present if key not in OVERALL)]
    ]


def label_table(metrics: Metrics) -> LabelTable:
    """Every metric that exists per label, in the order of the metrics."""
    kinds = tuple(dict.fromkeys(kind for kind, _ in _label_keys(metrics).values()))
    names = tuple(PER_LABEL[kind].name if kind in PER_LABEL else name_metric(kind)
                  for kind in kinds)  # fmt: skip
    rows = []
    for label in labels_of(metrics) if kinds else ():
        entries = [metrics.get(f"{kind}:{label}") for kind in kinds]
        cells = tuple(
            {"value": format_number(number(entry)), "interval": format_interval(entry)}
            for entry in entries
        )
        rows.append(LabelRow(label, cells))
    return LabelTable(names, tuple(rows))


def other_facts(metrics: Metrics) -> dict[str, str]:
    """What was evaluated, and whatever else the metrics hold that no table shows."""
    named = {"bundle": metrics.get("bundle"), "evaluated on": metrics.get("data")}
    rest = {
        key.replace("_", " "): value
        for key, value in metrics.items()
        if key not in _CONTEXT and not is_entry(value)
    }
    return {key: spell(value) for key, value in {**named, **rest}.items()}


def count_table(counts: pl.DataFrame | None) -> CountTable | None:
    """Images and patients by label (rows) and split (columns), None where nothing was counted.

    Args:
        counts: columns split (null where none was given), label, images, patients and, where it
            was counted, unknown: images whose patient nobody knows.
    """
    if counts is None or counts.is_empty():
        return None
    cells: dict[tuple[str, str], tuple[int, int | None, int]] = {}
    for row in counts.iter_rows(named=True):
        key = (row["label"] or "no label", row["split"] or "no split")
        cells[key] = (row["images"], row["patients"], row.get("unknown", 0))
    labels = tuple(dict.fromkeys(label for label, _ in cells))
    found = dict.fromkeys(split for _, split in cells)
    splits = (*(s for s in SPLITS if s in found), *(s for s in found if s not in SPLITS))
    rows = tuple(
        LabelRow(label, tuple(_count_cell(cells.get((label, split))) for split in splits))
        for label in labels
    )
    totals = tuple(
        group_digits(sum(images for (_, place), (images, *_) in cells.items() if place == split))
        for split in splits
    )
    return CountTable(splits, rows, totals)


def excluded_table(excluded: Sequence[tuple[str, str]]) -> ExcludedTable:
    """The first `EXCLUDED_SHOWN` excluded images with their reasons."""
    caption = f"{count(len(excluded), 'image')} excluded"
    if len(excluded) > EXCLUDED_SHOWN:
        caption += f"; the first {EXCLUDED_SHOWN} are shown, the catalogue has all"
    return ExcludedTable(caption, tuple(excluded[:EXCLUDED_SHOWN]))


def _label_keys(metrics: Metrics) -> dict[str, tuple[str, str]]:
    """Kind and label of each metric that is about one label of the set, by its key."""
    labels = set(labels_of(metrics))
    split = {key: key.partition(":") for key, entry in metrics.items() if is_entry(entry)}
    return {
        key: (kind, label) for key, (kind, colon, label) in split.items()
        if colon and label in labels
    }  # fmt: skip


def _sensitivity(metrics: Metrics, label: str) -> float | None:
    return number(metrics.get(f"sensitivity:{label}"))


def _count_cell(amounts: tuple[int, int | None, int] | None) -> dict[str, str]:
    if amounts is None:
        return {"images": "0", "patients": ""}
    return {"images": group_digits(amounts[0]), "patients": most_patients(*amounts)}
