"""How training went, epoch by epoch, over all its phases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.reporting.canvas import (
    ACCENT,
    INK,
    MUTED,
    PALETTE,
    RULE,
    SMALL,
    NamedFigure,
    add_panel,
    name_axes,
    new_figure,
    plain,
    set_ticks,
    write,
)
from pneumoscope.reporting.words import count, format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 3.0
"""Inches; the room to the right is for the names of the lines."""


def history_figure(history: pl.DataFrame) -> NamedFigure:
    """Loss above validation AUC, against epochs counted through all phases.

    Args:
        history: a row per epoch in the order of training: phase, epoch, train_loss,
            validation_loss, validation_auc, learning_rate, best.
    """
    figure = new_figure()
    epochs = np.arange(1, history.height + 1, dtype=np.float64)
    loss = add_panel(figure, (0.55, 2.4, _WIDTH, 1.7))
    area = add_panel(figure, (0.55, 0.55, _WIDTH, 1.3))
    losses = {
        "train": (_numbers(history, "train_loss"), PALETTE[1]),
        "validation": (_numbers(history, "validation_loss"), ACCENT),
    }
    areas = _numbers(history, "validation_auc")
    _draw_lines(loss, epochs, losses)
    _draw_lines(area, epochs, {"validation": (areas, ACCENT)})
    name_axes(loss, y="Loss")
    name_axes(area, y="AUC", x="Epoch")
    best = _kept(history)
    for axes, values in ((loss, losses["validation"][0]), (area, areas)):
        _mark_phases(axes, history["phase"].cast(pl.String).to_list(), named=axes is loss)
        _mark_best(axes, epochs, values, best)
    _name_best(area, best, len(epochs))
    loss.tick_params(labelbottom=False)
    return NamedFigure("history", figure, _alt(epochs, losses["validation"][0], areas, best))


def _kept(history: pl.DataFrame) -> NDArray[np.intp]:
    """The rows whose weights each phase kept: its last one that was better than all before."""
    better = np.flatnonzero(history["best"].fill_null(value=False).to_numpy())
    last = {history["phase"][int(row)]: row for row in better}
    return np.array(sorted(last.values()), dtype=np.intp)


def _numbers(history: pl.DataFrame, name: str) -> NDArray[np.float64]:
    column = history[name].cast(pl.Float64).fill_null(float("nan"))
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _draw_lines(
    axes: Axes, epochs: NDArray[np.float64], lines: dict[str, tuple[NDArray[np.float64], str]]
) -> None:
    low, high = _range(np.concatenate([values for values, _ in lines.values()]))
    axes.set(xlim=(1, max(2, len(epochs))), ylim=(low, high))
    set_ticks(axes, x=_steps(1, len(epochs), whole=True), y=_steps(low, high))
    heights = []
    for name, (values, color) in lines.items():
        axes.plot(
            epochs, values, color=color, linewidth=1.6, linestyle="-", label=name, clip_on=False,
            marker="o" if len(epochs) < 3 else "", markersize=4, zorder=3,
        )  # fmt: skip
        known = values[np.isfinite(values)]
        if len(known):
            heights.append((float(known[-1]), name, color))
    _name_lines(axes, heights, low=low, high=high)


def _name_lines(
    axes: Axes, heights: list[tuple[float, str, str]], *, low: float, high: float
) -> None:
    """Write each line's name at its end, pushed up where it would lie on the one below."""
    lowest = -1.0
    for height, name, color in sorted(heights):
        place = max((height - low) / (high - low), lowest)
        write(axes, (1, place), name, offset=(8, 0), fraction=True, color=color, size=SMALL,
              vertical="center")  # fmt: skip
        lowest = place + 0.1


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Limits a little wider than the finite values."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    room = 0.08 * (high - low) or 0.05
    return low - room, high + room


def _steps(low: float, high: float, *, whole: bool = False) -> Sequence[float]:
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(nbins=5, integer=whole, steps=[1, 2, 5, 10]).tick_values(low, high)
    within = [float(f"{tick:.6g}") for tick in ticks if low <= tick <= high]
    return [low, *[tick for tick in within if tick > low]] if whole else within


def _mark_phases(axes: Axes, phases: Sequence[str], *, named: bool) -> None:
    starts = [i for i, phase in enumerate(phases) if i == 0 or phase != phases[i - 1]]
    for start in starts:
        if start:
            axes.axvline(start + 0.5, color=MUTED, linewidth=0.7, linestyle="-", zorder=1)
        if named:
            place = start + 0.5 if start else 1
            write(axes, (place, axes.get_ylim()[1]), plain(phases[start].replace("_", " ")),
                  offset=(4 if start else 40, 9), color=INK, size=SMALL)  # fmt: skip


def _mark_best(
    axes: Axes, epochs: NDArray[np.float64], values: NDArray[np.float64], best: NDArray[np.intp]
) -> None:
    for index in best:
        axes.axvline(epochs[index], color=RULE, linewidth=4, linestyle="-", zorder=0)
        axes.plot(
            [epochs[index]], [values[index]], marker="o", markersize=6, markerfacecolor="white",
            markeredgecolor=ACCENT, markeredgewidth=1.6, linestyle="", clip_on=False, zorder=6,
            label="best",
        )  # fmt: skip


def _name_best(axes: Axes, best: NDArray[np.intp], n_epochs: int) -> None:
    if not len(best):
        return
    epoch = int(best[-1]) + 1
    offset, align = ((-6, 6), "right") if epoch > n_epochs / 2 else ((6, 6), "left")
    place = (epoch, axes.get_ylim()[0])
    write(axes, place, f"best: epoch {epoch}", offset=offset, align=align, size=SMALL, halo=True)


def _alt(
    epochs: NDArray[np.float64],
    losses: NDArray[np.float64],
    areas: NDArray[np.float64],
    best: NDArray[np.intp],
) -> str:
    opening = f"Training over {count(len(epochs), 'epoch')}"
    if not len(best):
        return f"{opening}; no epoch is marked as the best."
    kept = best[-1]
    loss, area = (float(v) if np.isfinite(v) else None for v in (losses[kept], areas[kept]))
    return (
        f"{opening}: the weights kept are those of epoch {kept + 1}, with a validation loss of "
        f"{format_number(loss)} and a validation AUC of {format_number(area)}."
    )
