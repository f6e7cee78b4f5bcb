"""What the figures are, what a threshold costs, and what speaks against believing them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from pneumoscope.app import html, session
from pneumoscope.app.data import Run, label_of_interest
from pneumoscope.app.figures import entry_tile
from pneumoscope.app.gallery import mistakes
from pneumoscope.app.language import decimal, known, percent, probability
from pneumoscope.app.markdown import plain_label
from pneumoscope.app.operating import (
    PREVALENCES,
    THRESHOLDS,
    Moved,
    cost_points,
    moved,
    point_name,
    point_value,
    there,
)
from pneumoscope.app.pictures import drawing
from pneumoscope.app.spread import spread_svg
from pneumoscope.app.theme import COLOURS
from pneumoscope.app.words import common
from pneumoscope.app.words import evaluation as words
from pneumoscope.app.words.findings import FINDINGS
from pneumoscope.evaluation.operating_point import Cost, one_against_rest
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.reporting.canvas import NamedFigure
from pneumoscope.reporting.figures import confusion_figure, roc_figure
from pneumoscope.reporting.trust.answers import risk_coverage_figure
from pneumoscope.reporting.trust.calibration import reliability_before_after_figure

_DRAWN: Mapping[
    str, Callable[[Predictions, Mapping[str, Any], Mapping[str, Any]], NamedFigure | None]
] = {
    "reliability_before_after": reliability_before_after_figure,
    "risk_coverage": risk_coverage_figure,
    "roc": lambda predictions, metrics, _: roc_figure(predictions, metrics),
    "confusion": lambda predictions, metrics, _: confusion_figure(predictions, metrics),
}


def show() -> None:
    """Show the page."""
    st.title(session.say(words.TITLE), anchor=False)
    session.lead(words.LEAD)
    many = session.runs()
    if not many:
        session.tell(common.NO_RUNS)
        return
    run = session.choose_run(many, common.RUN, "evaluation-run")
    predictions = run.predictions()
    _operating_point(run, predictions)
    _curves(run, predictions)
    _verdict(run)
    _gallery(run, predictions)


def _operating_point(run: Run, predictions: Predictions) -> None:
    st.header(session.say(words.POINT), anchor=False)
    label = label_of_interest(predictions.labels)
    if len(predictions.labels) > 2:
        at = predictions.labels.index(label)
        label = st.selectbox(session.say(words.OF_INTEREST), predictions.labels, index=at)
    session.show(f'<p class="aside">{escape(session.say(words.POINT_LEAD, label=label))}</p>')
    calibration = run.calibration()
    found = _sliders(run, predictions, calibration, label)
    _there(calibration, label, found)
    language, level = session.language(), run.metrics.get("confidence_level")
    named = (
        (words.SENSITIVITY, found.sensitivity), (words.SPECIFICITY, found.specificity),
        (words.PPV, found.ppv), (words.NPV, found.npv),
    )  # fmt: skip
    session.show(
        html.tiles(entry_tile(session.say(t), entry, level, language) for t, entry in named)
    )
    if all(map(math.isfinite, found.of_thousand.values())):
        told = {name: round(value) for name, value in found.of_thousand.items()}
        counted = session.say(words.OF_THOUSAND, label=label, **told)
    else:
        counted = session.say(words.OF_NONE, label=label)
    session.show(f'<p class="aside">{escape(counted)}</p>')
    _spread(predictions, label, found.threshold)


def _there(calibration: Predictions | None, label: str, found: Moved) -> None:
    """What the threshold means where the label is as frequent as was set."""
    told = there(calibration, label, found.threshold, prevalence=found.prevalence)
    if told is None:
        return
    language, (own, on_threshold) = session.language(), told
    words_there = session.say(
        words.THERE,
        label=label,
        own=percent(own, language, digits=1),
        prevalence=percent(found.prevalence, language, digits=1),
        there=probability(on_threshold, language),
    )
    text = f"{words_there} {session.say(words.COSTS_MOVE)}"
    session.show(f'<p class="aside">{escape(text)}</p>')


def _sliders(
    run: Run, predictions: Predictions, calibration: Predictions | None, label: str
) -> Moved:
    points = {
        str(point["name"]): point
        for point in run.assessment.get("operating_points") or []
        if point.get("label") == label and point.get("threshold") is not None
    }
    key = f"threshold-{run.name}-{label}"
    if key not in st.session_state:
        first = next(iter(points.values()), {"threshold": 0.5})
        st.session_state[key] = point_value(first["threshold"])
    share = float((predictions.truth == predictions.labels.index(label)).mean())
    at, language = f"prevalence-{run.name}-{label}", session.language()
    st.session_state.setdefault(at, min(PREVALENCES, key=lambda one: abs(one - share)))
    moving = cost_points(calibration, label, list(points), prevalence=st.session_state[at])
    kept = {
        name: point["threshold"]
        for name, point in points.items()
        if not moving or Cost.from_words(name) is None
    }
    if kept or moving:
        _presets({**kept, **moving}, key)
    left, right = st.columns(2, gap="large")
    with left:
        threshold = st.select_slider(
            session.say(words.THRESHOLD, label=plain_label(label)), THRESHOLDS, key=key,
            format_func=lambda value: decimal(value, language),
        )  # fmt: skip
    with right:
        prevalence = st.select_slider(
            session.say(words.PREVALENCE, label=plain_label(label)), PREVALENCES, key=at,
            format_func=lambda value: percent(value, language, digits=1),
        )  # fmt: skip
    return moved(predictions, label, threshold, prevalence)


def _presets(thresholds: dict[str, float], key: str) -> None:
    def settle(value: float) -> None:
        st.session_state[key] = point_value(value)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(f'<p class="aside">{escape(session.say(words.CHOSEN))}</p>', width="content")
        for name, value in thresholds.items():
            shown = plain_label(point_name(name, session.language()))
            st.button(shown, on_click=settle, args=(value,), key=f"{key}-{name}")


def _spread(predictions: Predictions, label: str, threshold: float) -> None:
    positive, scores = one_against_rest(predictions, label)
    at = decimal(threshold, session.language())
    alt = session.say(words.SPREAD_ALT, label=label, threshold=at)
    svg = spread_svg(
        positive, scores, threshold=threshold, colours=COLOURS[session.theme()],
        names=(session.say(words.WITH, label=label), session.say(words.WITHOUT)),
        point="," if session.language() == "fr" else ".",
    )  # fmt: skip
    session.show(html.figure(drawing(svg), alt, session.say(words.SPREAD), wide=True))


def _curves(run: Run, predictions: Predictions) -> None:
    st.header(session.say(words.CURVES), anchor=False)
    known_by = f"{run.folder}:{run.metrics.get('bundle')}:{run.metrics.get('data')}"
    parts = []
    for name, make in _DRAWN.items():
        drawn = partial(make, predictions, run.metrics, run.assessment)
        title, caption = map(session.say, words.FIGURES[name])
        parts.append(session.draw(drawn, f"{known_by}:{name}", title=title, caption=caption))
    session.show(html.together(filter(None, parts), least="26rem"))


def _verdict(run: Run) -> None:
    st.header(session.say(words.VERDICT), anchor=False)
    rows = run.assessment.get("verdict") or []
    if not rows:
        session.tell(words.NO_ASSESSMENT)
        return
    session.show(f'<ul class="verdicts">{"".join(_judged(row) for row in rows)}</ul>')


def _judged(row: Mapping[str, Any]) -> str:
    """What the report says of one item, and the limit that decided it."""
    language = session.language()
    chip = html.chip(known(common.COLOURS, row["colour"], language), row["colour"])
    sentence = session.recorded(row.get("sentence"), row.get("said"), FINDINGS)
    text = f"<p>{sentence}</p>"
    if row.get("threshold"):
        limit = session.recorded(row["threshold"], row.get("limit"), FINDINGS)
        text += f"<small>{escape(session.say(words.LIMIT))} {limit}</small>"
    item = escape(known(common.ITEMS, row["item"], language))
    return f"<li><b>{item}</b>{chip}<div>{text}</div></li>"


def _gallery(run: Run, predictions: Predictions) -> None:
    st.header(session.say(words.GALLERY), anchor=False)
    found = session.predictor()
    if found is None or found.model_id != run.metrics.get("bundle"):
        bundle = run.folder / "bundle"
        session.show(
            f'<p class="aside">{escape(session.say(words.GALLERY_OTHER, bundle=bundle))}</p>'
        )
        return
    shown = mistakes(found, predictions)
    if shown is None:
        session.tell(common.NO_PICTURES)
        return
    if not shown:
        session.tell(words.NO_MISTAKE)
        return
    session.show(f'<p class="aside">{escape(session.say(words.GALLERY_LEAD))}</p>')
    language = session.language()
    parts = []
    for one in shown:
        sure = probability(one.probability, language, digits=0)
        text = session.say(words.MISTAKE, truth=one.truth, answered=one.answered, probability=sure)
        parts.append(html.picture(one.source, text, text))
    session.show(html.together(parts, least="17rem", close=True))
