"""The report of one evaluation: a single HTML file that needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from pneumoscope._version import __version__
from pneumoscope.core.files import write_text
from pneumoscope.evaluation.predictions import read_table
from pneumoscope.reporting.canvas import NamedFigure
from pneumoscope.reporting.captions import caption_of
from pneumoscope.reporting.figures import evaluation_figures, history_figure, to_svg
from pneumoscope.reporting.pages import fill_html, read_template
from pneumoscope.reporting.sections import (
    OVERVIEW_ITEMS,
    PLACED,
    Drawing,
    GalleryImage,
    assessment_sections,
    chips,
    verdict_view,
)
from pneumoscope.reporting.tables import (
    count_table,
    excluded_table,
    headline_tiles,
    label_table,
    other_facts,
    overall_rows,
)
from pneumoscope.reporting.words import (
    NOTICE,
    count,
    describe,
    format_level,
    group_digits,
    images_of_patients,
    labels_of,
    resampled_units,
    spell,
)

__all__ = ["GalleryImage", "ReportInput", "render_report", "write_report"]


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """All that a report says; nothing else is looked up.

    Attributes:
        title: heading and window title.
        kind: of the run that the report is about.
        metrics: the content of `metrics.json`.
        predictions: the predictions table that the metrics were computed from.
        history: a row per epoch, see `history_figure`; None where nothing was trained.
        counts: columns split, label, images, patients; None where not counted.
        notices: what the reader should know or act on, most important first.
        excluded: path and reason of each image that was left out.
        facts: what was used, such as backbone or runtime, in the order to be shown.
        recipe: YAML, or None.
        provenance: where the result came from, nested at will.
        assessment: the content of `assessment.json`; without, the page has no verdict.
        figures: those of the assessment, see `trust_figures`; each goes to its section.
        gallery: wrong answers to look at, worst first.
    """

    title: str
    kind: Literal["train", "evaluate"]
    metrics: Mapping[str, object]
    predictions: pl.DataFrame
    history: pl.DataFrame | None
    counts: pl.DataFrame | None
    notices: Sequence[str]
    excluded: Sequence[tuple[str, str]]
    facts: Mapping[str, str]
    recipe: str | None
    provenance: Mapping[str, object]
    assessment: Mapping[str, object] | None = None
    figures: Sequence[NamedFigure] = ()
    gallery: Sequence[GalleryImage] = ()


def render_report(report: ReportInput) -> str:
    """The report as one HTML document; the same input gives the same bytes.

    Raises:
        PredictionsError: the predictions table breaks its contract.
    """
    training = report.kind == "train"
    return fill_html(
        "report.html.j2",
        version=__version__,
        css=_trusted(read_template("report.css").rstrip()),
        notice=NOTICE,
        title=report.title,
        kicker="Training report" if training else "Evaluation report",
        made_title="How it was trained" if training else "What was evaluated",
        **_results(report.metrics),
        **_drawings(report),
        data=count_table(report.counts),
        notices=report.notices,
        notices_pointer=f"{count(len(report.notices), 'thing')} to know about this result",
        excluded=excluded_table(report.excluded),
        facts={**other_facts(report.metrics), **report.facts},
        recipe=report.recipe,
        provenance={key: spell(value) for key, value in report.provenance.items()},
    )


def write_report(report: ReportInput, path: Path) -> None:
    """Write the report to `path`, whole or not at all.

    Raises:
        PredictionsError: the predictions table breaks its contract.
        StorageError: the place cannot be written or is full.
    """
    write_text(path, render_report(report))


_OPERATING_POINT = " Ring: the more probable label is the answer."


def _results(metrics: Mapping[str, object]) -> dict[str, object]:
    level = format_level(metrics)
    return {
        "lead": _lead(metrics),
        "tiles": headline_tiles(metrics),
        "value_name": f"Value, {level} interval" if level else "Value",
        "level_note": _interval_note(metrics),
        "overall": overall_rows(metrics),
        "per_label": label_table(metrics),
        "labels": labels_of(metrics),
        "confusion": _confusion_rows(metrics),
    }


def _drawings(report: ReportInput) -> dict[str, object]:
    """The figures of each place, and the sections that the assessment fills."""
    n_labels = len(labels_of(report.metrics))
    evaluated = evaluation_figures(read_table(report.predictions), report.metrics)
    drawn = {named.name: _drawing(named, n_labels) for named in (*evaluated, *report.figures)}
    history = report.history
    if history is not None and not history.is_empty():
        drawn["history"] = _drawing(history_figure(history), n_labels)
    found = {"history": drawn.pop("history", None)}
    return {**found, **_assessed(report, drawn)}


def _assessed(report: ReportInput, drawn: dict[str, Drawing]) -> dict[str, object]:
    assessment = report.assessment
    level = format_level(report.metrics)
    view: dict[str, object] = {
        "assessed": assessment is not None,
        "verdict": None,
        "sections": [],
        "places": set(),
        "overview": (),
        "recompute": "",
        "level_name": f"{level} " if level else "",
    }
    if assessment is None:
        return {**view, "figures": list(drawn.values())}
    # The later one shows what the other does, and what was before.
    drawn.setdefault("reliability_before_after", drawn["reliability"])
    del drawn["reliability"]
    sections = assessment_sections(assessment, report.metrics, drawn, report.gallery)
    return {
        **view,
        "verdict": verdict_view(assessment),
        "sections": sections,
        "places": {"numbers", *(section.id for section in sections)},
        "overview": chips(assessment, OVERVIEW_ITEMS),
        "recompute": _RECOMPUTE,
        "figures": [drawing for name, drawing in drawn.items() if name not in PLACED],
    }


_RECOMPUTE = (
    "Every number above follows from predictions.parquet and the other tables in this folder; "
    "pneumoscope recompute FOLDER computes all of them again."
)


def _drawing(named: NamedFigure, n_labels: int) -> Drawing:
    title, caption = caption_of(named.name)
    if named.name == "roc" and n_labels == 2:
        caption += _OPERATING_POINT
    svg = _trusted(to_svg(named))
    return {"name": named.name, "title": title, "caption": caption, "svg": svg}


def _lead(metrics: Mapping[str, object]) -> str:
    facts = (metrics.get(name) for name in ("n_images", "n_patients", "n_unknown_patients"))
    return (
        f"On the {metrics.get('split', 'given')} split of {metrics.get('data', 'the data')}, "
        f"{images_of_patients(*facts)}, the area under the ROC curve is {describe(metrics, 'auc')}."
    )


def _interval_note(metrics: Mapping[str, object]) -> str:
    resamples = metrics.get("resamples")
    if not isinstance(resamples, int):
        return ""
    drawn = f"{group_digits(resamples)} bootstrap resamples of {resampled_units(metrics)}"
    return f"; intervals from {drawn}"


def _confusion_rows(metrics: Mapping[str, object]) -> list[tuple[str, list[str]]]:
    matrix = metrics.get("confusion_matrix")
    if not isinstance(matrix, (list, tuple)):
        return []
    rows = ([group_digits(int(amount)) for amount in row] for row in matrix)
    return list(zip(labels_of(metrics), rows, strict=True))


def _trusted(text: str) -> object:
    """Text that this package made and escaped itself."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - see above
