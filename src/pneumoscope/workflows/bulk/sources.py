"""What to answer in bulk: folders, files, lists (CSV) and archives (tar), listed without reading.

An archive is read in place, member by member: nothing is unpacked, so no name in it can point
anywhere.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pneumoscope.core.errors import InputError
from pneumoscope.core.files import is_there, printable
from pneumoscope.data.layouts import image_paths
from pneumoscope.imaging.radiograph import DEFAULT_LIMITS

COLUMNS = ("path", "image", "file")
"""Names, in the order of preference, of the column of a list that holds the paths."""

_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True, slots=True)
class Item:
    """One input.

    Attributes:
        name: What its answer is called by.
        path: The file, or the archive that holds it.
        start: Where it begins in the archive; None for a file.
        size: Bytes; -1 where it could not be asked.
        changed: When the file, or the archive, was last written, nanoseconds; 0 where it could not
            be asked.
    """

    name: str
    path: Path
    start: int | None = None
    size: int = -1
    changed: int = 0

    def content(self) -> Path | bytes:
        """The file, or the bytes of the archive's member, up to one more than is allowed.

        Raises:
            OSError: the archive cannot be read.
        """
        if self.start is None:
            return self.path
        with self.path.open("rb") as archive:
            archive.seek(self.start)
            return archive.read(min(self.size, DEFAULT_LIMITS.max_bytes + 1))


def list_items(paths: Sequence[Path]) -> list[Item]:
    """Every input below the paths, each once, in a fixed order.

    Raises:
        InputError: a path does not exist, a list has no column of paths, an archive is packed or
            damaged, or there is no image at all.
    """
    found: dict[tuple[Path, int | None], Item] = {}
    for path in paths:
        for item in _items(path):
            found.setdefault((item.path, item.start), item)
    if not found:
        shown = ", ".join(map(str, paths))
        raise InputError(f"{shown}: no image found. Give files, folders, a .csv list or a .tar.")
    return list(found.values())


def _items(path: Path) -> Iterator[Item]:
    if not is_there(path):
        raise InputError(f"{path}: does not exist. Give files, folders, a .csv list or a .tar.")
    name = path.name.lower()
    if name.endswith(_PACKED):
        raise InputError(
            f"{path}: is a packed archive, which cannot be read in parts. Unpack it to .tar first."
        )
    if name.endswith(".tar"):
        yield from _of_archive(path)
    elif name.endswith(".csv"):
        yield from _of_list(path)
    else:
        for image in image_paths(path):
            yield _of_file(image, printable(image))


def _of_file(path: Path, name: str) -> Item:
    try:
        status = path.stat()
    except OSError:  # its answer will say why
        return Item(name, path)
    return Item(name, path, size=status.st_size, changed=status.st_mtime_ns)


def _of_list(path: Path) -> Iterator[Item]:
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be read as CSV ({reason}). Save it as UTF-8.") from error
    column = next((name for name in COLUMNS if name in table.columns), None)
    if column is None:
        raise InputError(
            f"{path}: columns {', '.join(table.columns)}; one of {', '.join(COLUMNS)} has to hold "
            "the images' paths. Rename it."
        )
    for value in table[column].drop_nulls():
        yield _of_file(path.parent / value, printable(value))


def _of_archive(path: Path) -> Iterator[Item]:
    try:
        changed = path.stat().st_mtime_ns
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                hidden = Path(member.name).name.startswith(".")
                if member.isfile() and not hidden:
                    name = printable(f"{path.name}/{member.name}")
                    yield Item(name, path, member.offset_data, member.size, changed)
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{path}: is damaged ({error}). Make the archive again.") from error
