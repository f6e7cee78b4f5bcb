"""Paths that a table names, kept inside the table's folder whatever they say."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath

from pneumoscope.core.errors import LayoutError
from pneumoscope.data.layouts.folders import EXTENSIONS, is_image, walk


class Inside:
    """Answers, for one folder, what a written path means and whether it is there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, bool] = {}

    def path(self, written: str, *, where: str) -> str:
        """The path from the folder, `/` between its parts.

        Backslashes part folders where the table was made on Windows. A name without extension is
        completed where exactly one of `EXTENSIONS` makes it a file, and a bare name finds the one
        image of that name in a folder below.

        Raises:
            LayoutError: the path is absolute or leads out of the folder, by itself or by a link.
        """
        path = posixpath.normpath(written.replace("\\", "/"))
        if path.startswith(("/", "../")) or path == ".." or re.match(r"[A-Za-z]:", path):
            raise _leaves(where, written)
        if any(ord(letter) < 32 for letter in path):
            raise LayoutError(f"{where}: {written!r} is no file name. Correct it.")
        path = self._found(path)
        if not self._stays(path):
            raise _leaves(where, written)
        return path

    @cached_property
    def images(self) -> list[str]:
        """Every image below the folder, links to folders not followed."""
        return [path for path in self._files if is_image(path.rpartition("/")[2])]

    @cached_property
    def _files(self) -> list[str]:
        # DICOM files often have no extension.
        return walk(self._root, lambda name: is_image(name) or "." not in name)

    def has(self, path: str) -> bool:
        """Whether there is a file under the path."""
        return self._is_file(path)

    def _found(self, path: str) -> str:
        if self._is_file(path):
            return path
        whole = PurePosixPath(path).suffix.lower() in EXTENSIONS
        completed = () if whole else (f"{path}{end}" for end in sorted(EXTENSIONS))
        there = [name for name in completed if self._is_file(name)]
        if not there and "/" not in path:
            there = (self._by_name if whole else self._by_stem).get(path, [])
        return there[0] if len(there) == 1 else path

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return _grouped(self._files, lambda path: path.rpartition("/")[2])

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return _grouped(self._files, lambda path: PurePosixPath(path).stem)

    def _is_file(self, path: str) -> bool:
        # Plain strings: this is asked for every row, and `Path` takes longer than the disk.
        try:
            return stat.S_ISREG(os.stat(f"{self._root}/{path}").st_mode)  # noqa: PTH116
        except (OSError, ValueError):
            return False

    def _stays(self, path: str) -> bool:
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            self._folders[folder] = self._below(self._root / folder)
        file = self._root / path
        return self._folders[folder] and (not file.is_symlink() or self._below(file))

    def _below(self, path: Path) -> bool:
        real = os.path.realpath(path)
        return real == self._real or real.startswith(self._real.rstrip(os.sep) + os.sep)

    @cached_property
    def _real(self) -> str:
        return os.path.realpath(self._root)


def _grouped(paths: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(key(path), []).append(path)
    return groups


def _leaves(where: str, written: str) -> LayoutError:
    return LayoutError(
        f"{where}: {written!r} leaves the folder of the table. Make paths relative to it and keep "
        "the images below it."
    )
