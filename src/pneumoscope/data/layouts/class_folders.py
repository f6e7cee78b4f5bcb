"""`class_folders`: `LABEL/*.png`."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from pneumoscope.data.layouts.folders import folders, images
from pneumoscope.data.layouts.listing import Entry, Listing, NearMiss, Outcome, one_spelling
from pneumoscope.data.layouts.split_folders import PARTS
from pneumoscope.data.patients import patient_from_name
from pneumoscope.data.sources import FolderSource

_CONTAINER = re.compile(r"(images?|masks?|img|data|xrays?)[ _-]?\d*", re.IGNORECASE)
"""Names of folders that hold images and are no label."""


def class_folders(root: Path) -> Outcome:
    """The listing of a folder with one folder of images per label."""
    if not root.is_dir():
        return None
    found = {label: images(root / label) for label in folders(root) if label.lower() not in PARTS}
    labels = [label for label, names in found.items() if names]
    if not labels:
        return _near_miss(root)
    if all(_CONTAINER.fullmatch(label) for label in labels):
        return _containers(root, labels)
    entries = [
        Entry(f"{label}/{name}", label, None, patient_from_name(PurePosixPath(name).stem))
        for label in labels
        for name in found[label]
    ]
    many = "folders" if len(labels) > 1 else "folder"
    why = f"{len(labels)} {many} with images, taken as labels"
    return Listing("class_folders", why, FolderSource(root), tuple(one_spelling(entries)))


def _near_miss(root: Path) -> NearMiss | None:
    if not images(root):
        return None
    return NearMiss(
        "images lie in the folder itself: put them into one folder per label, or name their "
        "labels in a CSV file beside them"
    )


def _containers(root: Path, labels: list[str]) -> NearMiss:
    if {"images", "masks"} >= {label.lower() for label in labels}:
        return NearMiss(
            f"folder {root.name} looks like one label of radiography_database: give the folder "
            "above it; or name the labels of its images in a CSV file"
        )
    return NearMiss(
        f"folders {', '.join(labels[:5])} hold images, but their names are no labels: rename them, "
        "or name the labels in a CSV file"
    )
