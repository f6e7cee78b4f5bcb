"""How well the probabilities separate the labels: ROC and precision against recall.

Two labels give one curve, of the second label in the label set; more give one curve each, against
all the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.core.types import FloatArray
from pneumoscope.evaluation.curves import precision_recall_curve, roc_curve
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.reporting.canvas import (
    ACCENT,
    MUTED,
    NamedFigure,
    add_panel,
    draw_diagonal,
    name_axes,
    new_figure,
    plain,
    stroke,
    unit_square,
    write,
    write_key,
    write_result,
)
from pneumoscope.reporting.words import describe, format_interval, format_number, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Metrics = Mapping[str, object]

_BOX = (0.45, 0.55, 3.7, 3.7)


def roc_figure(predictions: Predictions, metrics: Metrics) -> NamedFigure:
    """Sensitivity against 1 - specificity, with the operating point where labels are two."""
    figure = new_figure()
    axes = add_panel(figure, _BOX)
    unit_square(axes)
    name_axes(axes, x="1 \u2212 specificity", y="Sensitivity")
    draw_diagonal(axes)
    areas = {}
    for index in _drawn(predictions):
        label = predictions.labels[index]
        curve = roc_curve(predictions.truth == index, predictions.probabilities[:, index])
        _draw(axes, predictions, index, (curve.false_positive_rate, curve.true_positive_rate))
        areas[index] = number(metrics.get(f"auc:{label}"))
    if len(areas) > 1:
        write_key(axes, _key(predictions, areas))
        return NamedFigure("roc", figure, _many_alt("ROC", "AUC", predictions, areas))
    label = predictions.labels[1]
    interval = format_interval(metrics.get(f"auc:{label}"))
    write_result(axes, f"AUC {format_number(areas[1])}", interval, label)
    _mark_operating_point(axes, metrics, label)
    alt = (
        f"ROC curve of {label}: area under the curve {describe(metrics, f'auc:{label}')}; at the "
        f"more probable label, sensitivity {describe(metrics, f'sensitivity:{label}')} and "
        f"specificity {describe(metrics, f'specificity:{label}')}."
    )
    return NamedFigure("roc", figure, alt)


def precision_recall_figure(predictions: Predictions, metrics: Metrics) -> NamedFigure:
    """Precision against sensitivity, with the prevalence where labels are two."""
    del metrics  # one average precision per label is not in there; the drawn area says it
    figure = new_figure()
    axes = add_panel(figure, _BOX)
    unit_square(axes)
    name_axes(axes, x="Sensitivity (recall)", y="Precision")
    areas = {}
    for index in _drawn(predictions):
        curve = precision_recall_curve(
            predictions.truth == index, predictions.probabilities[:, index]
        )
        _draw(axes, predictions, index, (curve.recall, curve.precision), steps=True)
        areas[index] = _step_area(curve.recall, curve.precision)
    if len(areas) > 1:
        write_key(axes, _key(predictions, areas), corner="left")
        alt = _many_alt("Precision-recall", "average precision", predictions, areas)
        return NamedFigure("precision_recall", figure, alt)
    prevalence, label = float(np.mean(predictions.truth == 1)), predictions.labels[1]
    _draw_prevalence(axes, prevalence)
    # The words keep clear of the line of a rare label.
    height = prevalence + 0.08 if prevalence < 0.25 else 0.06
    area = format_number(areas[1])
    write_result(axes, f"Average precision {area}", "", label, height=height)
    alt = (
        f"Precision-recall curve of {label}: average precision {area}; "
        f"chance would give its prevalence, {format_number(prevalence)}."
    )
    return NamedFigure("precision_recall", figure, alt)


def _drawn(predictions: Predictions) -> tuple[int, ...]:
    n_labels = len(predictions.labels)
    return (1,) if n_labels == 2 else tuple(range(n_labels))


def _draw(
    axes: Axes,
    predictions: Predictions,
    index: int,
    points: tuple[FloatArray, FloatArray],
    *,
    steps: bool = False,
) -> None:
    """Draw one curve; with `steps`, precision between two points is that of the later one."""
    many = len(predictions.labels) > 2
    color, pattern = stroke(index) if many else (ACCENT, "-")
    axes.plot(
        *points, color=color, linestyle=pattern, linewidth=1.4 if many else 1.9, marker="",
        drawstyle="steps-pre" if steps else "default", clip_on=False, zorder=4,
        label=predictions.labels[index],
    )  # fmt: skip


def _step_area(recall: FloatArray, precision: FloatArray) -> float | None:
    """Average precision: the area under the drawn steps, None where recall is not defined."""
    area = float(np.sum(np.diff(recall) * precision[1:]))
    return area if np.isfinite(area) else None


def _key(predictions: Predictions, areas: Mapping[int, float | None]) -> list[tuple[int, str]]:
    """Entries of the key, best first, so that its order is that of the curves."""
    order = sorted(areas, key=lambda index: -1.0 if (area := areas[index]) is None else -area)
    order = sorted(order, key=lambda index: areas[index] is None)
    return [(index, f"{_short(areas[index])}\u00a0\u00a0{plain(predictions.labels[index])}")
            for index in order]  # fmt: skip


def _short(area: float | None) -> str:
    return " n/d " if area is None else format_number(area)


def _many_alt(
    kind: str, measure: str, predictions: Predictions, areas: Mapping[int, float | None]
) -> str:
    defined = {index: area for index, area in areas.items() if area is not None}
    opening = f"{kind} curves of {len(areas)} labels, each against all the others"
    if not defined:
        return f"{opening}: none is defined, as the images have one label only."
    best, worst = max(defined, key=defined.__getitem__), min(defined, key=defined.__getitem__)
    return (
        f"{opening}: {measure} from {format_number(defined[worst])} "
        f"({predictions.labels[worst]}) to {format_number(defined[best])} "
        f"({predictions.labels[best]})."
    )


def _mark_operating_point(axes: Axes, metrics: Metrics, label: str) -> None:
    sensitivity = number(metrics.get(f"sensitivity:{label}"))
    specificity = number(metrics.get(f"specificity:{label}"))
    if sensitivity is None or specificity is None:
        return
    x = 1 - specificity
    axes.plot(
        [x], [sensitivity], marker="o", markersize=7, markerfacecolor="white",
        markeredgecolor=ACCENT, markeredgewidth=1.6, linestyle="", clip_on=False, zorder=6,
        label="operating point",
    )  # fmt: skip
    side, align = (12, "left") if x < 0.5 else (-12, "right")
    words = (f"sensitivity {sensitivity:.3f}", f"specificity {specificity:.3f}")
    for line, text in enumerate(words):
        write(axes, (x, sensitivity), text, offset=(side, -12 - 13 * line), align=align, halo=True)


def _draw_prevalence(axes: Axes, prevalence: float) -> None:
    axes.plot(
        [0, 1], [prevalence, prevalence], color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)),
        marker="", label="prevalence",
    )  # fmt: skip
    words = f"prevalence {prevalence:.3f}"
    write(axes, (0.02, prevalence), words, offset=(0, 4), color=MUTED, halo=True)
