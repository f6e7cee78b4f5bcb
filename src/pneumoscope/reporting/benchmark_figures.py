"""Candidates side by side: quality, its cost, their curves; one colour for each throughout."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.evaluation.curves import roc_curve
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.reporting.canvas import (
    ACCENT,
    HEIGHT,
    INK,
    MUTED,
    SMALL,
    WIDTH,
    NamedFigure,
    add_panel,
    draw_diagonal,
    name_axes,
    new_figure,
    plain,
    set_ticks,
    stroke,
    unit_square,
    write,
    write_key,
)
from pneumoscope.reporting.words import count, format_interval, format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
"""Candidates of a leaderboard that have figures, best first."""

_BOX = (0.55, 0.55, 3.6, 3.7)
_KEYED = 21
"""Candidates that colours and patterns tell apart."""
_ROW = 0.24
"""Inches that a candidate's row takes at least."""
_LETTER = 0.56 * SMALL
"""Points that a letter takes on average, DejaVu Sans."""
_Box: TypeAlias = tuple[float, float, float, float]
"""Left, bottom, right and top, in points."""
_GRID = np.linspace(0, 1, 201)


def quality_figure(rows: Rows, metric: str, name: str) -> NamedFigure:
    """The metric of each candidate: every seed, their mean, and its interval."""
    entries = [row["metrics"][metric] for row in rows]
    figure = new_figure()
    tall = max(3.85, _ROW * len(rows))
    axes = _panel(figure, (1.6, 0.55, 2.55, tall), tall + HEIGHT - 3.85)
    ends = [entry[end] for entry in entries for end in ("low", "high", "value")]
    low, high = _limits([*ends, *(value for entry in entries for value in entry["values"])])
    axes.set(xlim=(low, high), ylim=(len(rows) - 0.5, -0.5))
    set_ticks(axes, x=_steps(low, high))
    axes.set_yticks(
        range(len(rows)), labels=[plain(row["candidate"], longest=20) for row in rows],
        parse_math=False,
    )  # fmt: skip
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(visible=False, axis="y")
    for place, (row, entry) in enumerate(zip(rows, entries, strict=True)):
        color = ACCENT if row["group"] == 1 else MUTED
        if entry["low"] is not None:
            axes.hlines(place, entry["low"], entry["high"], color=color, linewidth=1.6, alpha=0.6)
        axes.scatter(
            entry["values"], [place] * len(entry["values"]), s=16, facecolors="none",
            edgecolors=color, linewidths=0.9, zorder=4, label="seeds", clip_on=False,
        )  # fmt: skip
        axes.scatter([entry["value"]], [place], s=34, color=color, zorder=5, label="mean",
                     clip_on=False)  # fmt: skip
    name_axes(axes, x=name)
    told = "; ".join(
        f"{row['candidate']} {format_number(entry['value'])} ({format_interval(entry)})"
        for row, entry in zip(rows, entries, strict=True)
    )
    return NamedFigure("quality", figure, f"{name} with its interval, best first: {told}.")


def pareto_figure(rows: Rows, metric: str, name: str) -> NamedFigure:
    """Quality against the time that one image takes; the line joins those that none beats in both.

    Candidates without a measured time are left out.
    """
    shown = [row for row in rows if row["p50_ms"] and row["metrics"][metric]["value"] is not None]
    times = [row["p50_ms"] for row in shown]
    values = [row["metrics"][metric]["value"] for row in shown]
    front = pareto_front(times, values)
    figure = new_figure()
    axes = add_panel(figure, _BOX)
    ends = [row["metrics"][metric][end] for row in shown for end in ("low", "high", "value")]
    low, high = _limits(ends)
    left, right = min(times) / 1.35, max(times) * 1.6
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set(xlim=(left, right), ylim=(low, high))
    set_ticks(axes, x=_decades(left, right), y=_steps(low, high))
    _draw_front(axes, [(times[at], values[at]) for at in front], right)
    for at, row in enumerate(shown):
        entry, best = row["metrics"][metric], at in front
        color = ACCENT if best else MUTED
        if entry["low"] is not None:
            axes.vlines(times[at], entry["low"], entry["high"], color=color, linewidth=1, alpha=0.5)
        axes.scatter(
            [times[at]], [values[at]], s=44, color=color if best else "white", edgecolors=color,
            linewidths=1.4, zorder=5, label=row["candidate"], clip_on=False,
        )  # fmt: skip
    _name_points(axes, shown, list(zip(times, values, strict=True)), front)
    name_axes(axes, x="Milliseconds for one image, median", y=name)
    names = ", ".join(
        f"{shown[at]['candidate']} ({format_number(values[at])} in {times[at]:.1f} ms)"
        for at in front
    )
    alt = f"{name} against time for one image: not beaten in both are {names}."
    return NamedFigure("pareto", figure, alt)


def roc_overlay(rows: Rows, predictions: Mapping[str, Sequence[Predictions]]) -> NamedFigure:
    """The ROC curve of each candidate, sensitivities averaged over seeds.

    More than two labels: averaged over labels too, each against the rest.
    """
    figure = new_figure()
    axes = add_panel(figure, (0.45, 0.55, 3.7, 3.7))
    unit_square(axes)
    name_axes(axes, x="1 \u2212 specificity", y="Sensitivity")
    draw_diagonal(axes)
    for place, row in enumerate(rows):
        color, pattern = stroke(place)
        axes.plot(
            [0, *_GRID], [0, *_mean_roc(predictions[row["candidate"]])], color=color,
            linestyle=pattern, linewidth=1.4, marker="", clip_on=False,
            zorder=4, label=row["candidate"],
        )  # fmt: skip
    write_key(axes, [(place, _keyed(row)) for place, row in enumerate(rows)], longest=_KEYED)
    first, last = rows[0], rows[-1]
    alt = (
        f"ROC curves of {count(len(rows), 'candidate')}, means over seeds: AUC from "
        f"{format_number(last['metrics']['auc']['value'])} ({last['candidate']}) to "
        f"{format_number(first['metrics']['auc']['value'])} ({first['candidate']})."
    )
    return NamedFigure("roc", figure, alt)


def training_overlay(rows: Rows, histories: Mapping[str, Sequence[pl.DataFrame]]) -> NamedFigure:
    """Validation AUC of each candidate by epoch, all its seeds."""
    lines = {
        row["candidate"]: [
            history["validation_auc"].cast(pl.Float64).to_numpy()
            for history in histories[row["candidate"]]
        ]
        for row in rows
    }
    figure = new_figure()
    axes = add_panel(figure, _BOX)
    longest = max(len(line) for several in lines.values() for line in several)
    low, high = _limits([float(v) for several in lines.values() for line in several for v in line])
    axes.set(xlim=(1, max(2, longest)), ylim=(low, high))
    set_ticks(axes, x=[1, *[tick for tick in _steps(1, longest) if tick > 1 and tick % 1 == 0]],
              y=_steps(low, high))  # fmt: skip
    for place, several in enumerate(lines.values()):
        color, pattern = stroke(place)
        for seed, line in enumerate(several):
            axes.plot(
                np.arange(1, len(line) + 1), line, color=color, linestyle=pattern,
                linewidth=1.5 if seed == 0 else 1, alpha=1 if seed == 0 else 0.45, zorder=4,
                marker="o" if len(line) == 1 else "", markersize=4, clip_on=False,
                label=f"{place} {seed}",
            )  # fmt: skip
    name_axes(axes, x="Epoch", y="Validation AUC")
    write_key(
        axes, [(place, plain(name, longest=20)) for place, name in enumerate(lines)], longest=_KEYED
    )
    told = ", ".join(
        f"{name} {count(max(map(len, several)), 'epoch')} to "
        f"{format_number(max(_greatest(line) for line in several))}"
        for name, several in lines.items()
    )
    return NamedFigure("training", figure, f"Validation AUC by epoch; the best values: {told}.")


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Places of those that nothing cheaper, or as cheap, reaches; from the cheapest on.

    >>> pareto_front([3.0, 1.0, 2.0], [0.9, 0.8, 0.7])
    [1, 0]
    """
    front: list[int] = []
    for at in sorted(range(len(costs)), key=lambda at: (costs[at], -values[at])):
        if not front or values[at] > values[front[-1]]:
            front.append(at)
    return front


def _panel(figure: Figure, box: tuple[float, float, float, float], height: float) -> Axes:
    """Axes in a figure of another height."""
    left, bottom, wide, tall = box
    figure.set_size_inches(WIDTH, height)
    axes = add_panel(figure, (left, bottom, wide, tall))
    axes.set_position((left / WIDTH, bottom / height, wide / WIDTH, tall / height))
    return axes


def _draw_front(axes: Axes, points: Sequence[tuple[float, float]], right: float) -> None:
    x = [time for time, _ in points] + [right]
    y = [value for _, value in points] + [points[-1][1]]
    axes.plot(
        x, y, color=ACCENT, linewidth=1.2, linestyle=(0, (3, 2)), marker="", alpha=0.7,
        drawstyle="steps-post", label="front", zorder=3,
    )  # fmt: skip


def _name_points(
    axes: Axes,
    rows: Rows,
    points: Sequence[tuple[float, float]],
    front: Sequence[int],
) -> None:
    """Write each name beside its point, where it lies on no other; its rank where that fails."""
    left, bottom, wide, tall = _BOX
    (x_low, x_high), (y_low, y_high) = axes.get_xlim(), axes.get_ylim()
    spots = [
        (72 * wide * math.log(x / x_low) / math.log(x_high / x_low),
         72 * tall * (y - y_low) / (y_high - y_low))
        for x, y in points
    ]  # fmt: skip
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in spots]
    room = 72 * (WIDTH - left) - 4, 72 * (HEIGHT - bottom) - 16
    for at in sorted(range(len(rows)), key=lambda at: at not in front):
        texts = plain(rows[at]["candidate"], longest=20), str(rows[at]["rank"])
        text, x, y, side = next(_free_places(texts, spots[at], taken, room), (texts[1], 8, -3, 1))
        taken.append(_box(text, spots[at], x, y, side))
        color, align = INK if at in front else MUTED, "left" if side > 0 else "right"
        write(
            axes, points[at], text, offset=(x, y), size=SMALL, color=color, align=align, halo=True
        )


def _free_places(
    texts: Sequence[str],
    spot: tuple[float, float],
    taken: Sequence[_Box],
    room: tuple[float, float],
) -> Iterator[tuple[str, float, float, int]]:
    """A text, its offset in points and its side, where it is free and within the room."""
    for text in texts:
        for y in (-3, 9, -15, 20, -26):
            for side in (1, -1):
                box = _box(text, spot, 8 * side, y, side)
                inside = box[0] >= 0 and box[2] <= room[0] and box[1] >= 0 and box[3] <= room[1]
                if inside and not any(_overlap(box, other) for other in taken):
                    yield text, 8 * side, y, side


def _box(text: str, spot: tuple[float, float], x: float, y: float, side: int) -> _Box:
    start = spot[0] + x - (0 if side > 0 else _LETTER * len(text))
    return start, spot[1] + y - 2, start + _LETTER * len(text), spot[1] + y + SMALL


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _mean_roc(runs: Sequence[Predictions]) -> NDArray[np.float64]:
    """`[point]`, sensitivity at each false positive rate of a grid."""
    labels = (1,) if len(runs[0].labels) == 2 else range(len(runs[0].labels))
    curves = [
        roc_curve(run.truth == label, run.probabilities[:, label])
        for run in runs
        for label in labels
    ]
    rows = [
        np.interp(_GRID, curve.false_positive_rate, curve.true_positive_rate) for curve in curves
    ]
    mean: NDArray[np.float64] = np.nanmean(rows, axis=0)
    return mean


def _keyed(row: Mapping[str, Any]) -> str:
    area = format_number(row["metrics"]["auc"]["value"])
    return f"{area}\u00a0\u00a0{plain(row['candidate'], longest=20)}"


def _greatest(line: NDArray[np.float64]) -> float:
    return float(np.nanmax(line)) if np.isfinite(line).any() else math.nan


def _limits(values: Sequence[float | None]) -> tuple[float, float]:
    """A little wider than the finite values, never beyond 1."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    room = 0.06 * (high - low) or 0.02
    return low - room, (min(1.0, high + room) if high <= 1 else high + room)


def _steps(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(f"{tick:.6g}") for tick in ticks if low <= tick <= high]


def _decades(low: float, high: float) -> list[float]:
    """Round numbers on a logarithmic axis: more of them where it is short."""
    digits = (1, 2, 5) if high / low > 8 else (1, 1.5, 2, 3, 4, 5, 7)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [d * 10.0**e for e in exponents for d in digits if low <= d * 10.0**e <= high]
