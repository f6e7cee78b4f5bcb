"""Who is on a radiograph, as far as its file name says, and the key of pseudonyms."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from pathlib import Path

from pneumoscope.core.errors import InputError
from pneumoscope.core.files import storage_errors

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
    >>> patient_from_name("Person17_Bacteria_53")
    'person17_bacteria'
    >>> patient_from_name("COVID-17") is None
    True
    """
    match = _KERMANY.match(stem)
    if match is None:
        return None
    pneumonia, normal = match["pneumonia"], match["normal"]
    return pneumonia.lower() if pneumonia else normal.upper()


def pseudonym_key() -> bytes:
    """The secret that patients' pseudonyms are made with, 16 bytes or more.

    `PNEUMOSCOPE_KEY` where it is set: machines that share it give the same patient the same
    pseudonym, and so draw the same splits. Otherwise 32 random bytes, made once per user and kept
    readable by them alone in `XDG_CONFIG_HOME/pneumoscope/pseudonym.key`.

    Raises:
        InputError: the key is too short.
        StorageError: no key is there and none can be written.
    """
    if chosen := os.environ.get("PNEUMOSCOPE_KEY"):
        return _long_enough(chosen.encode(), "PNEUMOSCOPE_KEY")
    base = os.environ.get("XDG_CONFIG_HOME")
    file = (Path(base) if base else Path.home() / ".config") / "pneumoscope" / "pseudonym.key"
    with storage_errors(file):
        if not file.exists():
            _write_once(file, secrets.token_bytes(32))
        return _long_enough(file.read_bytes(), str(file))


def _write_once(file: Path, key: bytes) -> None:
    """Make the file whole or not at all; of two at once, the first stands."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as temporary:
            temporary.write(key)
        file.hardlink_to(name)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()


def _long_enough(key: bytes, origin: str) -> bytes:
    if len(key) < 16:
        raise InputError(f"{origin}: {len(key)} bytes; 16 or more are needed. Choose a longer key.")
    return key
