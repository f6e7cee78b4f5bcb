"""Boxes of whole pixels, and the map between a radiograph and the canvas: what lies where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.types import FloatArray

Levels: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]
"""`[height, width]`, 0-255, rounded or not yet."""


class Box(NamedTuple):
    """A rectangle of whole pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and columns inside."""
        bottom, right = self.top + self.height, self.left + self.width
        return slice(self.top, bottom), slice(self.left, right)

    def overlap(self, other: Box) -> Box | None:
        """What both cover; None where that is nothing."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - top
        width = min(self.left + self.width, other.left + other.width) - left
        return Box(top, left, height, width) if min(height, width) > 0 else None

    def middle(self, height: int, width: int) -> Box:
        """Its middle part of `height` x `width`; odd margins go to the bottom and the right."""
        top, left = (self.height - height) // 2, (self.width - width) // 2
        return Box(self.top + top, self.left + left, height, width)

    def is_inside(self, height: int, width: int) -> bool:
        """Whether it holds a pixel, and none that `height` x `width` pixels have not."""
        bottom, right = self.top + self.height, self.left + self.width
        return 0 <= self.top < bottom <= height and 0 <= self.left < right <= width


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where each part of one radiograph lies on the canvas.

    Points are `(y, x)` with whole numbers at the centres of pixels.
    """

    source_height: int
    source_width: int
    size: int
    """Side of the canvas, pixels."""
    crop: Box
    """What the network sees, in the source."""
    placement: Box
    """Where it sees it, on the canvas."""

    def to_canvas(self, points: FloatArray) -> FloatArray:
        """`[n, 2]` points on the canvas, from points in the source."""
        edges = np.asarray(points, dtype=np.float64) + 0.5
        return (edges - self.crop[:2]) * self._scale() + self.placement[:2] - 0.5

    def to_source(self, points: FloatArray) -> FloatArray:
        """`[n, 2]` points in the source, from points on the canvas; inverse of `to_canvas`."""
        edges = np.asarray(points, dtype=np.float64) + 0.5
        return (edges - self.placement[:2]) / self._scale() + self.crop[:2] - 0.5

    def restore(self, map: FloatArray) -> FloatArray:  # noqa: A002 - the field's word
        """`[source_height, source_width]` float32: a map of the whole canvas, laid on the source.

        Args:
            map: `[rows, columns]` of any resolution; its corners are the canvas's corners.
                Bilinear in between; zero where the network did not see the source.
        """
        rows, columns = map.shape
        top, left, height, width = self.placement
        # Multiplied first: an edge of the canvas must not pass the edge of the map by a rounding.
        box = (
            left * columns / self.size,
            top * rows / self.size,
            (left + width) * columns / self.size,
            (top + height) * rows / self.size,
        )
        seen = resample(np.asarray(map, dtype=np.float32), box, self.crop.height, self.crop.width)
        restored = np.zeros((self.source_height, self.source_width), dtype=np.float32)
        restored[self.crop.slices] = seen
        return restored

    def _scale(self) -> FloatArray:
        return np.divide(self.placement[2:], self.crop[2:])


def resample(
    levels: Levels, box: tuple[float, float, float, float], height: int, width: int
) -> Levels:
    """`[height, width]`: the part `left, top, right, bottom` of the levels, bilinearly.

    Pixels around the part are looked at too, as far as the filter reaches.
    """
    # Pillow widens the filter when shrinking, so nothing aliases; other libraries do not.
    image = Image.fromarray(levels)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box))
