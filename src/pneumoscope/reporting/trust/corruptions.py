"""What images of lesser quality cost: a table whose tint is the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.reporting.canvas import MUTED, SMALL, TEXT, NamedFigure, write
from pneumoscope.reporting.sheet import INNER, MARGIN, fit_text, new_sheet, page, text_width
from pneumoscope.reporting.trust.sections import Assessment, listed
from pneumoscope.reporting.words import UNDEFINED, format_number, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW, _HEAD, _FOOT = 0.42, 0.72, 0.36
_DEEPEST = 0.2
"""Loss of AUC with the darkest tint, at least."""
_SURE = "\u25cf"


def corruptions_figure(
    predictions: Predictions, metrics: Mapping[str, object], assessment: Assessment
) -> NamedFigure | None:
    """AUC by kind and severity of corruption, and how far that is from unchanged."""
    del predictions, metrics
    cells = {
        (str(one.get("kind")), int(one.get("severity") or 0)): one
        for one in listed(assessment, "corruptions")
    }
    if not cells:
        return None
    kinds = list(dict.fromkeys(kind for kind, _ in cells))
    severities = sorted({severity for _, severity in cells})
    names = {kind: fit_text(name_corruption(kind), 1.25, size=TEXT) for kind in kinds}
    left = MARGIN + max(text_width(name, size=TEXT) for name in names.values()) + 0.12
    width = (MARGIN + INNER - left) / len(severities)
    figure = new_sheet(_HEAD + _ROW * len(kinds) + _FOOT)
    paper = page(figure)
    _write_frame(paper, _unchanged(cells), severities, left=left, width=width)
    deepest = max(_DEEPEST, *(_drop(one) or 0 for one in cells.values()))
    for row, kind in enumerate(kinds):
        bottom = _FOOT + (len(kinds) - row - 1) * _ROW
        write(paper, (MARGIN, bottom + _ROW / 2), names[kind], vertical="center")
        for column, severity in enumerate(severities):
            if (kind, severity) in cells:
                box = (left + column * width, bottom, width, _ROW)
                _draw_cell(paper, cells[kind, severity], box, deepest)
    return NamedFigure("corruptions", figure, _alt(cells))


def name_corruption(kind: str) -> str:
    """A corruption's name for people.

    >>> name_corruption("jpeg"), name_corruption("marker_added")
    ('JPEG', 'Marker added')
    """
    return "JPEG" if kind == "jpeg" else kind.replace("_", " ").capitalize()


def _write_frame(
    paper: Axes, unchanged: float | None, severities: Sequence[int], *, left: float, width: float
) -> None:
    """Write what the table starts from above it, the severities, and what the dot says below."""
    top = paper.get_ylim()[1]
    words = f"AUC of the unchanged image: {format_number(unchanged)}"
    write(paper, (MARGIN, top - 0.26), words, bold=True)
    write(paper, (MARGIN, top - _HEAD + 0.08), "Severity", color=MUTED, size=SMALL)
    for column, severity in enumerate(severities):
        place = (left + (column + 0.5) * width, top - _HEAD + 0.08)
        write(paper, place, str(severity), color=MUTED, size=SMALL, align="center")
    foot = f"{_SURE} surely different: zero lies outside the interval"
    write(paper, (MARGIN, 0.13), foot, color=MUTED, size=SMALL)


def _draw_cell(
    paper: Axes, one: Mapping[str, Any], box: tuple[float, float, float, float], deepest: float
) -> None:
    from matplotlib.patches import Rectangle

    left, bottom, width, height = box
    drop = _drop(one)
    depth = min(1.0, max(0.0, drop or 0.0) / deepest)
    paper.add_patch(
        Rectangle((left, bottom), width, height, facecolor=_tint(depth), edgecolor="white",
                  linewidth=2)
    )  # fmt: skip
    middle = (left + width / 2, bottom + height / 2)
    value = number(one.get("auc"))
    if value is None:
        write(paper, middle, UNDEFINED, align="center", vertical="center", color=MUTED, size=SMALL)
        return
    write(paper, middle, format_number(value), offset=(0, 2), align="center", bold=True)
    if drop is not None:
        dot = f" {_SURE}" if _is_sure(one) else ""
        write(paper, middle, f"{_signed(-drop)}{dot}", offset=(0, -3), align="center",
              vertical="top", size=SMALL)  # fmt: skip


def _tint(depth: float) -> tuple[float, float, float]:
    """From almost white to a tint of vermilion that dark letters stay legible on."""
    from matplotlib.colors import to_rgb

    pairs = zip(to_rgb("#F3F6F8"), to_rgb("#F0A066"), strict=True)
    red, green, blue = (pale + depth * (deep - pale) for pale, deep in pairs)
    return red, green, blue


def _drop(one: Mapping[str, Any]) -> float | None:
    return number(one.get("drop"))


def _is_sure(one: Mapping[str, Any]) -> bool:
    low, high = number(one.get("drop"), "low"), number(one.get("drop"), "high")
    return low is not None and high is not None and not low <= 0 <= high


def _signed(change: float) -> str:
    """A change in three decimals, with its sign."""
    words = format_number(change)
    return words if words.startswith("\u2212") or float(words) == 0 else f"+{words}"


def _unchanged(cells: Mapping[tuple[str, int], Mapping[str, Any]]) -> float | None:
    """AUC of the same images unchanged: what is left and what was lost."""
    for one in cells.values():
        value, drop = number(one.get("auc")), _drop(one)
        if value is not None and drop is not None:
            return value + drop
    return None


def _alt(cells: Mapping[tuple[str, int], Mapping[str, Any]]) -> str:
    opening = f"AUC under {len(cells)} corruptions, {format_number(_unchanged(cells))} unchanged"
    drops = {key: drop for key, one in cells.items() if (drop := _drop(one)) is not None}
    if not drops:
        return f"{opening}: no difference is defined."
    kind, severity = worst = max(drops, key=drops.__getitem__)
    value = format_number(number(cells[worst].get("auc")))
    return (
        f"{opening}: the greatest loss is {format_number(drops[worst])}, to {value}, from "
        f"{name_corruption(kind).lower()} of severity {severity}."
    )
