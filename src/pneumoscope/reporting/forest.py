"""Forest plots: many results one below the other, each a point with its interval, in words too.

The words of a row stand above its whiskers, so that long names and a phone's width go together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pneumoscope.reporting.canvas import INK, MUTED, RULE, SMALL, TEXT, name_axes, set_ticks, write
from pneumoscope.reporting.sheet import (
    INNER,
    LOOKS,
    MARGIN,
    Key,
    Style,
    draw_key,
    draw_mark,
    fit_text,
    key_height,
    new_sheet,
    page,
    place_panel,
    text_width,
)
from pneumoscope.reporting.words import UNDEFINED, format_interval, format_number, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 40
"""Rows that a figure shows before it says how many more there are."""

_HEADING, _WORDS, _WHISKER, _GAP = 0.3, 0.19, 0.14, 0.1
_BOTTOM, _COLUMN_GAP, _LINE_NAME = 0.5, 0.3, 0.24
"""Inches: below the panels, between columns, above a panel whose line has a name."""

_SHORTEST = 0.7
"""Inches of a name below which its note is left out."""


@dataclass(frozen=True)
class Mark:
    """A result with its interval; None where it is not defined. A `tick` has no interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    style: Style = "main"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a forest plot.

    Attributes:
        name: what the results are of.
        marks: drawn one below the other, the first one written out; ticks cross the first.
        note: written behind the name, muted.
        heading: written above, where a group of rows begins.
        words: written at the right in place of the first mark's value and interval.
    """

    name: str
    marks: tuple[Mark, ...]
    note: str = ""
    heading: str = ""
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The horizontal axis of a column: its ends, the step of its ticks, and a line to compare."""

    name: str
    low: float = 0.0
    high: float = 1.0
    step: float = 0.2
    line: float | None = None
    line_name: str = ""


@dataclass(frozen=True)
class Column:
    """A panel of rows; `share` is its part of the width beside other columns."""

    rows: Sequence[Row]
    scale: Scale
    share: float = 1.0


def mark_of(entry: object, *, style: Style = "main") -> Mark:
    """The mark of an entry with `value`, `low` and `high`."""
    return Mark(number(entry), number(entry, "low"), number(entry, "high"), style)


def fit_scale(rows: Sequence[Row], scale: Scale) -> Scale:
    """The scale of shares with its low end moved, so that everything fits and little is empty.

    Args:
        rows: to be drawn.
        scale: its high end, name and line are kept; the low end is set to a tenth, 0.9 at most.
    """
    drawn = [x for row in rows for mark in row.marks for x in (mark.value, mark.low)]
    # A line at the very edge would be taken for the axis.
    line = None if scale.line is None else scale.line - 0.02
    least = min(x for x in (*drawn, line, 0.9) if x is not None)
    low = max(0.0, math.floor(least * 10 + 1e-9) / 10)
    reach = scale.high - low
    step = 0.2 if reach > 0.65 else 0.1 if reach > 0.25 else 0.05
    if step == 0.2:
        low = max(0.0, math.floor(low * 5 + 1e-9) / 5)
    return replace(scale, low=low, step=step)


def forest(*columns: Column, key: Key = ()) -> Figure:
    """A figure of one column or several beside each other, as tall as its rows need.

    Args:
        columns: with as many rows each; only the first one's headings are written.
        key: what the styles stand for.

    Raises:
        ValueError: there is no column, no row, or columns differ in length.
    """
    counts = {len(column.rows) for column in columns}
    if len(counts) != 1 or not max(counts):
        raise ValueError(f"columns of {sorted(counts)} rows; allowed: one or more, as many each.")
    hidden = max(counts) - MOST_ROWS
    shown = [replace(column, rows=column.rows[:MOST_ROWS]) for column in columns]
    tops = _tops(shown)
    head = 0.18 + key_height(key)
    head += _LINE_NAME if any(column.scale.line_name for column in columns) else 0
    figure = new_sheet(head + tops[-1] + _BOTTOM)
    for column, (left, width) in zip(shown, _places(shown), strict=True):
        axes = place_panel(figure, (left, _BOTTOM, width, tops[-1]))
        headings = [row.heading for row in shown[0].rows]
        _draw_column(axes, column, tops, width=width, headings=headings)
        if column is shown[0]:
            _write_headings(axes, headings, tops)
    paper = page(figure)
    draw_key(paper, key, top=head + tops[-1] + _BOTTOM - 0.1)
    if hidden > 0:
        write(paper, (MARGIN, 0.12), f"and {hidden} more", color=MUTED, size=SMALL)
    return figure


def _tops(columns: Sequence[Column]) -> list[float]:
    """Inches from the top where each row begins, and where the last one ends."""
    tops = [0.0]
    for rows in zip(*(column.rows for column in columns), strict=True):
        lines = max(max(1, len(list(_stacked(row)))) for row in rows)
        heading = _HEADING if rows[0].heading else 0
        tops.append(tops[-1] + heading + _WORDS + lines * _WHISKER + _GAP)
    return tops


def _stacked(row: Row) -> Iterator[Mark]:
    return (mark for mark in row.marks if mark.style != "tick")


def _places(columns: Sequence[Column]) -> Iterator[tuple[float, float]]:
    """Left end and width of each column, inches."""
    room = INNER - 2 * 0.06 - _COLUMN_GAP * (len(columns) - 1)
    total = sum(column.share for column in columns)
    left = MARGIN + 0.06
    for column in columns:
        width = room * column.share / total
        yield left, width
        left += width + _COLUMN_GAP


def _draw_column(
    axes: Axes, column: Column, tops: Sequence[float], *, width: float, headings: Sequence[str]
) -> None:
    scale = column.scale
    axes.set(xlim=(scale.low, scale.high), ylim=(tops[-1], 0))
    count = round((scale.high - scale.low) / scale.step)
    set_ticks(axes, x=[round(scale.low + scale.step * index, 6) for index in range(count + 1)])
    name_axes(axes, x=scale.name)
    _draw_reference(axes, scale)
    for row, heading, begin in zip(column.rows, headings, tops[:-1], strict=True):
        if heading and begin:
            axes.axhline(begin, color=RULE, linewidth=1.2, linestyle="-", zorder=3)
        top = begin + (_HEADING if heading else 0)
        _write_row(axes, row, _up(top + _WORDS - 0.04, tops), width=width)
        for line, mark in enumerate(_stacked(row)):
            _draw_mark(axes, mark, top + _WORDS + (line + 0.5) * _WHISKER)
        for mark in row.marks:
            if mark.style == "tick" and mark.value is not None:
                draw_mark(axes, "tick", mark.value, top + _WORDS + 0.5 * _WHISKER)


def _write_headings(axes: Axes, headings: Sequence[str], tops: Sequence[float]) -> None:
    for heading, top in zip(headings, tops[:-1], strict=True):
        words = fit_text(heading, INNER, size=TEXT, bold=True)
        if words:
            place = (0, _up(top + 0.21, tops))
            write(axes, place, words, fraction=True, bold=True, halo=True)


def _up(top: float, tops: Sequence[float]) -> float:
    """Fraction of the panel's height at `top` inches below its upper edge."""
    return 1 - top / tops[-1]


def _draw_reference(axes: Axes, scale: Scale) -> None:
    if scale.line is None:
        return
    axes.axvline(scale.line, color=MUTED, linewidth=1.1, linestyle=(0, (2, 3)), zorder=2,
                 label="reference")  # fmt: skip
    place = (scale.line - scale.low) / (scale.high - scale.low)
    align = "left" if place < 0.2 else "right" if place > 0.8 else "center"
    write(axes, (place, 1), scale.line_name, fraction=True, offset=(0, 6), color=MUTED, size=SMALL,
          align=align)  # fmt: skip


def _write_row(axes: Axes, row: Row, height: float, *, width: float) -> None:
    """Write the name and note at the left, the numbers at the right, never over each other."""
    mark = row.marks[0] if row.marks else Mark(None)
    value, interval = row.words, ""
    if not value:
        value = UNDEFINED if mark.value is None else format_number(mark.value)
        interval = format_interval({"low": mark.low, "high": mark.high})
    inset = text_width("0.000 to 0.000") + 0.1 if interval else 0.0
    if interval:
        write(axes, (1, height), interval, fraction=True, color=MUTED, size=SMALL, align="right",
              halo=True)  # fmt: skip
    color = MUTED if value == UNDEFINED else INK
    write(axes, (1, height), value, fraction=True, offset=(-72 * inset, 0), color=color,
          size=SMALL, bold=bool(interval), align="right", halo=True)  # fmt: skip
    if not row.name:
        return
    room = width - inset - text_width(value, bold=bool(interval)) - 0.15
    beside = text_width(row.note) + 0.1 if row.note else 0.0
    noted = bool(row.note) and room - beside > _SHORTEST
    name = fit_text(row.name, room - beside if noted else room)
    write(axes, (0, height), name, fraction=True, color=INK, size=SMALL, halo=True)
    if noted:
        offset = (72 * (text_width(name) + 0.1), 0)
        write(axes, (0, height), row.note, fraction=True, offset=offset, color=MUTED, size=SMALL,
              halo=True)  # fmt: skip


def _draw_mark(axes: Axes, mark: Mark, y: float) -> None:
    look = LOOKS[mark.style]
    if mark.value is None:
        return
    if mark.low is not None and mark.high is not None:
        axes.plot(
            [mark.low, mark.high], [y, y], color=look.color, linewidth=2.4, alpha=0.55, marker="",
            linestyle="-", solid_capstyle="butt", clip_on=False, zorder=5, label="interval",
        )  # fmt: skip
    draw_mark(axes, mark.style, mark.value, y)
