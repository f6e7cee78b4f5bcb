"""Templates of this package, filled in."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def fill_html(template: str, **values: object) -> str:
    """The HTML of a template; every value is escaped unless it is `Markup` already."""
    return _printable(_environment(html=True).get_template(template).render(values))


def fill_markdown(template: str, **values: object) -> str:
    """The Markdown of a template; its filters `md` and `code` escape, nothing does by itself."""
    return _printable(_environment(html=False).get_template(template).render(values))


def read_template(name: str) -> str:
    """The text of a file in the templates folder."""
    return (files("pneumoscope.reporting") / "templates" / name).read_text(encoding="utf8")


@cache
def _environment(*, html: bool) -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    from pneumoscope.reporting.markdown import escape_markdown, markdown_code

    environment = Environment(
        loader=FunctionLoader(read_template),
        autoescape=html,  # noqa: S701 - Markdown is escaped by its filters
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    if not html:
        environment.filters |= {"md": escape_markdown, "code": markdown_code}
    return environment


def _printable(text: str) -> str:
    """`text` with the bytes of undecodable file names spelled out, so that UTF-8 can hold it."""
    return text.encode("utf8", "backslashreplace").decode("utf8")
