"""What a catalogue may know of a DICOM header: an allow-list, and patients only by pseudonym.

A pseudonym is a keyed hash: with the key, the same patient has the same one in every file; without
it, no list of known numbers leads back.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from pneumoscope.core.errors import InputError
from pneumoscope.imaging.decoded import Limits
from pneumoscope.imaging.dicom_elements import DataSet, nothing_quoted, read_elements

View: TypeAlias = Literal["PA", "AP", "LATERAL"]
Sex: TypeAlias = Literal["M", "F", "O"]

PATIENT_ID, _STUDY_UID = 0x0010_0020, 0x0020_000D
_MODALITY, _MANUFACTURER, _SEX, _AGE = 0x0008_0060, 0x0008_0070, 0x0010_0040, 0x0010_1010
_VIEW_POSITION, _VIEW_CODES = 0x0018_5101, 0x0054_0220
_CODE, _SCHEME = 0x0008_0100, 0x0008_0102
_DETECTOR_SPACING, _SPACING = 0x0018_1164, 0x0028_0030
_PHOTOMETRIC, _BITS = 0x0028_0004, 0x0028_0101
_TAGS = frozenset(
    {PATIENT_ID, _STUDY_UID, _MODALITY, _MANUFACTURER, _SEX, _AGE, _VIEW_POSITION, _VIEW_CODES}
    | {_CODE, _SCHEME, _DETECTOR_SPACING, _SPACING, _PHOTOMETRIC, _BITS}
)

_POSITIONS: dict[str, View] = {  # PS3.3 C.8.7.1.1.9, C.8.11.5; the last two are no defined terms
    "PA": "PA",
    "AP": "AP",
    "LL": "LATERAL",
    "RL": "LATERAL",
    "LATERAL": "LATERAL",
    "LAT": "LATERAL",
}
_CODES: dict[str, View] = {  # PS3.16 CID 4010; SNOMED CT, then the codes it had before
    "272479007": "PA",
    "R-40888": "PA",
    "399348003": "AP",
    "R-10206": "AP",
    "399067008": "LATERAL",
    "R-102CD": "LATERAL",
    "399173006": "LATERAL",
    "R-10236": "LATERAL",
    "399198007": "LATERAL",
    "R-10232": "LATERAL",
}
_SCHEMES = ("SCT", "SRT", "SNM3")
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_AGE_STRING = re.compile(r"(\d{1,3})([DWMY])")  # PS3.5 6.2: AS
_CODE_STRING = re.compile(r"[A-Z0-9_ ]{1,16}")  # PS3.5 6.2: CS
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_MIN_KEY = 16


@dataclass(frozen=True, slots=True)
class DicomTags:
    """All that leaves a DICOM header; None where it does not say, or not in a known way."""

    patient_id: str | None
    """Pseudonym: 16 hexadecimal digits."""
    study_id: str | None
    """Pseudonym of the study instance UID: 16 hexadecimal digits."""
    view: View | None
    sex: Sex | None
    age: float | None
    """Years."""
    spacing: tuple[float, float] | None
    """Between rows and between columns, mm; at the detector where the header says so."""
    manufacturer: str | None
    """As given, at most 64 printable characters."""
    modality: str | None
    photometric: str | None
    bits: int | None
    """Stored of each pixel."""


def read_tags(content: bytes, *, key: bytes, limits: Limits | None = None) -> DicomTags:
    """What the allow-list says about a DICOM file, with or without an image.

    Args:
        content: of the file.
        key: secret, 16 bytes or more; one key makes one set of pseudonyms.
        limits: how far a deflated file may inflate.

    Raises:
        InputError: the key is too short.
        RadiographError: the header cannot be read; never quotes it.
    """
    if len(key) < _MIN_KEY:
        allowed = f"allowed: {_MIN_KEY} or more"
        raise InputError(f"key of {len(key)} bytes; {allowed}. Give secrets.token_bytes(32).")
    with nothing_quoted():
        return _tags(read_elements(content, _TAGS, limits or Limits()), key)


def pseudonym(value: bytes, *, tag: int, key: bytes) -> str | None:
    """16 hexadecimal digits that stand for an identifier; None where there is none.

    Args:
        value: of the element, or the same from elsewhere; blanks and zeros that fill it up do not
            count.
        tag: of the element: a patient and a study of the same number are not the same.
        key: secret, as for `read_tags`.
    """
    content = value.strip(b" \0")
    if not content:
        return None
    return hmac.new(key, tag.to_bytes(4, "big") + content, hashlib.sha256).hexdigest()[:16]


def _tags(dataset: DataSet, key: bytes) -> DicomTags:
    modality, photometric = dataset.word(_MODALITY), dataset.word(_PHOTOMETRIC)
    sex = dataset.word(_SEX)
    return DicomTags(
        patient_id=pseudonym(dataset.content(PATIENT_ID), tag=PATIENT_ID, key=key),
        study_id=pseudonym(dataset.content(_STUDY_UID), tag=_STUDY_UID, key=key),
        view=_view(dataset),
        sex=next((known for known in get_args(Sex) if known == sex), None),
        age=_age(dataset.word(_AGE)),
        spacing=_spacing(dataset),
        manufacturer=_manufacturer(dataset),
        modality=modality if _CODE_STRING.fullmatch(modality) else None,
        photometric=photometric if photometric in (*GREY, *COLOUR) else None,
        bits=dataset.short(_BITS),
    )


def _view(dataset: DataSet) -> View | None:
    view = _POSITIONS.get(dataset.word(_VIEW_POSITION).upper())
    if view:
        return view
    code = dataset.item(_VIEW_CODES)
    if code is None or code.word(_SCHEME) not in _SCHEMES:
        return None
    return _CODES.get(code.word(_CODE))


def _age(text: str) -> float | None:
    found = _AGE_STRING.fullmatch(text)
    return int(found[1]) * _YEARS[found[2]] if found else None


def _spacing(dataset: DataSet) -> tuple[float, float] | None:
    for tag in (_DETECTOR_SPACING, _SPACING):
        match dataset.numbers(tag):
            case (rows, columns) if min(rows, columns) > 0:
                return rows, columns
    return None


def _manufacturer(dataset: DataSet) -> str | None:
    content = dataset.content(_MANUFACTURER)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    printable = "".join(letter for letter in text if letter.isprintable())
    return printable[:64].strip() or None
