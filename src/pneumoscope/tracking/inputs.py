"""What data went into a run: names, hashes and counts, never an image or a path."""

from __future__ import annotations

import polars as pl

from pneumoscope.core.files import sha256
from pneumoscope.data.catalogue import fingerprint, usable
from pneumoscope.data.split import SPLITS
from pneumoscope.tracking.record import DataInput


def inputs_of(name: str, catalogue: pl.DataFrame) -> tuple[DataInput, ...]:
    """The data set, then each split of it, by name and hash.

    Args:
        name: Of the data set.
        catalogue: With every usable image in a split.
    """
    rows = usable(catalogue)
    whole = DataInput(name, fingerprint(catalogue), "data", _profile(rows))
    parts = [(split, rows.filter(pl.col("split") == split)) for split in SPLITS]
    return (
        whole,
        *(
            DataInput(f"{name}:{split}", _hash(part), split, _profile(part))
            for split, part in parts
        ),
    )


def _hash(rows: pl.DataFrame) -> str:
    """16 hexadecimal digits fixed by the images and their labels, in any order."""
    pairs = rows.select("image_id", "label").sort("image_id").iter_rows()
    return sha256("\n".join(f"{image_id}\t{label}" for image_id, label in pairs).encode())[:16]


def _profile(rows: pl.DataFrame) -> dict[str, object]:
    labels = rows["label"].value_counts().sort("label").iter_rows()
    patients = rows.select(pl.coalesce("patient_id", "image_id").n_unique()).item()
    return {"images": rows.height, "patients": patients, "labels": dict(labels)}
