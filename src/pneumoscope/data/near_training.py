"""Is an external test external: copies of training images among those to be evaluated.

A bundle carries a signature of each training image: 117 small numbers, the low frequencies of its
texture, without contrast. They tell whether an image is a copy, rescaled, recompressed, padded,
cropped a little or mirrored. The most that can be drawn from them is the blurred outline of a
chest, twelve spots across; no finding, no marker, no letter. What all chests share is taken away
as the training images say it, so the answer for an image does not depend on what else is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.errors import BundleError
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.core.types import IntArray, PixelBatch
from pneumoscope.data.alignment import textures
from pneumoscope.data.duplicates import Canvases
from pneumoscope.data.signatures import SHAPE, signatures
from pneumoscope.data.thumbnails import SIDE, thumbnails

TrainingSignatures: TypeAlias = NDArray[np.int8]
"""`[image, LENGTH]`: see `training_signatures`."""

LENGTH = SHAPE[1]
"""Numbers, and bytes, per image."""
COPY = 0.85
"""Cosine from which an image is a copy of a training image. Of thousands of other images the most
alike reach 0.76; copies that were rescaled, recompressed or padded have 0.93 or more."""
SIGNATURES = "signatures"
"""Name of the array among those a bundle keeps of its training images."""

_BATCH = 256
_BLOCK = 8192
"""Training images compared at once."""
_PADDING = 3
"""Pixels of a thumbnail: what a copy has lost that 4 % were cropped of, on each side."""
_SHRINKAGE = 0.05
_SAMPLE = 4096
_SAME = 0.9
"""Cosine, before whitening, from which images count as one picture in what all share."""
_TINY = np.float32(1e-6)

_Rows: TypeAlias = NDArray[np.float32]


class TrainingCopy(NamedTuple):
    """An image that is a copy of a training image.

    Attributes:
        image_id: The image.
        row: Of the training image most like it, among the training signatures.
        similarity: Cosine, [COPY, 1].
    """

    image_id: str
    row: int
    similarity: float


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """The training images that a bundle remembers.

    Attributes:
        signatures: Of each.
    """

    signatures: TrainingSignatures

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> TrainingImages | None:
        """What `training_arrays` made; None where there is nothing of it.

        Raises:
            BundleError: signatures of a shape or type that this version does not make.
        """
        kept = arrays.get(SIGNATURES)
        return None if kept is None else cls(_checked(kept))

    def among(
        self, image_ids: Sequence[str], pixels: Canvases, *, reporter: Reporter | None = None
    ) -> dict[str, TrainingCopy]:
        """By image id, in the order of the ids, the images that are copies; see `near_training`."""
        found = near_training(self.signatures, image_ids, pixels, reporter=reporter)
        return {copy.image_id: copy for copy in found}


def training_arrays(
    image_ids: Sequence[str], pixels: Canvases, *, reporter: Reporter | None = None
) -> dict[str, NDArray[np.generic]]:
    """What a bundle keeps of its training images, by name; see `training_signatures`."""
    return {SIGNATURES: training_signatures(image_ids, pixels, reporter=reporter)}


def training_signatures(
    image_ids: Sequence[str], pixels: Canvases, *, reporter: Reporter | None = None
) -> TrainingSignatures:
    """`[image, LENGTH]`, in the order of the ids: what a bundle keeps of its training images.

    Each row is scaled so that its largest number is 127 or -127; a flat image has zeros.

    Raises:
        StorageError: a canvas is not in the cache.
    """
    found = np.zeros((len(image_ids), LENGTH), np.int8)
    work = pixels.batches(image_ids, _BATCH)
    batches = -(-len(image_ids) // _BATCH)
    noted = (reporter or Silent()).track(work, "Noting what was trained on", batches)
    for at, (_, canvases) in enumerate(noted):
        small, owners = thumbnails(canvases)
        # Of two rows the later one stays: without the borders that a copy need not have.
        found[at * _BATCH + owners] = _rounded(signatures(textures(small))[:, 0])
    return found


def near_training(
    training: TrainingSignatures,
    image_ids: Sequence[str],
    pixels: Canvases,
    *,
    threshold: float = COPY,
    reporter: Reporter | None = None,
) -> list[TrainingCopy]:
    """The images that are copies of training images, in the order of the ids.

    Args:
        training: As `training_signatures` gave them.
        image_ids: Images to be evaluated.
        pixels: Their canvases, made by the same preprocessing as those of the training.
        threshold: Least cosine of a copy.
        reporter: Shown the progress.

    Raises:
        BundleError: `training` is not of the shape or type that this version makes.
        StorageError: a canvas is not in the cache.
    """
    _checked(training)
    if not len(training):
        return []
    whitening = _Whitening.of(training)
    known = whitening.applied(training.astype(np.float32))
    found: list[TrainingCopy] = []
    work = pixels.batches(image_ids, _BATCH)
    batches = -(-len(image_ids) // _BATCH)
    looked_at = (reporter or Silent()).track(work, "Looking for training images", batches)
    for ids, canvases in looked_at:
        rows, owners = _views(canvases)
        alike, nearest = _nearest(whitening.applied(rows), known)
        for image, image_id in enumerate(ids):
            own = np.flatnonzero(owners == image)
            best = own[alike[own].argmax()]
            if alike[best] >= threshold:
                similarity = min(float(alike[best]), 1.0)
                found.append(TrainingCopy(image_id, int(nearest[best]), similarity))
    return found


@dataclass(frozen=True)
class _Whitening:
    """Takes away what all training images share; every direction then tells as much."""

    mean: _Rows
    directions: _Rows

    @classmethod
    def of(cls, training: TrainingSignatures) -> _Whitening:
        """Pictures that are there many times count once; few leave the directions as they are."""
        sample = _unit(training[:: -(-len(training) // _SAMPLE)].astype(np.float32))
        weights = 1 / (sample @ sample.T > _SAME).sum(axis=1, dtype=np.float32).clip(1)
        weights /= weights.sum()
        mean = (weights @ sample).astype(np.float32)
        spread = sample - mean
        values, directions = np.linalg.eigh((spread * weights[:, None]).T @ spread)
        floor = max(_SHRINKAGE, LENGTH / len(sample)) * values.mean() + _TINY
        scaled = directions / np.sqrt(np.maximum(values, 0) + floor)
        return cls(mean, (scaled @ directions.T).astype(np.float32))

    def applied(self, rows: _Rows) -> _Rows:
        centred: _Rows = _unit(rows) - self.mean
        return _unit(centred @ self.directions)


def _views(canvases: PixelBatch) -> tuple[_Rows, IntArray]:
    """`[row, LENGTH]`: ways in which an image may be a copy; the image each row belongs to.

    As it is, without a border that was put around it, with one that was cut off; each mirrored.
    """
    small, owners = thumbnails(canvases)
    plain, padded = textures(small), textures(_padded(small))
    views = [
        view
        for flip in (slice(None), slice(None, None, -1))
        for view in (
            *signatures(plain[:, :, flip]).transpose(1, 0, 2),
            signatures(padded[:, :, flip])[:, 0],
        )
    ]
    return np.concatenate(views), np.tile(owners, len(views))


def _padded(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The thumbnails, made smaller, within repetitions of their edges."""
    wide = np.pad(small, ((0, 0), (_PADDING, _PADDING), (_PADDING, _PADDING)), mode="edge")
    resized = (Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for one in wide)
    return np.stack([np.asarray(one) for one in resized])


def _nearest(rows: _Rows, known: _Rows) -> tuple[_Rows, NDArray[np.int64]]:
    """`[row]`: the largest cosine, and the known row that has it."""
    alike, nearest = np.full(len(rows), -2, np.float32), np.zeros(len(rows), np.int64)
    for start in range(0, len(known), _BLOCK):
        cosines = rows @ known[start : start + _BLOCK].T
        best = cosines.argmax(axis=1)
        value = cosines[np.arange(len(rows)), best]
        better = value > alike
        alike[better], nearest[better] = value[better], best[better] + start
    return alike, nearest


def _rounded(rows: _Rows) -> TrainingSignatures:
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rounded: TrainingSignatures = np.rint(rows * (127 / np.maximum(largest, _TINY))).astype(np.int8)
    return rounded


def _unit(rows: _Rows) -> _Rows:
    unit: _Rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _TINY)
    return unit


def _checked(training: NDArray[np.generic]) -> TrainingSignatures:
    if training.ndim != 2 or training.shape[1] != LENGTH or training.dtype != np.int8:
        shape = f"{training.dtype} {list(training.shape)}"
        message = f"training signatures are {shape}; allowed: int8 [image, {LENGTH}]."
        raise BundleError(f"{message} Export the bundle again with this version.")
    return cast("TrainingSignatures", training)
