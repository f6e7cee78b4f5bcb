"""Which radiographs could be copies of each other: few candidates out of all pairs, quickly.

A signature holds the low frequencies of a picture's texture (a perceptual hash before its bits
are taken, Zauner 2010), whitened over the images at hand, for what all chests share says nothing.
Mirroring only changes the sign of the frequencies that are odd across, so one product compares
both ways round. The products are over all pairs, in blocks: nothing is missed, and matrix
products are fast enough for a few hundred thousand images.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.progress import Reporter
from pneumoscope.core.types import IntArray
from pneumoscope.data.alignment import Textures
from pneumoscope.data.thumbnails import SIDE

Signatures: TypeAlias = NDArray[np.float32]
"""`[row, view, frequency]`, unit length; views: the whole picture, and without its border."""

_BORDER = 0.037
"""Part of the side that the second view leaves out: 4 % of padding, as the padded shows it."""
_UNSEEN, _TAPER = 2.0, 12.0
"""Pixels at the edge of a view that do not count, and then those that count gradually."""
_LOWEST, _HIGHEST = 1.5, 12.0
"""Frequencies, half waves per side."""
_SHRINKAGE = 0.05
_SAME = 0.9
"""Cosine, before whitening, from which rows count as one picture in what all share."""
_SAMPLE = 4096
_LIKELY = (0.5, 0.66)
"""Cosine that makes a candidate, at least and at most: what leaves each row some."""
_SOME = 8
_ASKED = 64
"""Rows that tell how many candidates there would be."""
_MOST = 12
"""Candidates of one row in one view: copies come first, and many copies stay connected."""
_FEW = 100
"""Rows that are all compared with each other, being too few to tell what all share."""
_BLOCK = 2048


class Candidates(NamedTuple):
    """Pairs of rows that may show one picture."""

    first: IntArray
    second: IntArray
    mirrored: NDArray[np.bool_]


def _frequencies() -> tuple[IntArray, IntArray]:
    """Down and across, of each element of a signature; the even ones across come first."""
    down, across = np.mgrid[: int(_HIGHEST) + 1, : int(_HIGHEST) + 1].reshape(2, -1)
    radius = np.hypot(down, across)
    chosen = np.flatnonzero((radius >= _LOWEST) & (radius < _HIGHEST))
    chosen = chosen[np.argsort(across[chosen] % 2, kind="stable")]
    return down[chosen], across[chosen]


_DOWN, _ACROSS = _frequencies()
_EVEN = int((_ACROSS % 2 == 0).sum())
"""Elements before it are even."""
SHAPE = (2, len(_DOWN))
"""Of the signature of one row: views, frequencies."""


def signatures(stack: Textures) -> Signatures:
    """`[row, view, frequency]`: cosine transforms of textures `[row, SIDE, SIDE]`."""
    pixels = stack.astype(np.float32)
    views = []
    for border in (0.0, _BORDER * SIDE):
        waves = _waves(border)
        views.append((waves @ pixels @ waves.T)[:, _DOWN, _ACROSS])
    return _unit(np.stack(views, axis=1))


def whitened(raw: Signatures) -> Signatures:
    """The signatures less what all share, every direction as telling as any other.

    Pictures that are there many times count once. Few rows leave the directions as they are.
    """
    sample = raw[:: -(-len(raw) // _SAMPLE), 0]
    weights = 1 / (sample @ sample.T > _SAME).sum(axis=1, dtype=np.float32)
    weights /= weights.sum()
    mean = weights @ sample
    mean[_EVEN:] = 0  # as it is when each picture is also there mirrored
    centred = raw - mean
    for part in (slice(None, _EVEN), slice(_EVEN, None)):
        spread = sample[:, part] - mean[part]
        values, directions = np.linalg.eigh((spread * weights[:, None]).T @ spread)
        floor = max(_SHRINKAGE, len(mean) / len(sample)) * values.mean() + 1e-12
        scaled = directions / np.sqrt(np.maximum(values, 0) + floor)
        centred[..., part] = centred[..., part] @ (scaled @ directions.T)
    return _unit(centred)


def candidates(raw: Signatures, *, reporter: Reporter) -> Candidates:
    """Pairs of rows, each once or twice, first below second, that may show one picture."""
    if len(raw) <= _FEW:
        first, second = np.triu_indices(len(raw), 1)
        both = np.repeat([False, True], len(first))
        return Candidates(np.tile(first, 2), np.tile(second, 2), both)
    rows = whitened(raw)
    least = _least_likeness(rows)
    starts = range(0, len(rows), _BLOCK)
    found = [
        pairs
        for start in reporter.track(starts, "Comparing radiographs", len(starts))
        for pairs in _of_block(rows, start, least)
    ]
    first, second, mirrored = (np.concatenate(parts) for parts in zip(*found, strict=True))
    low, high = np.minimum(first, second), np.maximum(first, second)
    unique = np.unique(np.stack([low, high, mirrored.astype(low.dtype)], axis=1), axis=0)
    return Candidates(unique[:, 0], unique[:, 1], unique[:, 2].astype(np.bool_))


def _of_block(rows: Signatures, start: int, least: float) -> Iterator[Candidates]:
    """The candidates of a block of rows, in either view, among the whole pictures of all rows.

    Each row keeps the few most alike, so that what follows grows with the rows, whatever they show.
    """
    block = rows[start : start + _BLOCK]
    for view in range(block.shape[1]):
        kept = _Likely.none()
        for other in range(0, len(rows), _BLOCK):
            found = _likely(block[:, view], rows[other : other + _BLOCK, 0], least)
            kept = kept.with_more(found.moved(start, other)).best(_MOST)
        yield Candidates(
            np.minimum(kept.first, kept.second),
            np.maximum(kept.first, kept.second),
            kept.mirrored,
        )


class _Likely(NamedTuple):
    """Pairs of rows, and how alike they are."""

    first: IntArray
    second: IntArray
    mirrored: NDArray[np.bool_]
    alike: NDArray[np.float32]

    @classmethod
    def none(cls) -> _Likely:
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, np.empty(0, np.bool_), np.empty(0, np.float32))

    def moved(self, first: int, second: int) -> _Likely:
        """The pairs counted from elsewhere, without those of a row with itself."""
        moved = self._replace(first=self.first + first, second=self.second + second)
        return moved.chosen(np.flatnonzero(moved.first != moved.second))

    def with_more(self, other: _Likely) -> _Likely:
        return _Likely(*(np.concatenate(parts) for parts in zip(self, other, strict=True)))

    def best(self, count: int) -> _Likely:
        """The `count` most alike of each first row."""
        if not self.first.size:
            return self
        ordered = self.chosen(np.lexsort((-self.alike, self.first)))
        rank = np.arange(len(self.first)) - np.searchsorted(ordered.first, ordered.first)
        return ordered.chosen(np.flatnonzero(rank < count))

    def chosen(self, rows: IntArray) -> _Likely:
        first, second, mirrored, alike = self
        return _Likely(first[rows], second[rows], mirrored[rows], alike[rows])


def _least_likeness(rows: Signatures) -> float:
    """The cosine that leaves each row some candidates, so that the effort grows with the rows.

    Copies are far above it, unless much was cropped.
    """
    asked = rows[:: -(-len(rows) // _ASKED), 0]
    alike, _ = _likeness(asked, rows[:, 0])
    count = len(asked) * (_SOME + 1)  # each is also like itself
    return float(np.clip(np.partition(alike, -count, axis=None)[-count], *_LIKELY))


def _likely(queries: NDArray[np.float32], library: NDArray[np.float32], least: float) -> _Likely:
    """Rows of the two `[row, frequency]` that are alike, one way round or the other."""
    alike, odd = _likeness(queries, library)
    first, second = np.divmod(np.flatnonzero(alike > least), len(library))
    return _Likely(first, second, odd[first, second] < 0, alike[first, second])


def _likeness(
    queries: NDArray[np.float32], library: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`[query, row]`: the cosine, the better way round; what it gains by being that way round."""
    odd = queries[:, _EVEN:] @ library[:, _EVEN:].T
    alike = queries[:, :_EVEN] @ library[:, :_EVEN].T
    alike += np.abs(odd)
    return alike, odd


def _waves(border: float) -> NDArray[np.float32]:
    """`[frequency, SIDE]`: cosines over what lies within the border, faded at its ends."""
    place = np.arange(SIDE) + 0.5 - border
    width = SIDE - 2 * border
    depth = np.minimum(place, width - place) - _UNSEEN
    fade = np.sin(np.pi / 2 * np.clip(depth / _TAPER, 0, 1)) ** 2
    frequency = np.arange(int(_HIGHEST) + 1)[:, None]
    waves: NDArray[np.float32] = np.cos(np.pi * frequency * place / width) * fade
    return waves.astype(np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    unit: NDArray[np.float32] = rows / np.maximum(length, np.float32(1e-6))
    return unit
