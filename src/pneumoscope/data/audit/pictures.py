"""Pictures of a data set: contact sheets and class-conditional mean images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.types import Canvas, PixelBatch
from pneumoscope.data.audit.statistics import batched
from pneumoscope.data.cache import PixelCache


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
