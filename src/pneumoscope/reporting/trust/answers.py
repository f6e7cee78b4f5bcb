"""What answering is worth: abstention, net benefit, and label sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.reporting.canvas import (
    ACCENT,
    MUTED,
    SMALL,
    NamedFigure,
    name_axes,
    new_figure,
    set_ticks,
    write,
)
from pneumoscope.reporting.forest import Column, Row, Scale, fit_scale, forest, mark_of
from pneumoscope.reporting.sheet import (
    Style,
    draw_key,
    draw_line,
    draw_mark,
    fit_text,
    key_height,
    new_sheet,
    page,
    place_panel,
)
from pneumoscope.reporting.trust.sections import Assessment, listed, section
from pneumoscope.reporting.words import count, describe, format_interval, format_number, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CURVES: tuple[tuple[Style, str, str], ...] = (
    ("line", "model", "model"),
    ("dashes", "treat_all", "treat all"),
    ("dots", "treat_none", "treat none"),
)


def risk_coverage_figure(
    predictions: Predictions, metrics: Mapping[str, object], assessment: Assessment
) -> NamedFigure | None:
    """The share of wrong answers when only the surest images are answered."""
    del predictions
    curve = section(assessment, "selective")
    coverage, risk, low, high = (
        _numbers(curve.get(name)) for name in ("coverage", "risk", "low", "high")
    )
    if not len(coverage) or not np.isfinite(risk).any():
        return None
    limit = number(section(curve, "threshold"), "wanted_risk")
    figure = new_figure()
    axes = place_panel(figure, (0.55, 0.55, 3.6, 3.55))
    _set_risk_axes(axes, coverage, risk, high, limit)
    axes.fill_between(coverage, low, high, color=ACCENT, alpha=0.18, linewidth=0, label="band")
    draw_line(axes, "line", coverage, risk, clip=True)
    if limit is not None:
        axes.axhline(limit, color=MUTED, linewidth=1.1, linestyle=(0, (2, 3)), label="wanted")
        # The curve ends at the right, mostly above the line: the words go where it is not.
        below = float(risk[-1]) > limit > 0.07 * axes.get_ylim()[1]
        write(axes, (0.98, limit), f"wanted {limit:g}", offset=(0, -12 if below else 4),
              color=MUTED, size=SMALL, align="right", halo=True)  # fmt: skip
    _write_area(axes, curve.get("area"))
    seen = section(curve, "seen")
    answered, wrong = number(seen.get("coverage")), number(seen.get("risk"))
    alt = (
        f"Risk against coverage: {format_number(float(risk[-1]))} of the answers are wrong when "
        f"every image is answered; area under the curve {_described(metrics, curve, 'area')}"
    )
    if answered is not None and wrong is not None:
        draw_mark(axes, "weak", answered, wrong, label="threshold")
        alt += (
            f"; the threshold answers {format_number(answered)} of the images, "
            f"{format_number(wrong)} of them wrongly"
        )
    return NamedFigure("risk_coverage", figure, f"{alt}.")


def decision_curve_figure(
    predictions: Predictions, metrics: Mapping[str, object], assessment: Assessment
) -> NamedFigure | None:
    """Net benefit of acting on the model's answers, on every image and on none."""
    del predictions, metrics
    curves = listed(assessment, "decision_curves")
    if not curves:
        return None
    many = len(curves) > 1
    side, height = (1.72, 1.5) if many else (3.6, 3.2)
    pitch = height + 0.95
    rows = -(-len(curves) // 2) if many else 1
    key = tuple((style, words) for style, _, words in _CURVES)
    head = key_height(key) + 0.2
    figure = new_sheet(head + rows * pitch + 0.1)
    for index, curve in enumerate(curves):
        left = 0.5 + (index % 2) * (side + 0.38)
        bottom = 0.1 + (rows - 1 - index // 2) * pitch + 0.48
        axes = place_panel(figure, (left, bottom, side, height))
        _draw_benefit(axes, curve, width=side, many=many)
    draw_key(page(figure), key, top=head + rows * pitch)
    alt = "; ".join(_useful_words(curve) for curve in curves)
    return NamedFigure("decision_curve", figure, f"Decision curves. {alt}.")


def coverage_figure(
    predictions: Predictions, metrics: Mapping[str, object], assessment: Assessment
) -> NamedFigure | None:
    """How often label sets hold the true label, and how many labels they have, part by part."""
    del metrics
    sets = section(assessment, "label_sets")
    parts = listed(sets, "coverage")
    level = number(sets, "confidence_level")
    if not parts:
        return None
    covered, sizes = [], []
    for group, members in groupby(parts, key=lambda part: str(part.get("group"))):
        for index, part in enumerate(members):
            heading = "" if index else _group_words(group)
            coverage, size = section(part, "coverage"), section(part, "size")
            name = "All images" if group == "all" else str(part.get("value"))
            covered.append(
                Row(name=name, marks=(mark_of(coverage),), heading=heading,
                    words=format_number(number(coverage)))
            )  # fmt: skip
            sizes.append(Row(name="", marks=(mark_of(size),), words=_two_decimals(number(size))))
    asked = "" if level is None else f"requested {level:g}"
    shares = fit_scale(covered, Scale(name="Coverage", line=level, line_name=asked))
    most = len(predictions.labels)
    lengths = Scale(name="Labels in a set", high=most, step=1 if most < 6 else -(-most // 4))
    figure = forest(Column(covered, shares, 1.75), Column(sizes, lengths))
    return NamedFigure("coverage", figure, _coverage_alt(parts, level))


def _numbers(values: object) -> NDArray[np.float64]:
    """A list of numbers, nan for None."""
    listed_values = values if isinstance(values, (list, tuple)) else []
    return np.array([np.nan if one is None else float(one) for one in listed_values])


def _set_risk_axes(
    axes: Axes,
    coverage: NDArray[np.float64],
    risk: NDArray[np.float64],
    high: NDArray[np.float64],
    limit: float | None,
) -> None:
    """Room for the curve; the band of the first few answers, always wide, may leave it."""
    settled = high[(coverage >= 0.1) & np.isfinite(high)]
    top = max(float(np.nanmax(risk)), float(settled.max(initial=0)), 1.2 * (limit or 0), 0.01)
    step = next(s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if top / s <= 5 or s == 0.2)
    # A third more than needed, for the words above the curve.
    steps = int(np.ceil(1.3 * top / step))
    axes.set(xlim=(0, 1), ylim=(0, steps * step))
    ticks = [round(step * index, 6) for index in range(steps + 1)]
    set_ticks(axes, x=(0, 0.2, 0.4, 0.6, 0.8, 1), y=ticks)
    name_axes(axes, x="Share of images answered", y="Share of the answers that are wrong")


def _write_area(axes: Axes, area: object) -> None:
    lines = [(f"Area {format_number(number(area))}", ACCENT, True)]
    interval = format_interval(area)
    if interval:
        lines.append((interval, MUTED, False))
    for row, (words, color, bold) in enumerate(lines):
        write(axes, (0.03, 0.94), words, fraction=True, offset=(0, -14 * row), color=color,
              bold=bold, halo=True)  # fmt: skip


def _described(metrics: Mapping[str, object], entries: Mapping[str, Any], key: str) -> str:
    level = metrics.get("confidence_level")
    return describe({key: entries.get(key), "confidence_level": level}, key)


def _draw_benefit(axes: Axes, curve: Mapping[str, Any], *, width: float, many: bool) -> None:
    at = _numbers(curve.get("thresholds"))
    bands = {name: section(curve, name) for _, name, _ in _CURVES}
    values = {name: _numbers(band.get("value")) for name, band in bands.items()}
    model = bands["model"]
    low, high = _numbers(model.get("low")), _numbers(model.get("high"))
    best = [float(np.nanmax(part)) for part in (high, *values.values()) if np.isfinite(part).any()]
    top = max([*best, 0.02])
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2) if top / s <= (4 if many else 6) or s > 0.1)
    upper = float(np.ceil(top / step)) * step
    # Acting on all images loses without end as the threshold rises; the loss needs no picture.
    axes.set(xlim=(0, 1), ylim=(-0.16 * upper, upper))
    ticks = [round(step * index, 6) for index in range(round(upper / step) + 1)]
    set_ticks(axes, x=(0, 0.25, 0.5, 0.75, 1) if many else (0, 0.2, 0.4, 0.6, 0.8, 1), y=ticks)
    if len(low) == len(at):
        axes.fill_between(at, low, high, color=ACCENT, alpha=0.18, linewidth=0, label="band")
    for style, name, _ in _CURVES:
        if len(values[name]) == len(at):
            draw_line(axes, style, at, values[name], clip=True)
    title = fit_text(str(curve.get("label")), width, bold=True)
    write(axes, (0, 1), title, fraction=True, offset=(0, 22), bold=True, size=SMALL)
    given = number(curve, "given")
    at_which = "" if given is None else f" at prevalence {given:g}"
    name_axes(axes, x=f"Threshold probability{at_which}", y="Net benefit")


def _useful_words(curve: Mapping[str, Any]) -> str:
    label, useful = curve.get("label"), curve.get("useful")
    thresholds = curve.get("thresholds")
    if not isinstance(useful, list) or not isinstance(thresholds, list):
        return f"{label}: not compared"
    given = number(curve, "given")
    if given is not None:
        label = f"{label} at a prevalence of {format_number(given)}"
    better = [at for at, good in zip(thresholds, useful, strict=True) if good]
    if not better:
        return f"{label}: at no threshold is the model surely better than treating all or none"
    return (
        f"{label}: the model is surely better than treating all or none at "
        f"{count(len(better), 'threshold')} of {len(thresholds)}, "
        f"from {better[0]:g} to {better[-1]:g}"
    )


def _group_words(group: str) -> str:
    return {"all": "", "label": "By true label"}.get(group, f"By {group.replace('_', ' ')}")


def _two_decimals(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _coverage_alt(parts: Sequence[Mapping[str, Any]], level: float | None) -> str:
    asked = "" if level is None else f" where {level:g} was requested"
    words = [
        f"{part.get('value')} {format_number(number(part.get('coverage')))} with "
        f"{_two_decimals(number(part.get('size'))) or 'an unknown number of'} labels"
        for part in parts
        if part.get("group") in {"all", "label"}
    ]
    return f"Coverage of label sets{asked}, by true label: {', '.join(words)}."
