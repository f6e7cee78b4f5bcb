"""The training images most like an image: the gate's memory, matched with the images themselves.

A bundle keeps where training images lie, not which they are. The run that made it knows: see
`data.remembered`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.bundle.gate.familiarity import Familiarity, Features
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.types import PixelBatch

_SAME = 0.5
"""Distance up to which an image counts as the remembered one: what half precision and another
runtime change stays far below, and another image lies several deviations off."""
_CHECKED = 3


@dataclass(frozen=True)
class Similar:
    """A training image; whose it is, is not told.

    Attributes:
        image_id: Of the catalogue.
        label: In the training data.
        distance: See `Familiarity.nearest`.
        path: The file, which is there.
    """

    image_id: str
    label: str
    distance: float
    path: Path

    @property
    def same(self) -> bool:
        """Whether it is the very image, or a copy of it."""
        return self.distance <= _SAME


@dataclass(frozen=True, eq=False)
class Memory:
    """Which training images a bundle's gate remembers, in its order.

    Attributes:
        familiarity: Where they lie.
        images: `image_id`, `label` and `path` of each.
        data: The folder their paths begin in.
    """

    familiarity: Familiarity
    images: pl.DataFrame
    data: Path


def open_memory(predictor: Predictor, images: pl.DataFrame, data: Path) -> Memory | None:
    """The images that a bundle's gate remembers; None where they are not at hand.

    They are not where the bundle has no gate, or a gate without memory, where files alone do not
    hold what it sees (lung masks), where these are other images, and where they are gone.

    Args:
        predictor: Of the bundle.
        images: `image_id`, `label` and `path` of what it should remember, in its order.
        data: The folder their paths begin in.
    """
    familiarity = predictor.gate.familiarity if predictor.gate else None
    if familiarity is None or predictor.preprocess.recipe.lungs != "off":
        return None
    if images.height != len(familiarity.known):
        return None
    memory = Memory(familiarity, images.select("image_id", "label", "path"), data)
    return memory if _fits(memory, predictor) else None


def similar_images(memory: Memory, features: Features, *, most: int = 4) -> list[Similar]:
    """The training images most like an image, the nearest first; those that are gone left out.

    Args:
        memory: What the bundle remembers.
        features: Of the one image.
        most: How many at most.
    """
    rows, distances = memory.familiarity.nearest(features, count=4 * most)
    found = []
    for row, distance in zip(rows[0].tolist(), distances[0].tolist(), strict=True):
        image_id, label, path = memory.images.row(row)
        if (memory.data / path).is_file():
            found.append(Similar(image_id, label, distance, memory.data / path))
    return found[:most]


def features_of(
    predictor: Predictor, canvases: PixelBatch, embedding: NDArray[np.float32] | None = None
) -> Features:
    """What the gate of a bundle compares of canvases `[batch, 1, size, size]`.

    Args:
        predictor: Of a bundle with a gate.
        canvases: What it sees.
        embedding: `[batch, features]`, where it was asked already.
    """
    assert predictor.gate is not None  # noqa: S101 - there is no memory without one
    known = predictor.infer(canvases).embedding if embedding is None else embedding
    return Features(known, predictor.gate.look(canvases).look)


def _fits(memory: Memory, predictor: Predictor) -> bool:
    """Whether images that are at hand lie where the gate remembers them."""
    checked = 0
    for row, path in enumerate(memory.images["path"].to_list()):
        if checked == _CHECKED:
            break
        if not (memory.data / path).is_file():
            continue
        seen = predictor.read(memory.data / path).seen
        if seen is None:
            return False
        features = features_of(predictor, seen.canvas[None, None])
        rows, distances = memory.familiarity.nearest(features, count=memory.images.height)
        if float(distances[0, np.flatnonzero(rows[0] == row)[0]]) > _SAME:
            return False
        checked += 1
    return checked > 0
