"""Figures as tall as what they show: a sheet, panels placed on it in inches, a key above them.

`canvas` has the common size, palette and words; its panels are placed for that one height.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pneumoscope.reporting.canvas import (
    ACCENT,
    FONT,
    HEIGHT,
    INK,
    PALETTE,
    SMALL,
    WIDTH,
    Pattern,
    add_panel,
    new_figure,
    plain,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Style: TypeAlias = Literal["main", "other", "weak", "tick", "line", "dashes", "dots"]
Key: TypeAlias = Sequence[tuple[Style, str]]
"""What the styles of a figure stand for."""

MARGIN = 0.15
"""Inches to the left and right of everything."""
INNER = WIDTH - 2 * MARGIN
KEY_LINE = 0.21
"""Inches between the lines of a key."""
_SIGN, _GAP = 0.27, 0.24
"""Inches of a key's sign with the room behind it, and between two entries."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a mark or a line is drawn: never told apart by colour alone."""

    color: str
    marker: str = ""
    size: float = 6.0
    face: str = "white"
    pattern: Pattern = "-"
    width: float = 1.8


LOOKS: Mapping[Style, Look] = {
    "main": Look(color=ACCENT, marker="o", face=ACCENT),
    "other": Look(color=PALETTE[1], marker="D", size=5.2),
    "weak": Look(color=ACCENT, marker="o"),
    "tick": Look(color=INK, marker="|", size=11.0),
    "line": Look(color=ACCENT),
    "dashes": Look(color=PALETTE[1], pattern=(0, (5, 1.5))),
    "dots": Look(color=INK, pattern=(0, (1.2, 1.6)), width=1.4),
}


def new_sheet(height: float) -> Figure:
    """An empty white figure of the common width and `height` inches."""
    figure = new_figure()
    figure.set_size_inches(WIDTH, height)
    return figure


def place_panel(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Quiet axes at `box`: left, bottom, width, height in inches of this figure."""
    left, bottom, width, height = box
    stretch = HEIGHT / figure.get_size_inches()[1]
    return add_panel(figure, (left, bottom * stretch, width, height * stretch))


def page(figure: Figure) -> Axes:
    """Axes over the whole figure, in inches from its lower left corner, for words beside panels."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0, 0, 1, 1), label="page")
    axes.set(xlim=(0, width), ylim=(0, height), xticks=[], yticks=[])
    axes.set_axis_off()
    return axes


def text_width(text: str, *, size: float = SMALL, bold: bool = False) -> float:
    """Inches that a line of words takes."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family=FONT, size=size, weight="bold" if bold else "normal")
    with warnings.catch_warnings():
        # Such a letter is measured as a box, which is wider than any; the page's font has it.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from font")
        return float(TextToPath().get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def fit_text(text: str, width: float, *, size: float = SMALL, bold: bool = False) -> str:
    """`text` on one line, cut off where it would be wider than `width` inches."""
    short = plain(text, longest=80)
    while len(short) > 2 and text_width(short, size=size, bold=bold) > width:
        short = plain(text, longest=len(short) - 1)
    return short


def key_height(entries: Key) -> float:
    """Inches that `draw_key` takes for these entries."""
    return KEY_LINE * len(_key_lines(entries))


def draw_key(paper: Axes, entries: Key, *, top: float) -> None:
    """Write a key from the left margin on, as many entries a line as there is room for.

    Args:
        paper: from `page`.
        entries: how each is drawn, and what it is.
        top: inches from the lower edge to the key's upper one.
    """
    for row, line in enumerate(_key_lines(entries)):
        left, middle = MARGIN, top - (row + 0.5) * KEY_LINE
        for style, words in line:
            _draw_sign(paper, style, (left, middle))
            place = (left + _SIGN, middle)
            write(paper, place, words, size=SMALL, vertical="center", offset=(0, -0.5))
            left += _SIGN + text_width(words) + _GAP


def draw_mark(axes: Axes, style: Style, x: float, y: float, *, label: str = "") -> None:
    """Draw the point of one result."""
    look = LOOKS[style]
    axes.plot(
        [x], [y], marker=look.marker, markersize=look.size, markerfacecolor=look.face,
        markeredgecolor=look.color, markeredgewidth=1.6, linestyle="", clip_on=False, zorder=6,
        label=label or style,
    )  # fmt: skip


def draw_line(axes: Axes, style: Style, x: Any, y: Any, *, clip: bool = False) -> None:
    """Draw a curve; `clip` where it may leave the panel."""
    look = LOOKS[style]
    axes.plot(
        x, y, color=look.color, linestyle=look.pattern, linewidth=look.width, marker="",
        clip_on=clip, zorder=4, label=style,
    )  # fmt: skip


def _draw_sign(paper: Axes, style: Style, place: tuple[float, float]) -> None:
    x, y = place
    if LOOKS[style].marker:
        draw_mark(paper, style, x + 0.1, y)
    else:
        draw_line(paper, style, [x, x + 0.2], [y, y])


def _key_lines(entries: Key) -> list[list[tuple[Style, str]]]:
    lines: list[list[tuple[Style, str]]] = []
    taken = INNER
    for style, words in entries:
        short = fit_text(words, INNER - _SIGN)
        width = _SIGN + text_width(short)
        if taken + _GAP + width > INNER:
            lines.append([])
            taken = -_GAP
        lines[-1].append((style, short))
        taken += _GAP + width
    return lines
