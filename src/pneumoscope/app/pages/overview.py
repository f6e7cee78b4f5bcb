"""What this model is, what it is worth, and what it is not."""

from __future__ import annotations

from html import escape

import streamlit as st

from pneumoscope.app import html, session
from pneumoscope.app.amounts import measured_on
from pneumoscope.app.data import Run, label_of_interest
from pneumoscope.app.figures import metric_tile
from pneumoscope.app.language import known, spoken, whole
from pneumoscope.app.words import common
from pneumoscope.app.words import overview as words
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.evaluation.verdict.judge import overall_colour

_SHOWN = ("auc", "sensitivity:{label}", "specificity:{label}", "ece")


def show() -> None:
    """Show the page."""
    found, many = session.predictor(), session.runs()
    run = next((one for one in many if one.role == "champion"), None)
    if run is None and found is None and many:
        run = many[0]
    st.title(session.say(words.WELCOME), anchor=False)
    _lead(found)
    if found is None:
        session.tell(common.NO_BUNDLE)
    if run is None:
        session.tell(common.NO_RUNS)
    else:
        _figures(run)
    _go()
    if run is not None:
        _verdict(run)
    _model(found)


def _lead(found: Predictor | None) -> None:
    if found is None:
        session.lead(words.LEAD_RUNS)
        return
    session.lead(words.LEAD, name=found.bundle.spec.name, labels=", ".join(found.labels))


def _figures(run: Run) -> None:
    language, metrics = session.language(), run.metrics
    verdict = run.assessment.get("verdict") or []
    label = label_of_interest(metrics["labels"])
    if verdict:
        colour = overall_colour(verdict)
        doubtful = [
            known(common.ITEMS, row["item"], language).lower()
            for row in verdict
            if row["colour"] in ("red", "amber")
        ]
        text = session.say(words.NOT_GREEN, items=", ".join(doubtful)) if doubtful else ""
        if colour == "green":
            text = session.say(words.ALL_GREEN)
        session.show(html.notice(spoken(common.OVERALL[colour], language), text, colour, loud=True))
    else:
        session.tell(words.NOT_JUDGED)
    keys = [key.format(label=label) for key in _SHOWN]
    session.show(html.tiles(metric_tile(metrics, key, language) for key in keys))
    session.show(f'<p class="aside">{escape(measured_on(metrics, language))}</p>')


def _go() -> None:
    with st.container(horizontal=True):
        session.link("try", words.GO)
        session.link("evaluation", words.READ)


def _verdict(run: Run) -> None:
    rows = run.assessment.get("verdict") or []
    if not rows:
        return
    language = session.language()
    st.header(session.say(words.VERDICT), anchor=False)
    items = "".join(
        f"<li><b>{escape(known(common.ITEMS, row['item'], language))}</b>"
        f"{html.chip(known(common.COLOURS, row['colour'], language), row['colour'])}"
        f"<div><p>{escape(known(common.QUESTIONS, row['item'], language))}</p></div></li>"
        for row in rows
    )
    session.show(f'<ul class="verdicts">{items}</ul>')


def _model(found: Predictor | None) -> None:
    language = session.language()
    parts = []
    if found is not None:
        spec = found.bundle.spec
        values = {
            "name": spec.name, "id": found.model_id, "backbone": spec.model.backbone,
            "labels": ", ".join(found.labels),
            "training": whole(spec.training.images.get("train"), language),
            "gate": spoken(words.GATE["yes" if found.gate else "no"], language),
            "licence": known(common.NOT_RECORDED, spec.licence, language),
        }  # fmt: skip
        named = {spoken(words.FACTS[key], language): value for key, value in values.items()}
        parts.append(f"<h2>{escape(session.say(words.MODEL))}</h2>{html.facts(named)}")
    limits = "".join(f"<li>{escape(session.say(text))}</li>" for text in words.LIMITS_TEXT)
    parts.append(f"<h2>{escape(session.say(words.LIMITS))}</h2><ul class='limits'>{limits}</ul>")
    session.show(html.together(f"<section>{part}</section>" for part in parts))
