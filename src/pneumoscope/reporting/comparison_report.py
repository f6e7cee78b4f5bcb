"""The page that lays runs side by side: the verdict in words first, then what it rests on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from pneumoscope._version import __version__
from pneumoscope.core.files import write_text
from pneumoscope.evaluation.agreement import Agreement
from pneumoscope.evaluation.comparison import Comparison
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.reporting.answer_figures import confusion_figure
from pneumoscope.reporting.canvas import NamedFigure
from pneumoscope.reporting.comparison_figures import (
    forest_figure,
    overlaid_history_figure,
    overlaid_roc_figure,
)
from pneumoscope.reporting.pages import fill_html, read_template
from pneumoscope.reporting.rendering import to_svg
from pneumoscope.reporting.standings import Standing, standings
from pneumoscope.reporting.words import (
    NOTICE,
    count,
    format_interval,
    format_number,
    images_of_patients,
    is_entry,
    name_metric,
    number,
    spell,
)

Metrics = Mapping[str, object]

_DISPUTED_SHOWN = 20
_LABELS_DRAWN = 6
_ABSENT = "\u2013"
_FOREST = (
    "First run less second. Filled dot: one is better; hollow: a tie. That is after Holm's "
    "correction; the intervals are not corrected."
)


@dataclass(frozen=True, kw_only=True)
class ComparisonPage:
    """All that the page says; every mapping is by name of the run, in one order.

    Attributes:
        predictions: Of each run, for the images that all of them answered.
        metrics: Of each run on these images, as in `metrics.json`.
        comparisons: Every pair compared, under every metric.
        reference: The run that all others were compared with, or None.
        agreements: Of the same pairs.
        disputed: See `evaluation.agreement.disputed_images`; and `path`, null where unknown.
        differences: The recipe fields that differ, by dotted name: the value of each run. None
            where fewer than two have a recipe.
        histories: Of the runs that were trained, see `overlaid_history_figure`.
        facts: What each run is, the same facts for all.
        notices: What the reader should know, most important first.
        settings: Of the tests, such as resamples.
        provenance: Where the result came from.
    """

    predictions: Mapping[str, Predictions]
    metrics: Mapping[str, Metrics]
    comparisons: Sequence[Comparison]
    reference: str | None
    agreements: Sequence[Agreement]
    disputed: pl.DataFrame
    differences: Mapping[str, Mapping[str, object]] | None
    histories: Mapping[str, pl.DataFrame]
    facts: Mapping[str, Mapping[str, str]]
    notices: Sequence[str]
    settings: Mapping[str, object]
    provenance: Mapping[str, object]


def render_comparison_page(page: ComparisonPage) -> str:
    """The page as one HTML document; the same input gives the same bytes."""
    css = read_template("report.css").rstrip() + "\n" + read_template("comparison.css").rstrip()
    found = standings(page.comparisons, reference=page.reference)
    return fill_html(
        "comparison.html.j2",
        version=__version__,
        css=_trusted(css),
        notice=NOTICE,
        title=_title(page),
        lead=_unbroken(found[0].words()),
        images=_images(page),
        tiles=[_tile(standing) for standing in found],
        verdict=[_unbroken(standing.words()) for standing in found],
        sentences=[_unbroken(f"{comparison.words()}.") for comparison in page.comparisons],
        notices=page.notices,
        runs=list(page.predictions),
        overall=_metric_rows(page.metrics, per_label=False),
        per_label=_metric_rows(page.metrics, per_label=True),
        disagreement=_disagreement(page),
        differences=_differences(page),
        facts=page.facts,
        settings={key.replace("_", " "): spell(value) for key, value in page.settings.items()},
        provenance={key: spell(value) for key, value in page.provenance.items()},
        **_figures(page),
    )


def write_comparison_page(page: ComparisonPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all.

    Raises:
        StorageError: the place cannot be written or is full.
    """
    write_text(path, render_comparison_page(page))


def _unbroken(sentence: str) -> str:
    """The sentence with its p-values kept on one line."""
    return re.sub(r"\bp ([=<]) ", "p\u00a0\\1\u00a0", sentence)


def _title(page: ComparisonPage) -> str:
    names = list(page.predictions)
    if len(names) <= 3:
        return f"{', '.join(names[:-1])} and {names[-1]} compared"
    against = f" against {page.reference}" if page.reference else ""
    return f"{len(names)} runs compared{against}"


def _images(page: ComparisonPage) -> str:
    some = next(iter(page.predictions.values()))
    images = images_of_patients(some.n_images, some.n_patients, some.n_unknown_patients)
    runs = len(page.predictions)
    all_runs = "both runs" if runs == 2 else f"all {runs} runs"
    return f"On the {images} that {all_runs} answered."


def _tile(standing: Standing) -> dict[str, str]:
    """One metric's outcome in two or three words, and what stands behind it."""
    if standing.only is not None:
        return _pair_tile(standing.only)
    parts = [
        f"{words} {len(names)}"
        for words, names in (
            ("better than", standing.better_than),
            ("worse than", standing.worse_than),
            ("tied with", standing.tied_with),
            ("undecided with", standing.undecided),
        )
        if names
    ]
    tie = not (standing.better_than or standing.worse_than or standing.is_reference)
    named = f"{'Reference' if standing.is_reference else 'Leads'}: {standing.model}"
    clear = standing.better_than and not (standing.tied_with or standing.worse_than)
    return {
        "name": name_metric(standing.metric),
        "value": "Statistical tie" if tie else named,
        "note": f"best value: {standing.model}" if tie else ", ".join(parts),
        "state": "better" if clear else "tie",
    }


def _pair_tile(one: Comparison) -> dict[str, str]:
    values = {"better": f"{one.better} is better", "tie": "Statistical tie"}
    entry = one.to_json()
    gap, interval = format_number(number(entry, "difference")), format_interval(entry)
    note = f"{one.first} \u2212 {one.second}: {gap}"
    return {
        "name": name_metric(one.metric),
        "value": values.get(one.verdict, "Undecided"),
        "note": f"{note} ({interval})" if interval else note,
        "state": one.verdict,
    }


def _metric_rows(metrics: Mapping[str, Metrics], *, per_label: bool) -> list[dict[str, object]]:
    """A row per metric, of all labels together or of one label each; a cell per run."""
    some = next(iter(metrics.values()))
    return [
        {
            "name": name_metric(key),
            "cells": [
                {"value": format_number(number(own[key])), "interval": format_interval(own[key])}
                for own in metrics.values()
            ],
        }
        for key, entry in some.items()
        if is_entry(entry) and (":" in key) == per_label
    ]


def _figures(page: ComparisonPage) -> dict[str, object]:
    forests = [
        _drawing(forest_figure(metric, chosen), f"forest_{place}", name_metric(metric), note)
        for place, (metric, chosen, note) in enumerate(_by_metric(page.comparisons))
    ]
    rocs = [
        _drawing(
            overlaid_roc_figure(page.predictions, label, _areas(page.metrics, label)),
            f"roc_{place}", f"ROC curves, {label}", "Nearer the upper left corner, the label is "
            "better told from all others. Dotted: chance.",
        )
        for place, label in enumerate(_drawn_labels(page))
    ]  # fmt: skip
    matrices = [
        _drawing(confusion_figure(own, page.metrics[name]), f"confusion_{place}", name, "")
        for place, (name, own) in enumerate(page.predictions.items())
    ]
    places = {name: place for place, name in enumerate(page.predictions)}
    history = None
    if page.histories:
        drawn = overlaid_history_figure(page.histories, places)
        caption = "Epoch by epoch. Rings mark the epochs whose weights were kept."
        history = _drawing(drawn, "history", "Training", caption)
    return {"forests": forests, "rocs": rocs, "matrices": matrices, "history": history}


def _by_metric(
    comparisons: Sequence[Comparison],
) -> Iterable[tuple[str, list[Comparison], str]]:
    for metric in dict.fromkeys(one.metric for one in comparisons):
        own = [one for one in comparisons if one.metric == metric]
        yield metric, own, _FOREST


def _areas(metrics: Mapping[str, Metrics], label: str) -> dict[str, float | None]:
    return {name: number(own.get(f"auc:{label}")) for name, own in metrics.items()}


def _drawn_labels(page: ComparisonPage) -> list[str]:
    """The second of two labels; of many, those in which the runs lie furthest apart."""
    labels = next(iter(page.predictions.values())).labels
    if len(labels) == 2:
        return [labels[1]]

    def apart(label: str) -> float:
        known = [area for area in _areas(page.metrics, label).values() if area is not None]
        return max(known) - min(known) if known else -1.0

    chosen = sorted(labels, key=apart, reverse=True)[:_LABELS_DRAWN]
    return [label for label in labels if label in chosen]


def _drawing(named: NamedFigure, name: str, title: str, caption: str) -> dict[str, object]:
    svg = _trusted(to_svg(replace(named, name=name)))
    return {"name": name, "title": title, "caption": caption, "svg": svg}


def _disagreement(page: ComparisonPage) -> dict[str, object]:
    shown = [
        {
            "where": row["path"] or row["image_id"],
            "label": row["label"],
            "answers": [
                {
                    "answer": row[f"answer:{name}"],
                    "right": row[f"answer:{name}"] == row["label"],
                    "probability": f"{row[f'probability:{name}']:.3f}",
                }
                for name in page.predictions
            ],
        }
        for row in page.disputed.head(_DISPUTED_SHOWN).iter_rows(named=True)
    ]
    total = page.disputed.height
    caption = f"{count(total, 'image')} that some runs have right and others wrong"
    if total > _DISPUTED_SHOWN:
        caption += f"; the {_DISPUTED_SHOWN} widest apart are shown, disagreements.csv has all"
    pairs = [(f"{one.first}, {one.second}", one) for one in page.agreements]
    return {
        "pairs": [(names, "all", one.counts) for names, one in pairs],
        "by_label": [(names, *own) for names, one in pairs for own in one.by_label.items()],
        "rows": shown,
        "caption": caption,
    }


def _differences(page: ComparisonPage) -> dict[str, object]:
    fields = page.differences or {}
    named = {name for values in fields.values() for name in values}
    runs = [name for name in page.predictions if name in named]
    rows = [(field, [_value(values, name) for name in runs]) for field, values in fields.items()]
    unknown = "Fewer than two of these folders hold a recipe."
    note = unknown if page.differences is None else "No recipe field differs."
    return {"runs": runs, "rows": rows, "note": note}


def _value(values: Mapping[str, object], name: str) -> str:
    if name not in values:
        return _ABSENT
    value = values[name]
    return "null" if value is None else str(value).lower() if value in (True, False) else str(value)


def _trusted(text: str) -> object:
    """Text that this package made and escaped itself."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - see above
