"""`split_folders`: `train|val|test/LABEL/*.jpeg`, any case."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pneumoscope.data.layouts.folders import folders, images
from pneumoscope.data.layouts.listing import Entry, Listing, NearMiss, Outcome, one_spelling
from pneumoscope.data.patients import patient_from_name
from pneumoscope.data.sources import FolderSource

PARTS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What parts are called, and what the catalogue calls them."""


def split_folders(root: Path) -> Outcome:
    """The listing of a folder with parts, each with one folder of images per label."""
    if not root.is_dir():
        return None
    found = {name: PARTS[name.lower()] for name in folders(root) if name.lower() in PARTS}
    entries = [
        Entry(f"{folder}/{label}/{name}", label, part, patient_from_name(PurePosixPath(name).stem))
        for folder, part in found.items()
        for label in folders(root / folder)
        for name in images(root / folder / label)
    ]
    if entries:
        why = f"folders {', '.join(found)} with label folders inside"
        return Listing("split_folders", why, FolderSource(root), tuple(one_spelling(entries)))
    if found:
        return NearMiss(
            f"{', '.join(found)} look like the parts of split_folders, but no folder inside them "
            "holds images: put them into one folder per label there"
        )
    return None
