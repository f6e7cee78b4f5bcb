"""What every decoder returns, and the limits every decoder keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pneumoscope.core.errors import RadiographError
from pneumoscope.core.types import GreyImage


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused before any pixel is decoded: a header costs nothing, its promise may."""

    max_bytes: int = 256 * 2**20
    max_pixels: int = 100_000_000
    min_side: int = 8

    def check_bytes(self, size: int) -> None:
        """Raise `RadiographError` unless a file of `size` bytes may be read."""
        if size > self.max_bytes:
            allowed = f"allowed: {self.max_bytes:,}"
            raise RadiographError(f"{size:,} bytes; {allowed}. Export it smaller or exclude it.")

    def check_size(self, *, width: int, height: int) -> None:
        """Raise `RadiographError` unless a header that says `width` x `height` may be decoded."""
        if width * height > self.max_pixels:
            allowed = f"allowed: {self.max_pixels:,} pixels"
            raise RadiographError(f"{width} x {height} pixels; {allowed}. Shrink it or exclude it.")
        if min(width, height) < self.min_side:
            allowed = f"allowed: {self.min_side} or more on each side"
            raise RadiographError(f"{width} x {height} pixels; {allowed}. Exclude it.")


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """Decoded pixels and how the file stored them."""

    pixels: GreyImage
    """`[height, width]`, upright, bright = dense."""
    bits: int
    """Of the stored grey levels: 8 or 16 for PNG and JPEG, 1 to 32 for DICOM."""
    photometric: str
    """As stored, in Pillow's words: `1`, `L`, `I;16`, `LA`, `P`, `RGB`, `RGBA`, `CMYK`; or
    `MONOCHROME1`, `MONOCHROME2`."""
    format: str
    """`png`, `jpeg` or `dicom`."""
    colour: float = 0.0
    """How far the stored channels lie apart, grey levels 0-255: mean over the picture of the
    highest minus the lowest channel. 0 for grey storage and for grey stored as colour."""

    def __post_init__(self) -> None:
        shape, kind = self.pixels.shape, self.pixels.dtype
        if len(shape) != 2 or 0 in shape or kind not in (np.uint8, np.uint16):
            allowed = "allowed: [height, width] of uint8 or uint16"
            raise RadiographError(f"pixels are {list(shape)} of {kind}; {allowed}. Convert them.")

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])
