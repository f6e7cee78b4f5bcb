"""What DICOM headers add to a listing where nothing else says: patient, study, view, sex, age."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pneumoscope.core.errors import RadiographError
from pneumoscope.data.layouts.folders import DICOM
from pneumoscope.data.layouts.listing import Entry, Listing
from pneumoscope.data.patients import pseudonym_key
from pneumoscope.imaging.decoded import Limits
from pneumoscope.imaging.dicom import DicomTags, is_dicom, read_tags

_START_BYTES = 2**20
"""Headers come before pixels and are shorter than this, but for embedded thumbnails."""


def with_tags(listing: Listing) -> Listing:
    """The listing with what its DICOM files say of patient and image; what a table says stands.

    Files named `.dcm` or `.dicom`, and those without an extension, are looked at. What cannot be
    read stays as it is: decoding will give the reason.
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
    return "#" not in path and PurePosixPath(path).suffix.lower() in DICOM | {""}


def _tags(file: Path, key: bytes) -> DicomTags | None:
    try:
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            content = stream.read(_START_BYTES)
            if not is_dicom(content):
                return None
            tags = read_tags(content, key=key)
            # Bits Stored comes after patient, study and view position: with it, nothing was cut.
            if tags.bits is None and len(content) == _START_BYTES:
                content += stream.read(Limits().max_bytes)
                tags = read_tags(content, key=key)
    except (OSError, RadiographError):
        return None
    return tags


def _filled(entry: Entry, tags: DicomTags) -> Entry:
    return replace(
        entry,
        patient_id=entry.patient_id or tags.patient_id,
        study_id=entry.study_id or tags.study_id,
        view=entry.view or tags.view,
        sex=entry.sex or (tags.sex if tags.sex in ("M", "F") else None),
        age=tags.age if entry.age is None else entry.age,
    )
