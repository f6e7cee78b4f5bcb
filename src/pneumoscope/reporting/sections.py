"""The sections of a report that an assessment fills: words, tables and figures, in order."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pneumoscope.evaluation.verdict.judge import colour_word, overall_colour, overall_sentence
from pneumoscope.reporting.gallery import WorstError
from pneumoscope.reporting.prevalence_words import decision_lines, prevalence_lines
from pneumoscope.reporting.sentences import (
    calibration_lines,
    gate_lines,
    label_set_lines,
    saliency_lines,
    shift_lines,
    source_lines,
)
from pneumoscope.reporting.trust.sections import Assessment, listed, section
from pneumoscope.reporting.trust.shortcut_tables import (
    condition_label_table,
    condition_table,
    corruption_table,
    saliency_table,
    source_table,
)
from pneumoscope.reporting.trust.tables import (
    Table,
    calibration_table,
    coverage_tables,
    error_table,
    predictive_table,
    promise_table,
    subgroup_table,
)
from pneumoscope.reporting.words import format_number, labels_of

Drawing = Mapping[str, object]
"""A figure ready for the page: name, title, caption, svg."""


@dataclass(frozen=True, kw_only=True)
class GalleryImage:
    """A wrong answer to look at.

    Attributes:
        png: the radiograph, its saliency map beside it where there is one.
        image_id: of the image.
        truth: its label.
        answered: the label that was answered.
        probability: of that answer, in [0, 1].
    """

    png: bytes
    image_id: str
    truth: str
    answered: str
    probability: float

    @classmethod
    def of(cls, png: bytes, error: WorstError) -> GalleryImage:
        """The picture of a wrong answer, see `gallery.worst_errors` and `gallery.gallery_png`."""
        return cls(png=png, **error._asdict())


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of the page.

    Attributes:
        id: to link to.
        title: its heading.
        chips: verdict rows that are about it.
        lines: sentences.
        figures: drawings.
        tables: open and folded ones.
        pictures: groups of wrong answers, each with a heading.
    """

    id: str
    title: str
    chips: tuple[Mapping[str, str], ...] = ()
    lines: tuple[str, ...] = ()
    figures: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[tuple[str, tuple[Mapping[str, str], ...]], ...] = ()

    @property
    def beside(self) -> tuple[Table, ...]:
        """Tables that stand beside the first figure."""
        return tuple(table for table in self.tables if len(self.figures) == 1 and table.narrow)

    @property
    def below(self) -> tuple[Table, ...]:
        """Tables as wide as the page."""
        return tuple(table for table in self.tables if table not in self.beside)


@dataclass(frozen=True)
class _Plan:
    """What a section is made of, by name."""

    id: str
    title: str
    items: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    lines: tuple[Callable[[Assessment], list[str]], ...] = ()
    tables: tuple[Callable[[Assessment], Table | Sequence[Table] | None], ...] = ()


OVERVIEW_ITEMS = ("discrimination", "sample size")
"""Items that the section of the metrics is about."""

_PLANS = (
    _Plan("calibration", "Calibration", ("calibration",), ("reliability_before_after",),
          (calibration_lines,), (calibration_table,)),
    _Plan("points", "Operating points", ("operating points",), ("operating_points",), (),
          (promise_table,)),
    _Plan("sets", "Label sets and abstention", ("label sets",), ("coverage", "risk_coverage"),
          (label_set_lines,), (coverage_tables,)),
    _Plan("groups", "Groups", ("groups",), ("subgroups",), (),
          (error_table, subgroup_table)),
    _Plan("use", "Decision curve and prevalence", (), ("decision_curve",),
          (prevalence_lines, decision_lines), (predictive_table,)),
    _Plan("shortcuts", "Shortcuts and sources", ("shortcuts", "sources"), ("conditions",),
          (source_lines,), (condition_table, condition_label_table, source_table)),
    _Plan("robustness", "Robustness and shift", ("robustness", "shift"), ("corruptions",),
          (shift_lines, gate_lines), (corruption_table,)),
    _Plan("saliency", "Saliency", ("saliency",), ("saliency",), (saliency_lines,),
          (saliency_table,)),
    _Plan("errors", "The worst errors", (), ("gallery",)),
)  # fmt: skip
PLACES = {item: plan.id for plan in _PLANS for item in plan.items} | dict.fromkeys(
    OVERVIEW_ITEMS, "numbers"
)
"""The section that each item of the verdict is about."""
PLACED = frozenset(name for plan in _PLANS for name in plan.figures)
"""Names of the figures that have a section."""


def verdict_view(assessment: Assessment) -> dict[str, object] | None:
    """What the page says first: colour, word, sentence and items; None where nothing was judged."""
    rows = listed(assessment, "verdict")
    if not rows:
        return None
    colour = overall_colour(rows)
    return {
        "colour": colour,
        "word": colour_word(colour),
        "sentence": overall_sentence(rows),
        "items": [_chip(row) for row in rows],
    }


def chips(assessment: Assessment, items: Sequence[str]) -> tuple[Mapping[str, str], ...]:
    """The verdict on some items, to stand beside a heading."""
    return tuple(_chip(row) for row in listed(assessment, "verdict") if row.get("item") in items)


def assessment_sections(
    assessment: Assessment,
    metrics: Mapping[str, object],
    drawings: Mapping[str, Drawing],
    gallery: Sequence[GalleryImage],
) -> list[Section]:
    """The sections that have anything to say, in the order of the page.

    Args:
        assessment: the content of `assessment.json`.
        metrics: that of `metrics.json`.
        drawings: figures by name.
        gallery: wrong answers, worst first.
    """
    pictures = _pictures(gallery, assessment, metrics)
    found = [_section(plan, assessment, drawings) for plan in _PLANS]
    shown = [
        Section(**{**vars(one), "pictures": pictures}) if one.id == "errors" else one
        for one in found
    ]
    return [one for one in shown if one.lines or one.figures or one.tables or one.pictures]


def _section(plan: _Plan, assessment: Assessment, drawings: Mapping[str, Drawing]) -> Section:
    tables: list[Table] = []
    for make in plan.tables:
        made = make(assessment)
        tables += [] if made is None else [made] if isinstance(made, Table) else made
    return Section(
        id=plan.id,
        title=plan.title,
        chips=chips(assessment, plan.items),
        lines=tuple(line for make in plan.lines for line in make(assessment)),
        figures=tuple(drawings[name] for name in plan.figures if name in drawings),
        tables=tuple(tables),
    )


def _chip(row: Mapping[str, Any]) -> Mapping[str, str]:
    item, colour = str(row.get("item")), str(row.get("colour"))
    texts = {key: str(row.get(key, "")) for key in ("value", "threshold", "sentence")}
    return {
        **texts,
        "item": item,
        "title": item[:1].upper() + item[1:],
        "colour": colour if colour in {"green", "amber", "red"} else "grey",
        "word": colour_word(colour),
        "place": PLACES.get(item, ""),
    }


def _pictures(
    gallery: Sequence[GalleryImage], assessment: Assessment, metrics: Mapping[str, object]
) -> tuple[tuple[str, tuple[Mapping[str, str], ...]], ...]:
    """Wrong answers in groups of their direction, in the order given."""
    wanted = section(assessment, "rules").get("label_of_interest")
    two = len(labels_of(metrics)) == 2

    def heading(image: GalleryImage) -> str:
        if two:
            return f"{image.truth} taken for {image.answered}"
        if wanted is None:
            return "Surest wrong answers"
        return f"{wanted} missed" if image.truth == wanted else f"{wanted} given wrongly"

    return tuple(
        (title, tuple(_picture(image) for image in images))
        for title, images in groupby(gallery, key=heading)
    )


def _picture(image: GalleryImage) -> Mapping[str, str]:
    return {
        "source": f"data:image/png;base64,{base64.b64encode(image.png).decode()}",
        "truth": image.truth,
        "answered": image.answered,
        "probability": format_number(image.probability),
        "image_id": image.image_id,
    }
