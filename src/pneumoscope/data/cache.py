"""Decoded pixels, once: uint8 canvases in segments on disk, keyed by content and preprocess.

A segment is two files: `NAME.u8` (canvases, one after the other) and `NAME.parquet` (their image
ids). Segments are written under a temporary name and renamed, so a killed run leaves whole
segments or none, and two runs at once only do the same work twice.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl

from pneumoscope.core.errors import StorageError
from pneumoscope.core.files import cache_folder, sha256, storage_errors
from pneumoscope.core.tables import save_parquet
from pneumoscope.core.types import Canvas, PixelBatch
from pneumoscope.imaging.preprocess import Preprocess

_SEGMENT_IMAGES = 2048
_STALE_SECONDS = 24 * 3600


class PixelCache:
    """Canvases by image id.

    Args:
        preprocess: What made (and makes) the canvases; its fingerprint is part of the key.
        folder: Where segments lie; default below `cache_folder()`.
    """

    def __init__(self, preprocess: Preprocess, folder: Path | None = None) -> None:
        self.preprocess = preprocess
        self.folder = folder or cache_folder() / "pixels" / preprocess.fingerprint
        self._rows: dict[str, tuple[Path, int]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look again for segments; one whose two files do not fit together is ignored."""
        side = self.preprocess.size
        for ids_file in sorted(self.folder.glob("*.parquet")):
            try:
                ids = pl.read_parquet(ids_file)["image_id"].to_list()
            except (OSError, pl.exceptions.PolarsError):
                continue  # damaged: its images are decoded again
            data_file = ids_file.with_suffix(".u8")
            if not data_file.exists() or data_file.stat().st_size != len(ids) * side * side:
                continue
            self._rows |= {image_id: (data_file, row) for row, image_id in enumerate(ids)}

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Every image whose canvas is here."""
        return tuple(self._rows)

    def pixels(self, image_ids: Sequence[str]) -> PixelBatch:
        """Canvases `[image, 1, size, size]` in the order of `image_ids`.

        Raises:
            StorageError: a canvas is not there; building the catalogue again brings it back.
        """
        side = self.preprocess.size
        batch = np.empty((len(image_ids), 1, side, side), np.uint8)
        # Read, not mapped: mapped pages count as this process's memory until others need it.
        with ExitStack() as opened:
            files: dict[Path, FileIO] = {}
            for image_id, canvas in zip(image_ids, batch[:, 0], strict=True):
                try:
                    path, row = self._rows[image_id]
                    if path not in files:
                        files[path] = opened.enter_context(path.open("rb", buffering=0))
                    _read_row(files[path], row, canvas)
                except (KeyError, OSError, EOFError) as error:
                    what = f"{self.folder}: no pixels of image {image_id}"
                    raise StorageError(f"{what}. Run it again.") from error
        return batch

    def batches(
        self, image_ids: Sequence[str], batch_size: int
    ) -> Iterator[tuple[tuple[str, ...], PixelBatch]]:
        """Consecutive batches, each with the ids its pixels belong to."""
        for start in range(0, len(image_ids), batch_size):
            chosen = tuple(image_ids[start : start + batch_size])
            yield chosen, self.pixels(chosen)


def _read_row(file: FileIO, row: int, canvas: Canvas) -> None:
    file.seek(row * canvas.size)
    if file.readinto(canvas.data) != canvas.size:
        raise EOFError


class SegmentWriter:
    """Appends canvases; a full segment is made visible at once, the last on leaving."""

    def __init__(self, cache: PixelCache | None) -> None:
        self._cache = cache
        self._ids: list[str] = []
        self._file: IO[bytes] | None = None

    @classmethod
    @contextmanager
    def for_cache(cls, cache: PixelCache | None) -> Iterator[SegmentWriter]:
        """A writer whose finished canvases are kept even when the work around it is broken off."""
        writer = cls(cache)
        try:
            yield writer
            writer._finish_segment()
        except (KeyboardInterrupt, SystemExit):
            writer._finish_segment()
            raise
        finally:
            writer._discard()
            if cache is not None:
                cache.refresh()

    def add(self, image_id: str, canvas: Canvas) -> None:
        """Append one canvas; one already in the cache is passed over."""
        if self._cache is None or image_id in self._cache or image_id in self._ids[-64:]:
            return
        with storage_errors(self._cache.folder):
            if self._file is None:
                self._file = _new_segment(self._cache.folder)
            self._file.write(canvas.tobytes())
        self._ids.append(image_id)
        if len(self._ids) == _SEGMENT_IMAGES:
            self._finish_segment()

    def _finish_segment(self) -> None:
        if self._cache is None or self._file is None:
            return
        folder, name = self._cache.folder, sha256("\n".join(self._ids).encode())[:16]
        with storage_errors(folder):
            self._file.close()
            Path(self._file.name).replace(folder / f"{name}.u8")
        try:
            save_parquet(pl.DataFrame({"image_id": self._ids}), folder / f"{name}.parquet")
        except StorageError:
            (folder / f"{name}.u8").unlink(missing_ok=True)  # without its ids it is of no use
            raise
        self._ids, self._file = [], None

    def _discard(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # closing flushes, and the disk may be full
                self._file.close()
            Path(self._file.name).unlink(missing_ok=True)
            self._file = None


def _new_segment(folder: Path) -> IO[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.partial"):  # of runs that were killed
        with suppress(FileNotFoundError):  # another run has just finished it
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                left.unlink()
    handle, name = tempfile.mkstemp(prefix=".segment.", suffix=".partial", dir=folder)
    os.close(handle)
    return Path(name).open("wb")
