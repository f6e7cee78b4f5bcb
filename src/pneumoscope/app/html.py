"""Small pieces of HTML: what Streamlit's own elements do not say well. Everything is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple


class Tile(NamedTuple):
    """One number, large.

    Attributes:
        name: What it is.
        value: As shown.
        note: Below it, such as the interval.
        low: Where the interval begins, in [0, 1]; None draws no bar.
        high: Where it ends.
        at: The value, in [0, 1].
    """

    name: str
    value: str
    note: str = ""
    low: float | None = None
    high: float | None = None
    at: float | None = None


def tiles(many: Iterable[Tile]) -> str:
    """Numbers side by side, the first one in the accent colour."""
    return f'<ul class="tiles">{"".join(map(_tile, many))}</ul>'


def chip(text: str, colour: str = "plain") -> str:
    """A short word on a coloured ground; the colour never says what the word does not."""
    return f'<span class="chip {escape(colour)}">{escape(text)}</span>'


def notice(
    title: str, text: str = "", colour: str = "plain", *, loud: bool = False, recorded: bool = False
) -> str:
    """What is most worth saying, in a box; a title alone is set as text unless it is loud.

    Args:
        title: In the page's words.
        text: Below it.
        colour: Of the box.
        loud: Whether a title alone is set as a title.
        recorded: Whether the text is the program's own, in English.
    """
    body = f"<p>{english(text) if recorded else escape(text)}</p>" if text else ""
    kind = colour if text or loud else f"{colour} quiet"
    return f'<div class="notice {escape(kind)}"><b>{escape(title)}</b>{body}</div>'


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str,
    numbers: Iterable[int] = (),
    trusted: Iterable[int] = (),
    narrow: bool = False,
) -> str:
    """A table whose first column names the row.

    Args:
        head: Of the columns.
        rows: Cells as text.
        caption: What the table holds, for those who cannot see where it stands.
        numbers: Columns set to the right, with figures of one width.
        trusted: Columns whose cells are HTML already.
        narrow: Whether it is kept from spreading over a wide page.
    """
    right, plain = set(numbers), set(trusted)
    top = "".join(
        f'<th scope="col"{_aligned(place in right)}>{escape(name)}</th>'
        for place, name in enumerate(head)
    )
    body = "".join(f"<tr>{_row(row, right, plain)}</tr>" for row in rows)
    label, kind = escape(caption), "scroll narrow" if narrow else "scroll"
    return (
        f'<div class="{kind}" role="region" tabindex="0" aria-label="{label}"><table>'
        f'<caption class="unseen">{label}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(pairs: Mapping[str, str]) -> str:
    """Names and what they stand for."""
    inside = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in pairs.items()
    )
    return f'<dl class="facts">{inside}</dl>'


def bars(shares: Mapping[str, tuple[float, str]], *, chosen: str | None = None) -> str:
    """A bar per name: how long, in [0, 1], and the words beside it."""
    inside = "".join(
        f'<div class="{"bar chosen" if name == chosen else "bar"}"><dt>{escape(name)}</dt>'
        f'<dd><span class="rail"><i style="width:{100 * share:.1f}%"></i></span>'
        f"<b>{escape(words)}</b></dd></div>"
        for name, (share, words) in shares.items()
    )
    return f'<dl class="bars">{inside}</dl>'


def figure(source: str, alt: str, title: str, caption: str = "", *, wide: bool = False) -> str:
    """A drawing under its title.

    Args:
        source: Its address.
        alt: What it shows.
        title: In the page's words.
        caption: How to read it.
        wide: Whether it takes all the room there is.
    """
    words = f"<span>{escape(caption)}</span>" if caption else ""
    kind = "drawing wide" if wide else "drawing"
    return (
        f'<figure class="{kind}"><figcaption><b>{escape(title)}</b>{words}'
        f'</figcaption><img src="{escape(source)}" alt="{escape(alt)}"></figure>'
    )


def picture(source: str, alt: str, caption: str = "") -> str:
    """A radiograph, or a sheet of them, on black."""
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="picture"><img src="{escape(source)}" alt="{escape(alt)}">{words}</figure>'
    )


def together(parts: Iterable[str], *, least: str = "20rem", close: bool = False) -> str:
    """Parts side by side where there is room, each at least as wide as said.

    Args:
        parts: HTML.
        least: A length of CSS.
        close: Whether few of them leave the rest of the line empty.
    """
    inside, kind = "".join(parts), "together close" if close else "together"
    return f'<div class="{kind}" style="--least:{escape(least)}">{inside}</div>'


def english(text: str) -> str:
    """A sentence of the report, which is written in English, marked so for screen readers."""
    return f'<span lang="en">{escape(text)}</span>'


def _tile(one: Tile) -> str:
    note = f'<span class="note">{escape(one.note)}</span>' if one.note else ""
    return (
        f'<li><span class="name">{escape(one.name)}</span>'
        f'<span class="value">{escape(one.value)}</span>{note}{_range(one)}</li>'
    )


def _range(one: Tile) -> str:
    if one.at is None:
        return ""
    span = ""
    if one.low is not None and one.high is not None:
        low, high = max(0.0, one.low), min(1.0, one.high)
        span = f'<span style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></span>'
    at = min(max(one.at, 0.0), 1.0)
    return (
        f'<span class="range" aria-hidden="true">{span}<i style="left:{100 * at:.1f}%"></i></span>'
    )


def _row(cells: Sequence[str], right: set[int], trusted: set[int]) -> str:
    shown = [cell if place in trusted else escape(cell) for place, cell in enumerate(cells)]
    first, *rest = shown
    # Names of runs and files may break after what separates their parts, not within a word.
    first = first if 0 in trusted else first.replace("/", "/<wbr>")
    return f'<th scope="row">{first}</th>' + "".join(
        f"<td{_aligned(place in right)}>{cell}</td>" for place, cell in enumerate(rest, start=1)
    )


def _aligned(number: bool) -> str:
    return ' class="number"' if number else ""
