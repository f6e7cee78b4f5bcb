"""What this model is, what it is worth, and what it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, TypeAlias

import streamlit as st

from pneumoscope.app import html, session
from pneumoscope.app.amounts import measured_on
from pneumoscope.app.card import Card
from pneumoscope.app.data import Run, champion, label_of_interest
from pneumoscope.app.figures import metric_tile
from pneumoscope.app.language import known, spoken, whole
from pneumoscope.app.markdown import to_html
from pneumoscope.app.words import common
from pneumoscope.app.words import overview as words
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.evaluation.verdict.judge import overall_colour

Verdict: TypeAlias = Sequence[Mapping[str, Any]]

_SHOWN = ("auc", "sensitivity:{label}", "specificity:{label}", "ece")


def show() -> None:
    """Show the page."""
    found, many, card = session.predictor(), session.runs(), session.card()
    st.title(session.say(words.WELCOME), anchor=False)
    _lead(found)
    if found is None:
        session.tell(common.NO_BUNDLE)
    run = champion(many) if found is not None else many[0] if many else None
    told = run is None or not run.trained
    if card is not None and told and (card.metrics or card.verdict):
        verdict = _of_card(card, found.labels if found is not None else ())
        _missing(many, run)
    elif run is not None:
        verdict = _of_run(run)
    else:
        verdict = []
        if card is not None:
            session.tell(words.CARD_SILENT, colour="amber")
        _missing(many, run)
    _go()
    _verdict(verdict)
    _model(found)
    _card(card)


def _missing(many: Sequence[Run], run: Run | None) -> None:
    """That no run was given, or none of this model."""
    if run is not None:
        return
    if many:
        session.tell(words.OTHER_RUNS)
    else:
        session.tell(common.NO_RUNS)


def _lead(found: Predictor | None) -> None:
    if found is None:
        session.lead(words.LEAD_RUNS)
        return
    session.lead(words.LEAD, name=found.bundle.spec.name, labels=", ".join(found.labels))


def _of_run(run: Run) -> Verdict:
    """Show verdict and figures of a run."""
    verdict: Verdict = run.assessment.get("verdict") or []
    _figures(run.metrics, run.metrics["labels"], verdict)
    amounts = measured_on(run.metrics, session.language())
    session.show(f'<p class="aside">{escape(amounts)}</p>')
    return verdict


def _of_card(card: Card, labels: Sequence[str]) -> Verdict:
    """Show verdict and figures that the bundle itself tells."""
    _figures(card.metrics, labels, card.verdict)
    said = escape(session.say(words.FROM_CARD))
    session.show(f'<p class="aside">{said} {html.english(card.measured)}</p>')
    return card.verdict


def _figures(metrics: Mapping[str, Any], labels: Sequence[str], verdict: Verdict) -> None:
    language, label = session.language(), label_of_interest(labels)
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


def _go() -> None:
    with st.container(horizontal=True):
        session.link("try", words.GO)
        session.link("evaluation", words.READ)


def _verdict(rows: Verdict) -> None:
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


def _card(card: Card | None) -> None:
    """The bundle's own card, which is written in English, folded away."""
    if card is not None:
        summary = escape(session.say(words.CARD))
        session.show(
            f"<details class='card'><summary>{summary}</summary>"
            f'<div lang="en">{to_html(card.text)}</div></details>'
        )
