"""DICOM files of a folder, and how a table's cell finds them: by path, UID or patient.

UIDs and patients are compared in memory only; what is kept of them are pseudonyms (see `tags`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, TypeAlias, get_args

from pneumoscope.core.errors import RadiographError
from pneumoscope.data.layouts.folders import DICOM, walk
from pneumoscope.data.layouts.tags import from_header
from pneumoscope.imaging.decoded import Limits
from pneumoscope.imaging.dicom_elements import nothing_quoted, read_elements

Key: TypeAlias = Literal["path", "SOPInstanceUID", "StudyInstanceUID", "PatientID"]
KEYS: tuple[Key, ...] = get_args(Key)
"""By what an image may be found, the most particular first."""

_TAGS: Mapping[Key, int] = {
    "SOPInstanceUID": 0x0008_0018, "StudyInstanceUID": 0x0020_000D, "PatientID": 0x0010_0020,
}  # fmt: skip
_BITS = 0x0028_0101
_LOOKED_AT = 100
"""Files that are opened to tell whether a folder of any kind holds DICOM."""


class Image(NamedTuple):
    """A DICOM file."""

    path: str
    """From the folder, `/` between its parts."""
    ids: Mapping[Key, str]
    """As its header spells them; a key that the header does not have is not there."""


class DicomIndex:
    """The DICOM files at or below a folder, told by their content."""

    def __init__(self, root: Path) -> None:
        paths = walk(root, lambda name: not name.startswith(".") and name != "DICOMDIR")
        with ThreadPoolExecutor(max_workers=4) as pool:
            read = list(pool.map(lambda path: _ids(root / path), paths))
        self.images = [
            Image(path, ids) for path, ids in zip(paths, read, strict=True) if ids is not None
        ]

    def find(self, key: Key, cell: str) -> Sequence[Image]:
        """The images that a cell names.

        A path is one from the folder; a bare name, with or without its extension, finds the one
        file of that name in folders below.
        """
        if key != "path":
            return self._by_id[key].get(cell, ())
        path = PurePosixPath(cell.replace("\\", "/")).as_posix()
        if path in self._by_path:
            return [self._by_path[path]]
        named = self._by_name.get(path, ())
        return named if len(named) == 1 else ()

    @cached_property
    def _by_path(self) -> dict[str, Image]:
        return {image.path: image for image in self.images}

    @cached_property
    def _by_name(self) -> dict[str, list[Image]]:
        """By path without extension, by name, and by name without extension."""
        found: dict[str, list[Image]] = {}
        for image in self.images:
            path = PurePosixPath(image.path)
            names = {path.with_suffix("").as_posix(), path.name, path.stem}
            for name in names - {image.path}:
                found.setdefault(name, []).append(image)
        return found

    @cached_property
    def _by_id(self) -> dict[Key, dict[str, list[Image]]]:
        found: dict[Key, dict[str, list[Image]]] = {key: {} for key in _TAGS}
        for image in self.images:
            for key, value in image.ids.items():
                found[key].setdefault(value, []).append(image)
        return found


def holds_dicom(root: Path) -> bool:
    """Whether a DICOM file is among the first ones that may be one by their name."""
    likely = walk(root, lambda name: PurePosixPath(name).suffix.lower() in DICOM | {""})
    return any(_ids(root / path) is not None for path in likely[:_LOOKED_AT])


def _ids(file: Path) -> dict[Key, str] | None:
    """What the header says the image, its study and its patient are; None for other files."""
    found = from_header(file, _read_ids, is_whole=lambda read: read[1])
    return None if found is None else found[0]


def _read_ids(content: bytes) -> tuple[dict[Key, str], bool]:
    """The header's identifiers, and whether it was read to where pixels are described."""
    try:
        with nothing_quoted():
            dataset = read_elements(content, frozenset({*_TAGS.values(), _BITS}), Limits())
    except RadiographError:
        return {}, False  # a damaged image is listed too: decoding will give the reason
    texts = {key: dataset.content(tag).decode("utf-8", "replace") for key, tag in _TAGS.items()}
    return {key: text for key, text in texts.items() if text}, _BITS in dataset.elements
