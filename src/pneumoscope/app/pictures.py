"""Pictures for the page: radiographs and saliency maps as PNG, figures in the page's colours."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.app.theme import COLOURS, FONT, Theme
from pneumoscope.core.types import FloatArray
from pneumoscope.imaging.geometry import Box, Geometry
from pneumoscope.imaging.overlay import colours
from pneumoscope.imaging.preprocess import to_uint8
from pneumoscope.imaging.radiograph import Radiograph

MOST = 1024
"""Longer side of a picture on the page, pixels: a screen shows no more."""

_MAP = 256
"""Longer side of a saliency map on the page; the network's own has about 7."""
_PAPER = {"#17212B": "ink", "#5A6672": "muted", "#E3E8EC": "rule", "#0072B2": "accent"}
"""The figures' colours, see `reporting.canvas`, and what the theme calls them."""
_PALE = "F3F6F8"
"""Of `answer_figures`: where a confusion matrix holds nothing."""
_TINT = re.compile(r"fill: #([0-9A-Fa-f]{6})\b")
_FAMILY = re.compile(r"font-family: ?[^;\"]+")
_POINT, _PERCENT = re.compile(r"(?<=\d)\.(?=\d)"), re.compile(r"(?<=\d)%")
_TEXT = re.compile(r"(<text[^>]*>)([^<]*)(</text>)")


def grey(radiograph: Radiograph) -> NDArray[np.uint8]:
    """`[height, width]`, grey levels 0-255, at most `MOST` on its longer side."""
    levels = to_uint8(radiograph)
    factor = MOST / max(levels.shape)
    if factor >= 1:
        return np.array(levels)
    size = (round(radiograph.width * factor), round(radiograph.height * factor))
    small = Image.fromarray(levels).resize(
        (max(1, size[0]), max(1, size[1])), Image.Resampling.BOX, reducing_gap=2.0
    )
    return np.asarray(small)


def on_picture(saliency: FloatArray, geometry: Geometry) -> NDArray[np.float32]:
    """A canvas's saliency map in the geometry of the radiograph, small, for the page.

    Restoring it at the radiograph's own size would cost hundreds of megabytes for nothing.

    Args:
        saliency: `[rows, columns]` of the whole canvas.
        geometry: Of the radiograph.
    """
    factor = min(1.0, _MAP / max(geometry.source_height, geometry.source_width))
    small = replace(
        geometry,
        source_height=max(1, round(geometry.source_height * factor)),
        source_width=max(1, round(geometry.source_width * factor)),
        crop=_scaled(geometry, factor),
    )
    return np.asarray(small.restore(saliency), dtype=np.float32)


def coloured(saliency: FloatArray) -> NDArray[np.uint8]:
    """`[height, width, 4]`: the map's colours, as opaque as it is strong; of `overlay`'s scale."""
    strength = np.maximum(saliency, 0).astype(np.float32)
    highest = float(strength.max(initial=0))
    level = np.rint(strength * (255 / highest if highest else 0)).astype(np.uint8)
    return np.dstack([colours()[level], level])


def drawing(svg: str) -> str:
    """An SVG as a `data:` address: drawn as a picture, it can neither fetch nor run anything."""
    return address(svg.encode(), "image/svg+xml")


def png(picture: NDArray[np.uint8]) -> bytes:
    """Grey, RGB or RGBA as PNG, compressed quickly."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def address(content: bytes, kind: str = "image/png") -> str:
    """The content as a `data:` address, so that no file is kept anywhere."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def themed(svg: str, theme: Theme, words: Mapping[str, str]) -> str:
    """A figure in the theme's colours, on the page instead of white paper.

    Args:
        svg: As `reporting.rendering.to_svg` gives it.
        theme: Of the page.
        words: What its texts are replaced by, whole or in part; figures are drawn in English.
    """
    drawn = _TEXT.sub(lambda found: _reworded(found, words), svg)
    for colour, name in _PAPER.items():
        value = COLOURS[theme][name]
        drawn = drawn.replace(colour, value).replace(colour.lower(), value)
    drawn = _TINT.sub(lambda found: _tinted(found, theme), drawn)
    drawn = drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    drawn = _FAMILY.sub(f"font-family: {FONT}", drawn)
    page = COLOURS[theme]["page"]
    for white in ("#ffffff", "#FFFFFF", "white"):
        drawn = drawn.replace(f"fill: {white}", f"fill: {page}")
        drawn = drawn.replace(f"stroke: {white}", f"stroke: {page}")
    return drawn


def _tinted(found: re.Match[str], theme: Theme) -> str:
    """A tint between the figures' palest and their accent, as the theme has it; others stay."""
    colour = _levels(found.group(1))
    pale, full = _levels(_PALE), _levels("0072B2")
    share = float((colour - pale) @ (full - pale) / ((full - pale) @ (full - pale)))
    if not 0 <= share < 1 or np.abs(pale + share * (full - pale) - colour).max() > 3:
        return found.group()
    ends = (_levels(COLOURS[theme][name].removeprefix("#")) for name in ("soft", "accent"))
    low, high = ends
    mixed = np.rint(low + share * (high - low)).astype(int)
    return f"fill: #{bytes(mixed.tolist()).hex()}"


def _levels(colour: str) -> NDArray[np.float64]:
    return np.array(list(bytes.fromhex(colour)), dtype=np.float64)


def _reworded(found: re.Match[str], words: Mapping[str, str]) -> str:
    opening, text, ending = found.groups()
    if not words:
        return found.group()
    whole = words.get(text, text)
    for part, other in words.items():
        if whole is text and part != part.strip():
            text = whole = whole.replace(part, other)
    numbers = _PERCENT.sub("\u202f%", _POINT.sub(",", whole))
    return f"{opening}{numbers}{ending}"


def _scaled(geometry: Geometry, factor: float) -> Box:
    top, left, height, width = (round(edge * factor) for edge in geometry.crop)
    rows = max(1, round(geometry.source_height * factor))
    columns = max(1, round(geometry.source_width * factor))
    top, left = min(top, rows - 1), min(left, columns - 1)
    return Box(top, left, max(1, min(height, rows - top)), max(1, min(width, columns - left)))
