"""Which way round a picture is, judged by what the data set itself mostly looks like.

For a change such as turning by 180 degrees, the difference between a thumbnail and its changed
copy points one way for upright chests and exactly the other way for changed ones. A ridge
regression finds the weights under which that difference is the same number, 1, for all images
(Fisher's linear discriminant of the two mirror-image groups); an image that scores below zero
looks more like the others once it is changed back. Each image is scored with weights from other
patients, so none vouches for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.randomness import generator
from pneumoscope.core.types import FloatArray
from pneumoscope.data.audit.statistics import batched
from pneumoscope.imaging.thumbnail import normalised

Change: TypeAlias = Callable[[FloatArray], FloatArray]
"""`[image, side, side]` normalised grey levels to the same, changed."""

LEAST_IMAGES = 40
"""Fewer do not say what is usual."""

_FOLDS = 3
_FIT = 8000
"""Images that weights are fitted on at most: more change nothing."""
_COARSE = 16
_RIDGE = 0.05
_WAVES = 1200
_WAVE_WEIGHT = 3.0
_SHIFT = 6
_BREADTH = 24
"""Columns kept beside the axis of symmetry when looking for the heart, of 32."""

TURNS: dict[str, Change] = {
    "turned by 180 degrees": lambda images: images[:, ::-1, ::-1],
    "turned by 90 degrees to the left": lambda images: np.rot90(images, 1, (1, 2)),
    "turned by 90 degrees to the right": lambda images: np.rot90(images, -1, (1, 2)),
    "upside down as in a mirror": lambda images: images[:, ::-1],
}


def coarse(images: FloatArray) -> FloatArray:
    """`[image, 16, 16]` means of `[image, 32, 32]`."""
    count, side, _ = images.shape
    step = side // _COARSE
    return np.asarray(images.reshape(count, _COARSE, step, _COARSE, step).mean(axis=(2, 4)))


def turned_scores(images: FloatArray, change: Change, groups: Sequence[str]) -> FloatArray:
    """`[image]`: 1 at the median; below 0, it would be more usual with the change undone.

    Args:
        images: `[image, 32, 32]` grey levels.
        change: what may have been done to some; done four times, it changes nothing.
        groups: whose images are not judged by each other.
    """
    small = normalised(coarse(images))
    changed, undone = change(small), change(change(change(small)))
    from_undone = (small - undone).reshape(len(small), -1)
    # Of a changed image, the first difference is the second one of the upright image, negated.
    from_changed = (small - changed).reshape(len(small), -1)

    def examples(rows: NDArray[np.intp]) -> FloatArray:
        return np.concatenate([from_undone[rows], from_changed[rows]])

    return _scaled(_cross_fitted(examples, lambda rows: from_undone[rows], len(small), groups))


def inverted_scores(images: FloatArray, groups: Sequence[str]) -> FloatArray:
    """`[image]`: 1 at the median; below 0, the negative would be the more usual one."""
    return turned_scores(images, np.negative, groups)


def mirrored_scores(images: FloatArray, groups: Sequence[str]) -> FloatArray:
    """`[image]`: 1 at the median; below 0, the mirror image would be the more usual one.

    The heart is small beside everything that is symmetric, so the picture is first centred on
    its axis of symmetry, and waves of the whole picture (random Fourier features, Rahimi and
    Recht 2007) are weighed beside the grey levels, which compares an image with those like it.
    """
    centred = normalised(_centred(normalised(images))).reshape(len(images), -1)
    centred /= np.float32(centred.shape[1] ** 0.5)
    rng = generator(0, "audit", "waves")
    waves = rng.standard_normal((centred.shape[1], _WAVES), dtype=np.float32)
    phases = rng.uniform(0, 2 * np.pi, _WAVES).astype(np.float32)

    def features(rows: slice | NDArray[np.intp]) -> FloatArray:
        chosen = centred[rows]
        mirrored = chosen.reshape(len(chosen), -1, _BREADTH)[:, :, ::-1].reshape(chosen.shape)
        odd = np.cos(chosen @ waves + phases) - np.cos(mirrored @ waves + phases)
        odd *= np.float32(_WAVE_WEIGHT / _WAVES**0.5)
        return np.concatenate([chosen - mirrored, odd], axis=1)

    return _scaled(_cross_fitted(features, features, len(images), groups))


def lateral_scores(images: FloatArray, groups: Sequence[str]) -> FloatArray:
    """`[image]`: 1 at the median; below 0, it looks like one lung rather than like two.

    The counterexamples are the data set's own halves stretched to the width: a lung field in the
    middle, the spine to one side and no partner beside it, as on a lateral view.
    """
    small = normalised(coarse(images))
    half = images.shape[2] // 2
    halves = [np.repeat(part, 2, axis=2) for part in (images[:, :, :half], images[:, :, half:])]
    others = [normalised(coarse(part)) for part in halves]
    others += [part[:, :, ::-1] for part in others]
    flat = [part.reshape(len(part), -1) for part in (small, *others)]
    return _scaled(_against(flat[0], flat[1:], groups))


def folds(groups: Sequence[str]) -> NDArray[np.intp]:
    """`[image]`: 0, 1 or 2, the same for a group wherever and whenever it is asked."""
    return np.array([crc32(group.encode()) % _FOLDS for group in groups], dtype=np.intp)


def _cross_fitted(
    examples: Callable[[NDArray[np.intp]], FloatArray],
    features: Callable[[slice], FloatArray],
    count: int,
    groups: Sequence[str],
) -> FloatArray:
    """`[image]` scores of `features`, with weights under which other groups' `examples` are 1."""
    fold = folds(groups)
    weights = []
    for held_out in range(_FOLDS):
        rows = _drawn(np.flatnonzero(fold != held_out))
        table = examples(rows)
        weights.append(_ridge(table, np.ones(len(table), np.float32)))
    stacked = np.stack(weights, axis=1)
    scores = [features(part) @ stacked for part in batched(count, 2048)]
    return np.asarray(np.concatenate(scores)[np.arange(count), fold], dtype=np.float64)


def _against(usual: FloatArray, others: list[FloatArray], groups: Sequence[str]) -> FloatArray:
    fold = folds(groups)
    scores = np.zeros(len(usual))
    for held_out in range(_FOLDS):
        rows = _drawn(np.flatnonzero(fold != held_out))
        table = np.concatenate([usual[rows], *(other[rows] for other in others)])
        target = np.full(len(table), -1 / len(others), np.float32)
        target[: len(rows)] = 1
        table = np.pad(table, ((0, 0), (0, 1)), constant_values=1)
        weights = _ridge(table, target)
        judged = usual[fold == held_out]
        scores[fold == held_out] = judged @ weights[:-1] + weights[-1]
    return scores


def _drawn(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most `_FIT` of the rows, evenly."""
    step = max(1, -(-len(rows) // _FIT))
    return rows[::step]


def _ridge(table: FloatArray, target: FloatArray) -> FloatArray:
    gram = table.T @ table / len(table)
    gram += np.eye(len(gram), dtype=gram.dtype) * (_RIDGE * np.trace(gram) / len(gram) + 1e-6)
    return np.asarray(np.linalg.solve(gram, table.T @ target / len(table)))


def _scaled(scores: FloatArray) -> FloatArray:
    middle = float(np.median(scores)) if len(scores) else 0.0
    return np.asarray(scores / middle if middle > 0 else np.zeros(len(scores)))


def _centred(images: FloatArray) -> FloatArray:
    """`[image, side, 24]`: the columns on either side of the axis of best symmetry."""
    side = images.shape[2]
    reach = _BREADTH // 2
    padded = np.pad(images, ((0, 0), (0, 0), (_SHIFT, _SHIFT)), mode="edge")
    likeness = []
    for shift in range(-_SHIFT, _SHIFT + 1):
        axis = side // 2 + shift + _SHIFT
        left = normalised(padded[:, 3:-3, axis - reach : axis])
        right = normalised(padded[:, 3:-3, axis : axis + reach][:, :, ::-1])
        likeness.append((left * right).mean(axis=(1, 2)) - 0.017 * abs(shift))
    axes = np.argmax(likeness, axis=0) + side // 2
    columns = axes[:, None] + np.arange(-reach, reach)
    return np.asarray(np.take_along_axis(padded, columns[:, None, :], axis=2))
