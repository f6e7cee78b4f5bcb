"""What the images are like, what the audit found, and what was done about it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import polars as pl
import streamlit as st

from pneumoscope.app import html, session
from pneumoscope.app.data import Audit, champion, counts, split_values
from pneumoscope.app.gallery import audit_cache, label_means, label_sheets
from pneumoscope.app.html import Tile
from pneumoscope.app.language import known, whole
from pneumoscope.app.words import common
from pneumoscope.app.words import dataset as words
from pneumoscope.app.words.issues import ISSUES

_PATHS = 12
_COLOURS = {"error": "red", "warning": "amber", "info": "plain"}
_SHOWN_REASONS = 8


def show() -> None:
    """Show the page."""
    st.title(session.say(words.TITLE), anchor=False)
    session.lead(words.LEAD)
    found, many = session.audit(), session.runs()
    run = champion(many) or (many[0] if many else None)
    table = split_values(run, found)
    if found is None:
        session.tell(common.NO_AUDIT)
    else:
        _tiles(found)
    if table is not None:
        _counts(table)
    if found is not None:
        _issues(found)
        _done(found)
    if (pictured := found.catalogue if found is not None else table) is not None:
        _pictures(pictured)


def _tiles(found: Audit) -> None:
    language = session.language()
    acted = sum(issue.get("severity") in ("error", "warning") for issue in found.issues)
    values = {**found.facts, "issues": acted}
    session.show(
        html.tiles(
            Tile(session.say(text), whole(values.get(name), language))
            for name, text in words.TILES.items()
        )
    )


def _counts(table: pl.DataFrame) -> None:
    st.header(session.say(words.COUNTS), anchor=False)
    session.show(_count_table(table, "split"))
    others = [name for name in words.BY_TITLE if table[name].n_unique() > 1]
    parts = [
        f"<h3>{escape(session.say(words.BY_TITLE[name]))}</h3>{_count_table(table, name)}"
        for name in others
    ]
    if parts:
        session.show(html.together(f"<section>{part}</section>" for part in parts))


def _count_table(table: pl.DataFrame, by: str) -> str:
    language = session.language()
    found = counts(table, by)
    labels = found["label"].unique().sort().to_list()
    cells = {(row["value"], row["label"]): row["images"] for row in found.iter_rows(named=True)}
    values = found["value"].unique(maintain_order=True).to_list()
    if by == "split":
        order = list(words.SPLITS)
        values.sort(key=lambda one: order.index(one) if one in order else len(order))
    rows = [
        [_named(value, by), *(whole(cells.get((value, label), 0), language) for label in labels),
         whole(sum(cells.get((value, label), 0) for label in labels), language)]
        for value in values
    ]  # fmt: skip
    head = [session.say(words.BY[by]), *labels, session.say(words.ALL)]
    numbers = range(1, len(head))
    return html.table(head, rows, caption=session.say(words.BY[by]), numbers=numbers, narrow=True)


def _named(value: str | None, by: str) -> str:
    if value is None:
        return session.say(words.UNKNOWN)
    return known(words.SPLITS, value, session.language()) if by == "split" else value


def _issues(found: Audit) -> None:
    st.header(session.say(words.ISSUES), anchor=False)
    loud = [issue for issue in found.issues if issue.get("severity") != "info"]
    quiet = [issue for issue in found.issues if issue.get("severity") == "info"]
    if not loud:
        session.tell(words.CLEAN, colour="green")
    for issue in loud:
        _issue(issue)
    if quiet:
        with st.expander(session.say(words.MORE, n=len(quiet))):
            for issue in quiet:
                _issue(issue)


def _issue(issue: Mapping[str, Any]) -> None:
    language = session.language()
    severity = str(issue.get("severity"))
    chip = html.chip(known(words.SEVERITIES, severity, language), _COLOURS.get(severity, "plain"))
    # A check may find several things: in English each says its own title.
    title = (
        str(issue.get("title"))
        if language == "en"
        else known(words.CHECKS, issue["check"], language)
    )
    message = session.recorded(issue.get("message"), issue.get("said"), ISSUES)
    paths = list(issue.get("paths") or ())
    listed = ""
    if paths:
        shown = "".join(f"<li>{escape(str(path))}</li>" for path in paths[:_PATHS])
        many = session.say(words.PATHS, shown=min(_PATHS, len(paths)), total=len(paths))
        listed = (
            f"<details><summary>{escape(many)}</summary><ul class='paths'>{shown}</ul></details>"
        )
    session.show(
        f'<article class="issue {escape(severity)}"><h3>{escape(title)} {chip}</h3>'
        f"<p>{message}</p>{listed}</article>"
    )


def _done(found: Audit) -> None:
    st.header(session.say(words.DONE), anchor=False)
    file = found.folder / "split.parquet"
    if file.is_file():
        session.show(f'<p class="aside">{escape(session.say(words.DONE_SPLIT, file=file))}</p>')
    else:
        session.show(f'<p class="aside">{escape(session.say(words.DONE_NOTHING))}</p>')
    left_out = found.catalogue.filter(pl.col("excluded").is_not_null())
    if left_out.is_empty():
        return
    # Reasons name files; what they share says how many there are of a kind.
    kind = pl.col("excluded").str.replace(r" of .*$| \(.*$|[;:.] .*$", "")
    grouped = (
        left_out.group_by(kind.alias("kind")).len().sort("len", "kind", descending=[True, False])
    )
    rows = [
        (_excluded(row["kind"]), whole(row["len"], session.language()))
        for row in grouped.head(_SHOWN_REASONS).iter_rows(named=True)
    ]
    head = [session.say(words.REASON), session.say(common.IMAGES)]
    caption = session.say(words.EXCLUDED)
    session.show(f"<h3>{escape(caption)}</h3>")
    session.show(html.table(head, rows, caption=caption, numbers=[1], trusted=[0], narrow=True))


def _excluded(kind: str) -> str:
    """Why images are left out, marked as English where it is not known in the page's language."""
    if kind in words.EXCLUSIONS:
        return escape(known(words.EXCLUSIONS, kind, session.language()))
    return html.english(kind)


def _pictures(catalogue: pl.DataFrame) -> None:
    pixels = audit_cache()
    sheets = label_sheets(catalogue, pixels)
    st.header(session.say(words.MEANS), anchor=False)
    if not sheets:
        session.tell(common.NO_PICTURES)
        return
    session.show(f'<p class="aside">{escape(session.say(words.MEANS_LEAD))}</p>')
    means = label_means(catalogue, pixels)
    session.show(
        html.together(
            (html.picture(source, session.say(words.MEAN_OF, label=label), label)
             for label, source in means.items()),
            least="13rem",
            close=True,
        )
    )  # fmt: skip
    st.header(session.say(words.SHEETS), anchor=False)
    parts = []
    for label, (source, shown, total) in sheets.items():
        text = session.say(words.SHEET_OF, label=label, shown=shown, total=total)
        parts.append(html.picture(source, text, text))
    session.show(html.together(parts, least="22rem"))
