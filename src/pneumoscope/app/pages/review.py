"""Labels that the audit doubts, one at a time: keep, relabel or exclude, by mouse or keys."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import Any

import streamlit as st

from pneumoscope.app import html, session
from pneumoscope.app.data import Audit, Suspect, suspects
from pneumoscope.app.gallery import audit_cache, one_picture
from pneumoscope.app.language import percent
from pneumoscope.app.markdown import plain_label
from pneumoscope.app.words import common
from pneumoscope.app.words import review as words
from pneumoscope.core.errors import StorageError
from pneumoscope.data.label_patch import (
    Decision,
    LabelPatch,
    Verdict,
    patches,
    read_patch,
    save_patch,
)

_AT, _DECIDED, _FROM, _SAVED = "review-at", "review-decided", "review-from", "review-saved"


def show() -> None:
    """Show the page."""
    st.title(session.say(words.TITLE), anchor=False)
    session.lead(words.LEAD)
    found = session.audit()
    if found is None:
        session.tell(common.NO_AUDIT)
        return
    queue = suspects(found)
    if not queue:
        session.tell(words.NONE, colour="green")
        return
    decided = _begun(found)
    at = min(st.session_state.setdefault(_AT, 0), len(queue) - 1)
    one = queue[at]
    place = session.say(words.PLACE, at=at + 1, total=len(queue), decided=len(decided))
    st.progress((at + 1) / len(queue), text=place)
    left, right = st.columns([7, 5], gap="large")
    with left:
        _picture(one)
    with right:
        _facts(one, decided.get(one.image_id))
        _choices(one, found.labels, len(queue))
        _saving(found, decided)


def _begun(found: Audit) -> dict[str, Decision]:
    """The decisions of this visit, begun from the newest patch."""
    if _DECIDED not in st.session_state:
        earlier = patches(found.folder)
        newest = read_patch(earlier[-1]) if earlier else None
        held = newest.decisions if newest else ()
        st.session_state[_DECIDED] = {one.image_id: one for one in held}
        st.session_state[_FROM] = (earlier[-1].name, len(held)) if earlier else None
    begun: dict[str, Decision] = st.session_state[_DECIDED]
    return begun


def _picture(one: Suspect) -> None:
    source = one_picture(one.image_id, audit_cache())
    if source is None:
        session.tell(common.NO_PICTURES)
        return
    alt = session.say(words.PICTURE, path=one.path, label=one.label)
    session.show(f'<div class="lightbox">{html.picture(source, alt)}</div>')


def _facts(one: Suspect, decision: Decision | None) -> None:
    share = percent(one.share, session.language())
    settled = session.say(words.UNDECIDED)
    if decision is not None:
        label = decision.new_label or decision.label
        settled = session.say(words.DECISIONS[decision.verdict], label=label)
    session.show(
        html.facts({
            session.say(words.IN_DATA): ", ".join(one.labels),
            session.say(words.DOUBT): session.say(words.DOUBTS[one.check], share=share),
            session.say(words.FILE): one.path,
            session.say(words.DECIDED): settled,
        })
    )  # fmt: skip


def _choices(one: Suspect, labels: list[str], total: int) -> None:
    # What a copy carries is the likelier other label.
    others = [label for label in dict.fromkeys([*one.labels, *labels]) if label != one.label]
    new = others[0] if others else one.label
    if len(others) > 1:
        new = st.selectbox(session.say(words.OTHER), others, key=f"new-{one.image_id}")
    offered: list[tuple[Verdict, str, str]] = [
        ("keep", "K", one.label), ("relabel", "L", new), ("exclude", "X", one.label),
    ]  # fmt: skip
    for verdict, key, label in offered:
        st.button(
            session.say(words.DECISIONS[verdict], label=plain_label(label)),
            key=f"decide-{verdict}",
            shortcut=key, width="stretch", on_click=_decide, args=(one, verdict, label, total),
        )  # fmt: skip
    with st.container(horizontal=True):
        st.button(
            session.say(words.BACK), key="back", shortcut="Left", on_click=_move, args=(-1, total)
        )
        st.button(
            session.say(words.NEXT), key="next", shortcut="Right", on_click=_move, args=(1, total)
        )
    session.show(f'<p class="aside">{escape(session.say(words.KEYS))}</p>')


def _decide(one: Suspect, verdict: Verdict, label: str, total: int) -> None:
    new = label if verdict == "relabel" else None
    decided = st.session_state[_DECIDED]
    decided[one.image_id] = Decision(one.image_id, one.path, one.label, verdict, new)
    st.session_state.pop(_SAVED, None)
    _move(1, total)


def _move(by: int, total: int) -> None:
    st.session_state[_AT] = min(max(st.session_state[_AT] + by, 0), total - 1)


def _saving(found: Audit, decided: dict[str, Decision]) -> None:
    st.divider()
    facts: dict[str, Any] = {
        "data": ", ".join(map(str, found.facts.get("data") or ())),
        "fingerprint": str(found.facts.get("fingerprint", "")),
        "created": datetime.now(tz=UTC).isoformat(timespec="seconds"),
    }
    many = tuple(decided.values())
    if st.button(session.say(words.SAVE, n=len(many)), type="primary", disabled=not many):
        try:
            st.session_state[_SAVED] = save_patch(many, found.folder, **facts)
        except StorageError:
            session.tell(words.CLOSED, colour="amber")
    saved, begun = st.session_state.get(_SAVED), st.session_state.get(_FROM)
    if saved is not None:
        told = session.say(words.SAVED, file=saved.name)
        session.show(html.notice(told, session.say(words.APPLY, file=saved), "green"))
    elif begun is not None:
        name, count = begun
        session.show(f'<p class="aside">{escape(session.say(words.FROM, file=name, n=count))}</p>')
    st.download_button(
        session.say(words.DOWNLOAD), lambda: LabelPatch(1, decisions=many, **facts).to_json(),
        "label_patch.json", "application/json", on_click="ignore", disabled=not many,
    )  # fmt: skip
