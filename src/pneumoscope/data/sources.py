"""Where an entry's bytes come from: a folder of files, or one MedMNIST archive."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import LayoutError, RadiographError
from pneumoscope.core.files import sha256
from pneumoscope.imaging.radiograph import (
    DEFAULT_LIMITS,
    Limits,
    Radiograph,
    read_file,
    read_radiograph,
)

_MAX_ARCHIVE_BYTES = 16 * 2**30


@dataclass(frozen=True, slots=True)
class Content:
    """A decoded entry and the SHA-256 of what was stored."""

    sha256: str
    radiograph: Radiograph


class Source(Protocol):
    """Reads entries by their path inside the data folder."""

    @property
    def root(self) -> Path:
        """The folder or file the entries are in."""

    def signature(self, path: str) -> tuple[int, int]:
        """Size in bytes and time of change in ns: equal means unchanged, without reading."""
        ...

    def read(self, path: str) -> Content:
        """Read and decode one entry.

        Raises:
            RadiographError: it cannot be read; the message says why.
        """
        ...


@dataclass(frozen=True)
class FolderSource:
    """Files below a folder."""

    root: Path
    limits: Limits = DEFAULT_LIMITS

    def signature(self, path: str) -> tuple[int, int]:
        """Size and modification time of the file."""
        try:
            stat = (self.root / path).stat()
        except OSError:
            return (-1, -1)
        return stat.st_size, stat.st_mtime_ns

    def read(self, path: str) -> Content:
        """Read, hash and decode one file."""
        try:
            content = read_file(self.root / path, self.limits)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RadiographError(
                f"{path}: cannot be opened ({reason}). Check the path and its permissions."
            ) from error
        except RadiographError as error:
            raise RadiographError(f"{path}: {error}") from error
        return Content(sha256(content), read_radiograph(content, limits=self.limits, name=path))


@dataclass(frozen=True)
class NpzSource:
    """Images of a `.npz` in the MedMNIST form; an entry's path is `FILE.npz#train/17`."""

    root: Path

    @cached_property
    def images(self) -> dict[str, NDArray[np.uint8]]:
        """`[image, height, width]` grey levels per part."""
        return {part: read_array(self.root, f"{part}_images") for part in parts(self.root)}

    def signature(self, path: str) -> tuple[int, int]:
        """Size and modification time of the archive."""
        del path
        stat = self.root.stat()
        return stat.st_size, stat.st_mtime_ns

    def read(self, path: str) -> Content:
        """One image of the archive."""
        part, _, row = path.rpartition("#")[2].partition("/")
        pixels = self.images[part][int(row)]
        if pixels.ndim != 2:
            raise RadiographError(
                f"{path}: has shape {pixels.shape}; grey images are supported. Convert it."
            )
        return Content(
            sha256(repr(pixels.shape).encode() + pixels.tobytes()),
            Radiograph(pixels=pixels, bits=8, photometric="L", format="npz"),
        )


def parts(path: Path) -> list[str]:
    """Names of the parts (`train`, `val`, `test`) that an archive holds images and labels of."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if sum(info.file_size for info in archive.infolist()) > _MAX_ARCHIVE_BYTES:
                raise LayoutError(
                    f"{path}: unpacks to more than 16 GiB; at most that is read. Split it into "
                    "smaller files."
                )
    except (OSError, zipfile.BadZipFile) as error:
        raise LayoutError(
            f"{path}: is not a readable .npz ({error}). Download it again."
        ) from error
    found = [part for part in ("train", "val", "test") if f"{part}_images.npy" in names]
    return [part for part in found if f"{part}_labels.npy" in names]


def read_array(path: Path, name: str) -> NDArray[np.uint8]:
    """One array of an archive, never unpickling."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            array: NDArray[np.uint8] = archive[name]
    except (
        OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error
    ) as error:  # fmt: skip
        raise LayoutError(f"{path}: {name} cannot be read ({error}). Download it again.") from error
    return array
