"""Small pictures to compare radiographs by: framed alike whatever was put around the radiograph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.types import Canvas, IntArray, PixelBatch
from pneumoscope.imaging.preprocess import Box

SIDE = 64
"""Height and width of a thumbnail, pixels."""

_LEAST = 0.25
"""Part of the canvas that has to remain in height and width, or nothing is left out."""
_NOTABLE = 0.045
"""Part of the canvas from which a border is worth a second thumbnail; the search bears less."""


def thumbnails(canvases: PixelBatch) -> tuple[NDArray[np.uint8], IntArray]:
    """`[row, SIDE, SIDE]` pictures stretched to a square, and the image each row belongs to.

    Letterbox bars are left out. An image with wide uniform borders has a second row, without
    them: it may be a copy of one that has none, or of one whose air is as black.

    Args:
        canvases: `[image, 1, size, size]`, grey levels 0-255.
    """
    rows, owners = [], []
    for image, canvas in enumerate(canvases[:, 0]):
        frames = _frames(canvas)
        rows += [_stretched(canvas, frame) for frame in frames]
        owners += [image] * len(frames)
    stacked = np.stack(rows) if rows else np.empty((0, SIDE, SIDE), np.uint8)
    return stacked, np.array(owners, dtype=np.int32)


def _frames(canvas: Canvas) -> tuple[Box, ...]:
    above, below = _uniform_ends(canvas)
    left, right = _uniform_ends(canvas.T)
    size = len(canvas)
    whole = Box(0, 0, size, size)
    tight = Box(above, left, size - above - below, size - left - right)
    if min(tight.height, tight.width) < _LEAST * size or tight == whole:
        return (whole,)
    if _is_letterbox(canvas, tight):
        return (tight,)
    widest = max(above, below, left, right)
    return (whole, tight) if widest > _NOTABLE * size else (whole,)


def _uniform_ends(canvas: Canvas) -> tuple[int, int]:
    """How many rows at the top and at the bottom have one grey level each."""
    varied = np.flatnonzero(canvas.min(axis=1) != canvas.max(axis=1))
    if not varied.size:
        return 0, 0
    return int(varied[0]), len(canvas) - 1 - int(varied[-1])


def _is_letterbox(canvas: Canvas, tight: Box) -> bool:
    """Bars along one axis, equally wide but for the odd pixel, of one grey level."""
    if min(tight.height, tight.width) == tight.height:
        canvas, tight = canvas.T, Box(tight.left, tight.top, tight.width, tight.height)
    before, after = tight.left, len(canvas) - tight.left - tight.width
    if tight.height != len(canvas) or abs(before - after) > 1:
        return False
    bars = np.concatenate([canvas[:, :before], canvas[:, len(canvas) - after :]], axis=1)
    return bool(bars.min() == bars.max())


def _stretched(canvas: Canvas, frame: Box) -> Canvas:
    top, left, height, width = frame
    box = (left, top, left + width, top + height)
    # Pillow widens the filter when shrinking, so nothing aliases.
    small = Image.fromarray(canvas).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
    return np.asarray(small)
