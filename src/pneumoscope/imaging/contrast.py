"""Contrast-limited adaptive histogram equalisation: local contrast, noise kept in bounds.

Zuiderveld 1994, "Contrast Limited Adaptive Histogram Equalization", Graphics Gems IV, in the form
of OpenCV's `createCLAHE`, level for level.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_LEVELS = 256

_Between: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]


def clahe(
    image: NDArray[np.uint8], *, clip_limit: float, tiles: tuple[int, int] = (8, 8)
) -> NDArray[np.uint8]:
    """`[height, width]` uint8: the image, each tile's histogram clipped and made even.

    Args:
        image: `[height, width]`, grey levels 0-255.
        clip_limit: how often a level may occur in a tile, in multiples of what it would in an
            even histogram; about 1 changes little, 2 to 4 is usual.
        tiles: how many lie below and beside each other; tables in between are interpolated.
    """
    (height, width), (down, across) = image.shape, tiles
    # OpenCV grows both sides where one of them does not divide evenly.
    more = int(bool(height % down or width % across))
    rows, columns = height // down + more, width // across + more
    tables = _tables(_in_tiles(image, rows, columns, tiles), clip_limit)
    below, beside = _between(height, rows, down), _between(width, columns, across)
    return _interpolated(image, tables.reshape(down, across, _LEVELS), below, beside)


def _in_tiles(
    image: NDArray[np.uint8], rows: int, columns: int, tiles: tuple[int, int]
) -> NDArray[np.uint8]:
    """`[tile, pixel]`: the image, reflected beyond its bottom and right where tiles ask for it."""
    height, width = image.shape
    down, across = tiles
    surplus = ((0, rows * down - height), (0, columns * across - width))
    padded = np.pad(image, surplus, mode="reflect")
    cut = padded.reshape(down, rows, across, columns).transpose(0, 2, 1, 3)
    return cut.reshape(down * across, rows * columns)


def _tables(pixels: NDArray[np.uint8], clip_limit: float) -> NDArray[np.float32]:
    """`[tile, level]`: what each level becomes; from `[tile, pixel]`."""
    tiles, area = pixels.shape
    keys = pixels + (np.arange(tiles, dtype=np.int32) * _LEVELS)[:, None]
    counts = np.bincount(keys.ravel(), minlength=tiles * _LEVELS).reshape(tiles, _LEVELS)
    limit = max(int(clip_limit * area / _LEVELS), 1)
    excess = np.maximum(counts - limit, 0).sum(axis=1, keepdims=True)
    counts = np.minimum(counts, limit) + excess // _LEVELS + _remainder(excess % _LEVELS)
    scale = np.float32((_LEVELS - 1) / area)
    tables = np.minimum(counts.cumsum(axis=1).astype(np.float32) * scale, np.float32(255))
    return np.asarray(np.rint(tables), dtype=np.float32)


def _remainder(left: NDArray[np.int64]) -> NDArray[np.bool_]:
    """`[tile, level]`: the levels that get one more, as evenly spaced as whole steps allow."""
    step = np.maximum(_LEVELS // np.maximum(left, 1), 1)
    level = np.arange(_LEVELS)
    return np.asarray((level % step == 0) & (level // step < left))


def _between(side: int, tile: int, count: int) -> _Between:
    """For each pixel of a side: the tiles before and after it, and how near it is to the latter."""
    place = np.arange(side, dtype=np.float32) * np.float32(1 / tile) - np.float32(0.5)
    before = np.floor(place).astype(np.intp)
    share = (place - before).astype(np.float32)
    return np.maximum(before, 0), np.minimum(before + 1, count - 1), share


def _interpolated(
    image: NDArray[np.uint8],
    tables: NDArray[np.float32],
    down: _Between,
    across: _Between,
) -> NDArray[np.uint8]:
    above, below, y = down
    left, right, x = across
    flat = tables.ravel()

    def looked_up(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        tile = rows[:, None] * tables.shape[1] + columns
        found: NDArray[np.float32] = flat[tile * _LEVELS + image]
        return found

    top = looked_up(above, left) * (1 - x) + looked_up(above, right) * x
    bottom = looked_up(below, left) * (1 - x) + looked_up(below, right) * x
    mixed = top * (1 - y)[:, None] + bottom * y[:, None]
    return np.rint(mixed).astype(np.uint8)
