"""One radiograph, or several: the gate, the answer, and where the evidence lies."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from pneumoscope.app import html, session
from pneumoscope.app.answer import COLOURS, OUTCOME_COLOURS, told
from pneumoscope.app.examine import EXAMPLES, Examined, examine, example, key_of
from pneumoscope.app.gallery import radiograph_picture
from pneumoscope.app.language import decimal, known, probability
from pneumoscope.app.launch import MOST_MEGABYTES
from pneumoscope.app.markdown import plain_label
from pneumoscope.app.operating import point_name
from pneumoscope.app.summary import summary
from pneumoscope.app.viewer import show_viewer
from pneumoscope.app.words import common
from pneumoscope.app.words import trying as words
from pneumoscope.bundle.predictor import Prediction, Predictor

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

_MOST_FILES, _KEPT = 12, 16
_EXAMPLE, _ANSWERED, _SURPLUS = "try-example", "try-answered", "try-surplus"


class Given(NamedTuple):
    """A file, or a phantom, to be looked at."""

    name: str
    content: bytes


def show() -> None:
    """Show the page."""
    st.title(session.say(words.TITLE), anchor=False)
    session.lead(words.LEAD)
    found = session.predictor()
    if found is None:
        session.tell(common.NO_BUNDLE)
        return
    given = _given()
    if not given:
        return
    answers = [_answered(found, one) for one in given]
    if len(answers) > 1:
        _table(answers)
        places = range(len(answers))
        at = st.selectbox(
            session.say(words.WHICH), places, index=len(answers) - 1,
            format_func=lambda place: f"{place + 1} · {answers[place].name}",
        )  # fmt: skip
    else:
        at = 0
    _result(found, answers[at])


def _given() -> list[Given]:
    left, right = st.columns([3, 2], gap="large")
    with left:
        files = st.file_uploader(
            session.say(words.UPLOAD, most=MOST_MEGABYTES),
            accept_multiple_files=True,
            key="try-files",
        )
    with right:
        with st.container(gap="xsmall"):
            session.show(f'<p class="label">{escape(session.say(words.EXAMPLES))}</p>')
            with st.container(horizontal=True):
                for label in EXAMPLES:
                    name = session.say(words.EXAMPLE, label=label)
                    st.button(name, on_click=_take, args=(label,), key=f"try-{label}")
            session.show(f'<p class="aside">{escape(session.say(words.PHANTOM_NOTE))}</p>')
        phantom: str | None = st.session_state.get(_EXAMPLE)
        if phantom and files:
            st.button(session.say(words.CLEAR), on_click=_take, args=(None,), type="tertiary")
    given = [Given(file.name, file.getvalue()) for file in _bounded(files)]
    if phantom:
        given.append(Given(session.say(words.EXAMPLE, label=phantom), _phantom(phantom)))
    return given


def _bounded(files: Sequence[UploadedFile]) -> Sequence[UploadedFile]:
    """The files that are answered; what was given beyond them is forgotten by the server."""
    surplus: set[str] = st.session_state.get(_SURPLUS, set()) if files else set()
    kept = files[:_MOST_FILES]
    for file in files[_MOST_FILES:]:
        session.forget_upload(file.file_id)
        surplus.add(file.file_id)
    st.session_state[_SURPLUS] = surplus
    if surplus:
        given = len(kept) + len(surplus)
        told = session.say(words.TOO_MANY, given=given, most=_MOST_FILES)
        session.show(html.notice(told, "", "amber"))
    return kept


def _take(label: str | None) -> None:
    st.session_state[_EXAMPLE] = label


@st.cache_data(show_spinner=False, max_entries=len(EXAMPLES))
def _phantom(label: str) -> bytes:
    return example(label)


def _answered(found: Predictor, one: Given) -> Examined:
    """The answer, kept for this visit while others are looked at."""
    kept: OrderedDict[str, Examined] = st.session_state.setdefault(_ANSWERED, OrderedDict())
    key = f"{key_of(one.content, found)}:{one.name}"
    shown = plain_label(one.name)
    with st.status(session.say(words.WORKING, name=shown), expanded=False) as status:
        if key not in kept:
            kept[key] = examine(
                found, one.content, one.name, memory=session.memory(),
                told=lambda step: status.update(label=session.say(words.STEPS[step])),
            )  # fmt: skip
            while len(kept) > _KEPT:
                kept.popitem(last=False)
        prediction = kept[key].prediction
        language = session.language()
        for step, value in prediction.timings.items():
            name, took = known(words.TIMINGS, step, language), decimal(value, language, digits=1)
            st.write(session.say(words.TOOK, step=name, milliseconds=took))
        took = decimal(prediction.milliseconds, language, digits=0)
        failed = prediction.decision == "unreadable"
        done = words.DECISIONS["unreadable"] if failed else words.DONE
        told_done = session.say(done, milliseconds=took)
        label = session.say(words.OF_FILE, name=shown, done=told_done)
        status.update(label=label, state="error" if failed else "complete")
    return kept[key]


def _table(answers: Sequence[Examined]) -> None:
    language = session.language()
    head = [session.say(t) for t in (words.NAME, words.GATE, words.ANSWER, words.PROBABILITY)]
    rows = []
    for one in answers:
        best, values = one.prediction.most_probable, one.prediction.probabilities
        sure = probability(None if best is None else values[best], language)
        # A probability is of a label, also where the decision names none.
        of_label = sure if best is None else f"{best}\u00a0{sure}"
        title = told(one.prediction, language).title
        rows.append((one.name, _gate_chip(one.prediction), title, of_label))
    caption = session.say(words.ANSWER)
    session.show(html.table(head, rows, caption=caption, numbers=[3], trusted=[1]))


def _gate_chip(prediction: Prediction) -> str:
    """The gate's worst outcome, as on the answer's own page."""
    found = {stage.outcome for stage in prediction.gate.stages.values()} if prediction.gate else ()
    worst = next((one for one in ("refused", "warned", "passed") if one in found), None)
    if worst is None:
        return "\u2013"
    return html.chip(session.say(words.OUTCOMES[worst]), OUTCOME_COLOURS[worst])


def _result(found: Predictor, one: Examined) -> None:
    left, right = st.columns([5, 7], gap="large")
    with left:
        _said(found, one.prediction)
        _downloads(found, one)
    with right:
        if one.picture is not None:
            # What the gate turns away may be anything.
            title = words.RADIOGRAPH if one.maps else words.IMAGE
            st.subheader(session.say(title), anchor=False)
            show_viewer(one, session.language())
            facts = session.say(words.STORED, **one.facts)
            session.show(f'<p class="aside">{escape(one.name)}. {escape(facts)}</p>')
    if one.prediction.probabilities:
        _similar(one)


def _similar(one: Examined) -> None:
    """The training images most like it, by label and distance alone: patients are not named."""
    st.subheader(session.say(words.SIMILAR), anchor=False)
    if not one.similar:
        session.show(f'<p class="aside">{escape(session.say(words.NOT_AT_HAND))}</p>')
        return
    language = session.language()
    if one.similar[0].same:
        session.tell(words.TRAINED_ON, colour="amber")
    session.show(f'<p class="aside">{escape(session.say(words.SIMILAR_LEAD))}</p>')
    parts = []
    for image in one.similar:
        source = _picture(str(image.path))
        if source is not None:
            far = decimal(image.distance, language, digits=1)
            text = session.say(words.SIMILAR_ONE, label=image.label, distance=far)
            parts.append(html.picture(source, text, text))
    session.show(html.together(parts, least="max(9.5rem, 22%)", close=True))


@st.cache_data(show_spinner=False, max_entries=64)
def _picture(path: str) -> str | None:
    return radiograph_picture(Path(path))


def _said(found: Predictor, prediction: Prediction) -> None:
    language = session.language()
    conformal = found.bundle.spec.conformal or {}
    said = told(prediction, language, level=conformal.get("confidence_level"))
    if prediction.decision != "unreadable":
        st.subheader(session.say(words.GATE), anchor=False)
        if prediction.gate is None:
            session.tell(words.NO_GATE, colour="amber")
        outcomes = [
            stage.outcome for stage in (prediction.gate.stages if prediction.gate else {}).values()
        ]
        items = "".join(
            f"<li><b>{escape(stage.name)}</b>{html.chip(stage.outcome, OUTCOME_COLOURS[outcome])}"
            f"<span>{escape(stage.text)}</span></li>"
            for stage, outcome in zip(said.stages, outcomes, strict=True)
        )
        session.show(f'<ul class="steps">{items}</ul>')
    st.subheader(session.say(words.ANSWER), anchor=False)
    session.show(html.notice(said.title, said.text, COLOURS[prediction.decision], loud=True))
    if prediction.probabilities:
        colour = session.verdict()
        chip = html.chip(session.say(common.COLOUR_NAMES[colour]), colour)
        on, sentence = session.say(common.VERDICT_ON), session.say(common.OVERALL[colour])
        session.show(f'<p class="aside">{escape(on)} {chip} {escape(sentence)}.</p>')
        _probabilities(prediction)


def _probabilities(prediction: Prediction) -> None:
    language, best = session.language(), prediction.most_probable
    st.subheader(session.say(words.PROBABILITIES), anchor=False)
    shares = {
        label: (value, probability(value, language))
        for label, value in sorted(prediction.probabilities.items(), key=lambda pair: -pair[1])
    }
    facts = {}
    if prediction.label_set is not None:
        held = ", ".join(prediction.label_set) or session.say(words.NOTHING)
        facts[session.say(words.LABEL_SET)] = held
    for point in prediction.points:
        if point.threshold <= 1:
            at = decimal(point.threshold, language)
            name = point_name(point.name, language)
            key = session.say(words.POINT_AT, name=name, label=point.label, threshold=at)
            facts[key] = session.say(words.SIDES["yes" if point.positive else "no"])
    session.show(html.bars(shares, chosen=best), html.facts(facts))


def _downloads(found: Predictor, one: Examined) -> None:
    st.subheader(session.say(words.TAKE), anchor=False)
    language, model = session.language(), found.bundle.spec.name
    stem, verdict = f"pneumoscope-{one.key[:8]}", session.verdict()
    with st.container(horizontal=True):
        st.download_button(
            session.say(words.PDF),
            lambda: summary(one, language, model=model, kind="pdf", verdict=verdict),
            f"{stem}.pdf", "application/pdf", on_click="ignore",
        )  # fmt: skip
        st.download_button(
            session.say(words.PNG),
            lambda: summary(one, language, model=model, kind="png", verdict=verdict),
            f"{stem}.png", "image/png", on_click="ignore",
        )  # fmt: skip
        content = json.dumps(one.prediction.to_json(), indent=2, ensure_ascii=False)
        st.download_button(
            session.say(words.JSON), content, f"{stem}.json", "application/json", on_click="ignore"
        )
