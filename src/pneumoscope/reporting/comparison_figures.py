"""Several runs in one picture: differences with their intervals, ROC curves, training curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.evaluation.comparison import LOWER_IS_BETTER, Comparison
from pneumoscope.evaluation.curves import roc_curve
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.resampling import finite
from pneumoscope.reporting.canvas import (
    INK,
    MUTED,
    RULE,
    SMALL,
    NamedFigure,
    draw_diagonal,
    name_axes,
    plain,
    set_ticks,
    stroke,
    unit_square,
    write,
)
from pneumoscope.reporting.forest import MOST_ROWS, Column, Mark, Row, Scale, forest
from pneumoscope.reporting.sheet import new_sheet, place_panel
from pneumoscope.reporting.words import count, format_number, name_metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KEY_ROW = 0.22
"""Inches that a run in the key takes."""
_CROWDED = 0.95
"""Least AUC from which all curves lie in one corner, that is then drawn again, larger."""
_LONGEST = 44


def forest_figure(metric: str, comparisons: Sequence[Comparison]) -> NamedFigure:
    """The differences of a metric, a row per pair: filled where one is better, hollow where not.

    Args:
        metric: of all the comparisons.
        comparisons: first less second each; the first `MOST_ROWS` are drawn.
    """
    rows = [_row(one) for one in comparisons]
    low, high, step = _reach(comparisons[:MOST_ROWS])
    scale = Scale(
        name=_right_side(metric, comparisons), low=low, high=high, step=step,
        line=0.0, line_name="no difference",
    )  # fmt: skip
    found = " ".join(f"{comparison.words()}." for comparison in comparisons[:MOST_ROWS])
    alt = f"Differences in {name_metric(metric)}. {found}"
    return NamedFigure("forest", forest(Column(rows, scale)), alt)


def overlaid_roc_figure(
    predictions: Mapping[str, Predictions], label: str, areas: Mapping[str, float | None]
) -> NamedFigure:
    """The ROC curve of each run for one label against all others, nearest the corner first.

    Args:
        predictions: by name of the run, for the same images.
        label: of the label set.
        areas: under each curve, by name of the run; None where not defined.
    """
    height = 4.6 + _KEY_ROW * len(predictions)
    figure = new_sheet(height)
    axes = place_panel(figure, (0.45, height - 4.05, 3.7, 3.7))
    unit_square(axes)
    name_axes(axes, x="1 \u2212 specificity", y="Sensitivity")
    draw_diagonal(axes)
    known = [area for area in areas.values() if area is not None]
    crowded = len(known) == len(areas) and min(known) >= _CROWDED
    corner = _corner(figure, height, 1 - min(known)) if crowded else None
    for panel in (axes, corner):
        if panel is not None:
            _draw_curves(panel, predictions, label, clip=panel is corner)
    order = sorted(enumerate(areas.items()), key=lambda item: -(item[1][1] or 0))
    key = [(index, f"{format_number(area)}  {name}") for index, (name, area) in order]
    _write_key(figure, key)
    found = ", ".join(f"{name} {format_number(area)}" for name, area in areas.items())
    alt = f"ROC curves for {label}, a curve per run; areas under them: {found}."
    return NamedFigure("roc", figure, alt)


def overlaid_history_figure(
    histories: Mapping[str, pl.DataFrame], places: Mapping[str, int]
) -> NamedFigure:
    """Validation loss above validation AUC, epoch by epoch, a line per run that was trained.

    Args:
        histories: a row per epoch in the order of training: phase, validation_loss,
            validation_auc, best.
        places: of each run among all runs, which gives it its colour.
    """
    height = 4.5 + _KEY_ROW * len(histories)
    figure = new_sheet(height)
    panels = {
        "validation_loss": place_panel(figure, (0.55, height - 2.15, 3.6, 1.75)),
        "validation_auc": place_panel(figure, (0.55, height - 3.85, 3.6, 1.3)),
    }
    epochs = max(history.height for history in histories.values())
    for column, axes in panels.items():
        values = np.concatenate([_numbers(history, column) for history in histories.values()])
        low, high = _range(values)
        axes.set(xlim=(1, max(2, epochs)), ylim=(low, high))
        set_ticks(axes, x=_ticks(1, max(2, epochs), whole=True), y=_ticks(low, high))
        for name, history in histories.items():
            _draw_history(axes, history, column, places[name])
    panels["validation_loss"].tick_params(labelbottom=False)
    name_axes(panels["validation_loss"], y="Validation loss")
    name_axes(panels["validation_auc"], y="Validation AUC", x="Epoch")
    key = [(places[name], f"{plain(name)}, {_kept_words(one)}") for name, one in histories.items()]
    _write_key(figure, key)
    alt = f"Training of {count(len(histories), 'run')}: {'; '.join(words for _, words in key)}."
    return NamedFigure("history", figure, alt)


def _row(comparison: Comparison) -> Row:
    gap = comparison.difference
    value, low, high = (finite(number) for number in (gap.value, gap.low, gap.high))
    mark = Mark(value, low, high, "main" if comparison.verdict == "better" else "weak")
    first, second = (plain(name, longest=21) for name in (comparison.first, comparison.second))
    return Row(name=f"{first} \u2212 {second}", marks=(mark,), words=format_number(value))


def _right_side(metric: str, comparisons: Sequence[Comparison]) -> str:
    """What a difference above zero means."""
    lower = metric.partition(":")[0] in LOWER_IS_BETTER
    if len(comparisons) > 1:
        return f"the {'second' if lower else 'first'} of a pair is better \u2192"
    one = comparisons[0]
    return f"{plain(one.second if lower else one.first)} is better \u2192"


def _reach(comparisons: Sequence[Comparison]) -> tuple[float, float, float]:
    """Ends of the axis, which holds zero and every interval, and the step of its ticks."""
    from matplotlib.ticker import MaxNLocator

    ends = [
        end
        for one in comparisons
        for end in (one.difference.low, one.difference.value, one.difference.high)
        if math.isfinite(end)
    ]
    room = 0.05 * (max([0.0, *ends]) - min([0.0, *ends])) or 0.01
    low, high = min([0.0, *ends]) - room, max([0.0, *ends]) + room
    ticks = MaxNLocator(nbins=4, steps=[1, 2, 5, 10]).tick_values(low, high)
    # Rounded, or zero is met from below and written -0.
    start, following, *_, end = (float(tick) for tick in ticks)
    return round(start, 9), round(end, 9), round(following - start, 9)


def _draw_curves(
    axes: Axes, predictions: Mapping[str, Predictions], label: str, *, clip: bool
) -> None:
    for index, (name, model) in enumerate(predictions.items()):
        place = model.labels.index(label)
        curve = roc_curve(model.truth == place, model.probabilities[:, place])
        color, pattern = stroke(index)
        axes.plot(
            curve.false_positive_rate, curve.true_positive_rate, color=color, linestyle=pattern,
            linewidth=1.6, marker="", clip_on=clip, zorder=4, label=name,
        )  # fmt: skip


def _corner(figure: Figure, height: float, missing: float) -> Axes:
    """A second panel for the corner that all curves pass, in the empty part of the first."""
    reach = 0.1 if missing < 0.03 else 0.2
    axes = place_panel(figure, (1.95, height - 3.2, 2.05, 2.05))
    axes.set(xlim=(0, reach), ylim=(1 - reach, 1))
    set_ticks(axes, x=[0, reach / 2, reach], y=[round(1 - part * reach, 3) for part in (1, 0.5, 0)])
    for spine in axes.spines.values():
        spine.set(visible=True, color=RULE, linewidth=1)
    write(axes, (0, 1), "the upper left corner, enlarged", offset=(0, 5), fraction=True,
          color=MUTED, size=SMALL, halo=True)  # fmt: skip
    return axes


def _draw_history(axes: Axes, history: pl.DataFrame, column: str, place: int) -> None:
    color, pattern = stroke(place)
    epochs, values = np.arange(1, history.height + 1), _numbers(history, column)
    axes.plot(
        epochs, values, color=color, linestyle=pattern, linewidth=1.6, clip_on=False, zorder=3,
        marker="o" if len(epochs) < 3 else "", markersize=4,
    )  # fmt: skip
    kept = _kept(history)
    if kept is not None:
        axes.plot(
            [epochs[kept]], [values[kept]], marker="o", markersize=6, markerfacecolor="white",
            markeredgecolor=color, markeredgewidth=1.6, linestyle="", clip_on=False, zorder=6,
        )  # fmt: skip


def _kept(history: pl.DataFrame) -> int | None:
    """The row whose weights were kept: the last one that was better than all before."""
    better = np.flatnonzero(history["best"].fill_null(value=False).to_numpy())
    return int(better[-1]) if len(better) else None


def _kept_words(history: pl.DataFrame) -> str:
    kept = _kept(history)
    return count(history.height, "epoch") if kept is None else f"best at epoch {kept + 1}"


def _numbers(history: pl.DataFrame, name: str) -> NDArray[np.float64]:
    column = history[name].cast(pl.Float64).fill_null(float("nan"))
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    room = 0.08 * (high - low) or 0.05
    return low - room, high + room


def _ticks(low: float, high: float, *, whole: bool = False) -> Sequence[float]:
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(nbins=5, integer=whole, steps=[1, 2, 5, 10]).tick_values(low, high)
    within = [float(f"{tick:.6g}") for tick in ticks if low <= tick <= high]
    return [low, *[tick for tick in within if tick > low]] if whole else within


def _write_key(figure: Figure, entries: Sequence[tuple[int, str]]) -> None:
    """A key below all panels: a short stroke and its words for each entry."""
    axes = place_panel(figure, (0.45, 0.05, 3.7, _KEY_ROW * len(entries)))
    axes.set(xlim=(0, 3.7), ylim=(len(entries), 0))
    axes.patch.set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    for row, (index, words) in enumerate(entries):
        color, pattern = stroke(index)
        axes.plot([0, 0.3], [row + 0.5] * 2, color=color, linestyle=pattern, linewidth=1.8)
        write(axes, (0.42, row + 0.5), plain(words, longest=_LONGEST), color=INK, size=SMALL,
              vertical="center")  # fmt: skip
