"""Which training images a bundle's gate remembers: drawn from the catalogue, always the same."""

from __future__ import annotations

import polars as pl

from pneumoscope.core.randomness import unit_hash
from pneumoscope.data.catalogue import usable


def remembered(catalogue: pl.DataFrame, *, images: int, seed: int) -> pl.DataFrame:
    """Training rows, at most `images` of them, by id: the order of what the gate knows.

    Args:
        catalogue: With its split.
        images: `gate.images` of the recipe.
        seed: Of the recipe.
    """
    rows = usable(catalogue).filter(pl.col("split") == "train")
    chosen = sorted(rows["image_id"], key=lambda name: unit_hash(seed, "gate", name))
    return rows.filter(pl.col("image_id").is_in(chosen[:images])).sort("image_id")
