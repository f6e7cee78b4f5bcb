"""What augmentation does to training images: each plain, then its views, on one sheet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.recipe import AugmentRecipe
from pneumoscope.reporting.canvas import (
    FONT,
    MUTED,
    SMALL,
    TEXT,
    NamedFigure,
    new_figure,
    plain,
    write,
)
from pneumoscope.reporting.words import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TILE, _GAP, _MARGIN, _CAPTION, _LINE = 1.12, 0.06, 0.16, 0.23, 0.17
"""Inches; a tile is 224 pixels of the PNG, one for each of the usual canvas."""
_CAPITAL = 0.68 * SMALL / 72
"""Width of a letter, inches, in a name that may be all capitals."""

_WORDS: Mapping[str, Callable[[float], str]] = {
    "horizontal_flip": lambda v: f"mirrored {100 * v:g}%",
    "rotation": lambda v: f"rotation ±{v:g}°",
    "zoom": lambda v: f"zoom {1 + v:g}",
    "aspect": lambda v: f"aspect {1 + v:g}",
    "shift": lambda v: f"shift ±{100 * v:g}%",
    "shear": lambda v: f"shear ±{v:g}°",
    "histogram": lambda v: f"histogram matching up to {100 * v:g}%",
    "gamma": lambda v: f"gamma {1 + v:g}",
    "contrast": lambda v: f"contrast {1 + v:g}",
    "brightness": lambda v: f"brightness ±{100 * v:g}%",
    "blur": lambda v: f"blur up to {v:g} px",
    "degrade": lambda v: f"JPEG quality from {100 - 90 * v:.0f}",
    "noise": lambda v: f"noise up to {v:g} grey levels",
    "erase": lambda v: f"erased up to {100 * v:g}%",
}
"""Each field of the recipe in the order of application, its furthest reach in words."""


def augmentation_words(recipe: AugmentRecipe) -> str:
    """How far a view may differ from its radiograph, in one line.

    >>> augmentation_words(AugmentRecipe(aspect=0, shift=0, gamma=0, brightness=0, noise=4))
    'rotation ±8°, zoom 1.12, contrast 1.25, noise up to 4 grey levels'
    """
    parts = [words(reach) for name, words in _WORDS.items() if (reach := getattr(recipe, name)) > 0]
    return ", ".join(parts) or "nothing: every part is switched off"


def augmentation_figure(
    originals: NDArray[np.uint8],
    views: NDArray[np.uint8],
    *,
    names: Sequence[str],
    recipe: AugmentRecipe,
) -> NamedFigure:
    """A sheet with a row per image: first the plain canvas, then its augmented views.

    Args:
        originals: `[image, size, size]` grey levels 0-255.
        views: `[image, view, size, size]` grey levels 0-255.
        names: what to write above each row.
        recipe: what the views were drawn from; its words stand below the title.
    """
    rows, columns = views.shape[0], views.shape[1] + 1
    width = 2 * _MARGIN + max(columns, 2) * (_TILE + _GAP) - _GAP
    words = augmentation_words(recipe)
    lines = _wrap(words, width - 2 * _MARGIN)
    head = _MARGIN + (1.3 + len(lines)) * _LINE + _CAPTION
    height = head + rows * (_CAPTION + _TILE) + _MARGIN
    figure = new_figure()
    figure.set_size_inches(width, height)
    page = _page(figure)
    _write_head(page, lines, top=height - _MARGIN)
    _name_columns(page, columns, bottom=height - head)
    for row, (original, augmented, name) in enumerate(zip(originals, views, names, strict=True)):
        bottom = height - head - (row + 1) * (_CAPTION + _TILE)
        _draw_row(page, [original, *augmented], name, bottom=bottom)
    shown = f"{count(rows, 'training image')}, each plain and in {count(columns - 1, 'view')}"
    return NamedFigure("augmentation", figure, f"{shown}: {words}.")


def _wrap(words: str, width: float) -> list[str]:
    """Lines no wider than `width` inches, broken between parts only."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font, measure = FontProperties(family=FONT, size=SMALL), TextToPath()
    lines: list[str] = []
    for part in words.replace(", ", ",\n").split("\n"):
        longer = f"{lines[-1]} {part}" if lines else part
        fits = measure.get_text_width_height_descent(longer, font, ismath=False)[0] <= 72 * width
        lines[-1:] = [longer] if fits or not lines else [lines[-1], part]
    return lines


def _page(figure: Figure) -> Axes:
    """Axes over the whole figure, in inches from its lower left corner."""
    width, height = figure.get_size_inches()
    page = figure.add_axes((0, 0, 1, 1), label="page")
    page.set(xlim=(0, width), ylim=(0, height))
    page.set_axis_off()
    return page


def _write_head(page: Axes, lines: Sequence[str], *, top: float) -> None:
    write(page, (_MARGIN, top), "What training sees", size=TEXT + 1, bold=True, vertical="top")
    for index, line in enumerate(lines):
        place = (_MARGIN, top - (1.3 + index) * _LINE)
        write(page, place, line, color=MUTED, size=SMALL, vertical="top")


def _name_columns(page: Axes, columns: int, *, bottom: float) -> None:
    for column in range(columns):
        place = (_MARGIN + column * (_TILE + _GAP), bottom)
        write(page, place, f"View {column}" if column else "Plain", offset=(0, 4), size=SMALL)


def _draw_row(
    page: Axes, canvases: Sequence[NDArray[np.uint8]], name: str, *, bottom: float
) -> None:
    """Tiles from left to right at `bottom` inches, their name above the first."""
    (_, width), (_, height) = page.get_xlim(), page.get_ylim()
    short = plain(name, longest=int((width - 2 * _MARGIN) / _CAPITAL))
    write(page, (_MARGIN, bottom + _TILE), short, offset=(0, 4), color=MUTED, size=SMALL)
    for column, canvas in enumerate(canvases):
        left = _MARGIN + column * (_TILE + _GAP)
        box = (left / width, bottom / height, _TILE / width, _TILE / height)
        axes = page.figure.add_axes(box, label="tile")
        axes.imshow(
            canvas, cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="antialiased",
            origin="upper",
        )  # fmt: skip
        axes.set_axis_off()
