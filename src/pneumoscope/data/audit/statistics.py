"""Numbers about each picture, computed from cached canvases a batch at a time.

Letterbox margins do not count: everything is measured on the placed picture, whose place follows
from the size of the original.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.progress import Reporter
from pneumoscope.core.types import FloatArray
from pneumoscope.data.cache import PixelCache
from pneumoscope.imaging.preprocess import Box
from pneumoscope.imaging.thumbnail import THUMBNAIL, thumbnail

_BATCH = 64
_BLACK, _WHITE = 5, 250
_BORDER = 0.05
_CORNER = (0.18, 0.28)
"""Height and width of a corner, fractions of the picture."""
_STROKE = 0.03
"""Widest stroke of burned-in text, fraction of the picture's longer side."""
_STROKE_CONTRAST = 60

Pictures = NDArray[np.uint8]
"""`[image, height, width]` of equal placement."""

SCHEMA: dict[str, Any] = {
    "image_id": pl.String, "mean": pl.Float64, "standard_deviation": pl.Float64,
    "minimum": pl.Int64, "maximum": pl.Int64, "border_mean": pl.Float64,
    "border_standard_deviation": pl.Float64, "black_fraction": pl.Float64,
    "white_fraction": pl.Float64, "corner_text": pl.Float64, "sharpness": pl.Float64,
    "left_right_asymmetry": pl.Float64, "thumbnail": pl.Array(pl.UInt8, THUMBNAIL * THUMBNAIL),
}  # fmt: skip


def image_statistics(
    image_ids: Sequence[str],
    pixels: PixelCache,
    *,
    reporter: Reporter,
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> pl.DataFrame:
    """One row of numbers per image: `SCHEMA`.

    Grey levels 0-255; fractions and `corner_text` (share of corner pixels that belong to thin
    strokes of high contrast: markers and burned-in text) in [0, 1]; `sharpness` is the variance
    of the Laplacian, grey levels squared; `left_right_asymmetry` is the mean absolute difference
    from the mirror image in standard deviations.

    Args:
        image_ids: which images, each once.
        pixels: where their canvases are, made without cropping to borders or lungs.
        reporter: shown the progress.
        sizes: width and height of the originals by image id, to leave letterbox margins out;
            an image not named is taken to fill its canvas.

    Raises:
        StorageError: a canvas is not in the cache.
    """
    batches = -(-len(image_ids) // _BATCH)
    work = pixels.batches(list(image_ids), _BATCH)
    tables = [
        _batch_table(ids, batch[:, 0], _places(ids, pixels, sizes or {}))
        for ids, batch in reporter.track(work, "Measuring pictures", batches)
    ]
    return pl.concat([pl.DataFrame(schema=SCHEMA), *tables])


def _places(
    ids: Sequence[str], pixels: PixelCache, sizes: Mapping[str, tuple[int, int]]
) -> list[Box]:
    # The size tells the place, as the audit's canvases hold the whole of each picture whatever
    # recipe is trained with: the audit is to see borders. With crop_borders or lungs=crop only the
    # original's pixels, which are not here, would tell it.
    whole = Box(0, 0, pixels.preprocess.size, pixels.preprocess.size)
    known = [sizes.get(image_id) for image_id in ids]
    return [
        pixels.preprocess.geometry(height=size[1], width=size[0]).placement if size else whole
        for size in known
    ]


def _batch_table(ids: Sequence[str], canvases: Pictures, places: list[Box]) -> pl.DataFrame:
    tables = []
    for place in dict.fromkeys(places):
        rows = [row for row, other in enumerate(places) if other == place]
        measured = _measure(canvases[rows][:, *place.slices])
        columns = {"image_id": [ids[row] for row in rows], **measured}
        tables.append(pl.DataFrame(columns, schema=SCHEMA))
    return pl.concat(tables)


def _measure(pictures: Pictures) -> dict[str, NDArray[Any]]:
    mean, deviation = _moments(pictures.reshape(len(pictures), -1))
    border_mean, border_deviation = _moments(_border(pictures))
    small = np.stack([thumbnail(picture) for picture in pictures])
    return {
        "mean": mean,
        "standard_deviation": deviation,
        "minimum": pictures.min(axis=(1, 2)).astype(np.int64),
        "maximum": pictures.max(axis=(1, 2)).astype(np.int64),
        "border_mean": border_mean,
        "border_standard_deviation": border_deviation,
        "black_fraction": np.mean(pictures <= _BLACK, axis=(1, 2)),
        "white_fraction": np.mean(pictures >= _WHITE, axis=(1, 2)),
        "corner_text": corner_text(pictures),
        "sharpness": sharpness(pictures),
        "left_right_asymmetry": _asymmetry(small),
        "thumbnail": small.reshape(len(small), -1),
    }


def _moments(levels: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each row, from one histogram: grey levels are few."""
    rows = len(levels)
    shifted = levels + (np.arange(rows, dtype=np.int32) << 8)[:, None]
    histogram = np.bincount(shifted.ravel(), minlength=rows * 256).reshape(rows, 256)
    grey = np.arange(256)
    mean = histogram @ grey / levels.shape[1]
    square = histogram @ (grey * grey) / levels.shape[1]
    return mean, np.sqrt(np.maximum(square - mean * mean, 0))


def _border(pictures: Pictures) -> NDArray[np.uint8]:
    """`[image, pixel]`: the outer 5 % of the sides."""
    count, height, width = pictures.shape
    deep, wide = max(1, round(_BORDER * height)), max(1, round(_BORDER * width))
    inner = slice(deep, max(deep, height - deep))
    parts = [pictures[:, :deep], pictures[:, -deep:]]
    parts += [pictures[:, inner, :wide], pictures[:, inner, -wide:]]
    return np.concatenate([part.reshape(count, -1) for part in parts], axis=1)


def corner_text(pictures: Pictures) -> FloatArray:
    """`[image]`: share of the four corners' pixels that lie in thin strokes.

    A stroke is brighter, or darker, than both its sides by 60 grey levels.
    """
    _, height, width = pictures.shape
    rows, columns = max(3, round(_CORNER[0] * height)), max(3, round(_CORNER[1] * width))
    reach = max(1, round(_STROKE * max(height, width)))
    shares = [
        _strokes(corner, reach)
        for band in (pictures[:, :rows], pictures[:, -rows:])
        for corner in (band[:, :, :columns], band[:, :, -columns:])
    ]
    return np.asarray(np.mean(shares, axis=0), dtype=np.float64)


def _strokes(corner: Pictures, reach: int) -> FloatArray:
    """A stroke is thin both ways or part of a letter: thin across rows or across columns."""
    if min(corner.shape[1:]) <= 2 * reach:
        return np.zeros(len(corner))
    levels = corner.astype(np.int16)
    found = np.zeros(corner.shape, dtype=np.bool_)
    for axis in (1, 2):
        middle = _along(axis, slice(reach, -reach))
        before, after = (
            levels[_along(axis, s)] for s in (slice(None, -2 * reach), slice(2 * reach, None))
        )
        centre = levels[middle]
        found[middle] |= centre - np.maximum(before, after) > _STROKE_CONTRAST
        found[middle] |= np.minimum(before, after) - centre > _STROKE_CONTRAST
    return np.asarray(found.mean(axis=(1, 2)), dtype=np.float64)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, part)


def sharpness(pictures: Pictures) -> FloatArray:
    """`[image]`: variance of the four-neighbour Laplacian, grey levels squared."""
    if min(pictures.shape[1:]) < 3:
        return np.zeros(len(pictures))
    levels = pictures.astype(np.int16)
    laplacian = levels[:, :-2, 1:-1] + levels[:, 2:, 1:-1]
    laplacian += levels[:, 1:-1, :-2]
    laplacian += levels[:, 1:-1, 2:]
    laplacian -= 4 * levels[:, 1:-1, 1:-1]
    flat = laplacian.reshape(len(laplacian), -1).astype(np.float32)
    centred = np.einsum("ij,ij->i", flat, flat) / flat.shape[1] - flat.mean(axis=1) ** 2
    return np.asarray(np.maximum(centred, 0), dtype=np.float64)


def _asymmetry(small: Pictures) -> FloatArray:
    levels = small.astype(np.float32)
    spread = levels.std(axis=(1, 2)) + 1e-3
    difference = np.abs(levels - levels[:, :, ::-1]).mean(axis=(1, 2))
    return np.asarray(difference / spread, dtype=np.float64)


def batched(length: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` that cover `length`."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
