"""What people write in tables, brought to the catalogue's terms; what is not certain is None."""

from __future__ import annotations

import re

_NOTHING = {"", "nan", "null", "na", "n/a", "<na>", "none", "unknown", "-", "?", "."}
_NO_LABEL = _NOTHING - {"none"}
"""`None` may be the label of the healthy."""

_SEX = {
    "m": "M", "male": "M", "man": "M", "boy": "M",
    "f": "F", "female": "F", "woman": "F", "girl": "F", "w": "F",
}  # fmt: skip

# DICOM View Position (0018,5101) has AP, PA, LL, RL, LLD, RLD, LLO, RLO.
_VIEWS = {
    "pa": "PA", "posteroanterior": "PA", "ap": "AP", "anteroposterior": "AP",
    "lateral": "LATERAL", "lat": "LATERAL", "llat": "LATERAL", "rlat": "LATERAL", "l": "LATERAL",
    "ll": "LATERAL", "rl": "LATERAL",
}  # fmt: skip
_OTHER_VIEWS = {"decubitus", "lld", "rld", "llo", "rlo", "lao", "rao", "oblique", "lordotic"}

_AGE = re.compile(r"(\d{1,3}(?:[.,]\d+)?)\s*([a-z]*)\.?", re.IGNORECASE | re.ASCII)
_YEARS = {
    "": 1.0, "y": 1.0, "yr": 1.0, "yrs": 1.0, "year": 1.0, "years": 1.0, "yo": 1.0,
    "m": 1 / 12, "mo": 1 / 12, "mos": 1 / 12, "month": 1 / 12, "months": 1 / 12,
    "w": 7 / 365.25, "wk": 7 / 365.25, "week": 7 / 365.25, "weeks": 7 / 365.25,
    "d": 1 / 365.25, "day": 1 / 365.25, "days": 1 / 365.25,
}  # fmt: skip
_OLDEST = 120


def text_or_none(cell: str) -> str | None:
    """The cell with its blanks made single, or None where it says nothing.

    >>> text_or_none(" n/a ") is None
    True
    """
    text = " ".join(cell.split())
    return None if text.casefold() in _NOTHING else text


def label_or_none(cell: str) -> str | None:
    """The label in the cell, or None where there is none.

    >>> label_or_none("No  finding"), label_or_none("nan")
    ('No finding', None)
    """
    text = " ".join(cell.split())
    return None if text.casefold() in _NO_LABEL else text


def age_in_years(cell: str) -> float | None:
    """Years in [0, 120], or None: `50+` and `mid 50s` are no age, and none is made up.

    Units as people write them and as in DICOM's Age String (PS3.5 6.2).

    >>> age_in_years("060Y"), age_in_years("4 months"), age_in_years("50+")
    (60.0, 0.3333333333333333, None)
    """
    match = _AGE.fullmatch(cell.strip())
    factor = _YEARS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        return None
    years = float(match[1].replace(",", ".")) * factor
    return years if years <= _OLDEST else None


def sex_or_none(cell: str) -> str | None:
    """`M`, `F`, or None.

    >>> sex_or_none("Female"), sex_or_none("O")
    ('F', None)
    """
    return _SEX.get(cell.strip().casefold())


def view_or_none(cell: str) -> str | None:
    """`PA`, `AP`, `LATERAL`, or None where the cell says another view, several, or nothing.

    >>> [view_or_none(cell) for cell in ("AP erect", "L", "postero-anterior", "Axial")]
    ['AP', 'LATERAL', 'PA', None]
    """
    joined = re.sub(r"(?<=ero)[\s-]+(?=[ap])", "", cell.casefold())
    words = set(re.findall(r"[a-z]+", joined))
    if words & _OTHER_VIEWS:
        return None
    found = {_VIEWS[word] for word in words if word in _VIEWS}
    return found.pop() if len(found) == 1 else None
