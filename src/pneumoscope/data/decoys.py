"""Drawn pictures that are no chest radiographs: what the gate learns to refuse beside real ones.

Pages, charts, screens, noise, plain shapes, and other anatomy drawn simply. Like phantoms they are
computed from numbers alone; they stand for kinds of pictures of which no free collection is at
hand, and measure nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import RecipeError
from pneumoscope.core.randomness import generator
from pneumoscope.data.decoy_anatomy import ANATOMY

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw as Pen

Picture: TypeAlias = NDArray[np.uint8]
"""`[side, side]`, grey levels 0-255."""

Draw: TypeAlias = Callable[[int, np.random.Generator], Picture]

_WORDS = (
    "the report of patient date name hospital findings impression normal chest page total value "
    "table figure results method data image file open save edit view window help department "
    "request history comparison technique signed doctor invoice amount order number address"
)


def draw_decoy(kind: str, *, seed: int, side: int = 160) -> Picture:
    """`[side, side]` uint8: a picture of this kind of `DECOYS`; the same seed, the same picture.

    Raises:
        RecipeError: no such kind.
    """
    if kind not in DECOYS:
        raise RecipeError(f"kind '{kind}': no decoy; allowed: {', '.join(DECOYS)}. Name one.")
    rng = generator(seed, "decoy", kind)
    picture = DECOYS[kind](side, rng)
    return np.asarray(255 - picture if rng.random() < 0.2 else picture)


def _blank_page(side: int, level: int) -> tuple[object, Pen]:
    from PIL import Image, ImageDraw

    image = Image.new("L", (side, side), level)
    return image, ImageDraw.Draw(image)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size=size)


def _sentence(rng: np.random.Generator, words: int) -> str:
    known = _WORDS.split()
    return " ".join(known[at] for at in rng.integers(0, len(known), words))


def page(side: int, rng: np.random.Generator) -> Picture:
    """A page of text, in one column or two, with headings and perhaps a box."""
    image, pen = _blank_page(side, int(rng.integers(215, 256)))
    size = int(rng.integers(5, 15))
    y, margin = int(rng.integers(2, side // 8)), int(rng.integers(2, side // 6))
    while y < side - margin:
        if rng.random() < 0.12:
            y += size
        heading = rng.random() < 0.1
        font = _font(size + 4 if heading else size)
        text = _sentence(rng, int(rng.integers(2, 4 if heading else 14)))
        pen.text((margin, y), text, fill=int(rng.integers(0, 90)), font=font)
        y += int(size * rng.uniform(1.1, 1.6)) + 4 * heading
    if rng.random() < 0.3:
        corner = rng.integers(0, side // 2, 2).tolist()
        pen.rectangle((*corner, corner[0] + side // 3, corner[1] + side // 4), fill=160, outline=20)
    return np.asarray(image)


def table(side: int, rng: np.random.Generator) -> Picture:
    """A grid with entries, as of a spreadsheet or a form."""
    image, pen = _blank_page(side, int(rng.integers(225, 256)))
    rows, columns = (int(n) for n in rng.integers(4, 14, 2))
    ink, font = int(rng.integers(0, 120)), _font(max(5, side // rows // 2))
    for row in range(rows + 1):
        pen.line((0, row * side / rows, side, row * side / rows), fill=ink)
    for column in range(columns + 1):
        pen.line((column * side / columns, 0, column * side / columns, side), fill=ink)
    for row in range(rows):
        for column in range(columns):
            if rng.random() < 0.7:
                place = (column * side / columns + 2, row * side / rows + 1)
                pen.text(place, str(rng.integers(0, 9999)), fill=ink, font=font)
    return np.asarray(image)


def chart(side: int, rng: np.random.Generator) -> Picture:
    """Axes with bars, a curve, or points."""
    dark = rng.random() < 0.2
    image, pen = _blank_page(side, 20 if dark else 250)
    ink = 230 if dark else 10
    edge = side // 8
    pen.line((edge, edge // 2, edge, side - edge), fill=ink)
    pen.line((edge, side - edge, side - 4, side - edge), fill=ink)
    count = int(rng.integers(4, 20))
    across = np.linspace(edge + 6, side - 8, count)
    heights = rng.uniform(edge, side - edge - 4, count)
    if rng.random() < 0.4:
        for x, y in zip(across, heights, strict=True):
            pen.rectangle((x - 3, y, x + 3, side - edge), fill=int(rng.integers(40, 200)))
    for _ in range(int(rng.integers(1, 4))):
        heights = np.cumsum(rng.normal(0, side / 16, count)) + side / 2
        pen.line([*zip(across.tolist(), heights.tolist(), strict=True)], fill=ink, width=2)
    pen.text((edge, 2), _sentence(rng, 3), fill=ink, font=_font(10))
    return np.asarray(image)


def trace(side: int, rng: np.random.Generator) -> Picture:
    """Leads of an electrocardiogram on its grid."""
    image, pen = _blank_page(side, 245)
    for line in range(0, side, max(4, side // 24)):
        pen.line((line, 0, line, side), fill=205)
        pen.line((0, line, side, line), fill=205)
    beat = rng.uniform(18, 40)
    across = np.arange(side)
    phase = (across / beat + rng.random()) % 1
    wave = np.exp(-(((phase - 0.4) / 0.03) ** 2)) + 0.2 * np.exp(-(((phase - 0.7) / 0.08) ** 2))
    for lead in range(int(rng.integers(2, 6))):
        y = (lead + 0.7) * side / 5 - wave * side / 9 * rng.uniform(0.4, 1.2)
        pen.line([*zip(across.tolist(), y.tolist(), strict=True)], fill=30)
    return np.asarray(image)


def screen(side: int, rng: np.random.Generator) -> Picture:
    """A window of a program: bars, panels, buttons and text."""
    image, pen = _blank_page(side, int(rng.integers(0, 256)))
    for _ in range(int(rng.integers(3, 10))):
        x, y = rng.integers(-10, side, 2).tolist()
        wide, tall = rng.integers(10, side, 2).tolist()
        pen.rectangle((x, y, x + wide, y + tall), fill=int(rng.integers(0, 256)), outline=90)
    pen.rectangle((0, 0, side, side // 12), fill=int(rng.integers(0, 256)))
    for _ in range(int(rng.integers(4, 16))):
        x, y = rng.integers(0, side, 2).tolist()
        words = _sentence(rng, int(rng.integers(1, 4)))
        size = int(rng.integers(7, 14))
        pen.text((x - 20, y), words, fill=int(rng.integers(0, 256)), font=_font(size))
    return np.asarray(image)


def shapes(side: int, rng: np.random.Generator) -> Picture:
    """Discs, boxes and lines of plain grey on plain grey."""
    image, pen = _blank_page(side, int(rng.integers(0, 256)))
    for _ in range(int(rng.integers(1, 9))):
        x, y = rng.integers(-side // 8, side, 2).tolist()
        wide, tall = rng.integers(side // 10, side, 2).tolist()
        box = (x, y, x + wide, y + tall)
        level = int(rng.integers(0, 256))
        kind = rng.integers(0, 3)
        if kind == 0:
            pen.ellipse(box, fill=level)
        elif kind == 1:
            pen.rectangle(box, fill=level)
        else:
            pen.line(box, fill=level, width=int(rng.integers(1, 12)))
    return np.asarray(image)


def noise(side: int, rng: np.random.Generator) -> Picture:
    """Noise: white, or smooth to some length, or both; and clouds."""
    from scipy.ndimage import gaussian_filter

    field = rng.standard_normal((side, side))
    if rng.random() < 0.75:
        field = gaussian_filter(field, float(np.exp(rng.uniform(-1, 3.2))), mode="wrap")
        field = field / field.std() + rng.uniform(0, 0.5) * rng.standard_normal((side, side))
    return _levels(field, rng)


def gradient(side: int, rng: np.random.Generator) -> Picture:
    """Grey that runs from one side to the other, or out from a point."""
    y, x = np.mgrid[0:side, 0:side] / side
    angle = rng.uniform(0, 2 * np.pi)
    field = np.cos(angle) * x + np.sin(angle) * y
    if rng.random() < 0.5:
        across, down = rng.uniform(0, 1, 2)
        field = np.hypot(x - across, (y - down) * rng.uniform(0.5, 2))
    return _levels(field + rng.uniform(0, 0.05) * rng.standard_normal((side, side)), rng)


def pattern(side: int, rng: np.random.Generator) -> Picture:
    """Stripes, checks, rings: waves of one or two lengths."""
    y, x = np.mgrid[0:side, 0:side] / side
    field = np.zeros((side, side))
    for _ in range(int(rng.integers(1, 4))):
        angle, waves = rng.uniform(0, np.pi), np.exp(rng.uniform(0.5, 3.5))
        phase = rng.uniform(0, 2 * np.pi)
        field += np.sin(2 * np.pi * waves * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    if rng.random() < 0.4:
        field = np.sign(field)
    return _levels(field, rng)


def plain(side: int, rng: np.random.Generator) -> Picture:
    """One grey level, and at most a little noise."""
    level, spread = rng.uniform(0, 255), rng.choice([0.0, 1.0, 4.0])
    field = level + spread * rng.standard_normal((side, side))
    return np.asarray(np.rint(np.clip(field, 0, 255)), np.uint8)


def _levels(field: NDArray[np.float64], rng: np.random.Generator) -> Picture:
    """Grey levels between two drawn ones."""
    low, high = np.sort(rng.uniform(0, 255, 2))
    least, most = float(field.min()), float(field.max())
    scaled = (field - least) / max(most - least, 1e-9)
    return np.asarray(np.rint(low + (high - low) * scaled), np.uint8)


DECOYS: dict[str, Draw] = {
    "page": page, "table": table, "chart": chart, "trace": trace, "screen": screen,
    "shapes": shapes, "noise": noise, "gradient": gradient, "pattern": pattern, "plain": plain,
    **ANATOMY,
}  # fmt: skip
"""Every kind, by name."""
