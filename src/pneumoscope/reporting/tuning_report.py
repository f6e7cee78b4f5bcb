"""The study's page: the winner beside the starting recipe, and how the search went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pneumoscope._version import __version__
from pneumoscope.core.files import write_text
from pneumoscope.reporting.canvas import NamedFigure
from pneumoscope.reporting.pages import fill_html, read_template
from pneumoscope.reporting.rendering import to_svg
from pneumoscope.reporting.tuning_figures import (
    Axis,
    Point,
    importance_figure,
    name_measure,
    slice_figure,
    tuning_history_figure,
)
from pneumoscope.reporting.words import NOTICE, count, format_number, name_metric, spell

_SLICES = 24
_TESTED = ("auc", "accuracy", "balanced_accuracy", "log_loss")


@dataclass(frozen=True)
class FinalRow:
    """One training of the winner or the starting recipe: its validation and test values."""

    who: str
    seed: int
    validation: float
    test: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class TuningPage:
    """All that the page says.

    Attributes:
        title: Name of the study.
        metric: What trials were judged by.
        higher_is_better: Which way.
        sampler: What chose the points.
        pruner: What stopped trials.
        points: The trials in order.
        axes: The varied fields.
        best: Number of the best trial.
        importances: By field, summing to 1; may be empty.
        changes: Field, value in the starting recipe, value in the winner.
        rows: The final trainings; none where they were left out.
        words: Their finding in a sentence.
        optimism: As `Final.optimism`.
        comparisons: In words, metric by metric.
        notices: What the program chose or noticed.
        recipe: The winner's, as YAML.
        provenance: Where the result came from.
    """

    title: str
    metric: str
    higher_is_better: bool
    sampler: str
    pruner: str
    points: Sequence[Point]
    axes: Sequence[Axis]
    best: int | None
    importances: Mapping[str, float]
    changes: Sequence[tuple[str, str, str]]
    rows: Sequence[FinalRow]
    words: str
    optimism: Mapping[str, float | None]
    comparisons: Sequence[str]
    notices: Sequence[str]
    recipe: str
    provenance: Mapping[str, object]


def tuning_figures(page: TuningPage) -> list[NamedFigure]:
    """History, importances, and a slice for each varied field, as far as there is something."""
    how = {"metric": page.metric, "higher_is_better": page.higher_is_better}
    found = [
        tuning_history_figure(page.points, **how),  # type: ignore[arg-type]
        importance_figure(page.importances),
        *(
            slice_figure(axis, page.points, **how, number=place)  # type: ignore[arg-type]
            for place, axis in enumerate(page.axes[:_SLICES])
        ),
    ]
    return [figure for figure in found if figure is not None]


def render_tuning_page(page: TuningPage) -> str:
    """The page as one HTML document that needs no network and no script."""
    from markupsafe import Markup

    return fill_html(
        "tuning.html.j2",
        version=__version__,
        css=Markup(read_template("report.css").rstrip()),  # noqa: S704 - the package's own
        notice=NOTICE,
        title=page.title,
        lead=_lead(page),
        words=page.words,
        tiles=_tiles(page),
        figures=[
            {"caption": figure.alt, "svg": Markup(to_svg(figure))}  # noqa: S704 - drawn here
            for figure in tuning_figures(page)
        ],
        columns=["Validation", *map(name_metric, _TESTED)],
        rows=_final_rows(page),
        optimism=_optimism(page),
        comparisons=page.comparisons,
        changes=page.changes,
        measure=name_measure(page.metric),
        fields=[axis.name for axis in page.axes],
        trials=[_trial(point, page) for point in _best_first(page)],
        notices=page.notices,
        recipe=page.recipe,
        provenance={key: spell(value) for key, value in page.provenance.items()},
    )


def write_tuning_page(page: TuningPage, path: Path) -> None:
    """Write the page to `path`, whole or not at all.

    Raises:
        StorageError: the place cannot be written or is full.
    """
    write_text(path, render_tuning_page(page))


def _lead(page: TuningPage) -> str:
    states = [point.state for point in page.points]
    parts = [f"{states.count(state)} {word}" for state, word in
             (("complete", "finished"), ("pruned", "stopped early"), ("failed", "failed"))
             if state in states]  # fmt: skip
    how = f"{count(len(page.axes), 'field')} varied, sampler {page.sampler}, pruner {page.pruner}"
    return f"{count(len(states), 'trial')} ({', '.join(parts)}), {how}."


def _tiles(page: TuningPage) -> list[dict[str, str]]:
    tiles = []
    for who in dict.fromkeys(row.who for row in page.rows):
        values = [row.test["auc"] for row in page.rows if row.who == who]
        ends = f"{format_number(min(values))} to {format_number(max(values))} over seeds"
        name = f"AUC of the {who}, test"
        tiles.append({"name": name, "value": format_number(fmean(values)), "interval": ends})
    best = next((point for point in page.points if point.number == page.best), None)
    if best is not None:
        tiles.append({
            "name": f"{name_measure(page.metric)} of the best trial",
            "value": format_number(best.value),
            "interval": f"trial {best.number}; promises too much",
        })  # fmt: skip
    if page.optimism:
        over = page.optimism.get("over_test")
        which = "over the test" if over is not None else "over retraining"
        over = page.optimism.get("over_retrained_validation") if over is None else over
        tiles.append({"name": "Optimism", "value": format_number(over),
                      "interval": f"of the best trial {which}"})  # fmt: skip
    return tiles


def _final_rows(page: TuningPage) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for who in dict.fromkeys(row.who for row in page.rows):
        mine = [row for row in page.rows if row.who == who]
        rows += [
            {"name": f"{who}, seed {row.seed}", "mean": False,
             "cells": [format_number(v) for v in _values(row)]}
            for row in mine
        ]  # fmt: skip
        means = [fmean(column) for column in zip(*map(_values, mine), strict=True)]
        rows.append({"name": f"{who}, mean", "mean": True,
                     "cells": [format_number(v) for v in means]})  # fmt: skip
    return rows


def _values(row: FinalRow) -> list[float]:
    return [row.validation, *(row.test[name] for name in _TESTED)]


def _optimism(page: TuningPage) -> str:
    again, over = (page.optimism.get(k) for k in ("retrained_validation", "over_test"))
    promised = page.optimism.get("best_trial")
    if promised is None:
        return ""
    text = (
        f"The best trial's {name_measure(page.metric).lower().replace('auc', 'AUC')} of "
        f"{format_number(promised)} is the best of many looks at the same images. Trained again "
        f"with seeds that no trial had, the winner has {format_number(again)} there"
    )
    if over is not None:
        text += f", and on images that no trial saw {format_number(promised - over)}"
    return f"{text}."


def _best_first(page: TuningPage) -> list[Point]:
    sign = -1 if page.higher_is_better else 1
    order = {"complete": 0, "pruned": 1}
    return sorted(
        page.points,
        key=lambda p: (
            order.get(p.state, 2),
            sign * p.value if p.value is not None else 0,
            p.number,
        ),
    )


def _trial(point: Point, page: TuningPage) -> dict[str, object]:
    return {
        "number": point.number,
        "best": point.number == page.best,
        "state": {"complete": "finished", "pruned": "stopped early"}.get(point.state, point.state),
        "value": "" if point.value is None else format_number(point.value),
        "epochs": point.epochs,
        "seconds": "" if point.seconds is None else f"{point.seconds:.0f}",
        "reason": point.reason,
        "cells": [_cell(point.params.get(axis.name, "")) for axis in page.axes],
    }


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
