"""Lung masks of a data folder: which there are, and what they say, for preprocessing to use."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import InputError, RadiographError
from pneumoscope.core.files import printable, sha256
from pneumoscope.data.layouts import Listing
from pneumoscope.data.layouts.listing import Entry
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
            f"{len(listing.entries)} images has one. Name a folder of them by data.masks, as "
            "`pneumoscope segment` writes it, give a table with a mask_path column or a "
            "radiography_database folder, or set preprocess.lungs=off."
        )
    told = (f"{image}\t{mask}\t{listing.source.signature(mask)}" for image, mask in masked)
    return replace(preprocess, mask_set=sha256(printable("\n".join(sorted(told))).encode())[:16])


def with_mask_folder(listing: Listing, folder: Path) -> Listing:
    """The listing with the masks in `folder`, each under its image's path with the ending `.png`.

    An image that has none there has no mask at all: masks of two makers would tell their images
    apart.

    Raises:
        InputError: there is no such folder, or the images lie in one archive.
    """
    root = listing.source.root
    if not folder.is_dir() or not root.is_dir():
        raise InputError(
            f"data.masks={folder}: is no folder of masks beside a folder of images. Write one by "
            "`pneumoscope segment DATA --output FOLDER`, or leave it out."
        )
    way = os.path.relpath(folder.resolve(), root.resolve())

    def mask_of(entry: Entry) -> str | None:
        inside = PurePosixPath(entry.path).with_suffix(".png")
        return f"{way}/{inside}" if (folder / inside).is_file() else None

    entries = tuple(replace(entry, mask_path=mask_of(entry)) for entry in listing.entries)
    return replace(listing, entries=entries)


def read_mask(path: str, source: Source) -> NDArray[np.bool_]:
    """`[rows, columns]`: where the mask at `path` shows lung, at its own resolution.

    Raises:
        RadiographError: it cannot be read, or it marks no lung.
    """
    mask = lung_mask(source.read(path).radiograph)
    if not mask.any():
        raise RadiographError(f"{path}: marks no lung. Correct it.")
    return mask
