"""The benchmark's page: the leaderboard, who is tied with whom, what each candidate costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from pneumoscope._version import __version__
from pneumoscope.core.files import write_text
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.reporting.answer_figures import confusion_figure
from pneumoscope.reporting.benchmark_figures import (
    pareto_figure,
    quality_figure,
    roc_overlay,
    training_overlay,
)
from pneumoscope.reporting.canvas import NamedFigure
from pneumoscope.reporting.pages import fill_html, read_template
from pneumoscope.reporting.rendering import save_figures, to_svg
from pneumoscope.reporting.words import (
    NOTICE,
    UNRECORDED,
    count,
    format_interval,
    format_number,
    images_of_patients,
    name_metric,
    resampled_units,
    spell,
)

_CAPTIONS = {
    "quality": (
        "Quality",
        "Dot: mean over seeds, and its interval. Rings: seeds. Blue: the best group.",
    ),
    "pareto": (
        "Quality against time",
        "Blue: none is both better and quicker. From file to answer; logarithmic. Numbers: ranks.",
    ),
    "roc": ("ROC curves", "Means over seeds. Dotted: chance."),
    "training": ("Training", "Validation AUC after each epoch; fainter lines are further seeds."),
}


@dataclass(frozen=True, kw_only=True)
class BenchmarkPage:
    """All that the page says.

    Attributes:
        title: Heading and window title.
        leaderboard: The content of `leaderboard.json`.
        predictions: By candidate, of each of its seeds.
        histories: By candidate, of each of its seeds, see `history_figure`.
        protocol: YAML.
    """

    title: str
    leaderboard: Mapping[str, Any]
    predictions: Mapping[str, Sequence[Predictions]]
    histories: Mapping[str, Sequence[pl.DataFrame]]
    protocol: str


def benchmark_figures(page: BenchmarkPage) -> tuple[NamedFigure, ...]:
    """The figures of all candidates together, none where no candidate finished."""
    rows, metric = _ranked(page.leaderboard), str(page.leaderboard["metric"])
    if not rows:
        return ()
    name = name_metric(metric)
    return (
        quality_figure(rows, metric, name),
        pareto_figure(rows, metric, name),
        roc_overlay(rows, page.predictions),
        training_overlay(rows, page.histories),
    )


def confusion_figures(page: BenchmarkPage) -> tuple[NamedFigure, ...]:
    """The confusion matrix of each candidate's first seed, best first."""
    figures = []
    for row in _ranked(page.leaderboard):
        accuracy = {"accuracy": {"value": row["metrics"]["accuracy"]["values"][0]}}
        drawn = confusion_figure(page.predictions[row["candidate"]][0], accuracy)
        name = f"confusion-{row['backbone'].replace('.', '-')}"
        figures.append(replace(drawn, name=name, alt=f"{row['candidate']}. {drawn.alt}"))
    return tuple(figures)


def render_benchmark_page(page: BenchmarkPage) -> str:
    """The page as one HTML document that needs no network and no script."""
    return _render(page, benchmark_figures(page), confusion_figures(page))


def write_benchmark_page(page: BenchmarkPage, folder: Path) -> None:
    """Write `benchmark.html` and `figures/` into `folder`, each file whole or not at all.

    Raises:
        StorageError: the place cannot be written or is full.
    """
    together, matrices = benchmark_figures(page), confusion_figures(page)
    save_figures((*together, *matrices), folder / "figures")
    write_text(folder / "benchmark.html", _render(page, together, matrices))


def _render(
    page: BenchmarkPage, together: Sequence[NamedFigure], matrices: Sequence[NamedFigure]
) -> str:
    board = page.leaderboard
    names = [row["candidate"] for row in _ranked(board)]
    return fill_html(
        "benchmark.html.j2",
        version=__version__,
        css=_trusted(read_template("report.css").rstrip()),
        notice=NOTICE,
        title=page.title,
        lead=_lead(board),
        words=board["words"],
        level=f"{100 * board['confidence_level']:g}%",
        resampled=resampled_units(board),
        seeds=len(board["seeds"]),
        metric=name_metric(board["metric"]),
        metric_names=[name_metric(name) for name in _other_metrics(board)],
        rows=[_table_row(row, board) for row in _ranked(board)],
        others=[row for row in board["candidates"] if not row["metrics"]],
        random=[row["candidate"] for row in board["candidates"] if row["random_weights"]],
        figures=[_drawing(named, *_CAPTIONS[named.name]) for named in together],
        matrices=[_drawing(named, name, "") for named, name in zip(matrices, names, strict=True)],
        protocol=page.protocol,
        facts=_facts(board),
        provenance={key: spell(value) for key, value in board["provenance"].items()},
    )


def _ranked(board: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in board["candidates"] if row["metrics"]]


def _other_metrics(board: Mapping[str, Any]) -> list[str]:
    rows = _ranked(board)
    return [name for name in rows[0]["metrics"] if name != board["metric"]] if rows else []


def _lead(board: Mapping[str, Any]) -> str:
    finished, asked = len(_ranked(board)), len(board["candidates"])
    seeds = count(len(board["seeds"]), "seed")
    opening = f"{finished} of {count(asked, 'candidate')} trained under one protocol, {seeds} each"
    if not finished:
        return f"{opening}."
    facts = (board.get(name) for name in ("n_images", "n_patients", "n_unknown_patients"))
    return f"{opening}, and measured on the same {images_of_patients(*facts)}."


def _table_row(row: Mapping[str, Any], board: Mapping[str, Any]) -> dict[str, object]:
    entry = row["metrics"][board["metric"]]
    spread = entry["spread"]
    return {
        "rank": row["rank"],
        "name": row["candidate"],
        "notes": _notes(row, len(board["seeds"])),
        "group": row["group"],
        "value": format_number(entry["value"]),
        "interval": format_interval(entry),
        "spread": "" if spread is None else f"seeds \u00b1{spread:.3f}",
        "difference": _difference(row["difference"]),
        "p_value": _p_value(row["difference"]),
        "others": [
            {"value": format_number(found["value"]), "interval": format_interval(found)}
            for found in (row["metrics"][name] for name in _other_metrics(board))
        ],
        "parameters": _or_unknown(row["parameters"], lambda v: f"{v / 1e6:.2f} M"),
        "bundle": _or_unknown(row["bundle_bytes"], lambda v: f"{v / 1e6:.1f} MB"),
        "seconds": _or_unknown(row["train_seconds"], lambda v: f"{v:.0f} s"),
        "p50": _or_unknown(row["p50_ms"], lambda v: f"{v:.1f} ms"),
        "rate": _or_unknown(row["images_per_second"], lambda v: f"{v:.0f} images/s"),
    }


def _notes(row: Mapping[str, Any], seeds: int) -> str:
    notes = []
    if row["random_weights"]:
        notes.append("not its published weights")
    elif row["weights"] == "none":
        notes.append("trained from scratch")
    if row["seeds_finished"] < seeds:
        notes.append(f"{row['seeds_finished']} of {count(seeds, 'seed')}")
    return ", ".join(notes)


def _difference(gap: Mapping[str, Any] | None) -> dict[str, str]:
    if gap is None:
        return {"value": "the best", "interval": ""}
    return {"value": format_number(gap["value"]), "interval": format_interval(gap)}


def _p_value(gap: Mapping[str, Any] | None) -> str:
    if gap is None:
        return ""
    p_value = gap["adjusted_p_value"]
    if p_value is None or math.isnan(p_value):
        return "no test"
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _or_unknown(value: Any, spelled: Any) -> str:
    return UNRECORDED if value is None else str(spelled(value))


def _facts(board: Mapping[str, Any]) -> dict[str, str]:
    runtimes = sorted({row["runtime"] for row in board["candidates"] if row["runtime"]})
    return {
        "Data": str(board["data"]),
        "Labels": ", ".join(board["labels"]),
        "Seeds": ", ".join(map(str, board["seeds"])),
        "Bootstrap": f"{board['resamples']} resamples of {resampled_units(board)}, "
        "the same for all candidates",
        "Answered by": ", ".join(runtimes) or UNRECORDED,
    }


def _drawing(named: NamedFigure, title: str, caption: str) -> dict[str, object]:
    return {
        "name": named.name,
        "title": title,
        "caption": caption,
        "svg": _trusted(to_svg(named)),
    }


def _trusted(text: str) -> object:
    """Text that this package made and escaped itself."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - see above
