"""The body in a picture, made small: what its place, pose and margins are judged on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.types import Canvas, FloatArray
from pneumoscope.imaging.geometry import resample

SQUARE = 128
"""Side of the square that the gate looks at."""

_LEAST_SPREAD = 20
"""Grey levels: what varies less is not spread any further."""

BLANK_RANGE, BLANK_DEVIATION = 8, 2
"""Grey levels: a picture that spans or varies less shows nothing."""

THUMBNAIL = 32
"""Side of the thumbnail that orientation is judged on."""

_MARGIN_LEVEL = 14
"""Within so many grey levels of black or white, a row is margin rather than body."""


def square(picture: Canvas) -> Canvas:
    """`[128, 128]` uint8: the whole picture, stretched, its darkest and brightest made 0 and 255.

    Half a percent at either end of the grey levels is clipped; a picture with hardly any contrast
    keeps it.

    Args:
        picture: `[height, width]`, grey levels 0-255.
    """
    whole = (0.0, 0.0, float(picture.shape[1]), float(picture.shape[0]))
    small = np.asarray(resample(picture, whole, SQUARE, SQUARE))
    ends = SQUARE * SQUARE // 200
    ordered = np.partition(small, (ends, small.size - 1 - ends), axis=None)
    low, high = int(ordered[ends]), int(ordered[-1 - ends])
    spread = max(high - low, _LEAST_SPREAD)
    levels = np.clip((np.arange(256) - low) * (255 / spread), 0, 255)
    return np.asarray(np.rint(levels).astype(np.uint8)[small])


def is_blank(picture: Canvas) -> bool:
    """Whether a picture `[height, width]` shows nothing: one grey level, or that within bars."""
    span = int(picture.max()) - int(picture.min())
    striped = bool((picture == picture[:1]).all() or (picture == picture[:, :1]).all())
    return span < BLANK_RANGE or striped or float(picture.std()) < BLANK_DEVIATION


def thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`[32, 32]` mean grey levels of the picture inside its black or white margins, stretched."""
    top, bottom, left, right = body_box(picture)
    body = picture[top:bottom, left:right]
    summed = np.add.reduceat(body, _starts(body.shape[0]), axis=0, dtype=np.float32)
    summed = np.add.reduceat(summed, _starts(body.shape[1]), axis=1)
    area = np.outer(_lengths(body.shape[0]), _lengths(body.shape[1]))
    return np.asarray(np.rint(summed / area), dtype=np.uint8)


def body_box(picture: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of what is left when rows and columns of margin are cut off.

    A margin is nearly all black, or nearly all white: text in it does not make it body. Where
    less than a third of a side would remain, nothing is cut.
    """
    step = max(1, min(picture.shape) // 56)
    coarse = picture[::step, ::step]
    limits: list[int] = []
    for axis, length in ((1, picture.shape[0]), (0, picture.shape[1])):
        dark = np.mean(coarse > _MARGIN_LEVEL, axis=axis)
        light = np.mean(coarse < 255 - _MARGIN_LEVEL, axis=axis)
        inside = np.flatnonzero(np.minimum(dark, light) > 0.1)
        first, last = (inside[0] * step, (inside[-1] + 1) * step) if inside.size else (0, length)
        last = min(int(last), length)
        limits += [int(first), last] if 3 * (last - first) >= length else [0, length]
    return limits[0], limits[1], limits[2], limits[3]


def _starts(length: int) -> NDArray[np.int64]:
    return np.arange(THUMBNAIL, dtype=np.int64) * length // THUMBNAIL


def _lengths(length: int) -> NDArray[np.int64]:
    # Below 32 pixels some starts repeat; `reduceat` then gives the one pixel there.
    return np.maximum(np.diff(_starts(length), append=length), 1)


def normalised(images: FloatArray) -> FloatArray:
    """`[image, ...]` float32 with mean 0 and standard deviation 1 each, cut off at 2.5."""
    axes = tuple(range(1, images.ndim))
    levels = np.asarray(images, dtype=np.float32)
    levels = levels - levels.mean(axis=axes, keepdims=True)
    levels = levels / (levels.std(axis=axes, keepdims=True) + np.float32(1e-3))
    return np.asarray(np.clip(levels, -2.5, 2.5))


def mediastinum_contrast(images: FloatArray) -> FloatArray:
    """`[image]`: how much brighter the middle is than the dark on both its sides.

    In standard deviations of the picture, between a fourth and five eighths of its height: about
    1.4 where a mediastinum lies between two lungs, about 0 where one lung lies in the middle.
    """
    side = images.shape[1]
    profile = normalised(images)[:, side // 4 : side * 5 // 8].mean(axis=1)
    summed = np.cumsum(np.pad(profile, ((0, 0), (1, 0))), axis=1)
    bands = (summed[:, 4:] - summed[:, :-4]) / 4
    middle, reach = bands.shape[1] // 2, bands.shape[1] // 2 - 2
    ridge = bands[:, middle - 3 : middle + 4].max(axis=1)
    left = bands[:, middle - reach : middle - 3].min(axis=1)
    right = bands[:, middle + 4 : middle + reach + 1].min(axis=1)
    return np.asarray(ridge - np.maximum(left, right), dtype=np.float64)
