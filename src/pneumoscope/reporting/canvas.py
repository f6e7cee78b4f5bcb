"""The drawing board of every figure: one size, one palette, quiet axes, words beside the data.

Figures are made with Matplotlib's object interface and every property is set here, so neither a
user's `matplotlibrc` nor another figure can change them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pattern: TypeAlias = Literal["-"] | tuple[float, tuple[float, ...]]
"""A line pattern: solid, or an offset and the lengths of dashes and gaps in line widths."""

FONT = "DejaVu Sans"
WIDTH, HEIGHT = 4.4, 4.6
"""Inches; narrow enough that the words stay legible on a phone without zooming."""
TEXT, SMALL = 10.0, 9.0
"""Font sizes in points."""

INK, MUTED, RULE = "#17212B", "#5A6672", "#E3E8EC"
ACCENT = "#0072B2"
PALETTE = (ACCENT, "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#17212B")
"""Okabe & Ito, *Color Universal Design* (2008), without the yellow that white paper swallows."""
STROKES: tuple[Pattern, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))
"""Line patterns; together with the palette they tell 21 labels apart."""

_LONGEST = 24


@dataclass(frozen=True)
class NamedFigure:
    """A figure, the name it is filed under, and the finding it shows in one sentence."""

    name: str
    figure: Figure
    alt: str


def plain(text: str, *, longest: int = _LONGEST) -> str:
    r"""`text` fit to be drawn: on one line, printable, at most `longest` characters.

    >>> plain("viral\tpneumonia")
    'viral pneumonia'
    >>> plain("pneumonia, organising", longest=10)
    'pneumonia…'
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def new_figure() -> Figure:
    """An empty white figure of the common size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=100, facecolor="white", edgecolor="white")
    figure.set_layout_engine("none")
    return figure


def add_panel(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes without frame or tick marks at `box` (left, bottom, width, height in inches)."""
    left, bottom, width, height = box
    axes = figure.add_axes((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))
    axes.set_facecolor("white")
    axes.set_axisbelow(True)
    axes.margins(0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(
        which="both", length=0, pad=5, labelsize=SMALL, labelcolor=MUTED,
        labelfontfamily=FONT, top=False, right=False, labeltop=False, labelright=False,
    )  # fmt: skip
    axes.grid(visible=False)
    return axes


def set_ticks(
    axes: Axes, *, x: Sequence[float] = (), y: Sequence[float] = (), grid: bool = True
) -> None:
    """Put ticks and their hairlines at the given places, written without trailing zeros."""
    axes.set_xticks(x, labels=[f"{value:g}" for value in x], parse_math=False)
    axes.set_yticks(y, labels=[f"{value:g}" for value in y], parse_math=False)
    if grid:
        axes.grid(visible=True, which="major", color=RULE, linewidth=0.7, linestyle="-", alpha=1)


def unit_square(axes: Axes, *, low: float = 0.0) -> None:
    """Both axes from `low` to 1, with hairlines at the same places."""
    step = 0.2 if low == 0 else 0.1
    count = round((1 - low) / step)
    ticks = [round(1 - step * index, 6) for index in range(count, -1, -1)]
    axes.set(xlim=(low, 1), ylim=(low, 1))
    set_ticks(axes, x=ticks, y=ticks)


def name_axes(axes: Axes, *, x: str = "", y: str = "") -> None:
    """Name the axes where they end: `y` upright above its top, `x` below its right end."""
    if y:
        write(axes, (0, 1), y, offset=(0, 9), fraction=True, color=MUTED, size=SMALL)
    if x:
        write(
            axes, (1, 0), x, offset=(0, -29), fraction=True, color=MUTED, size=SMALL, align="right"
        )


def write(  # noqa: PLR0913 - one text, each option named by the caller
    axes: Axes,
    place: tuple[float, float],
    text: str,
    *,
    offset: tuple[float, float] = (0, 0),
    fraction: bool = False,
    color: str = INK,
    size: float = TEXT,
    bold: bool = False,
    align: str = "left",
    vertical: str = "baseline",
    halo: bool = False,
) -> None:
    """Write `text` literally (no mathematics, no markup) at a place in data or axes units.

    Args:
        axes: where.
        place: x and y, in data units or, with `fraction`, in fractions of the axes.
        text: one line.
        offset: points to the right and up.
        fraction: how `place` is meant.
        color: of the letters.
        size: in points.
        bold: heavier letters.
        align: `left`, `center` or `right`.
        vertical: `baseline`, `top`, `center` or `bottom`.
        halo: hide the lines behind the letters.
    """
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5} if halo else None
    axes.annotate(
        text, place, xycoords="axes fraction" if fraction else "data", xytext=offset,
        textcoords="offset points", color=color, fontsize=size, fontfamily=FONT,
        fontweight="bold" if bold else "normal", ha=align, va=vertical, bbox=box,
        parse_math=False, annotation_clip=False, zorder=5,
    )  # fmt: skip


def stroke(index: int) -> tuple[str, Pattern]:
    """Colour and line pattern of the label at `index`."""
    return PALETTE[index % len(PALETTE)], STROKES[index // len(PALETTE) % len(STROKES)]


def draw_diagonal(axes: Axes) -> None:
    """The line that chance, or perfect calibration, would follow."""
    limits = axes.get_xlim()
    axes.plot(
        limits, limits, color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)), marker="",
        label="diagonal", zorder=2,
    )  # fmt: skip


def write_result(
    axes: Axes, result: str, interval: str, label: str, *, height: float = 0.06
) -> None:
    """The figure's finding in the lower right corner: number, interval, label.

    Args:
        axes: where.
        result: name and number.
        interval: its two ends, or nothing.
        label: whose result it is, or nothing.
        height: of the lowest line, as a fraction of the axes.
    """
    lines = [(plain(label), MUTED, TEXT), (interval, MUTED, TEXT), (result, ACCENT, TEXT + 2)]
    points = 0
    for text, color, size in lines:
        if text:
            write(axes, (0.97, height), text, offset=(0, points), fraction=True, color=color,
                  size=size, bold=size > TEXT, align="right", halo=True)  # fmt: skip
            points += 15


def write_key(
    axes: Axes, entries: Sequence[tuple[int, str]], *, corner: str = "right", longest: int = 14
) -> None:
    """A key in a lower corner: one short stroke and its words for each entry.

    Args:
        axes: where.
        entries: index of the label (see `stroke`) and what to write, from top to bottom.
        corner: `left` or `right`.
        longest: how many entries to write before saying how many more there are.
    """
    from matplotlib.lines import Line2D

    shown = list(entries[:longest])
    # As wide as its longest words, 0.6 em a letter, in fractions of the axes.
    letters = max((len(words) for _, words in shown), default=0)
    width = 0.08 + letters * 0.6 * SMALL / 72 / (axes.get_position().width * WIDTH)
    left = 0.03 if corner == "left" else max(0.03, 0.97 - width)
    step = min(0.062, 0.8 / (len(shown) + 1))
    bottom = 0.05 + (step if len(entries) > longest else 0)
    for row, (index, words) in enumerate(reversed(shown)):
        height = bottom + row * step
        color, pattern = stroke(index)
        line = Line2D(
            [left, left + 0.06], [height, height], transform=axes.transAxes, color=color,
            linestyle=pattern, linewidth=1.8, marker="", zorder=5,
        )  # fmt: skip
        axes.add_artist(line)
        write(axes, (left + 0.08, height), words, fraction=True, size=SMALL, vertical="center",
              halo=True)  # fmt: skip
    if len(entries) > longest:
        more = f"and {len(entries) - longest} more"
        write(axes, (left + 0.08, 0.05), more, fraction=True, color=MUTED, size=SMALL,
              vertical="center")  # fmt: skip
