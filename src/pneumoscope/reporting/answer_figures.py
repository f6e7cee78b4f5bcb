"""What the answers are worth: how far to trust a probability, and which labels are confused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.core.types import IntArray
from pneumoscope.evaluation.curves import ReliabilityBins, confusion_matrix, reliability_bins
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.reporting.canvas import (
    ACCENT,
    FONT,
    INK,
    SMALL,
    TEXT,
    NamedFigure,
    add_panel,
    draw_diagonal,
    name_axes,
    new_figure,
    plain,
    set_ticks,
    unit_square,
    write,
    write_result,
)
from pneumoscope.reporting.words import (
    count,
    describe,
    format_interval,
    format_number,
    group_digits,
    number,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

Metrics = Mapping[str, object]

_RIGHT, _TOP = 4.15, 4.25
"""Inches: where the confusion matrix ends."""
_LETTER = 0.6 * SMALL / 72
"""Inches that a letter takes at most on average: DejaVu Sans, 0.6 em."""


def reliability_figure(predictions: Predictions, metrics: Metrics) -> NamedFigure:
    """Accuracy against the probability of the answer, above how many images have it."""
    bins = reliability_bins(predictions.probabilities, predictions.truth)
    filled = bins.count > 0
    confidence, accuracy = bins.confidence[filled], bins.accuracy[filled]
    # With two labels no answer has less than 0.5; the room below is given to the data.
    low = 0.5 if len(predictions.labels) == 2 and accuracy.min(initial=1) >= 0.5 else 0.0
    figure = new_figure()
    axes = add_panel(figure, (0.45, 1.55, 3.7, 2.7))
    unit_square(axes, low=low)
    axes.tick_params(labelbottom=False)
    name_axes(axes, y="Accuracy")
    draw_diagonal(axes)
    axes.vlines(confidence, accuracy, confidence, color=ACCENT, linewidth=3, alpha=0.25)
    # Areas by number of images: what each bin weighs in the error.
    areas = 14 + 90 * bins.count[filled] / max(1, bins.count.max())
    axes.scatter(
        confidence, accuracy, s=areas, color=ACCENT, edgecolors="white", linewidths=0.8,
        clip_on=False, zorder=4, label="accuracy",
    )  # fmt: skip
    error = metrics.get("ece")
    words = f"Calibration error {format_number(number(error))}"
    write_result(axes, words, format_interval(error), "")
    _draw_counts(add_panel(figure, (0.45, 0.55, 3.7, 0.62)), bins, low)
    alt = (
        f"Reliability diagram: expected calibration error {describe(metrics, 'ece')}; on the "
        "diagonal, the probability of an answer is how often it is right."
    )
    return NamedFigure("reliability", figure, alt)


def confusion_figure(predictions: Predictions, metrics: Metrics) -> NamedFigure:
    """Images by true and predicted label, each as count and percentage of its row."""
    matrix = confusion_matrix(predictions)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    n_labels = len(predictions.labels)
    rows, columns = _cell_names(predictions.labels)
    left = max(0.7, 0.2 + max(len(name) for name in rows) * _LETTER)
    side = _RIGHT - left
    figure = new_figure()
    axes = add_panel(figure, (left, _TOP - side, side, side))
    axes.pcolormesh(
        shares, cmap=_tints(), vmin=0, vmax=1, edgecolors="white", linewidth=2, shading="flat"
    )
    axes.set(xlim=(0, n_labels), ylim=(n_labels, 0))
    _name_cells(axes, rows, columns)
    for row, column in np.ndindex(matrix.shape):
        share = float(shares[row, column])
        _write_cell(axes, (row, column), int(matrix[row, column]), share, side * 72 / n_labels)
    mistakes = _commonest_mistake(predictions.labels, matrix)
    alt = f"Confusion matrix: accuracy {describe(metrics, 'accuracy')}; {mistakes}."
    return NamedFigure("confusion", figure, alt)


def _draw_counts(axes: Axes, bins: ReliabilityBins, low: float) -> None:
    tallest = int(bins.count.max(initial=1))
    widths = np.diff(bins.edges)
    axes.bar(
        bins.edges[:-1] + widths / 2, bins.count, width=widths * 0.86, color=ACCENT, alpha=0.55,
        linewidth=0, label="images",
    )  # fmt: skip
    axes.set(xlim=(low, 1), ylim=(0, tallest))
    set_ticks(axes, x=[tick for tick in (0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
                       if tick >= low and (low or round(tick * 10) % 2 == 0)],
              y=(0, tallest), grid=False)  # fmt: skip
    name_axes(axes, x="Probability of the answer", y="Images")


def _tints() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("accent", ["#F3F6F8", ACCENT])


def _cell_names(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of rows and of columns; columns too narrow for a name are numbered instead."""
    columns = [plain(label, longest=16) for label in labels]
    widest = max(len(name) for name in columns) * _LETTER
    if widest < (_RIGHT - 0.2 - widest) / len(labels):
        return columns, columns
    numbers = [str(index + 1) for index in range(len(labels))]
    rows = [plain(label, longest=20) for label in labels]
    return [f"{name}\u00a0\u00a0{n}" for name, n in zip(rows, numbers, strict=True)], numbers


def _name_cells(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    places = np.arange(len(rows)) + 0.5
    axes.set_yticks(places, labels=rows, parse_math=False)
    axes.set_xticks(places, labels=columns, parse_math=False)
    axes.tick_params(labelcolor=INK, labelfontfamily=FONT)
    name_axes(axes, x="Predicted label, in columns", y="True label, in rows")


def _write_cell(
    axes: Axes, place: tuple[int, int], images: int, share: float, width: float
) -> None:
    """Write the count, and the percentage where a cell of `width` points has the room."""
    color = "white" if share > 0.55 else INK
    middle = (place[1] + 0.5, place[0] + 0.5)
    if width < 36:
        if images:
            write(axes, middle, group_digits(images), color=color, size=min(SMALL, 0.36 * width),
                  align="center", vertical="center")  # fmt: skip
        return
    write(axes, middle, group_digits(images), color=color, size=min(17, 0.26 * width),
          align="center", offset=(0, 1), bold=True)  # fmt: skip
    write(axes, middle, f"{100 * share:.1f}%", color=color, align="center", vertical="top",
          offset=(0, -5), size=min(TEXT, 0.2 * width))  # fmt: skip


def _commonest_mistake(labels: Sequence[str], matrix: IntArray) -> str:
    mistakes = matrix.copy()
    np.fill_diagonal(mistakes, 0)
    if not mistakes.any():
        return "no image was given a wrong label"
    row, column = divmod(int(mistakes.argmax()), len(labels))
    amount = count(int(mistakes[row, column]), "image")
    return f"the commonest mistake is {labels[row]} taken for {labels[column]}, {amount}"
