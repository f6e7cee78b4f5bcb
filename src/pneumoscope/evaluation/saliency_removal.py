"""ROAD: what answers lose without the pixels a saliency map points at, and keep with them alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.randomness import generator
from pneumoscope.core.types import Canvas, FloatArray, IntArray, PixelBatch

FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the pixels: middles of five even parts, so that a mean over them is the area under a curve."""

NOISE = 0.01 * 255
"""Standard deviation, grey levels, of what is added to imputed pixels (Rong et al. 2022)."""

_GROUP = 4
_STEPS = 6
_SOLVED = 1e-4

Answer = Callable[[PixelBatch], FloatArray]
"""Probabilities `[image, label]` of canvases `[image, 1, size, size]`."""


class Removal(NamedTuple):
    """Probability of the label, `[image, fraction]`, per fraction of the pixels.

    Attributes:
        deletion: With that fraction removed, most salient first; low is good.
        insertion: With only that fraction left, the most salient; high is good.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]


def removal_curves(
    canvases: PixelBatch,
    maps: FloatArray,
    label_indices: IntArray | Sequence[int],
    answer: Answer,
    *,
    image_ids: Sequence[str],
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> Removal:
    """Deletion and insertion curves in which removed pixels are imputed (Rong et al. 2022, ROAD).

    Each removed pixel becomes the weighted mean of its neighbours, and some noise is added. Black
    or grey in its place would be new to the network and tell the shape of the map.

    Args:
        canvases: `[image, 1, size, size]`, uint8 grey levels.
        maps: `[image, size, size]`, saliency; only its order matters, equals are taken at random.
        label_indices: `[image]`, whose probability is followed.
        answer: Gives probabilities; called with some dozens of canvases.
        image_ids: What is drawn for an image depends on the seed and its id alone.
        fractions: Of the pixels, in (0, 1).
        seed: Of noise and ties.
    """
    chosen = np.asarray(label_indices, dtype=np.int64)
    shape = (len(canvases), len(fractions))
    curves = Removal(np.empty(shape), np.empty(shape))
    for start in range(0, len(canvases), _GROUP):
        part = range(start, min(start + _GROUP, len(canvases)))
        changed = [
            _changed(canvases[at, 0], maps[at], fractions, seed, image_ids[at]) for at in part
        ]
        probabilities = np.asarray(answer(np.concatenate(changed)))
        answers = probabilities.reshape(len(part), 2, len(fractions), -1)
        for row, at in enumerate(part):
            curves.deletion[at], curves.insertion[at] = answers[row, :, :, chosen[at]]
    return curves


def impute(canvas: Canvas | FloatArray, removed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The canvas, removed pixels replaced by the weighted mean of their neighbours.

    Direct neighbours weigh 1/6, diagonal ones 1/12, over the sum of those there are (Rong et al.
    2022). The system of equations is solved from coarse to fine by conjugate gradients, halved
    until nothing is missing, and at each size three times the steps of the next finer one
    (Bornemann and Deuflhard 1996). What is left of error, 0.3 to 1.5 grey levels on radiographs,
    is below `NOISE`.

    Args:
        canvas: `[height, width]`.
        removed: `[height, width]`; not all of it.
    """
    values = np.array(canvas, dtype=np.float32)
    values[removed] = 0
    return _filled(values, removed, _STEPS) if removed.any() else values


def _changed(
    canvas: Canvas, saliency: FloatArray, fractions: Sequence[float], seed: int, image_id: str
) -> PixelBatch:
    """`[2 * fraction, 1, size, size]`: the canvas after each deletion, then each insertion."""
    random = generator(seed, "saliency removal", image_id)
    order = np.lexsort((random.random(canvas.size), -np.asarray(saliency).ravel()))
    place = np.empty(canvas.size, dtype=np.int64)
    place[order] = np.arange(canvas.size)
    noise = random.normal(scale=NOISE, size=canvas.shape).astype(np.float32)
    salient = [(place < round(f * canvas.size)).reshape(canvas.shape) for f in fractions]
    batch = np.empty((2 * len(fractions), 1, *canvas.shape), np.uint8)
    for changed, removed in zip(batch[:, 0], (*salient, *(~kept for kept in salient)), strict=True):
        imputed = impute(canvas, removed)
        imputed[removed] += noise[removed]
        changed[:] = np.rint(np.clip(imputed, 0, 255))
    return batch


def _filled(
    values: NDArray[np.float32], removed: NDArray[np.bool_], steps: int
) -> NDArray[np.float32]:
    """The solution after so many steps from that at half the size; `values` are 0 where removed."""
    height, width = values.shape
    padding = ((0, height % 2), (0, width % 2))
    known = _quarters(np.pad(~removed, padding).astype(np.float32))
    missing = known == 0
    sums = _quarters(np.pad(values, padding))
    half = np.asarray(sums / np.maximum(known, 1), dtype=np.float32)
    if missing.any():
        half = _filled(half, missing, 3 * steps)
    guess = half.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return _solve(np.where(removed, guess, values), removed, steps)


def _quarters(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of each 2 x 2 values."""
    rows = values[::2] + values[1::2]
    sums: NDArray[np.float32] = rows[:, ::2] + rows[:, 1::2]
    return sums


def _solve(
    values: NDArray[np.float32], removed: NDArray[np.bool_], steps: int
) -> NDArray[np.float32]:
    """Steps of conjugate gradients for the removed values, from those given."""
    free, weights = removed.astype(np.float32), _weights(*values.shape)
    framed = np.pad(values, 1)
    towards = framed[1:-1, 1:-1]
    rest = (_neighbours(framed) - weights * values) * free
    towards[:] = rest
    size = float(np.vdot(rest, rest))
    solution = values.copy()
    for _ in range(steps):
        if size <= _SOLVED * values.size:
            break
        change = (weights * towards - _neighbours(framed)) * free
        stride = np.float32(size / float(np.vdot(towards, change)))
        solution += stride * towards
        rest -= stride * change
        before, size = size, float(np.vdot(rest, rest))
        towards *= np.float32(size / before)
        towards += rest
    return solution


def _neighbours(framed: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[height, width]`: 2 x the direct neighbours + the diagonal ones, inside a frame of zeros."""
    rows = framed[:-2] + framed[2:]
    rows += 2 * framed[1:-1]
    sums: NDArray[np.float32] = rows[:, :-2] + rows[:, 2:]
    sums += 2 * rows[:, 1:-1]
    sums -= 4 * framed[1:-1, 1:-1]
    return sums


@cache
def _weights(height: int, width: int) -> NDArray[np.float32]:
    """`[height, width]`: what `_neighbours` of a canvas of ones is, at least 1."""
    framed = np.pad(np.ones((height, width), np.float32), 1)
    return np.maximum(_neighbours(framed), 1)
