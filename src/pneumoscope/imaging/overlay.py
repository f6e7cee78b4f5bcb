"""A saliency map laid over its radiograph, as a picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.errors import InputError
from pneumoscope.core.files import write_bytes
from pneumoscope.core.types import FloatArray, RgbImage
from pneumoscope.imaging.decoded import Radiograph
from pneumoscope.imaging.preprocess import to_uint8

# Eleven even steps of "inferno" (S. van der Walt, N. Smith, 2015, CC0): lightness rises evenly,
# so the order survives grey printing and colour blindness.
_ANCHORS = (
    "000004", "160b39", "420a68", "6a176e", "932667", "bc3754",
    "dd513a", "f37819", "fca50a", "f6d746", "fcffa4",
)  # fmt: skip


def colours() -> NDArray[np.uint8]:
    """`[256, 3]`: the colour of each saliency from none (0) to the map's highest (255)."""
    anchors = np.array([list(bytes.fromhex(anchor)) for anchor in _ANCHORS], dtype=np.float64)
    at, steps = np.linspace(0, 1, 256), np.linspace(0, 1, len(anchors))
    table = np.empty((256, 3), dtype=np.uint8)
    for channel in range(3):
        table[:, channel] = np.rint(np.interp(at, steps, anchors[:, channel]))
    return table


def overlay(radiograph: Radiograph, saliency: FloatArray, *, opacity: float = 0.45) -> RgbImage:
    """`[height, width, 3]`: the radiograph in grey, colour where the evidence lies.

    Args:
        radiograph: shown as `to_uint8` shows it.
        saliency: `[height, width]` in the radiograph's geometry, any unit; negative counts as
            none. Scaled by its own highest value: colours compare places, not radiographs.
        opacity: of the highest saliency, in [0, 1]; elsewhere in proportion, so that what does
            not matter stays plain grey.

    Raises:
        InputError: shapes differ, a value is not finite, or the opacity is out of range.

    Example:
        answer = ps.load_bundle().predict("chest.png", saliency=True)
        picture = ps.overlay(answer.radiograph, answer.saliency)
    """
    _check(radiograph, saliency, opacity)
    grey = to_uint8(radiograph)
    strength = np.maximum(saliency, 0).astype(np.float32)
    highest = strength.max()
    picture: RgbImage = np.stack([grey, grey, grey], axis=-1)
    if highest <= 0:
        return picture
    strength /= highest
    table, level = colours().astype(np.float32), np.rint(strength * 255).astype(np.uint8)
    strength *= opacity
    for channel in range(3):
        mixed = grey + strength * (table[level, channel] - grey)
        picture[:, :, channel] = np.rint(mixed)
    return picture


def png_bytes(image: RgbImage) -> bytes:
    """`[height, width, 3]` as PNG."""
    content = io.BytesIO()
    # Level 1 is five times faster than the default and no larger on radiographs.
    Image.fromarray(image).save(content, format="PNG", compress_level=1)
    return content.getvalue()


def save_png(image: RgbImage, path: Path) -> None:
    """Write `[height, width, 3]` to `path` as PNG, whole or not at all.

    Raises:
        StorageError: the place cannot be written or is full.
    """
    write_bytes(path, png_bytes(image))


def _check(radiograph: Radiograph, saliency: FloatArray, opacity: float) -> None:
    expected = (radiograph.height, radiograph.width)
    if saliency.shape != expected:
        remedy = "Bring it to the radiograph with Geometry.restore"
        raise InputError(f"saliency is {saliency.shape}; the radiograph is {expected}. {remedy}.")
    if not np.isfinite(saliency).all():
        raise InputError("saliency holds values that are not finite. Compute it again in float32.")
    if not 0 <= opacity <= 1:
        raise InputError(f"opacity={opacity}; allowed: 0 to 1. Choose one of these.")
