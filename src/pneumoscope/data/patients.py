"""Who is on a radiograph, as far as its file name says."""

from __future__ import annotations

import re

# Kermany et al. 2018. The numbers of bacterial and viral pneumonia, and of the two families of
# normal radiographs, count separately: the same number in two families is two people
# (docs/decisions/0003-patients-from-names.md).
_KERMANY = re.compile(
    r"^(?:(?P<pneumonia>person\d+_(?:bacteria|virus))_\d+(?:_\d+)*"
    r"|(?P<normal>(?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)*)$",
    re.IGNORECASE,
)


def patient_from_name(stem: str) -> str | None:
    """The patient a file name speaks of, or None where it does not say.

    >>> patient_from_name("person17_bacteria_52")
    'person17_bacteria'
    >>> patient_from_name("NORMAL2-IM-1018-0001")
    'NORMAL2-IM-1018'
    >>> patient_from_name("IM-0115-0001-0002")
    'IM-0115'
    >>> patient_from_name("COVID-17") is None
    True
    """
    match = _KERMANY.match(stem)
    return match["pneumonia"] or match["normal"] if match else None
