"""Tables on disk, whole or absent, in the two forms this program writes."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from pneumoscope.core.files import write_bytes


def save_parquet(table: pl.DataFrame, path: Path) -> None:
    """Write `table` to `path` as Parquet.

    Raises:
        StorageError: the place cannot be written or is full.
    """
    buffer = io.BytesIO()  # polars' own writing hides why a disk refuses
    table.write_parquet(buffer)
    write_bytes(path, buffer.getvalue())


def save_csv(table: pl.DataFrame, path: Path) -> None:
    """Write `table` to `path` as CSV.

    Raises:
        StorageError: the place cannot be written or is full.
    """
    buffer = io.BytesIO()
    table.write_csv(buffer)
    write_bytes(path, buffer.getvalue())
