"""How alike two radiographs are once laid on each other: what decides about a near-duplicate.

All chest radiographs look alike to a plain correlation. So slow changes of grey are taken away
and contrast is made even first: what is left (ribs, vessels, markers) agrees between copies of
one picture and hardly between two pictures, even of one patient. Then the two are shifted and
scaled onto each other, first coarsely, and compared where both are seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pneumoscope.data.thumbnails import SIDE

Textures: TypeAlias = NDArray[np.int8]
"""`[image, SIDE, SIDE]`: local contrast, zero where flat; see `textures`."""

_Stack: TypeAlias = NDArray[np.float32]

_SMOOTHING = 2.0
"""Standard deviation of the blur that is taken away, pixels. With 3, other radiographs of the same
patient come nearer to copies; with 1.5, recompressed copies drift apart."""
_FLAT = 4.0
"""Local standard deviation, grey levels, that is taken for noise rather than contrast."""
_STEPS = 40.0
"""Steps of the int8 in one local standard deviation."""

_STARTS = (1 / 1.08, 1.0, 1.08)
"""Scales tried before any step: 4 % of padding on either side is 1.08."""
_ROUNDS = 5
_STRIDE = np.array([0.05, 0.025, 0.05, 0.025], np.float32)
"""Most that one step changes: scale; shift, in sides; along y, along x."""
_SCALES = (0.75, 1.33)
_DAMPING = 2.5e-4


def textures(thumbnails: NDArray[np.uint8]) -> Textures:
    """`[image, SIDE, SIDE]`: each pixel's difference from its surroundings, in local deviations.

    Unchanged by brightness, and nearly by contrast.

    Args:
        thumbnails: `[image, SIDE, SIDE]`, grey levels 0-255.
    """
    blur = _blur(_SMOOTHING)
    detail = thumbnails.astype(np.float32)
    detail -= blur @ detail @ blur.T
    spread = np.sqrt(np.maximum(blur @ (detail * detail) @ blur.T, 0))
    detail *= _STEPS / (spread + _FLAT)
    return np.rint(np.clip(detail, -127, 127)).astype(np.int8)


def aligned_correlation(
    first: Textures, second: Textures, *, worthwhile: float = -1
) -> NDArray[np.float32]:
    """`[pair]` in [-1, 1]: correlation at the best shift and scale, along each axis, found.

    Phase correlation gives the shift (Kuglin and Hines 1975; half-whitened, which noise disturbs
    less), inverse compositional Gauss-Newton steps the rest (Baker and Matthews 2004).

    Args:
        first: `[pair, SIDE, SIDE]`.
        second: `[pair, SIDE, SIDE]`.
        worthwhile: a pair that reaches less at half the resolution keeps what it has there.
    """
    fixed, moving = _halved(first), _halved(second)
    place = _start(fixed, moving)
    best, place = _refined(_COARSE, fixed, moving, place)
    chosen = np.flatnonzero(best >= worthwhile)
    if chosen.size:
        fixed, moving = first[chosen].astype(np.float32), second[chosen].astype(np.float32)
        best[chosen], _ = _refined(_FINE, fixed, moving, place[chosen])
    return best


@dataclass(frozen=True)
class _Grid:
    """Pixels of one resolution, in sides from the middle: -0.5 to 0.5."""

    side: int
    margin: int
    """Pixels at the border that are not compared: a frame's edge is a texture of its own."""

    @cached_property
    def places(self) -> _Stack:
        return ((np.arange(self.side) - (self.side - 1) / 2) / self.side).astype(np.float32)

    @cached_property
    def limit(self) -> float:
        """Where the compared part ends, with room for rounding."""
        return float(self.places[-1 - self.margin]) + 1e-4

    @cached_property
    def basis(self) -> _Stack:
        """`[side, 2]`: how a pixel moves with the scale and with the shift."""
        return np.stack([self.places, np.ones_like(self.places)], axis=1)


_COARSE, _FINE = _Grid(SIDE // 2, 1), _Grid(SIDE, 3)


class _Laid(NamedTuple):
    """Textures laid on others: zero where not compared."""

    pixels: _Stack
    rows: _Stack
    """`[pair, side]`: 1 where compared."""
    columns: _Stack


def _lay(grid: _Grid, moving: _Stack, place: _Stack) -> _Laid:
    """Bilinear; `place` is `[pair, 4]`: scale and shift along y, scale and shift along x."""
    vertical, rows = _interpolation(grid, place[:, 0], place[:, 1])
    horizontal, columns = _interpolation(grid, place[:, 2], place[:, 3])
    laid: _Stack = np.matmul(np.matmul(vertical, moving), horizontal.transpose(0, 2, 1))
    return _Laid(laid, rows, columns)


def _interpolation(grid: _Grid, scale: _Stack, shift: _Stack) -> tuple[_Stack, _Stack]:
    """`[pair, side, side]`: weights of the source's pixels; `[pair, side]`: 1 where compared."""
    source = scale[:, None] * grid.places + shift[:, None]
    inside = (np.abs(source) <= grid.limit) & (np.abs(grid.places) <= grid.limit)
    weights = (source * grid.side)[:, :, None] - grid.places * grid.side
    np.abs(weights, out=weights)
    np.subtract(1, weights, out=weights)
    np.maximum(weights, 0, out=weights)
    weights *= inside[:, :, None]
    return weights, inside.astype(np.float32)


def _start(fixed: _Stack, moving: _Stack) -> _Stack:
    """`[pair, 4]`: the best of a few scales, each with its best shift."""
    best = np.full(len(fixed), -2, np.float32)
    chosen = np.empty((len(fixed), 4), np.float32)
    spectrum = _spectrum(fixed)
    for scale in _STARTS:
        place = np.tile(np.array([scale, 0, scale, 0], np.float32), (len(fixed), 1))
        place[:, 1::2] = scale * _shift(spectrum, _lay(_COARSE, moving, place).pixels)
        found = _cosine(*_sums(fixed, _lay(_COARSE, moving, place)))
        better = found > best
        best[better], chosen[better] = found[better], place[better]
    return chosen


def _spectrum(pixels: _Stack) -> NDArray[np.complex64]:
    from scipy.fft import rfft2

    window = np.hanning(_COARSE.side + 2)[1:-1].astype(np.float32)
    spectrum: NDArray[np.complex64] = rfft2(pixels * np.outer(window, window))
    return spectrum


def _shift(fixed: NDArray[np.complex64], moving: _Stack) -> _Stack:
    """`[pair, 2]`: how far, down and right, in sides, `moving` lies off; whole pixels, few."""
    from scipy.fft import irfft2

    cross = np.conj(fixed) * _spectrum(moving)
    cross /= np.sqrt(np.abs(cross)) + np.float32(1e-6)
    reach = _COARSE.side // 8
    peaks = np.roll(irfft2(cross), (reach, reach), axis=(1, 2))[:, : 2 * reach + 1]
    peaks = peaks[:, :, : 2 * reach + 1].reshape(len(fixed), -1)
    found = np.stack(np.divmod(peaks.argmax(axis=1), 2 * reach + 1), axis=1)
    return ((found - reach) / _COARSE.side).astype(np.float32)


def _refined(
    grid: _Grid, fixed: _Stack, moving: _Stack, place: _Stack
) -> tuple[NDArray[np.float32], _Stack]:
    """`[pair]`, `[pair, 4]`: the best correlation met on the way of the steps, and where."""
    steps = _Steps.towards(grid, fixed)
    best, chosen = np.full(len(fixed), -2, np.float32), place
    for last in (*[False] * _ROUNDS, True):
        found, better_place = steps.step(_lay(grid, moving, place), place, only_look=last)
        better = found > best
        best = np.where(better, found, best)
        chosen = np.where(better[:, None], place, chosen)
        place = better_place
    return best, chosen


@dataclass(frozen=True)
class _Steps:
    """Gauss-Newton steps towards a stack of textures; what depends on it alone is made once."""

    grid: _Grid
    fixed: _Stack
    down: _Stack
    """Slope, `[pair, side, side]`."""
    right: _Stack
    inverse: _Stack
    """`[pair, 4, 4]`: of the Hessian."""

    @classmethod
    def towards(cls, grid: _Grid, fixed: _Stack) -> _Steps:
        inner = np.abs(grid.places) <= grid.limit
        sides = grid.side * np.outer(inner, inner).astype(np.float32)
        down = np.asarray(np.gradient(fixed, axis=1), np.float32) * sides
        right = np.asarray(np.gradient(fixed, axis=2), np.float32) * sides
        hessian = np.empty((len(fixed), 4, 4), np.float32)
        squares = (grid.basis[:, :, None] * grid.basis[:, None, :]).reshape(-1, 4)
        hessian[:, :2, :2] = (_per_row(down, down) @ squares).reshape(-1, 2, 2)
        hessian[:, 2:, 2:] = (_per_column(right, right) @ squares).reshape(-1, 2, 2)
        hessian[:, :2, 2:] = grid.basis.T @ (down * right) @ grid.basis
        hessian[:, 2:, :2] = hessian[:, :2, 2:].transpose(0, 2, 1)
        size = np.trace(hessian, axis1=1, axis2=2)[:, None, None]
        hessian += np.eye(4, dtype=np.float32) * (_DAMPING * size + 1)
        return cls(grid, fixed, down, right, np.linalg.inv(hessian))

    def step(
        self, laid: _Laid, place: _Stack, *, only_look: bool
    ) -> tuple[NDArray[np.float32], _Stack]:
        """`[pair]`: the correlation at `place`; `[pair, 4]`: a better place."""
        product, seen, power = _sums(self.fixed, laid)
        found = _cosine(product, seen, power)
        if only_look:
            return found, place
        gain = np.clip(product / np.maximum(power, 1), 0.3, 3)[:, None, None]
        rest = self.fixed * laid.rows[:, :, None]
        rest *= laid.columns[:, None, :]
        rest = gain * laid.pixels - rest
        slope = [
            _per_row(self.down, rest) @ self.grid.basis,
            _per_column(self.right, rest) @ self.grid.basis,
        ]
        change = (self.inverse @ np.concatenate(slope, axis=1)[:, :, None])[:, :, 0]
        change = np.clip(change, -_STRIDE, _STRIDE)
        better = np.empty_like(place)
        better[:, ::2] = np.clip(place[:, ::2] / (1 + change[:, ::2]), *_SCALES)
        better[:, 1::2] = place[:, 1::2] - better[:, ::2] * change[:, 1::2]
        return found, better


def _sums(fixed: _Stack, laid: _Laid) -> tuple[_Stack, _Stack, _Stack]:
    """`[pair]` each, where compared: of the product, of `fixed` squared, of `laid` squared."""
    seen = laid.rows[:, None] @ (fixed * fixed) @ laid.columns[:, :, None]
    power = _per_row(laid.pixels, laid.pixels).sum(axis=1)
    return _per_row(fixed, laid.pixels).sum(axis=1), seen[:, 0, 0], power


def _cosine(product: _Stack, first: _Stack, second: _Stack) -> _Stack:
    # Textures have no mean to speak of, so none is subtracted; flat ones correlate with nothing.
    cosine: _Stack = product / np.sqrt(np.maximum(first * second, 1))
    return cosine


def _per_row(first: _Stack, second: _Stack) -> _Stack:
    product: _Stack = np.einsum("pij,pij->pi", first, second)
    return product


def _per_column(first: _Stack, second: _Stack) -> _Stack:
    product: _Stack = (first * second).sum(axis=1)
    return product


def _halved(stack: Textures) -> _Stack:
    rows = stack[:, ::2].astype(np.int16) + stack[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]).astype(np.float32) * np.float32(0.25)


def _blur(deviation: float) -> _Stack:
    """`[SIDE, SIDE]`: Gaussian blur along one axis as a matrix, the border repeated."""
    reach = round(4 * deviation)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    matrix = np.zeros((SIDE, SIDE), np.float32)
    for offset, weight in zip(range(-reach, reach + 1), kernel / kernel.sum(), strict=True):
        source = np.clip(np.arange(SIDE) + offset, 0, SIDE - 1)
        np.add.at(matrix, (np.arange(SIDE), source), weight)
    return matrix
