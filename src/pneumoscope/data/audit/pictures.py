"""Pictures of a data set: contact sheets, with words or without, and mean images by label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pneumoscope.core.types import Canvas, PixelBatch
from pneumoscope.data.audit.statistics import batched
from pneumoscope.data.cache import PixelCache

_GAP = 8
"""Pixels between groups and the line that parts them."""
_WORDS = 16
"""Height of a line of words, pixels."""
_LINE, _LETTERS = 128, 230


def contact_sheet(canvases: PixelBatch, *, columns: int, side: int) -> NDArray[np.uint8]:
    """`[height, width]` grey levels: the canvases in rows, each `side` pixels, 2 pixels apart.

    Args:
        canvases: `[image, 1, size, size]`; none gives one empty place.
        columns: canvases in a row; a sheet of fewer is as wide as they are.
        side: of each on the sheet, pixels.
    """
    count = max(1, len(canvases))
    across = min(columns, count)
    rows, step = -(-count // across), side + 2
    sheet = np.zeros((rows * step - 2, across * step - 2), dtype=np.uint8)
    for place, canvas in enumerate(canvases[:, 0]):
        top, left = place // across * step, place % across * step
        small = Image.fromarray(canvas).resize((side, side), Image.Resampling.BILINEAR)
        sheet[top : top + side, left : left + side] = np.asarray(small)
    return sheet


def captioned_sheet(
    canvases: PixelBatch, captions: Sequence[str], *, columns: int, side: int
) -> NDArray[np.uint8]:
    """`[height, width]` grey levels: groups of canvases in rows, each above a line of words.

    Groups stand side by side, parted by a thin line.

    Args:
        canvases: `[image, 1, size, size]`, group after group, as many in each; one at least.
        captions: one per group; what is wider than its group is cut.
        columns: groups in a row; a sheet of fewer is as wide as they are.
        side: of each canvas on the sheet, pixels.
    """
    together = len(canvases) // len(captions)
    tiles = [
        _captioned(canvases[part], caption, side)
        for part, caption in zip(batched(len(canvases), together), captions, strict=True)
    ]
    across, (height, width) = min(columns, len(tiles)), tiles[0].shape
    down, wide = height + _GAP, width + 2 * _GAP + 1
    sheet = np.zeros((-(-len(tiles) // across) * down - _GAP, across * wide), dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // across * down, place % across * wide + _GAP
        sheet[top : top + height, left : left + width] = tile
        if place % across:
            sheet[top : top + height, left - _GAP - 1] = _LINE
    return sheet


def _captioned(canvases: PixelBatch, caption: str, side: int) -> NDArray[np.uint8]:
    pictures = contact_sheet(canvases, columns=len(canvases), side=side)
    words = Image.new("L", (pictures.shape[1], _WORDS))
    ImageDraw.Draw(words).text((0, 1), caption, _LETTERS, ImageFont.load_default(12))
    return np.concatenate([pictures, np.asarray(words)])


def mean_images(
    image_ids: Mapping[str, Sequence[str]], pixels: PixelCache, *, most: int = 2000
) -> dict[str, Canvas]:
    """The mean canvas of each label: `[size, size]`, grey levels 0-255.

    Args:
        image_ids: per label, in the order of the answer.
        pixels: where the canvases are.
        most: of more images, evenly spaced ones are taken.

    Raises:
        StorageError: a canvas is not in the cache.
    """
    return {label: _mean(_spread(ids, most), pixels) for label, ids in image_ids.items() if ids}


def _mean(image_ids: Sequence[str], pixels: PixelCache) -> Canvas:
    total = np.zeros((pixels.preprocess.size,) * 2)
    for part in batched(len(image_ids), 64):
        total += pixels.pixels(image_ids[part])[:, 0].sum(axis=0, dtype=np.float64)
    return np.asarray(np.rint(total / len(image_ids)), dtype=np.uint8)


def _spread(image_ids: Sequence[str], most: int) -> Sequence[str]:
    return image_ids[:: max(1, -(-len(image_ids) // most))]
