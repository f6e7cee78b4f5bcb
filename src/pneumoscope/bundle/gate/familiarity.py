"""Stage 3: is this image like those the model learnt from?

Two kinds of features are looked at: the model's own embedding, and what the gate's small network
sees on the way (means and deviations of its first layers), which does not depend on how much the
model has learnt to overlook. Each kind is brought to its principal components, whitened within
labels. How far an image lies off is said by

- the Mahalanobis distance to the mean of the label answered, the covariance shared by the labels
  and shrunk (Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution
  Samples"; Ledoit and Wolf 2004 for the shrinking),
- what the components leave out (Ndiour et al. 2020),
- the mean distance to the nearest training images in both kinds together (Sun et al. 2022, "Out-of-
  Distribution Detection with Deep Nearest Neighbors").

Each is put on the scale of the calibration split, and their mean is compared with that of the
calibration images that got the same answer: the share that is as far off or farther is a conformal
p-value (Bates et al. 2023, "Testing for outliers with conformal p-values"). So at most the share
`level` of images of the same population is called unfamiliar, whatever the features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import BundleError
from pneumoscope.core.types import FloatArray, IntArray

KINDS = ("embedding", "look")
"""Kinds of features, in the order in which they are kept."""

LEAST_CALIBRATION = 100
"""Images of an answer that are compared among themselves; with fewer, all answers are."""

_DIMENSIONS = 64
_NEIGHBOURS = 5
_DISTANCES = 2 * len(KINDS) + 1


@dataclass(frozen=True, eq=False)
class Features:
    """Of some images.

    Attributes:
        embedding: `[image, features]`, the model's.
        look: `[image, features]`, see `gate.network.Looks`.
    """

    embedding: NDArray[np.float32]
    look: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.embedding)


@dataclass(frozen=True, eq=False)
class Space:
    """One kind of features, whitened.

    Attributes:
        mean: `[features]` of the training images.
        scale: `[features]`, their standard deviations; infinity where nothing varies.
        axes: `[features, dimensions]`, principal axes.
        within: `[dimensions, dimensions]`, makes the covariance within labels the identity.
        labels: `[label, dimensions]`, mean of each label, whitened.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    axes: NDArray[np.float32]
    within: NDArray[np.float32]
    labels: NDArray[np.float32]

    @classmethod
    def fit(cls, features: FloatArray, truth: IntArray, *, labels: int) -> Self:
        """The space of training features `[image, features]` and their labels `[image]`."""
        levels = _levels(features)
        mean, deviation = levels.mean(axis=0), levels.std(axis=0)
        floor = 1e-3 * float(np.median(deviation)) + 1e-12
        scale = np.where(deviation > floor, deviation, np.inf)
        standard = (levels - mean) / scale
        axes = _axes(standard)
        placed = standard @ axes
        means = _label_means(placed, truth, labels)
        within = _whitening(placed - means[truth])
        return cls(
            mean.astype(np.float32), scale.astype(np.float32), _halved(axes),
            within.astype(np.float32), (means @ within).astype(np.float32),
        )  # fmt: skip

    def place(self, features: FloatArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Whitened places `[image, dimensions]`, and how much they leave out `[image]`."""
        standard = ((_levels(features) - self.mean) / self.scale).astype(np.float32)
        projected = standard @ self.axes
        left = np.einsum("ij,ij->i", standard, standard)
        left -= np.einsum("ij,ij->i", projected, projected)
        rest: NDArray[np.float32] = np.sqrt(np.maximum(left, 0))
        return np.asarray(projected @ self.within, np.float32), rest


@dataclass(frozen=True, eq=False)
class Familiarity:
    """What tells the familiar from the unfamiliar.

    Attributes:
        spaces: One of each of `KINDS`.
        known: `[image, dimensions of all spaces]`, training images, to be near to.
        centre: `[distance]`, mean of each logarithmic distance on the calibration split.
        spread: `[distance]`, its standard deviation.
        far: `[image]`, how far off the calibration images are, ascending.
        answers: `[image]`, index of the label that each of them got.
    """

    spaces: tuple[Space, ...]
    known: NDArray[np.float32]
    centre: NDArray[np.float32]
    spread: NDArray[np.float32]
    far: NDArray[np.float32]
    answers: NDArray[np.int64]

    @classmethod
    def fit(
        cls,
        training: Features,
        truth: IntArray,
        calibration: Features,
        answers: IntArray,
        *,
        labels: int,
    ) -> Self:
        """Fitted on training images with their labels, set on calibration images with answers.

        Args:
            training: At most a few thousand.
            truth: `[image]`, index of the label of each.
            calibration: Of other patients.
            answers: `[image]`, index of the label that the model gives each.
            labels: How many there are.
        """
        spaces = tuple(Space.fit(getattr(training, kind), truth, labels=labels) for kind in KINDS)
        known = _placed(spaces, training)[0]
        plain = cls(
            spaces, _halved(known), np.zeros(_DISTANCES, np.float32),
            np.ones(_DISTANCES, np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64),
        )  # fmt: skip
        distances = plain._distances(calibration, answers)
        centre, spread = distances.mean(axis=0), np.maximum(distances.std(axis=0), 1e-6)
        far = ((distances - centre) / spread).mean(axis=1).astype(np.float32)
        order = np.argsort(far, kind="stable")
        return cls(
            spaces, plain.known, centre.astype(np.float32), spread.astype(np.float32),
            far[order], np.asarray(answers, np.int64)[order],
        )  # fmt: skip

    def distance(self, features: Features, answers: IntArray) -> NDArray[np.float32]:
        """`[image]`: how far off images with these answers are; about 0 on the calibration split.

        Args:
            features: Of the images.
            answers: `[image]`, index of the most probable label of each.
        """
        distances = self._distances(features, answers)
        return np.asarray(((distances - self.centre) / self.spread).mean(axis=1), np.float32)

    def scores(self, features: Features, answers: IntArray) -> NDArray[np.float64]:
        """`[image]`: share of calibration images, itself counted, as far off or farther."""
        found = self.distance(features, answers)
        return np.array([self._score(far, int(a)) for far, a in zip(found, answers, strict=True)])

    def nearest(
        self, features: Features, *, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows of `known` nearest to each image and how far they are, `[image, count]` each.

        Distances are Euclidean in the whitened places of all spaces: the deviation of images of
        one label is about 1 along each axis. Fewer are given where fewer are known.

        Args:
            features: Of the images.
            count: How many, the nearest first.
        """
        places = _placed(self.spaces, features)[0]
        squared = _squared_distances(places, self.known, self._known_squared)
        rows = np.argsort(squared, axis=1, kind="stable")[:, :count]
        distances = np.sqrt(np.take_along_axis(squared, rows, axis=1))
        return rows.astype(np.int64), distances.astype(np.float32)

    def least(self, answer: int, level: float) -> float:
        """The score up to which an image of this answer is unfamiliar.

        At most that share of the same population is; `level`, unless there are too few calibration
        images to show so small a share: then what is less familiar than all of them is.
        """
        return max(level, 1 / (len(self._compared(answer)) + 1))

    def _score(self, far: float, answer: int) -> float:
        compared = self._compared(answer)
        nearer = int(np.searchsorted(compared, far, side="left"))
        return float((len(compared) - nearer + 1) / (len(compared) + 1))

    def _compared(self, answer: int) -> NDArray[np.float32]:
        own = self.far[self.answers == answer]
        return own if len(own) >= LEAST_CALIBRATION else self.far

    def _distances(self, features: Features, answers: IntArray) -> NDArray[np.float64]:
        """`[image, distance]` logarithms of the distances."""
        places, left = _placed(self.spaces, features)
        means = np.concatenate([space.labels for space in self.spaces], axis=1)
        off = (places - means[answers]) ** 2
        edges = np.cumsum([0, *(space.labels.shape[1] for space in self.spaces)])[:-1]
        columns = [*np.sqrt(np.add.reduceat(off, edges, axis=1)).T, *left]
        columns.append(_neighbour_distance(places, self.known, self._known_squared))
        return np.log(np.maximum(np.stack(columns, axis=1).astype(np.float64), 1e-6))

    @cached_property
    def _known_squared(self) -> NDArray[np.float32]:
        """`[image]`: of each known place, its squared length, the same for every image asked."""
        return np.asarray(np.einsum("ij,ij->i", self.known, self.known))

    def to_bytes(self) -> bytes:
        """The arrays as safetensors; the same arrays, the same bytes."""
        from safetensors.numpy import save

        arrays = {name: getattr(self, name).astype(kind) for name, kind in _TYPES.items()}
        for kind, space in zip(KINDS, self.spaces, strict=True):
            for name, type_ in _SPACE_TYPES.items():
                arrays[f"{kind}/{name}"] = getattr(space, name).astype(type_)
        return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})

    @classmethod
    def from_bytes(cls, content: bytes, *, labels: int) -> Self:
        """What `to_bytes` wrote.

        Raises:
            BundleError: not safetensors, or an array is missing, or of another type or shape.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays = load(content)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise _refused(f"is no safetensors ({error})") from error
        spaces = tuple(_read_space(arrays, kind, labels) for kind in KINDS)
        plain = {name: _array(arrays, name, kind) for name, kind in _TYPES.items()}
        wide = sum(space.labels.shape[1] for space in spaces)
        far, answers = plain["far"], plain["answers"]
        fits = (
            plain["known"].ndim == 2
            and plain["known"].shape[1] == wide
            and plain["centre"].shape == plain["spread"].shape == (_DISTANCES,)
            and far.shape == answers.shape
            and far.ndim == 1
        )
        if not fits:
            shapes = {name: list(array.shape) for name, array in plain.items()}
            raise _refused(f"shapes {shapes} do not fit one another")
        if not all(np.isfinite(plain[name]).all() for name in ("centre", "spread", "far")):
            raise _refused("distances are not finite")
        return cls(spaces, **plain)  # type: ignore[arg-type]


_TYPES: dict[str, type[np.generic]] = {
    "known": np.float16, "centre": np.float32, "spread": np.float32, "far": np.float32,
    "answers": np.int64,
}  # fmt: skip
_SPACE_TYPES: dict[str, type[np.generic]] = {
    "mean": np.float32, "scale": np.float32, "axes": np.float16, "within": np.float32,
    "labels": np.float32,
}  # fmt: skip


def _read_space(arrays: Mapping[str, NDArray[np.generic]], kind: str, labels: int) -> Space:
    found = {name: _array(arrays, f"{kind}/{name}", type_) for name, type_ in _SPACE_TYPES.items()}
    shapes = {name: array.shape for name, array in found.items()}
    features, dimensions = (*shapes["axes"], 0, 0)[:2]
    wanted = {
        "mean": (features,), "scale": (features,), "axes": (features, dimensions),
        "within": (dimensions, dimensions), "labels": (labels, dimensions),
    }  # fmt: skip
    if shapes != wanted:
        raise _refused(f"shapes of {kind} are {shapes}; allowed: {wanted}")
    return Space(**found)  # type: ignore[arg-type]


def _array(
    arrays: Mapping[str, NDArray[np.generic]], name: str, kind: type[np.generic]
) -> NDArray[np.generic]:
    if name not in arrays or arrays[name].dtype != kind:
        raise _refused(f"{name} is missing or not {np.dtype(kind)}, as it has to be")
    found = arrays[name]
    return found.astype(np.float32) if kind is np.float16 else found


def _refused(why: str) -> BundleError:
    return BundleError(f"gate.safetensors: {why}. Export the bundle again.")


def _placed(
    spaces: Sequence[Space], features: Features
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """Places in all spaces side by side, and what each space leaves out."""
    found = [s.place(getattr(features, kind)) for s, kind in zip(spaces, KINDS, strict=True)]
    return np.concatenate([place for place, _ in found], axis=1), [left for _, left in found]


def _halved(values: FloatArray) -> NDArray[np.float32]:
    """As the file will keep them: what is set on them is what will be served."""
    return np.asarray(values, np.float16).astype(np.float32)


def _levels(features: FloatArray) -> NDArray[np.float64]:
    """Signed square roots: activations are skewed, their roots less so."""
    values = np.asarray(features, np.float64)
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))


def _axes(standard: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[features, dimensions]` principal axes, their signs fixed."""
    most = min(_DIMENSIONS, standard.shape[1] // 2 or 1, max(len(standard) // 4, 1))
    gram = standard.T @ standard / len(standard)
    axes = np.linalg.eigh(gram)[1][:, ::-1][:, :most]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return np.asarray(axes * signs)


def _label_means(placed: NDArray[np.float64], truth: IntArray, labels: int) -> NDArray[np.float64]:
    """`[label, dimensions]`; of a label without an image, the mean of all."""
    whole = placed.mean(axis=0)
    own = [placed[truth == label] for label in range(labels)]
    return np.stack([rows.mean(axis=0) if len(rows) else whole for rows in own])


def _whitening(residuals: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[dimensions, dimensions]`: the inverse root of the shrunk covariance of the residuals."""
    from sklearn.covariance import ledoit_wolf

    covariance = ledoit_wolf(residuals, assume_centered=True)[0]
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors / np.sqrt(np.maximum(values, 1e-9)) @ vectors.T)


def _neighbour_distance(
    places: NDArray[np.float32], known: NDArray[np.float32], lengths: NDArray[np.float32]
) -> NDArray[np.float32]:
    """`[image]`: mean distance to the nearest known images, whose squared lengths are given."""
    squared = _squared_distances(places, known, lengths)
    count = min(_NEIGHBOURS, len(known))
    nearest = np.partition(squared, count - 1, axis=1)[:, :count]
    return np.asarray(np.sqrt(nearest).mean(axis=1))


def _squared_distances(
    places: NDArray[np.float32], known: NDArray[np.float32], lengths: NDArray[np.float32]
) -> NDArray[np.float32]:
    """`[image, known image]`; the squared lengths of the known ones are given."""
    squared = np.einsum("ij,ij->i", places, places)[:, None] - 2 * places @ known.T
    squared += lengths
    return np.asarray(np.maximum(squared, 0), np.float32)
