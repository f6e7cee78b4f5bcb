"""Looking at the disk: what a folder holds, without following links in circles or out of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from pneumoscope.core.errors import LayoutError
from pneumoscope.core.files import printable

DICOM = frozenset({".dcm", ".dicom"})
EXTENSIONS = frozenset({".png", ".jpg", ".jpeg"}) | DICOM


def image_paths(root: Path) -> list[Path]:
    """Every image file at or below `root`, sorted; links to folders are not followed."""
    if root.is_file():
        return [root]
    return [root / path for path in walk(root, is_image)]


def walk(root: Path, wanted: Callable[[str], bool]) -> list[str]:
    """Paths below `root` of the files whose name is `wanted`, in the order of sorted folders.

    Links to folders are not followed, hidden folders and folders that may not be read are passed
    over.
    """
    found: list[str] = []
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        inside = Path(folder).relative_to(root)
        found += [(inside / name).as_posix() for name in sorted(names) if wanted(name)]
    return found


def folders(root: Path) -> list[str]:
    """Names of the folders in `root`, sorted, without hidden ones and those that start with `_`.

    Raises:
        LayoutError: the folder may not be read.
    """
    return sorted(
        entry.name for entry in _scan(root) if entry.name[0] not in "._" and _is_folder(entry)
    )


def images(root: Path) -> list[str]:
    """Names of the image files in `root`, sorted.

    A pipe or a link that leads nowhere is among them: reading it says so, leaving it out would not.

    Raises:
        LayoutError: the folder may not be read.
    """
    return sorted(
        entry.name for entry in _scan(root) if is_image(entry.name) and not _is_folder(entry)
    )


def tables(root: Path, extensions: Iterable[str]) -> list[str]:
    """Names of the files in `root` that end in one of `extensions`, sorted.

    Raises:
        LayoutError: the folder may not be read.
    """
    endings = tuple(extensions)
    return sorted(
        entry.name
        for entry in _scan(root)
        if entry.name[0] not in ".~"
        and entry.name.lower().endswith(endings)
        and not _is_folder(entry)
    )


def is_image(name: str) -> bool:
    """Whether the file name is that of an image."""
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in EXTENSIONS


def what_is_there(root: Path) -> str:
    """A few words on what `root` holds, for messages."""
    if not root.is_dir():
        return "is a file of no known layout"
    inside, count = folders(root), len(images(root))
    if not inside and not count:
        return "is empty of images and folders"
    shown = printable(", ".join(inside[:5])) + (", ..." if len(inside) > 5 else "")
    return f"holds {count} images and {len(inside)} folders" + (f" ({shown})" if shown else "")


def _scan(root: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root) as entries:
            return list(entries)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise LayoutError(
            f"{root}: cannot be read ({reason}). Allow it or leave it out."
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
