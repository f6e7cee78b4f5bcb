"""From a radiograph to the network's square canvas, and back; training and serving share it.

Grey levels: 8-bit ones stay as they are; deeper ones are spread linearly from the image's own
minimum to its maximum, because a 16-bit PNG does not say which range its detector used.
Geometry: whatever the fit, a box of the source lands on a box of the canvas, so one affine map
describes all of them and has an exact inverse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from pneumoscope.core.errors import BundleError, InputError
from pneumoscope.core.files import sha256
from pneumoscope.core.recipe import PreprocessRecipe
from pneumoscope.core.types import Canvas, FloatArray
from pneumoscope.imaging.decoded import Radiograph

VERSION = 1
"""Of the algorithm; a canvas made by another version is another canvas."""

_Levels: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]


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
        seen = _resample(np.asarray(map, dtype=np.float32), box, self.crop.height, self.crop.width)
        restored = np.zeros((self.source_height, self.source_width), dtype=np.float32)
        restored[self.crop.slices] = seen
        return restored

    def _scale(self) -> FloatArray:
        return np.divide(self.placement[2:], self.crop[2:])


@dataclass(frozen=True, slots=True)
class Preprocess:
    """The way to the canvas, as the recipe says it."""

    recipe: PreprocessRecipe = field(default_factory=PreprocessRecipe)

    @property
    def size(self) -> int:
        """Side of the canvas, pixels."""
        return self.recipe.size

    def apply(self, radiograph: Radiograph) -> tuple[Canvas, Geometry]:
        """The radiograph's canvas and how to get back from it.

        A radiograph that needs no scaling keeps its grey levels exactly; others are resampled
        bilinearly over as many pixels as fall together. Deep ones are rounded once, at the end.
        """
        geometry = self.geometry(radiograph.height, radiograph.width)
        crop, placement = geometry.crop, geometry.placement
        levels = _levels(radiograph)
        if crop[2:] == placement[2:]:
            seen = levels[crop.slices]
        else:
            top, left, height, width = crop
            box = (left, top, left + width, top + height)
            seen = _resample(levels, box, placement.height, placement.width)
        canvas = np.full((self.size, self.size), self.recipe.pad_value, dtype=np.uint8)
        canvas[placement.slices] = _rounded(seen)
        return canvas, geometry

    def geometry(self, height: int, width: int) -> Geometry:
        """Where a source of `height` x `width` pixels lies on the canvas.

        Whole numbers throughout: halves round up, odd margins go to the bottom and the right.

        Raises:
            InputError: a side below 1.
        """
        if min(height, width) < 1:
            raise InputError(f"source of {height} x {width} pixels; sides are 1 or more. Check it.")
        crop, placement = Box(0, 0, height, width), Box(0, 0, self.size, self.size)
        if self.recipe.fit == "center_crop":
            side = min(height, width)
            crop = _centred(side, side, inside=crop)
        elif self.recipe.fit == "letterbox":
            longest = max(height, width)
            rows, columns = (
                max(1, (2 * self.size * side + longest) // (2 * longest))
                for side in (height, width)
            )
            placement = _centred(rows, columns, inside=placement)
        return Geometry(height, width, self.size, crop, placement)

    def to_dict(self) -> dict[str, int | str]:
        """What `from_dict` takes: the algorithm's version and the recipe's fields."""
        return {"version": VERSION, **self.recipe.model_dump(mode="json")}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Preprocess:
        """The way to the canvas that `to_dict` wrote.

        Raises:
            BundleError: another version, a missing or unknown field, a value out of range.
        """
        expected = {"version", *PreprocessRecipe.model_fields}
        if content.keys() != expected:
            found = f"fields {sorted(map(str, content))}; expected: {sorted(expected)}"
            raise BundleError(f"preprocess: {found}. Export the bundle again.")
        fields = dict(content)
        if (version := fields.pop("version")) != VERSION:
            remedy = "Export the bundle again, or use the Pneumoscope that wrote it"
            raise BundleError(f"preprocess: version {version!r}; supported: {VERSION}. {remedy}.")
        try:
            return cls(PreprocessRecipe.model_validate(fields, strict=True))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            reason = f"{first['loc'][0]}={first['input']!r}: {first['msg']}"
            raise BundleError(f"preprocess: {reason}. Export the bundle again.") from error

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits, equal only for equal canvases: the cache's key."""
        return sha256(json.dumps(self.to_dict(), sort_keys=True).encode())[:12]


def to_uint8(radiograph: Radiograph) -> NDArray[np.uint8]:
    """`[height, width]` uint8, grey levels as the canvas has them, at the source's resolution.

    8-bit radiographs come back as they are (the same array); deeper ones run from their minimum
    to their maximum; one that has a single level is black.
    """
    return _rounded(_levels(radiograph))


def _levels(radiograph: Radiograph) -> _Levels:
    pixels = radiograph.pixels
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    low, high = int(pixels.min()), int(pixels.max())
    if low == high:
        return np.zeros(pixels.shape, dtype=np.uint8)
    levels = pixels.astype(np.float32)
    levels -= low
    levels *= 255.0 / (high - low)
    return levels


def _rounded(levels: _Levels) -> NDArray[np.uint8]:
    rounded = levels if levels.dtype == np.uint8 else np.rint(levels)
    return rounded.astype(np.uint8, copy=False)


def _resample(
    levels: _Levels, box: tuple[float, float, float, float], height: int, width: int
) -> _Levels:
    # Pillow widens the filter when shrinking, so nothing aliases; other libraries do not.
    image = Image.fromarray(levels)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box))


def _centred(height: int, width: int, *, inside: Box) -> Box:
    return Box((inside.height - height) // 2, (inside.width - width) // 2, height, width)
