"""What DICOM headers add to a listing where nothing else says: patient, study, view, sex, age."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pneumoscope.core.errors import RadiographError
from pneumoscope.data.layouts.listing import Entry, Listing
from pneumoscope.data.patients import pseudonym_key
from pneumoscope.imaging.dicom import DicomTags, is_dicom, read_tags
from pneumoscope.imaging.dicom_tags import PATIENT_ID, pseudonym

T = TypeVar("T")

_STEPS = (2**16, 2**20, 2**24)
"""How much of a file is read, until its header is whole. Headers come before pixels and are short;
but for embedded thumbnails, curves and private elements."""
_RASTER = frozenset({".png", ".jpg", ".jpeg"})


def with_tags(listing: Listing) -> Listing:
    """The listing with what its DICOM files say of patient and image; what a table says stands.

    All files but those named as PNG or JPEG are looked at: DICOM goes by many extensions, or none.
    What cannot be read stays as it is: decoding will give the reason.
    """
    asked = [number for number, entry in enumerate(listing.entries) if _may_be_dicom(entry.path)]
    if not asked:
        return listing
    key, root = pseudonym_key(), listing.source.root
    entries = list(listing.entries)
    with ThreadPoolExecutor(max_workers=4) as pool:
        read = pool.map(lambda number: _tags(root / entries[number].path, key), asked)
        told = [(number, tags) for number, tags in zip(asked, read, strict=True) if tags]
    for number, tags in told:
        entries[number] = _filled(entries[number], tags)
    if not told:
        return listing
    why = f"{listing.why}; patient, study and view of {len(told)} DICOM files from their tags"
    return replace(listing, entries=tuple(entries), why=why)


def _may_be_dicom(path: str) -> bool:
    return "#" not in path and PurePosixPath(path).suffix.lower() not in _RASTER


def patient_pseudonym(patient: str) -> str | None:
    """The pseudonym of a Patient ID that stands in a table: the same as of one in a header."""
    return pseudonym(patient.encode(), tag=PATIENT_ID, key=pseudonym_key())


def from_header(
    file: Path, read: Callable[[bytes], T], *, is_whole: Callable[[T], bool]
) -> T | None:
    """What `read` finds in the start of a DICOM file, None where there is no DICOM to be read.

    Args:
        file: Any file; a pipe or device is not opened.
        read: From the first bytes of the file; `RadiographError` where they cannot be read.
        is_whole: Whether what was found shows that nothing was cut off.
    """
    found, content = None, b""
    try:
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            for length in _STEPS:
                content += stream.read(length - len(content))
                if not is_dicom(content):
                    return None
                found = _attempt(read, content) or found
                if len(content) < length or (found is not None and is_whole(found)):
                    break
    except OSError:
        return None
    return found


def _attempt(read: Callable[[bytes], T], content: bytes) -> T | None:
    try:
        return read(content)
    except RadiographError:
        return None


def _tags(file: Path, key: bytes) -> DicomTags | None:
    # Bits Stored comes after patient, study and view position: with it, nothing was cut.
    return from_header(
        file, partial(read_tags, key=key), is_whole=lambda tags: tags.bits is not None
    )


def _filled(entry: Entry, tags: DicomTags) -> Entry:
    return replace(
        entry,
        patient_id=entry.patient_id or tags.patient_id,
        study_id=entry.study_id or tags.study_id,
        view=entry.view or tags.view,
        sex=entry.sex or (tags.sex if tags.sex in ("M", "F") else None),
        age=tags.age if entry.age is None else entry.age,
    )
