r"""Foreign words inside Markdown, made harmless."""

from __future__ import annotations

import re

# A lone underscore inside a word is plain text in CommonMark (6.2) and stays readable.
_SPECIAL = re.compile(r"[\\`*\[\]|#~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# At the start of a line these would begin a list, a heading or a rule.
_OPENING = re.compile(r"^(\d*)([-+.)])(?= |$)|^()([-=])(?=[-= ]*$)")


def escape_markdown(value: object) -> str:
    r"""`value` on one line, with nothing in it that Markdown or HTML would interpret.

    >>> escape_markdown("<b>|x|</b>")
    '&lt;b&gt;\\|x\\|&lt;/b&gt;'
    >>> escape_markdown("1. lobar_pneumonia")
    '1\\. lobar_pneumonia'
    """
    line = " ".join(str(value).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _SPECIAL.sub(lambda found: f"\\{found.group()}", line)
    return _OPENING.sub(_escape_opening, line)


def _escape_opening(found: re.Match[str]) -> str:
    digits, mark = found.group(1) or "", found.group(2) or found.group(4)
    return f"{digits}\\{mark}"


def markdown_code(value: object) -> str:
    """`value` on one line as a code span, whatever backticks it holds (CommonMark 6.1).

    >>> markdown_code("a`b")
    '`` a`b ``'
    """
    line = " ".join(str(value).split()) or " "
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    room = " " if longest else ""
    # A bar would end the cell of a table even inside a code span (GFM 4.10).
    return f"{fence}{room}{line}{room}{fence}".replace("|", "\\|")
