"""From a radiograph to the network's square canvas, and back; training and serving share it.

Grey levels, unless the recipe asks for others: 8-bit ones stay as they are; deeper ones are spread
linearly from the image's own minimum to its maximum, because a 16-bit PNG does not say which range
its detector used. Geometry: whatever is cropped and however it is fitted, a box of the source
lands on a box of the canvas, so one affine map describes all of them and has an exact inverse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pneumoscope.core.errors import BundleError, InputError
from pneumoscope.core.files import sha256
from pneumoscope.core.recipe import PreprocessRecipe
from pneumoscope.core.types import Canvas, GreyImage
from pneumoscope.imaging.borders import inside_borders
from pneumoscope.imaging.contrast import clahe
from pneumoscope.imaging.decoded import Radiograph
from pneumoscope.imaging.geometry import Box, Geometry, Levels, resample
from pneumoscope.imaging.lungs import lung_box, on_canvas, require_mask

__all__ = ["VERSION", "Box", "Geometry", "Preprocess", "to_uint8"]

VERSION = 2
"""Of the algorithm; a canvas made by another version is another canvas."""


@dataclass(frozen=True, slots=True)
class Preprocess:
    """The way to the canvas, as the recipe says it."""

    recipe: PreprocessRecipe = field(default_factory=PreprocessRecipe)
    mask_set: str = ""
    """Tells the lung masks of one data set from those of another: canvases depend on them, and so
    does the fingerprint. A bundle does not keep it."""

    @property
    def size(self) -> int:
        """Side of the canvas, pixels."""
        return self.recipe.size

    def apply(
        self, radiograph: Radiograph, mask: NDArray[np.bool_] | None = None
    ) -> tuple[Canvas, Geometry]:
        """The radiograph's canvas and how to get back from it.

        A radiograph that needs no scaling keeps its grey levels exactly; others are resampled
        bilinearly over as many pixels as fall together. Deep ones are rounded once, at the end.

        Args:
            radiograph: What to show.
            mask: `[rows, columns]` of any resolution, covering the whole radiograph: where lung
                is. Looked at only where the recipe makes use of lungs.

        Raises:
            InputError: the recipe makes use of lungs and there is no mask.
            RadiographError: the mask marks no lung.
        """
        if self.recipe.lungs != "off":
            mask = require_mask(self.recipe.lungs, mask)
        seen = self._seen(radiograph, mask)
        geometry = self.geometry(radiograph.height, radiograph.width, seen=seen)
        shown = self._shown(geometry, mask)
        # Hidden before equalising, so as to have no say in it, and after, which changes blacks too.
        placed = self._hidden(self._placed(radiograph, geometry, seen), shown)
        if self.recipe.clahe:
            placed = self._hidden(clahe(placed, clip_limit=self.recipe.clahe), shown)
        canvas = np.full((self.size, self.size), self.recipe.pad_value, dtype=np.uint8)
        canvas[geometry.placement.slices] = placed
        return canvas, geometry

    def geometry(self, height: int, width: int, *, seen: Box | None = None) -> Geometry:
        """Where a source of `height` x `width` pixels lies on the canvas.

        Whole numbers throughout: halves round up, odd margins go to the bottom and the right.

        Args:
            height: Of the source, pixels.
            width: Of the source, pixels.
            seen: The part of the source that is fitted, default all: what is left without
                borders, say, which only the pixels tell.

        Raises:
            InputError: a side below 1, or `seen` is not inside the source.
        """
        if min(height, width) < 1:
            raise InputError(f"source of {height} x {width} pixels; sides are 1 or more. Check it.")
        crop, placement = seen or Box(0, 0, height, width), Box(0, 0, self.size, self.size)
        if not crop.is_inside(height, width):
            found = f"part {tuple(crop)} of a source of {height} x {width} pixels"
            raise InputError(f"{found} is not inside it. Give top, left, height, width within.")
        if self.recipe.fit == "center_crop":
            side = min(crop[2:])
            crop = crop.middle(side, side)
        elif self.recipe.fit == "letterbox":
            longest = max(crop[2:])
            rows, columns = (
                max(1, (2 * self.size * side + longest) // (2 * longest)) for side in crop[2:]
            )
            placement = placement.middle(rows, columns)
        return Geometry(height, width, self.size, crop, placement)

    def _seen(self, radiograph: Radiograph, mask: NDArray[np.bool_] | None) -> Box:
        """The part of the source that is fitted."""
        height, width = radiograph.pixels.shape
        seen = Box(0, 0, height, width)
        if self.recipe.crop_borders:
            seen = inside_borders(radiograph.pixels)
        if self.recipe.lungs == "crop" and mask is not None:
            lungs = lung_box(mask, height, width)
            seen = lungs.overlap(seen) or lungs
        return seen

    def _placed(self, radiograph: Radiograph, geometry: Geometry, seen: Box) -> NDArray[np.uint8]:
        """`[placement.height, placement.width]`: what is seen, at the canvas's resolution."""
        crop, placement = geometry.crop, geometry.placement
        # Cut before resampling, which reads beyond its box: a border is left out altogether.
        levels = _spread(radiograph, self.recipe.levels, crop)[seen.slices]
        top, left = crop.top - seen.top, crop.left - seen.left
        box = Box(top, left, crop.height, crop.width)
        if crop[2:] == placement[2:]:
            return _rounded(levels[box.slices])
        edges = (left, top, left + box.width, top + box.height)
        return _rounded(resample(levels, edges, placement.height, placement.width))

    def _shown(
        self, geometry: Geometry, mask: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_] | None:
        """`[placement.height, placement.width]`: what a mask leaves to see; None leaves all."""
        if mask is None or self.recipe.lungs not in ("keep", "remove"):
            return None
        source = geometry.source_height, geometry.source_width
        lungs = on_canvas(mask, source, geometry.crop, geometry.placement)
        return lungs if self.recipe.lungs == "keep" else ~lungs

    def _hidden(
        self, placed: NDArray[np.uint8], shown: NDArray[np.bool_] | None
    ) -> NDArray[np.uint8]:
        return placed if shown is None else np.where(shown, placed, np.uint8(self.recipe.pad_value))

    def to_dict(self) -> dict[str, int | float | str]:
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
        content = json.dumps(self.to_dict(), sort_keys=True) + self.mask_set
        return sha256(content.encode())[:12]


def to_uint8(radiograph: Radiograph) -> NDArray[np.uint8]:
    """`[height, width]` uint8, grey levels as the canvas has them, at the source's resolution.

    8-bit radiographs come back as they are (the same array); deeper ones run from their minimum
    to their maximum; one that has a single level is black.
    """
    return _rounded(_levels(radiograph))


def _spread(radiograph: Radiograph, levels: str, crop: Box) -> Levels:
    """`[height, width]`, 0-255, of the whole source, as the recipe's `levels` says."""
    pixels = radiograph.pixels
    if levels == "percentile":
        return _between(pixels, *_percentiles(pixels[crop.slices]))
    if levels == "full" and pixels.dtype != np.uint8:
        # Whatever depth a DICOM stores, its decoder spreads it over 16 bits.
        top = 2 ** (16 if radiograph.format == "dicom" else min(radiograph.bits, 16)) - 1
        return _between(pixels, 0, top)
    return _levels(radiograph)


def _levels(radiograph: Radiograph) -> Levels:
    pixels = radiograph.pixels
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return _between(pixels, int(pixels.min()), int(pixels.max()))


def _between(pixels: GreyImage, low: int, high: int) -> Levels:
    """Levels from `low` to `high` made 0 to 255, others clipped; one single level is black."""
    if low >= high:
        return np.zeros(pixels.shape, dtype=np.uint8)
    levels = np.clip(pixels, low, high).astype(np.float32)
    levels -= low
    levels *= 255.0 / (high - low)
    return levels


def _percentiles(pixels: GreyImage) -> tuple[int, int]:
    """The levels that 0.5 % and 99.5 % of the pixels do not exceed; if the same, the extremes."""
    counts = np.bincount(pixels.ravel())
    # Nearest ranks (numpy's "inverted_cdf"): levels that are there, and no sorting.
    low, high = np.searchsorted(counts.cumsum(), [0.005 * pixels.size, 0.995 * pixels.size])
    return (int(low), int(high)) if low < high else (int(pixels.min()), int(pixels.max()))


def _rounded(levels: Levels) -> NDArray[np.uint8]:
    rounded = levels if levels.dtype == np.uint8 else np.rint(levels)
    return rounded.astype(np.uint8, copy=False)
