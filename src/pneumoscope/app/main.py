"""The frame of every page, and the way between them."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from html import escape
from importlib import import_module, resources

import streamlit as st

from pneumoscope.app import html, session
from pneumoscope.app.language import LANGUAGES
from pneumoscope.app.settings import Settings
from pneumoscope.app.theme import variables
from pneumoscope.app.words import common as words
from pneumoscope.core.errors import PneumoscopeError

ICONS = {
    "overview": ":material/radiology:",
    "data": ":material/dataset:",
    "experiments": ":material/science:",
    "evaluation": ":material/query_stats:",
    "try": ":material/upload_file:",
    "review": ":material/rate_review:",
}
"""By the page's address; the signs are part of Streamlit and served from this machine."""
_MODULES = {"try": "try_it"}


def main(settings: Settings) -> None:
    """Show the page that the address names."""
    st.set_page_config(page_title=words.TITLE.en, page_icon=_static("mark.svg"), layout="wide")
    begin(settings)
    pages = {
        name: st.Page(
            _page(name), title=session.say(text), icon=ICONS[name], url_path=name,
            default=name == "overview",
        )
        for name, text in words.PAGES.items()
    }  # fmt: skip
    st.session_state[session.PAGES] = pages
    st.navigation(list(pages.values()), position="top").run()


def begin(settings: Settings) -> None:
    """Settle the visit's language and theme, before anything is shown."""
    st.session_state[session.SETTINGS] = settings
    language = session.language()
    st.session_state[session.LANGUAGE] = language
    if st.query_params.get(session.QUERY) != language:
        st.query_params[session.QUERY] = language
    st.logo(_static("logo.svg"), size="medium")
    style = f":root{{{variables(session.theme())}}}{_static('app.css')}"
    # A page that says another language than it is written in is read aloud wrongly.
    script = f"document.documentElement.lang = '{language}';"
    st.html(f"<style>{style}</style>")
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


def framed(show: Callable[[], None]) -> None:
    """A page between what stands above and below every page."""
    _head()
    try:
        show()
    except PneumoscopeError as error:
        message = " ".join(str(error).split())
        session.show(html.notice(session.say(words.FAILED), message, "red", recorded=True))
    except Exception as error:  # noqa: BLE001 - the last catch: a page never breaks off
        _log(error)
        remedy = session.say(words.BROKEN, kind=type(error).__name__)
        session.show(html.notice(session.say(words.FAILED), remedy, "red"))
    foot = f"{escape(session.say(words.NOTICE))} {escape(session.say(words.FOOT))}"
    session.show(f'<p class="foot">{foot}</p>')


def _log(error: Exception) -> None:
    """Where it happened; not what the error says, which may name files and so patients."""
    where = "".join(traceback.format_tb(error.__traceback__))
    logging.getLogger(__name__).error("%s\n%s", type(error).__name__, where)


def show_page(name: str) -> None:
    """The page of this address, in its frame."""
    module = import_module(f"pneumoscope.app.pages.{_MODULES.get(name, name)}")
    framed(module.show)


def _page(name: str) -> Callable[[], None]:
    def page() -> None:
        show_page(name)

    return page


def _head() -> None:
    row = st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    )
    with row:
        notice = escape(session.say(words.NOTICE))
        st.html(f'<p class="research">{notice}</p>', width="content")
        st.segmented_control(
            session.say(words.LANGUAGE), LANGUAGES, default=session.language(), required=True,
            format_func=lambda one: words.NAMES[one].en, key="switch",
            on_change=_switch, label_visibility="collapsed",
        )  # fmt: skip


def _switch() -> None:
    language = st.session_state["switch"]
    st.session_state[session.LANGUAGE] = language
    st.query_params[session.QUERY] = language


def _static(name: str) -> str:
    return (resources.files("pneumoscope.app") / "static" / name).read_text(encoding="utf8")
