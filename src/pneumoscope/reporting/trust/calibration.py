"""Do probabilities and thresholds keep their word: reliability, operating points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.evaluation.calibration import softmax
from pneumoscope.evaluation.curves import ReliabilityBins, reliability_bins
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.reporting.canvas import (
    ACCENT,
    MUTED,
    SMALL,
    TEXT,
    NamedFigure,
    draw_diagonal,
    name_axes,
    plain,
    set_ticks,
    unit_square,
    write,
)
from pneumoscope.reporting.forest import Column, Row, Scale, fit_scale, forest, mark_of
from pneumoscope.reporting.sheet import Key, new_sheet, place_panel
from pneumoscope.reporting.trust.sections import Assessment, listed, section
from pneumoscope.reporting.words import UNDEFINED, describe, format_interval, format_number, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE, _LEFT, _RIGHT = 1.74, 0.42, 2.46
"""Inches: side of a reliability panel, and where the two begin."""
_BARS = 0.42


def reliability_before_after_figure(
    predictions: Predictions, metrics: Mapping[str, object], assessment: Assessment
) -> NamedFigure | None:
    """Accuracy against the probability of the answer, as the network says it and calibrated."""
    errors = section(assessment, "calibration")
    if not errors:
        return None
    raw = reliability_bins(softmax(predictions.logits), predictions.truth)
    calibrated = reliability_bins(predictions.probabilities, predictions.truth)
    low = 0.5 if len(predictions.labels) == 2 and _least(raw, calibrated) >= 0.5 else 0.0
    figure = new_sheet(3.98)
    sides = (("Before", "before", raw, _LEFT), ("After", "after", calibrated, _RIGHT))
    for title, key, bins, left in sides:
        error = section(errors, key).get("ece")
        _draw_reliability(figure, bins, left=left, low=low, first=key == "before")
        _write_title(figure.axes[-2], title, error)
    spoken = {name: _spoken(metrics, section(errors, name)) for name in ("before", "after")}
    alt = (
        f"Reliability diagrams: the calibration error is {spoken['before']} before and "
        f"{spoken['after']} after calibration ({plain(str(errors.get('method', 'unknown')))})."
    )
    return NamedFigure("reliability_before_after", figure, alt)


def operating_points_figure(
    predictions: Predictions, metrics: Mapping[str, object], assessment: Assessment
) -> NamedFigure | None:
    """Sensitivity and specificity that thresholds promised, above those that came of them."""
    del predictions, metrics
    points = listed(assessment, "operating_points")
    if not points:
        return None
    order = list(dict.fromkeys(str(point.get("label")) for point in points))
    points = sorted(points, key=lambda point: order.index(str(point.get("label"))))
    columns = []
    for rate in ("sensitivity", "specificity"):
        rows = [_point_row(point, rate, first=rate == "sensitivity") for point in points]
        rows = [_headed(row, points, index) for index, row in enumerate(rows)]
        columns.append(Column(rows, fit_scale(rows, Scale(name=rate.capitalize()))))
    key: Key = (("main", "seen, written out"), ("other", "promised"))
    return NamedFigure("operating_points", forest(*columns, key=key), _points_alt(points))


def name_point(name: str) -> str:
    """An operating point's name for people.

    >>> name_point("sensitivity >= 0.95"), name_point("youden")
    ('Sensitivity ≥ 0.95', 'Youden')
    """
    words = name.replace(">=", "\u2265")
    return words[:1].upper() + words[1:]


def _least(*many: ReliabilityBins) -> float:
    return min(float(bins.accuracy[bins.count > 0].min(initial=1)) for bins in many)


def _draw_reliability(
    figure: Figure, bins: ReliabilityBins, *, left: float, low: float, first: bool
) -> None:
    axes = place_panel(figure, (left, 1.38, _SIDE, _SIDE))
    unit_square(axes, low=low)
    axes.tick_params(labelbottom=False, labelleft=first)
    draw_diagonal(axes)
    filled = bins.count > 0
    confidence, accuracy = bins.confidence[filled], bins.accuracy[filled]
    axes.vlines(confidence, accuracy, confidence, color=ACCENT, linewidth=2.4, alpha=0.25)
    areas = 10 + 55 * bins.count[filled] / max(1, bins.count.max())
    axes.scatter(
        confidence, accuracy, s=areas, color=ACCENT, edgecolors="white", linewidths=0.8,
        clip_on=False, zorder=4, label="accuracy",
    )  # fmt: skip
    if first:
        name_axes(axes, y="Accuracy")
    _draw_shares(place_panel(figure, (left, 0.55, _SIDE, _BARS)), bins, low=low, first=first)


def _draw_shares(axes: Axes, bins: ReliabilityBins, *, low: float, first: bool) -> None:
    """How the images' answers are spread, so that the two panels can be compared."""
    shares = bins.count / max(1, bins.count.sum())
    widths = np.diff(bins.edges)
    axes.bar(
        bins.edges[:-1] + widths / 2, shares, width=widths * 0.86, color=ACCENT, alpha=0.55,
        linewidth=0, label="images",
    )  # fmt: skip
    axes.set(xlim=(low, 1), ylim=(0, 1))
    steps = (0.5, 0.6, 0.7, 0.8, 0.9, 1) if low else (0, 0.2, 0.4, 0.6, 0.8, 1)
    set_ticks(axes, x=steps, y=(0, 1) if first else (), grid=False)
    name_axes(axes, x="Probability of the answer", y="Share of images" if first else "")


def _write_title(axes: Axes, title: str, error: object) -> None:
    words = f"error {format_number(number(error))}"
    write(axes, (0, 1), title, fraction=True, offset=(0, 45), size=TEXT + 1, bold=True)
    write(axes, (1, 1), words, fraction=True, offset=(0, 45), color=ACCENT, bold=True,
          align="right")  # fmt: skip
    interval = format_interval(error)
    if interval:
        write(axes, (1, 1), interval, fraction=True, offset=(0, 31), color=MUTED, size=SMALL,
              align="right")  # fmt: skip


def _spoken(metrics: Mapping[str, object], errors: Mapping[str, Any]) -> str:
    level = metrics.get("confidence_level")
    return describe({"ece": errors.get("ece"), "confidence_level": level}, "ece")


def _point_row(point: Mapping[str, Any], rate: str, *, first: bool) -> Row:
    seen = section(section(point, "seen"), rate)
    promised = section(section(point, "promised"), rate)
    name = name_point(str(point.get("name", "")))
    return Row(
        name=name if first else "",
        marks=(mark_of(seen), mark_of(promised, style="other")),
        words=format_number(number(seen)),
    )


def _headed(row: Row, points: list[Mapping[str, Any]], index: int) -> Row:
    label = str(points[index].get("label"))
    if index and label == str(points[index - 1].get("label")):
        return row
    return Row(name=row.name, marks=row.marks, words=row.words, heading=label)


def _points_alt(points: list[Mapping[str, Any]]) -> str:
    parts = []
    for point in points:
        seen, promised = section(point, "seen"), section(point, "promised")
        rates = " and ".join(
            f"{rate} {_plainly(seen, rate)} where {_plainly(promised, rate)} was promised"
            for rate in ("sensitivity", "specificity")
        )
        parts.append(f"{name_point(str(point.get('name')))} for {point.get('label')}: {rates}")
    return f"Operating points on these images. {'; '.join(parts)}."


def _plainly(rates: Mapping[str, Any], rate: str) -> str:
    value = number(rates.get(rate))
    return UNDEFINED if value is None else format_number(value)
