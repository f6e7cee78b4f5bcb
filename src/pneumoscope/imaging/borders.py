"""Uniform borders: black frames, white paddings, collimator blades; what lies inside of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.types import GreyImage
from pneumoscope.imaging.geometry import Box

TOLERANCE = 8
"""Grey levels of 255 by which the pixels of a border's row or column may differ: JPEG noise."""

_MOST_FRAMES = 4
"""One frame may lie in another (a black one in a white page); more are no frames."""


def inside_borders(pixels: GreyImage) -> Box:
    """The part of `[height, width]` grey levels that is left without uniform borders.

    A row or column at a side is left out while its levels differ by at most 8 of 255 (of deeper
    images: of their own range). At least half of each side stays, around what was found; a
    picture without any contrast stays whole.
    """
    tolerance = TOLERANCE if pixels.dtype == np.uint8 else TOLERANCE / 255 * float(np.ptp(pixels))
    height, width = pixels.shape
    top, bottom, left, right = 0, height, 0, width
    for _ in range(_MOST_FRAMES):
        before = top, bottom, left, right
        inside = pixels[top:bottom, left:right]
        first, last = _varied(inside, 1, tolerance)
        start, stop = _varied(inside, 0, tolerance)
        top, bottom, left, right = top + first, top + last, left + start, left + stop
        if before == (top, bottom, left, right):
            break
    top, rows = _at_least_half(top, bottom, height)
    left, columns = _at_least_half(left, right, width)
    return Box(top, left, rows, columns)


def _varied(pixels: GreyImage, axis: int, tolerance: float) -> tuple[int, int]:
    """From the first to behind the last line across `axis` that is not uniform; else all."""
    # Signed: the difference of two uint8 fits, and nothing wraps.
    span = pixels.max(axis=axis).astype(np.int32) - pixels.min(axis=axis)
    lines: NDArray[np.intp] = np.flatnonzero(span > tolerance)
    return (int(lines[0]), int(lines[-1]) + 1) if len(lines) else (0, pixels.shape[1 - axis])


def _at_least_half(start: int, stop: int, side: int) -> tuple[int, int]:
    """Start and length, grown evenly to half of the side where shorter."""
    length = max(stop - start, -(-side // 2))
    start -= (length - (stop - start)) // 2
    return min(max(start, 0), side - length), length
