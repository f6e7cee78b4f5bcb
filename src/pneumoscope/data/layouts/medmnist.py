"""`medmnist`: a `.npz` with `train_images`, `train_labels`, ... as MedMNIST publishes them.

What an archive claims is checked from its headers before anything is unpacked.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pneumoscope.core.errors import LayoutError
from pneumoscope.data.layouts.folders import tables
from pneumoscope.data.layouts.listing import Entry, Listing, NearMiss, Outcome
from pneumoscope.data.layouts.split_folders import PARTS
from pneumoscope.data.sources import NpzSource, parts

# MedMNIST archives number their labels; the names are in the data set's own description.
_LABELS = {"pneumoniamnist": ("NORMAL", "PNEUMONIA")}

_MAX_IMAGE_BYTES = 8 * 2**30
_MAX_LABELS = 10_000_000
_MAX_RATIO = 200
"""Radiographs shrink to a third or so; only a bomb shrinks to a two-hundredth of 64 MiB."""
_RATIO_MATTERS = 64 * 2**20

_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, SyntaxError, TypeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What zipfile and NumPy raise at hostile content; RuntimeError covers encryption."""


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


def medmnist(root: Path) -> Outcome:
    """The listing of a MedMNIST archive, or of a folder that holds one."""
    if root.is_file():
        return _list_archive(root) if root.suffix.lower() == ".npz" else None
    files = [root / name for name in tables(root, (".npz",))]
    if not files:
        return None
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        return NearMiss(f"holds several archives ({names}): give one of them")
    try:
        return _list_archive(files[0])
    except LayoutError as error:
        return NearMiss(str(error).removeprefix(f"{root}/").rstrip("."))


def _list_archive(file: Path) -> Listing:
    try:
        found = parts(file)
    except _UNREADABLE as error:
        raise _unreadable(file, "the archive", error) from error
    if not found:
        raise LayoutError(
            f"{file}: holds no pair such as train_images and train_labels. Give a MedMNIST .npz."
        )
    names = next((known for prefix, known in _LABELS.items() if file.name.startswith(prefix)), None)
    entries: list[Entry] = []
    for part in found:
        for row, value in enumerate(_labels(file, part)):
            label = names[value] if names and 0 <= value < len(names) else str(value)
            entries.append(Entry(f"{file.name}#{part}/{row}", label, PARTS[part], None))
    why = f"a MedMNIST archive with {', '.join(found)}"
    return Listing("medmnist", why, NpzSource(file), tuple(entries))


def _labels(file: Path, part: str) -> list[int]:
    """The label numbers of a part, after checking them and the images against each other."""
    images = _header(file, f"{part}_images")
    labels = _header(file, f"{part}_labels")
    _check_images(f"{file}: {part}_images", images)
    _check_labels(f"{file}: {part}_labels", labels)
    if images.shape[0] != labels.shape[0]:
        raise LayoutError(
            f"{file}: {part} has {images.shape[0]} images and {labels.shape[0]} labels; one label "
            "per image is needed. Download it again."
        )
    try:
        with np.load(file, allow_pickle=False) as archive:
            return [int(value) for value in archive[f"{part}_labels"].reshape(-1)]
    except _UNREADABLE as error:
        raise _unreadable(file, f"{part}_labels", error) from error


def _check_images(name: str, header: _Header) -> None:
    shape = list(header.shape)
    if len(shape) == 4 and shape[-1] in (3, 4):
        raise LayoutError(
            f"{name} has shape {shape}: colour images; grey ones ([images, height, width]) are "
            "supported. Choose a set of radiographs."
        )
    if len(shape) != 3 or header.dtype != np.uint8:
        raise LayoutError(
            f"{name} has shape {shape} and type {header.dtype}; [images, height, width] of uint8 "
            "is supported. Convert it."
        )
    if math.prod(shape) > _MAX_IMAGE_BYTES:
        raise LayoutError(
            f"{name} unpacks to {math.prod(shape)} bytes; at most {_MAX_IMAGE_BYTES} are read. "
            "Split it into smaller files."
        )


def _check_labels(name: str, header: _Header) -> None:
    shape = header.shape
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise LayoutError(
            f"{name} has shape {list(shape)}; one label per image ([images, 1]) is supported. "
            "Choose a set with one label."
        )
    if header.dtype.kind not in "iu":
        raise LayoutError(f"{name} has type {header.dtype}; integers are supported. Convert it.")
    if shape[0] > _MAX_LABELS:
        raise LayoutError(
            f"{name} has {shape[0]} labels; at most {_MAX_LABELS} are read. Split it into smaller "
            "files."
        )


def _header(file: Path, name: str) -> _Header:
    """Shape and type of an array, checked against the size of the archive's member."""
    try:
        with zipfile.ZipFile(file) as archive:
            info = archive.getinfo(f"{name}.npy")
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = read(member)
                start = member.tell()
    except _UNREADABLE as error:
        raise _unreadable(file, name, error) from error
    size = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or info.file_size != start + size:
        raise LayoutError(
            f"{file}: {name} cannot be read (its header says {list(shape)} of {dtype}, its size "
            "another). Download it again."
        )
    if size > _RATIO_MATTERS and size > _MAX_RATIO * info.compress_size:
        raise LayoutError(
            f"{file}: {name} unpacks to {size} bytes from {info.compress_size}; no radiographs do. "
            "Download it again."
        )
    return _Header(tuple(int(side) for side in shape), dtype)


def _unreadable(file: Path, name: str, error: BaseException) -> LayoutError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return LayoutError(f"{file}: {name} cannot be read ({reason[:200]}). Download it again.")
