"""Lung masks of a data folder: which there are, and what they say, for preprocessing to use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import InputError, RadiographError
from pneumoscope.core.files import printable, sha256
from pneumoscope.data.layouts import Listing
from pneumoscope.data.sources import Source
from pneumoscope.imaging.lungs import lung_mask
from pneumoscope.imaging.preprocess import Preprocess

NO_MASK = "no lung mask, which preprocess.lungs needs."
"""Why an image is excluded whose layout names no mask."""


def with_masks(preprocess: Preprocess, listing: Listing) -> Preprocess:
    """The way to the canvas, its fingerprint made that of these masks where it makes use of them.

    Raises:
        InputError: it makes use of lung masks, and not one image has one.
    """
    if preprocess.recipe.lungs == "off":
        return preprocess
    masked = [(entry.path, entry.mask_path) for entry in listing.entries if entry.mask_path]
    if not masked:
        raise InputError(
            f"preprocess.lungs={preprocess.recipe.lungs} needs lung masks, and none of the "
            f"{len(listing.entries)} images has one. Give a table with a mask_path column or a "
            "radiography_database folder, or set preprocess.lungs=off."
        )
    told = (f"{image}\t{mask}\t{listing.source.signature(mask)}" for image, mask in masked)
    return replace(preprocess, mask_set=sha256(printable("\n".join(sorted(told))).encode())[:16])


def read_mask(path: str, source: Source) -> NDArray[np.bool_]:
    """`[rows, columns]`: where the mask at `path` shows lung, at its own resolution.

    Raises:
        RadiographError: it cannot be read, or it marks no lung.
    """
    mask = lung_mask(source.read(path).radiograph)
    if not mask.any():
        raise RadiographError(f"{path}: marks no lung. Correct it.")
    return mask
