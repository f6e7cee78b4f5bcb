"""Is the test split exchangeable with the calibration split? A test that keeps its error level.

Patients are shuffled between the two splits. Where they are exchangeable, every shuffle is as
likely as what is seen, and the p-value is exact, however many images patients have and however
images of a patient resemble each other (Phipson and Smyth 2010). A small p-value says that
conformal guarantees need not hold; a large one does not prove that they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.randomness import generator
from pneumoscope.core.types import FloatArray, IntArray

Statistic: TypeAlias = Literal["ks", "energy"]
MOST_ENERGY_IMAGES = 6000
"""Of both splits; the distances of all pairs are held in memory."""
_CHUNK_BYTES = 4 * 2**20
_ROUNDING = 1e-12

_Measure: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class ShiftTest:
    """How unlikely the difference of two splits is, were they exchangeable.

    Attributes:
        statistic: the difference that was measured, 0 or more.
        p_value: in (0, 1]; at most x with probability x, or less, where nothing shifted.
        by_column: what was measured in each column of the scores; one value for `energy`.
        permutations: shuffles behind the p-value, which is a multiple of 1 / (1 + permutations).
    """

    statistic: float
    p_value: float
    by_column: tuple[float, ...]
    permutations: int


def exchangeability_test(
    calibration: FloatArray,
    test: FloatArray,
    *,
    calibration_clusters: IntArray,
    test_clusters: IntArray,
    statistic: Statistic = "ks",
    permutations: int = 999,
    seed: int = 0,
) -> ShiftTest:
    """The permutation test of the two splits' scores being alike; no labels are needed.

    Args:
        calibration: `[image, column]`, such as the logits, a column per label.
        test: likewise, of the test split.
        calibration_clusters: `[image]`, patient of each image; the splits share no patient.
        test_clusters: likewise.
        statistic: `ks`, the largest Kolmogorov-Smirnov distance of a column: shifts of one label;
            or `energy`, the energy distance of all columns together (Székely and Rizzo 2004).
        permutations: 1 or more, drawn at random; the p-value is (1 + those with a difference as
            large) / (1 + permutations).
        seed: of the drawing.

    Raises:
        PredictionsError: shapes disagree, a split has no images, a score is not finite, or there
            are too many images for `energy`.
    """
    splits = [np.asarray(part, dtype=np.float64) for part in (calibration, test)]
    patients = [np.asarray(part) for part in (calibration_clusters, test_clusters)]
    _check(splits, patients, statistic, permutations)
    scores = np.concatenate(splits)
    patient, n_calibration, n_patients = _number(*patients)
    measure = _kolmogorov_smirnov(scores) if statistic == "ks" else _energy(scores)
    start = (np.arange(n_patients) < n_calibration)[None, patient]
    observed = measure(_signs(start))[0]
    largest, count = observed.max(), 0
    random = generator(seed, "exchangeability")
    for shuffled in _shuffles(random, n_calibration, n_patients, len(scores), permutations):
        differences = measure(_signs(shuffled[:, patient])).max(axis=1)
        count += int((differences >= largest - _ROUNDING).sum())
    return ShiftTest(
        statistic=float(largest),
        p_value=(1 + count) / (1 + permutations),
        by_column=tuple(observed.tolist()),
        permutations=permutations,
    )


def _number(
    calibration_clusters: IntArray, test_clusters: IntArray
) -> tuple[NDArray[np.int64], int, int]:
    """Patient of each image of both splits, those of calibration first; how many, of how many."""
    own, first = np.unique(calibration_clusters, return_inverse=True)
    others, second = np.unique(test_clusters, return_inverse=True)
    patient = np.concatenate([first, second + len(own)]).astype(np.int64)
    return patient, len(own), len(own) + len(others)


def _shuffles(
    random: np.random.Generator, n_calibration: int, n_patients: int, n_images: int, total: int
) -> Iterator[NDArray[np.bool_]]:
    """Pieces `[permutation, patient]`: whether a patient is dealt to calibration."""
    rows = max(1, _CHUNK_BYTES // (8 * n_images))
    dealt = np.arange(n_patients) < n_calibration
    for start in range(0, total, rows):
        size = min(rows, total - start)
        yield random.permuted(np.tile(dealt, (size, 1)), axis=1)


def _signs(in_calibration: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1 / n of its split for images of calibration, - 1 / n for those of test."""
    n_calibration = in_calibration.sum(axis=1, keepdims=True)
    n_test = in_calibration.shape[1] - n_calibration
    signs: NDArray[np.float64] = np.where(in_calibration, 1 / n_calibration, -1 / n_test)
    return signs


def _kolmogorov_smirnov(scores: NDArray[np.float64]) -> _Measure:
    """Largest difference of the distribution functions, `[permutation, column]`."""
    orders = np.argsort(scores, axis=0, kind="stable").T
    ordered = np.take_along_axis(scores, orders.T, axis=0).T
    ends = [np.append(np.flatnonzero(np.diff(row)), len(row) - 1) for row in ordered]

    def measure(signs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(
            [
                np.abs(np.cumsum(signs[:, order], axis=1)[:, end]).max(axis=1)
                for order, end in zip(orders, ends, strict=True)
            ],
            axis=1,
        )

    return measure


def _energy(scores: NDArray[np.float64]) -> _Measure:
    """Twice the mean distance between the splits less those within them, `[permutation, 1]`."""
    from scipy.spatial.distance import cdist

    distances = cdist(scores, scores)

    def measure(signs: NDArray[np.float64]) -> NDArray[np.float64]:
        within_less_between: NDArray[np.float64] = np.einsum("pi,pi->p", signs @ distances, signs)
        return -within_less_between[:, None]

    return measure


def _check(
    splits: list[NDArray[np.float64]],
    patients: list[IntArray],
    statistic: str,
    permutations: int,
) -> None:
    shapes = [list(part.shape) for part in (*splits, *patients)]
    belong = all(
        part.ndim == 2 and part.size and part.shape[:1] == own.shape
        for part, own in zip(splits, patients, strict=True)
    )
    if not belong or splits[0].shape[1] != splits[1].shape[1]:
        message = f"scores and clusters {shapes}; allowed: [image, column] twice, [image] twice."
        raise PredictionsError(f"{message} Give the same columns of both splits.")
    if not all(np.isfinite(part).all() for part in splits):
        raise PredictionsError("a score is not finite; allowed: finite numbers. Predict again.")
    if statistic not in {"ks", "energy"} or permutations < 1:
        message = f"statistic={statistic!r}, permutations={permutations}; allowed: ks or energy,"
        raise PredictionsError(f"{message} 1 or more. Use ks with 999.")
    n_images = sum(len(part) for part in splits)
    if statistic == "energy" and n_images > MOST_ENERGY_IMAGES:
        message = f"energy of {n_images} images; allowed: {MOST_ENERGY_IMAGES} at most. Use ks."
        raise PredictionsError(message)
