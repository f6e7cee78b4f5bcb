"""What one visitor's page knows: its language and theme, and what the app was started with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from threading import Lock
from typing import Any

import streamlit as st

from pneumoscope.app import html
from pneumoscope.app.card import Card, read_card
from pneumoscope.app.data import Audit, Run, champion, find_runs, read_audit
from pneumoscope.app.french import in_french
from pneumoscope.app.language import Language, Text, chosen, spoken
from pneumoscope.app.pictures import drawing, themed
from pneumoscope.app.settings import Settings
from pneumoscope.app.theme import Theme
from pneumoscope.app.words import figures as figure_words
from pneumoscope.bundle.archive import CARD
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.similar import Memory, open_memory
from pneumoscope.evaluation.verdict.judge import overall_colour
from pneumoscope.evaluation.verdict.parts import Colour
from pneumoscope.reporting.canvas import NamedFigure
from pneumoscope.reporting.rendering import to_svg

LANGUAGE, SETTINGS, PAGES, QUERY = "language", "settings", "pages", "lang"
_DRAWING = Lock()
"""Saving a figure changes Matplotlib's settings while it lasts; sessions are threads."""


def language() -> Language:
    """The page's language: of the address, of this visit, or of the browser."""
    locale = (st.context.locale or "en")[:2]
    return chosen(st.query_params.get(QUERY) or st.session_state.get(LANGUAGE) or locale)


def say(text: Text, **values: object) -> str:
    """The text in the page's language."""
    return spoken(text, language(), **values)


def recorded(english: object, said: object, french: Mapping[str, str]) -> str:
    """A record's sentence as HTML: in English its own, elsewhere from its keys.

    A record without keys, as older versions wrote it, is shown in English and marked so.

    Args:
        english: As recorded.
        said: Its keys and values.
        french: By key.
    """
    told = in_french(said, french) if language() == "fr" else None
    return html.english(str(english or "")) if told is None else escape(told)


def theme() -> Theme:
    """The page's theme."""
    return "dark" if st.context.theme.type == "dark" else "light"


def settings() -> Settings:
    """What the app was started with."""
    found: Settings = st.session_state[SETTINGS]
    return found


def link(name: str, text: Text) -> None:
    """A way to another page; nothing where a page is shown alone."""
    page = st.session_state.get(PAGES, {}).get(name)
    if page is not None:
        st.page_link(page, label=say(text), icon=":material/arrow_forward:")


def predictor() -> Predictor | None:
    """The bundle that answers; None where none was given.

    Raises:
        BundleError: the bundle is incomplete or changed.
    """
    path = settings().bundle
    return None if path is None else _predictor(str(path), _changed(path))


def card() -> Card | None:
    """What the model card of the bundle that answers tells; None where no bundle was given."""
    found = predictor()
    return None if found is None else read_card(found.bundle.files[CARD])


def verdict() -> Colour:
    """The colour of the model that answers: of its card, else of the run that made it."""
    told, run = card(), champion(runs())
    if told is not None and told.colour is not None:
        return told.colour
    return overall_colour((run.assessment.get("verdict") if run is not None else None) or [])


def runs() -> list[Run]:
    """The runs in the folder given, by name."""
    named = settings().runs
    if named is None or "://" in named:
        return []
    found = predictor()
    return _runs(named, None if found is None else found.model_id)


def memory() -> Memory | None:
    """The training images that the bundle remembers; None where they are not at hand."""
    found = predictor()
    run = champion(runs())
    return None if found is None or run is None else _memory(str(run.folder), run, found)


def audit() -> Audit | None:
    """The audit given; None where none was.

    Raises:
        InputError: the folder holds none.
    """
    folder = settings().audit
    return None if folder is None else _audit(str(folder), _changed(folder / "audit.json"))


def draw(make: Callable[[], NamedFigure | None], key: str, *, title: str, caption: str = "") -> str:
    """A figure in the page's theme and language, under its title; drawn once for all visitors.

    Nothing where there is nothing to draw.

    Args:
        make: Draws it; None where there is nothing to draw.
        key: Fixed by all that it shows.
        title: In the page's words.
        caption: How to read it.
    """
    found = _svg(key, make)
    if found is None:
        return ""
    svg, alt = found
    if language() == "en":
        return html.figure(drawing(themed(svg, theme(), {})), alt, title, caption)
    words = {name: text.fr for name, text in figure_words.FIGURES.items()}
    spoken_alt = f"{title}. {caption}" if caption else title
    return html.figure(drawing(themed(svg, theme(), words)), spoken_alt, title, caption)


def forget_upload(file_id: str) -> None:
    """Drop a file of this visit from the server's memory, as its removal on the page does."""
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    context = get_script_run_ctx()
    if context is not None:
        # Its protocol does not name what the one that serves has: what removal by the page calls.
        held: Any = context.uploaded_file_mgr
        held.remove_file(context.session_id, file_id)


def show(*parts: str) -> None:
    """Put HTML on the page."""
    st.html("".join(parts))


def tell(text: Text, title: Text | None = None, *, colour: str = "accent") -> None:
    """Say what is missing, and what to do about it."""
    if title is None:
        show(html.notice(say(text), colour=colour))
    else:
        show(html.notice(say(title), say(text), colour=colour))


def lead(text: Text, **values: object) -> None:
    """The first sentence of a page."""
    show(f'<p class="lead">{escape(say(text, **values))}</p>')


def choose_run(many: Sequence[Run], label: Text, key: str) -> Run:
    """The run that the visitor chooses, the champion unless another is chosen."""
    names = [run.name for run in many]
    first = champion(many)
    at = 0 if first is None else names.index(first.name)
    name = st.selectbox(say(label), names, index=at, key=key)
    return many[names.index(name)]


def _changed(path: Path) -> float:
    inside = path / "bundle.json" if path.is_dir() else path
    return inside.stat().st_mtime if inside.exists() else 0.0


@st.cache_resource(show_spinner=False, max_entries=2)
def _predictor(path: str, changed: float) -> Predictor:
    del changed
    return Predictor.open(Path(path))


@st.cache_resource(show_spinner=False, ttl=10, max_entries=4)
def _runs(folder: str, champion: str | None) -> list[Run]:
    return find_runs(Path(folder), champion=champion)


@st.cache_resource(
    show_spinner=False, max_entries=2, hash_funcs={Predictor: lambda found: found.model_id}
)
def _memory(folder: str, _run: Run, found: Predictor) -> Memory | None:
    del folder
    drawn = _run.remembered()
    return None if drawn is None else open_memory(found, *drawn)


@st.cache_resource(show_spinner=False, max_entries=2)
def _audit(folder: str, changed: float) -> Audit:
    del changed
    return read_audit(Path(folder))


@st.cache_resource(show_spinner=False, max_entries=128)
def _svg(key: str, _make: Callable[[], NamedFigure | None]) -> tuple[str, str] | None:
    """The SVG and the finding it shows."""
    del key
    with _DRAWING:
        named = _make()
        return None if named is None else (to_svg(named), named.alt)
