"""The tables of an assessment, worded and in order: calibration, promises, label sets, groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pneumoscope.reporting.trust.sections import Assessment, listed, section
from pneumoscope.reporting.words import (
    format_interval,
    format_number,
    group_digits,
    most_patients,
    name_metric,
    number,
)

_CALIBRATION = {
    "ece": ("Calibration error", "mean gap of confidence and accuracy"),
    "ace": ("Adaptive calibration error", "the same, in bins with as many images each"),
    "brier": ("Brier score", "squared error of the probabilities"),
    "log_loss": ("Log loss", "cost of confident mistakes"),
}
_LONG = 12
"""Rows from which a table is folded."""


@dataclass(frozen=True)
class Cell:
    """A value, and what stands small beneath it: its interval, what it was counted in."""

    value: str
    small: str = ""
    note: str = ""


@dataclass(frozen=True)
class Row:
    """What a row is about, in words and a few more beneath them, and its cells."""

    head: str
    cells: tuple[Cell, ...]
    small: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of numbers with a word for each row.

    Attributes:
        name: a word to tell it from the other tables of a page.
        caption: what it shows.
        columns: of the row's name, then one for each cell.
        rows: one or more.
        folded: what to click on to see it; without, it is open.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    folded: str = ""

    @property
    def narrow(self) -> bool:
        """Whether it fits beside a figure."""
        return len(self.columns) <= (4 if self.folded else 3)


def entry_cell(entry: object) -> Cell:
    """A number with its interval."""
    return Cell(format_number(number(entry)), format_interval(entry))


def rate_cell(rate: object) -> Cell:
    """A proportion with its interval and the images behind it."""
    trials, successes = number(rate, "trials"), number(rate, "successes")
    interval = format_interval(rate)
    if not trials or successes is None:
        return Cell(format_number(number(rate)), interval)
    counted = f"{group_digits(int(successes))} of {group_digits(int(trials))}"
    return Cell(format_number(number(rate)), interval, counted)


def count_cell(content: Mapping[str, Any]) -> Cell:
    """Images, and beneath them patients where they are known."""
    images = content.get("n_images")
    small = most_patients(images, content.get("n_patients"), content.get("n_unknown_patients"))
    return Cell(group_digits(images) if isinstance(images, int) else "", small)


def calibration_table(assessment: Assessment) -> Table | None:
    """Errors of the probabilities before and after calibration."""
    found = section(assessment, "calibration")
    before, after = section(found, "before"), section(found, "after")
    rows = tuple(
        Row(name, (entry_cell(before.get(key)), entry_cell(after.get(key))), gloss)
        for key, (name, gloss) in _CALIBRATION.items()
        if key in after
    )
    if not rows:
        return None
    return Table(
        name="calibration",
        caption="Errors of the probabilities; lower is better",
        columns=("Measure", "Before", "After"),
        rows=rows,
    )


def promise_table(assessment: Assessment) -> Table | None:
    """What each operating point promised on the calibration split, and what came of it."""
    points = listed(assessment, "operating_points")
    if not points:
        return None
    rows = tuple(
        Row(
            f"{_point_name(point, points)}: {rate}",
            tuple(rate_cell(section(point, part).get(rate)) for part in ("promised", "seen")),
            f"{point.get('label')} {_threshold(point)}",
        )
        for point in points
        for rate in ("sensitivity", "specificity")
    )
    return Table(
        name="promises",
        caption="Promised on the calibration split, and seen on these images",
        columns=("Operating point", "Promised", "Seen"),
        rows=rows,
    )


def predictive_table(assessment: Assessment) -> Table | None:
    """How often answers are right: in these images, and at the prevalence that was asked for."""
    points = listed(assessment, "operating_points")
    if not points:
        return None
    asked = [number(section(point, "at_prevalence"), "prevalence") for point in points]
    prevalence = next((share for share in asked if share is not None), None)
    places = ("seen",) if prevalence is None else ("seen", "at_prevalence")
    here = [number(section(section(point, "seen"), "prevalence")) for point in points]
    names = [f"Here ({format_number(here[0])})" if len(set(here)) == 1 else "Here"]
    if prevalence is not None:
        names.append(f"At {format_number(prevalence)}")
    rows = tuple(
        Row(
            f"{_point_name(point, points)}: {key.upper()}",
            tuple(entry_cell(section(point, place).get(key)) for place in places),
        )
        for point in points
        for key in ("ppv", "npv")
    )
    return Table(
        name="predictive",
        caption="Positive (PPV) and negative (NPV) answers that are right, at a prevalence",
        columns=("Operating point", *names),
        rows=rows,
    )


def coverage_tables(assessment: Assessment) -> list[Table]:
    """How often label sets hold the true label: of all and each label; of groups, folded."""
    found = section(assessment, "label_sets")
    parts = listed(found, "coverage")
    told = [part for part in parts if part.get("group") in {"all", "label"}]
    groups = [part for part in parts if part.get("group") not in {"all", "label"}]
    level = format_number(number(found, "confidence_level"))
    tables = []
    if told:
        words = f"Share of label sets that hold the true label; {level} was promised"
        words += " for every label" if found.get("conditional") is True else " over all images"
        tables.append(_coverage_table("coverage", words, told, folded=""))
    if groups:
        words = "Label sets by group; nothing is promised for groups"
        tables.append(
            _coverage_table("coverage-groups", words, groups, folded="Label sets by group")
        )
    return tables


def error_table(assessment: Assessment) -> Table | None:
    """Of each label, the share that was not answered with it, for every group."""
    groups = listed(assessment, "subgroups")
    labels = list(dict.fromkeys(name for group in groups for name in section(group, "error_rates")))
    if not labels:
        return None
    rows = tuple(
        Row(
            _group_name(str(group.get("column")), str(group.get("group"))),
            tuple(rate_cell(section(group, "error_rates").get(label)) for label in labels),
            "few images: says little" if group.get("warnings") else "",
        )
        for group in groups
    )
    return Table(
        name="errors",
        caption="Of the images with a label, those not answered with it",
        columns=("Group", *(f"{label} missed" for label in labels)),
        rows=rows,
        folded=f"Missed images in {len(rows)} groups" if len(rows) > _LONG else "",
    )


def subgroup_table(assessment: Assessment) -> Table | None:
    """The main metrics of every group, folded: the figure shows them."""
    groups = listed(assessment, "subgroups")
    metrics = list(dict.fromkeys(name for group in groups for name in section(group, "metrics")))
    if not metrics:
        return None
    rows = tuple(
        Row(
            _group_name(str(group.get("column")), str(group.get("group"))),
            (
                *(entry_cell(section(group, "metrics").get(name)) for name in metrics),
                count_cell(group),
            ),
        )
        for group in groups
    )
    return Table(
        name="subgroups",
        caption="Metrics by group",
        columns=("Group", *map(name_metric, metrics), "Images"),
        rows=rows,
        folded=f"Metrics of {len(rows)} groups",
    )


def _coverage_table(
    name: str, caption: str, parts: Sequence[Mapping[str, Any]], *, folded: str
) -> Table:
    rows = tuple(
        Row(
            _part_name(part),
            (
                entry_cell(part.get("coverage")),
                entry_cell(part.get("size")),
                Cell(format_number(number(part, "single"))),
                Cell(format_number(number(part, "empty"))),
                count_cell(part),
            ),
        )
        for part in parts
    )
    columns = ("Images of", "Coverage", "Labels in a set", "With one label", "With none", "Images")
    return Table(name=name, caption=caption, columns=columns, rows=rows, folded=folded)


def _part_name(part: Mapping[str, Any]) -> str:
    group, value = part.get("group"), str(part.get("value"))
    if group == "all":
        return "all labels"
    return value if group == "label" else _group_name(str(group), value)


def _group_name(column: str, value: str) -> str:
    return f"{column[:1].upper()}{column[1:]}: {value}"


def _point_name(point: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> str:
    name = str(point.get("name") or point.get("rule")).replace(">=", "\u2265")
    name = name[:1].upper() + name[1:]
    several = len({one.get("label") for one in points}) > 1
    return f"{point.get('label')}, {name}" if several else name


def _threshold(point: Mapping[str, Any]) -> str:
    threshold = number(point, "threshold")
    return "never" if threshold is None else f"from {format_number(threshold)}"
