"""Every run that was kept: which is better, by how much, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from pneumoscope.app import html, session
from pneumoscope.app.board import (
    BOARD,
    board_rows,
    comparable,
    compared,
    kept_in,
    measured_images,
    tracked_link,
)
from pneumoscope.app.data import Run, label_of_interest, leaderboards
from pneumoscope.app.figures import metric_name
from pneumoscope.app.language import decimal, interval, known
from pneumoscope.app.words import common
from pneumoscope.app.words import experiments as words
from pneumoscope.app.words.dataset import ALL, SPLITS
from pneumoscope.core.errors import PneumoscopeError
from pneumoscope.reporting.comparison_figures import overlaid_history_figure, overlaid_roc_figure
from pneumoscope.reporting.figures import confusion_figure
from pneumoscope.reporting.words import number

_MOST = 4


def show() -> None:
    """Show the page."""
    st.title(session.say(words.TITLE), anchor=False)
    session.lead(words.LEAD)
    named = session.settings().runs
    if named is not None and "://" in named:
        _store(named)
        return
    many = session.runs()
    if not many:
        session.tell(common.NO_RUNS)
        return
    _board(many)
    if len(many) < 2:
        session.tell(words.ONE_RUN)
    _side_by_side(many)
    if len(many) > 1:
        _test(many)
    for name, board in leaderboards(Path(named or "")).items():
        _benchmark(name, board)


def _board(many: Sequence[Run]) -> None:
    language = session.language()
    st.header(session.say(words.BOARD), anchor=False)
    head = [
        *map(session.say, (common.RUN, words.ROLE, words.DATA, words.SPLIT)),
        *(metric_name(key, language) for key in BOARD),
        *map(session.say, (common.IMAGES, words.TRACKED)),
    ]  # fmt: skip
    rows = []
    for run, values in board_rows(many):
        role = html.chip(
            known(words.ROLES, run.role, language), "green" if run.role == "champion" else "plain"
        )
        cells = [_with_interval(entry) for entry in values]
        images = str(run.metrics.get("n_images", ""))
        rows.append([run.name, role, *_images_of(run), *cells, images, _where(run)])
    numbers = range(4, 5 + len(BOARD))
    trusted = [1, 2, *range(4, 4 + len(BOARD)), 5 + len(BOARD)]
    caption = session.say(words.BOARD)
    if not comparable(many):
        session.tell(words.OTHER_DATA, colour="amber")
    session.show(html.table(head, rows, caption=caption, numbers=numbers, trusted=trusted))
    session.show(f'<p class="aside">{escape(session.say(words.ROLE_WORDS))}</p>')
    stores = {kept_in(run): None for run in many if tracked_link(run) is None}
    for store in filter(None, stores):
        command = f"mlflow ui --backend-store-uri {store}"
        session.show(f'<p class="aside">{escape(session.say(words.BROWSE, command=command))}</p>')


def _images_of(run: Run) -> tuple[str, str]:
    """Data, as HTML, and split that it was measured on."""
    data, split = measured_images(run)
    name, _, content = data.partition("@")
    told = f"{escape(name)}<small>{escape(content[:8])}</small>"
    part = session.say(ALL) if split == "all" else known(SPLITS, split, session.language())
    return told, part


def _with_interval(entry: object) -> str:
    language = session.language()
    value, ends = decimal(number(entry), language), interval(entry, language)
    return f"{escape(value)}<small>{escape(ends)}</small>"


def _where(run: Run) -> str:
    address = tracked_link(run)
    if address is not None:
        return _linked(address)
    store = kept_in(run)
    return escape("\u2013" if store is None else store.rpartition("/")[2])


def _linked(address: str) -> str:
    text = escape(session.say(words.OPEN))
    return f'<a href="{escape(address)}" rel="noreferrer noopener" target="_blank">{text}</a>'


def _side_by_side(many: Sequence[Run]) -> None:
    st.header(session.say(words.CHOOSE), anchor=False)
    names = [run.name for run, _ in board_rows(many)]
    picked = st.multiselect(
        session.say(words.MOST), names, default=names[:2], max_selections=_MOST, key="side-by-side"
    )
    chosen = [run for name in picked for run in many if run.name == name]
    if not chosen:
        return
    key = "|".join(f"{run.folder}:{run.metrics.get('bundle')}" for run in chosen)
    parts = []
    if not comparable(chosen):
        session.tell(words.NOT_OVERLAID, colour="amber")
    elif len({tuple(run.metrics["labels"]) for run in chosen}) == 1 and len(chosen) > 1:
        label = label_of_interest(chosen[0].metrics["labels"])
        predictions = {run.name: run.predictions() for run in chosen}
        areas = {run.name: number(run.metrics.get(f"auc:{label}")) for run in chosen}
        roc = partial(overlaid_roc_figure, predictions, label, areas)
        parts.append(session.draw(roc, f"roc|{key}", title=session.say(words.ROC)))
    histories = {run.name: table for run in chosen if (table := run.history()) is not None}
    places = {run.name: place for place, run in enumerate(chosen)}
    if len(histories) > 1:
        trained = partial(overlaid_history_figure, histories, places)
        parts.append(session.draw(trained, f"history|{key}", title=session.say(words.HISTORY)))
    session.show(html.together([*parts, *map(_confusion, chosen)], least="26rem", close=True))


def _confusion(run: Run) -> str:
    key = f"{run.folder}:{run.metrics.get('bundle')}:{run.metrics.get('data')}:confusion"
    title = session.say(words.CONFUSION, name=run.name)
    return session.draw(lambda: confusion_figure(run.predictions(), run.metrics), key, title=title)


def _test(many: Sequence[Run]) -> None:
    st.header(session.say(words.TEST), anchor=False)
    session.show(f'<p class="aside">{escape(session.say(words.TEST_LEAD))}</p>')
    names = [run.name for run, _ in board_rows(many)]
    left, right = st.columns(2, gap="large")
    with left:
        first = st.selectbox(session.say(words.FIRST), names, index=0, key="first")
    with right:
        second = st.selectbox(session.say(words.SECOND), names, index=1, key="second")
    by_name: Mapping[str, Run] = {run.name: run for run in many}
    try:
        found = compared(by_name[first], by_name[second])
    except PneumoscopeError as error:
        message = " ".join(str(error).split())
        session.show(html.notice(session.say(words.NOT_SHARED), message, "amber", recorded=True))
        return
    language, rows = session.language(), []
    for one in found:
        outcome = session.say(words.OUTCOMES[one.verdict], name=one.better)
        gap = {"value": one.difference, "low": one.low, "high": one.high}
        values = (decimal(one.first, language), decimal(one.second, language))
        p_value = _small(one.p_value)
        rows.append(
            [metric_name(one.metric, language), *values, _with_interval(gap), p_value, outcome]
        )
    head = [session.say(words.METRIC), first, second]
    head += [session.say(text) for text in (words.DIFFERENCE, words.P_VALUE, words.SAYS)]
    caption = session.say(words.TEST)
    session.show(html.table(head, rows, caption=caption, numbers=range(1, 5), trusted=[3]))


def _small(p_value: float | None) -> str:
    """A p-value; no test says that anything is impossible."""
    language = session.language()
    if p_value is not None and p_value < 0.001:
        return f"< {decimal(0.001, language)}"
    return decimal(p_value, language)


def _benchmark(name: str, board: Mapping[str, Any]) -> None:
    """What `benchmark` ranked, in its order and with its seconds."""
    language, title = session.language(), session.say(words.BENCHMARK, name=name)
    st.header(title, anchor=False)
    rows = []
    for one in board.get("candidates") or ():
        metrics = one.get("metrics") or {}
        seconds = one.get("train_seconds")
        took = (
            decimal(seconds, language, digits=0) if isinstance(seconds, int | float) else "\u2013"
        )
        name = str(one.get("candidate"))
        rows.append([name, *(_with_interval(metrics.get(key)) for key in BOARD), took])
    head = [session.say(words.CANDIDATE), *(metric_name(key, language) for key in BOARD)]
    head.append(session.say(words.SECONDS))
    numbers = range(1, len(head))
    trusted = range(1, 1 + len(BOARD))
    session.show(html.table(head, rows, caption=title, numbers=numbers, trusted=trusted))


def _store(uri: str) -> None:
    from pneumoscope.app.store import store_name, stored_runs

    language = session.language()
    session.show(f'<p class="aside">{escape(session.say(words.STORE, store=store_name(uri)))}</p>')
    st.header(session.say(words.BOARD), anchor=False)
    head = [session.say(common.RUN), *(metric_name(key, language) for key in BOARD)]
    head.append(session.say(words.TRACKED))
    rows = []
    for one in stored_runs(uri, BOARD):
        values = [decimal(one.metrics.get(key), language) for key in BOARD]
        link = _linked(one.address) if one.address else ""
        rows.append([one.name, *values, link])
    numbers = range(1, 1 + len(BOARD))
    caption = session.say(words.BOARD)
    session.show(html.table(head, rows, caption=caption, numbers=numbers, trusted=[1 + len(BOARD)]))
