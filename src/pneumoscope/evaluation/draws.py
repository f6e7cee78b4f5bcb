"""How often each image counts in each resample: patients drawn with replacement."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.randomness import generator
from pneumoscope.core.types import IntArray

# The metrics take some six times the memory of the weights; small pieces also stay in the cache.
_CHUNK_BYTES = 4 * 2**20


def bootstrap_weights(
    clusters: IntArray, *, resamples: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Pieces `[resample, image]` of bootstrap weights, `resamples` rows in all.

    As many patients are drawn, with replacement, as there are; an image weighs (a whole number)
    how often its patient was drawn (Field and Welsh 2007, cluster bootstrap). The rows depend on
    the seed alone, not on how they are cut into pieces.

    Args:
        clusters: `[image]`, patient of each image, 0 to n_patients - 1.
        resamples: 1 or more.
        seed: of the drawing.

    Raises:
        PredictionsError: no resamples or no images.
    """
    if resamples < 1 or not len(clusters):
        message = f"resamples={resamples}, images={len(clusters)}; allowed: 1 or more of each."
        raise PredictionsError(f"{message} Ask for 1000 to 5000 resamples.")
    return _draw(np.asarray(clusters), resamples, generator(seed, "bootstrap"))


def _draw(
    clusters: IntArray, resamples: int, random: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    n_clusters = int(clusters.max()) + 1
    rows = max(1, _CHUNK_BYTES // (8 * len(clusters)))
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = random.integers(n_clusters, size=(size, n_clusters))
        drawn += np.arange(size)[:, None] * n_clusters
        counts = np.bincount(drawn.ravel(), minlength=size * n_clusters)
        counts = counts.reshape(size, n_clusters).astype(np.float64)
        yield np.take(counts, clusters, axis=1)
