"""The Markdown of model cards as HTML: headings, tables, lists, code and bold, nothing that loads.

Links and pictures stay text and raw HTML is shown as written, so a card can neither reach another
machine nor run anything, whoever wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape, unescape
from itertools import groupby
from typing import NamedTuple

from pneumoscope.app import html
from pneumoscope.reporting.markdown import escape_markdown

_KINDS = {
    "blank": re.compile(r"\s*$"),
    "heading": re.compile(r"#{1,6} "),
    "table": re.compile(r"\|"),
    "numbers": re.compile(r"\d+\. "),
    "list": re.compile(r"[-*+] "),
}
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_SPAN = re.compile(
    r"\\(?P<mark>[!-/:-@\[-`{-~])|(?P<fence>`+)(?P<code>.+?)(?P=fence)|(?P<bold>\*\*)"
)
_CELL_END = re.compile(r"(?<!\\)\|")


class Block(NamedTuple):
    """Lines of one kind that stand together: a key of `_KINDS`, `code` or `text`."""

    kind: str
    lines: list[str]


def blocks(markdown: str) -> Iterator[Block]:
    """The blocks of a text, its front matter and empty lines left out."""
    fenced = False

    def kind_of(line: str) -> str:
        nonlocal fenced
        if line.startswith("```"):
            fenced = not fenced
            return "blank"
        if fenced:
            return "code"
        return next((kind for kind, begins in _KINDS.items() if begins.match(line)), "text")

    body = _FRONT.sub("", markdown.replace("\r\n", "\n"), count=1)
    for kind, lines in groupby(body.split("\n"), kind_of):
        if kind != "blank":
            yield Block(kind, list(lines))


def cells(line: str) -> list[str]:
    r"""The cells of a row of a table, as Markdown.

    >>> cells(r"| a | b\|c |")
    ['a', 'b\\|c']
    """
    return [cell.strip() for cell in _CELL_END.split(line.strip().removeprefix("|"))[:-1]]


def plain(markdown: str) -> str:
    r"""The text of a line without its marks.

    >>> plain(r"**a** `b` \*c &lt;d")
    'a b *c <d'
    """
    return "".join(text for kind, text in _spans(markdown) if kind != "bold")


def plain_label(name: object) -> str:
    r"""A name for Streamlit's labels, which are Markdown: shown as it is written.

    >>> plain_label("a*b*:red[x] $1$") == r"a\*b\*\:red\[x\] \$1\$"
    True
    """
    return re.sub(r"[$:]", lambda found: f"\\{found.group()}", escape_markdown(name))


def to_html(markdown: str) -> str:
    """The text as HTML, its first heading one for a part of a page."""
    parts, title = [], ""
    for block in blocks(markdown):
        if block.kind == "heading":
            title = plain(block.lines[-1].lstrip("# "))
            parts += [_heading(line) for line in block.lines]
        else:
            parts.append(_block(block, title))
    return "".join(parts)


def _block(block: Block, title: str) -> str:
    lines = block.lines
    if block.kind == "table":
        return _table(lines, title)
    if block.kind in ("list", "numbers"):
        name = "ul" if block.kind == "list" else "ol"
        items = "".join(f"<li>{_inline(line.partition(' ')[2])}</li>" for line in lines)
        return f"<{name}>{items}</{name}>"
    if block.kind == "code":
        return f"<pre><code>{escape(chr(10).join(lines))}</code></pre>"
    return f"<p>{_inline(' '.join(lines))}</p>"


def _heading(line: str) -> str:
    marks, _, text = line.partition(" ")
    level = min(6, len(marks) + 2)
    return f"<h{level}>{_inline(text)}</h{level}>"


def _table(lines: Sequence[str], caption: str) -> str:
    head, *rest = map(cells, lines)
    rule, *rows = rest or [[]]
    rows = [(row + [""] * len(head))[: len(head)] for row in rows]
    if not any(head) and len(head) == 2:
        return html.facts({plain(name): plain(value) for name, value in rows})
    return html.table(
        list(map(plain, head)), [list(map(_inline, row)) for row in rows], caption=caption,
        numbers=[place for place, mark in enumerate(rule) if mark.endswith(":")],
        trusted=range(len(head)),
    )  # fmt: skip


def _inline(markdown: str) -> str:
    bold, parts = False, []
    for kind, text in _spans(markdown):
        if kind == "bold":
            bold = not bold
            parts.append("<strong>" if bold else "</strong>")
        else:
            parts.append(f"<code>{escape(text)}</code>" if kind == "code" else escape(text))
    return "".join(parts) + ("</strong>" if bold else "")


def _spans(markdown: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each stretch: `text`, `code`, or `bold` where it begins or ends."""
    at = 0
    for found in _SPAN.finditer(markdown):
        yield "text", unescape(markdown[at : found.start()])
        at = found.end()
        if found["code"] is not None:
            yield "code", found["code"].replace("\\|", "|").strip()
        else:
            yield ("bold", "") if found["bold"] else ("text", found["mark"])
    yield "text", unescape(markdown[at:])
