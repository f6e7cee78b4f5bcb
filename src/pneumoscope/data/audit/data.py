"""What the checks look at: tables about the files, the pixels and how the images hang together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.types import FloatArray
from pneumoscope.data.catalogue import usable
from pneumoscope.imaging.thumbnail import BLANK_DEVIATION, BLANK_RANGE

FILES_SCHEMA: dict[str, Any] = {
    "path": pl.String, "bytes": pl.Int64, "format": pl.String, "colour": pl.Float64,
}  # fmt: skip
"""`format`: png, jpeg, dicom or null; `colour`: mean absolute difference between colour channels,
grey levels as stored."""

_UNNAMED = ""


class Pair(Protocol):
    """Two images that show the same exposure."""

    @property
    def first(self) -> str:
        """Image id, less than `second`."""

    @property
    def second(self) -> str:
        """Image id."""

    @property
    def kind(self) -> Literal["exact", "near"]:
        """Equal decoded pixels, or pixels that agree once aligned."""

    @property
    def similarity(self) -> float:
        """Correlation of the aligned pixels, 1 where they are equal."""

    @property
    def mirrored(self) -> bool:
        """Whether one is the other's mirror image."""


@dataclass(frozen=True)
class AuditData:
    """Everything the checks may know; what was not looked at is empty or None."""

    catalogue: pl.DataFrame
    """Columns of the catalogue; `source` tells data sets apart, whose name then starts `path`."""
    files: pl.DataFrame
    """Columns of `FILES_SCHEMA`."""
    statistics: pl.DataFrame
    """What `image_statistics` gives."""
    pairs: Sequence[Pair] = ()
    missing: Sequence[str] = ()
    """Paths that a metadata file names and nobody finds."""
    surplus: Sequence[str] = ()
    """Images that the metadata file does not name."""
    declared: pl.DataFrame | None = None
    """`path`, `width`, `height`, `format`, `label` as a metadata file declares them."""
    embeddings: Mapping[str, NDArray[np.floating[Any]]] | None = field(default=None, repr=False)
    """Vectors by image id."""

    @cached_property
    def images(self) -> pl.DataFrame:
        """Usable images with files and statistics: one row each, sorted by path."""
        return (
            usable(self.catalogue)
            .join(self.files.unique("path", keep="first"), on="path", how="left")
            .join(self.statistics, on="image_id", how="left")
            .with_columns(group=pl.coalesce("patient_id", "image_id"))
            .sort("path")
        )

    @cached_property
    def pictures(self) -> pl.DataFrame:
        """The images whose statistics are there and that are not blank."""
        span = pl.col("maximum") - pl.col("minimum")
        shown = pl.col("mean").is_not_null() & (span >= BLANK_RANGE)
        return self.images.filter(shown & (pl.col("standard_deviation") >= BLANK_DEVIATION))

    @cached_property
    def sources(self) -> dict[str, pl.DataFrame]:
        """The images of each data set; one data set without a name is called ''."""
        named = self.images.with_columns(pl.col("source").fill_null(_UNNAMED))
        return {
            str(name): named.filter(pl.col("source") == name)
            for name in sorted(named["source"].unique())
        }

    @cached_property
    def readable(self) -> pl.DataFrame:
        """Every row that was decoded, copies included, sorted by path."""
        return self.catalogue.filter(pl.col("image_id").is_not_null()).sort("path")


def thumbnails(images: pl.DataFrame) -> FloatArray:
    """`[image, side, side]` float32 grey levels 0-255: the column of that name as an array."""
    flat = images["thumbnail"].to_numpy()
    side = round(flat.shape[1] ** 0.5)
    return np.asarray(flat.reshape(-1, side, side), dtype=np.float32)


def of_source(name: str) -> str:
    """How a sentence begins that speaks of one data set."""
    return f"in {name}, " if name else ""


def sentence(text: str) -> str:
    """The text with its first letter raised; names inside keep theirs."""
    return text[:1].upper() + text[1:]
