"""What the answers hang on: groups, images changed on purpose, corruptions, where evidence lies."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.subgroups import FEWEST_IMAGES, FEWEST_PATIENTS
from pneumoscope.reporting.canvas import NamedFigure
from pneumoscope.reporting.forest import Column, Mark, Row, Scale, fit_scale, forest, mark_of
from pneumoscope.reporting.trust.sections import Assessment, listed, section
from pneumoscope.reporting.words import describe, format_number, group_digits, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pneumoscope.reporting.sheet import Key, Style

CONDITIONS: Mapping[str, str] = {
    "lungs_only": "Lungs only",
    "lungs_removed": "Lungs removed",
    "lungs_swapped": "Lungs swapped",
    "lungs_exchanged": "Lungs exchanged",
    "metadata_only": "Metadata only",
    "border_only": "Border only",
}
"""Names for people, in the order of figures and tables."""

CHANCE = 0.5


def name_condition(condition: str) -> str:
    """A condition's name for people.

    >>> name_condition("lungs_only"), name_condition("upper_half")
    ('Lungs only', 'Upper half')
    """
    return CONDITIONS.get(condition, condition.replace("_", " ").capitalize())


def subgroups_figure(
    predictions: Predictions, metrics: Mapping[str, object], assessment: Assessment
) -> NamedFigure | None:
    """AUC for each value of each group column, beside that of all images."""
    del predictions
    parts = listed(assessment, "subgroups")
    if not parts:
        return None
    rows = []
    for column, members in groupby(parts, key=lambda part: str(part.get("column"))):
        for index, part in enumerate(members):
            style: Style = "weak" if part.get("warnings") else "main"
            mark = mark_of(section(part, "metrics").get("auc"), style=style)
            heading = "" if index else column.replace("_", " ").capitalize()
            note = f"n {_digits(part.get('n_images'))}"
            rows.append(Row(name=str(part.get("group")), marks=(mark,), note=note, heading=heading))
    overall = number(metrics.get("auc"))
    words = "" if overall is None else f"all images {format_number(overall)}"
    scale = fit_scale(rows, Scale(name="AUC", line=overall, line_name=words))
    few = f"below {FEWEST_IMAGES} images or {FEWEST_PATIENTS} patients of a label"
    weak = any(part.get("warnings") for part in parts)
    figure = forest(Column(rows, scale), key=(("weak", few),) if weak else ())
    return NamedFigure("subgroups", figure, _groups_alt(parts, metrics))


def conditions_figure(
    predictions: Predictions, metrics: Mapping[str, object], assessment: Assessment
) -> NamedFigure | None:
    """AUC when part of the image is all that is shown, beside the full image and chance."""
    del predictions
    order = list(CONDITIONS)
    found = sorted(
        listed(assessment, "conditions"),
        key=lambda one: order.index(one["condition"]) if one["condition"] in order else len(order),
    )
    if not found:
        return None
    rows = [row for one in found for row in _condition_rows(one)]
    widest = max(found, key=lambda one: number(one, "n_images") or 0)
    first = Row(name="Full image", marks=(mark_of(widest.get("full_auc")),),
                note=f"n {_digits(widest.get('n_images'))}")  # fmt: skip
    rows = [first, *rows]
    scale = fit_scale(rows, Scale(name="AUC", line=CHANCE, line_name="chance"))
    key: Key = (("main", "changed"), ("tick", "same images unchanged"))
    figure = forest(Column(rows, scale), key=key)
    spoken = "; ".join(_condition_words(one, metrics) for one in found)
    full = format_number(number(widest.get("full_auc")))
    alt = f"AUC of the full image {full}; {spoken}; chance is 0.5."
    return NamedFigure("conditions", figure, alt)


def saliency_figure(
    predictions: Predictions, metrics: Mapping[str, object], assessment: Assessment
) -> NamedFigure | None:
    """How much of the saliency lies in the lungs, above how much an even map would have there."""
    del predictions, metrics
    content = section(assessment, "saliency")
    labels = section(content, "labels")
    if not labels:
        return None
    rows = [
        Row(
            name=str(label),
            marks=(
                mark_of(one.get("energy_in_lungs")),
                mark_of(one.get("lung_area"), style="other"),
            ),
            note=f"n {_digits(one.get('n_images'))}",
        )
        for label, one in labels.items()
    ]
    scale = Scale(name="Share of the image's saliency, or area")
    method = str(content.get("method", "unknown method")).replace("_", " ")
    key: Key = (
        ("main", f"saliency in the lungs ({method})"),
        ("other", "area of the lungs"),
    )
    words = [
        f"{label} {format_number(number(one.get('energy_in_lungs')))} where the lungs are "
        f"{format_number(number(one.get('lung_area')))} of the area"
        for label, one in labels.items()
    ]
    alt = f"Share of the saliency that lies in the lungs: {'; '.join(words)}."
    return NamedFigure("saliency", forest(Column(rows, scale), key=key), alt)


def _digits(amount: object) -> str:
    return group_digits(amount) if isinstance(amount, int) else "unknown"


def _condition_rows(one: Mapping[str, Any]) -> Iterator[Row]:
    full = Mark(number(one.get("full_auc")), style="tick")
    name, note = name_condition(str(one["condition"])), f"n {_digits(one.get('n_images'))}"
    around = one.get("surroundings_auc")
    if around is None:
        yield Row(name=name, marks=(mark_of(one.get("auc")), full), note=note)
        return
    yield Row(name=f"{name}: label of the lungs", marks=(mark_of(one.get("auc")), full))
    yield Row(name=f"{name}: label around them", marks=(mark_of(around), full))


def _condition_words(one: Mapping[str, Any], metrics: Mapping[str, object]) -> str:
    level = metrics.get("confidence_level")
    area = describe({"auc": one.get("auc"), "confidence_level": level}, "auc")
    words = f"{name_condition(str(one['condition'])).lower()} {area}"
    around = one.get("surroundings_auc")
    if around is None:
        return words
    return f"{words}, by the label around the lungs {format_number(number(around))}"


def _groups_alt(parts: list[Mapping[str, Any]], metrics: Mapping[str, object]) -> str:
    known = {
        f"{part.get('column')} {part.get('group')}": value
        for part in parts
        if (value := number(section(part, "metrics").get("auc"))) is not None
    }
    opening = f"AUC of {len(parts)} groups of images, {describe(metrics, 'auc')} over all"
    if not known:
        return f"{opening}: none is defined."
    worst, best = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    return (
        f"{opening}: from {format_number(known[worst])} ({worst}) to "
        f"{format_number(known[best])} ({best})."
    )
