"""The one entry for every format: content in, a `Radiograph` or one reason why not out."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pneumoscope.core.errors import RadiographError
from pneumoscope.imaging import dicom, raster
from pneumoscope.imaging.decoded import Limits, Radiograph

__all__ = [
    "DEFAULT_LIMITS",
    "FORMATS",
    "Format",
    "Limits",
    "Radiograph",
    "read_file",
    "read_radiograph",
]


class Format(NamedTuple):
    """A file format: how its content is told from others, and what decodes it."""

    name: str
    recognises: Callable[[bytes], bool]
    decode: Callable[[bytes, Limits], Radiograph]


FORMATS = (
    Format("PNG", raster.is_png, raster.decode_png),
    Format("JPEG", raster.is_jpeg, raster.decode_jpeg),
    Format("DICOM", dicom.is_dicom, dicom.decode_dicom),
)

DEFAULT_LIMITS = Limits()


def read_radiograph(
    source: str | Path | bytes, *, limits: Limits = DEFAULT_LIMITS, name: str | None = None
) -> Radiograph:
    """The radiograph in a file or in bytes, upright and grey.

    The content decides the format, never the file's name. Safe to call from several threads.

    Args:
        source: a file, or its content.
        limits: what is refused before decoding.
        name: how messages call the radiograph; the path where there is one.

    Raises:
        RadiographError: for whatever keeps the pixels from being read; one line that starts with
            the name. No other exception leaves this function.

    Example:
        ps.read_radiograph("chest.dcm").pixels
    """
    source = Path(source) if isinstance(source, str) else source
    called = name or (str(source) if isinstance(source, Path) else "radiograph")
    try:
        content = _content(source, limits)
        return _format(content).decode(content, limits)
    except Exception as error:
        reason = f"{called}: {_reason(error)}"
        raise RadiographError(" ".join(reason.splitlines())) from error


def read_file(path: Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The content of a regular file within the limits; a pipe or device is refused, not awaited.

    Raises:
        RadiographError: not a file, or too large.
        OSError: as the system says.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise RadiographError("is not a file. Give a file.")
    limits.check_bytes(status.st_size)
    # A file may grow after it was asked for its size.
    with path.open("rb") as file:
        content = file.read(limits.max_bytes + 1)
    limits.check_bytes(len(content))
    return content


def _content(source: Path | bytes, limits: Limits) -> bytes:
    if isinstance(source, Path):
        return read_file(source, limits)
    limits.check_bytes(len(source))
    return source


def _format(content: bytes) -> Format:
    for candidate in FORMATS:
        if candidate.recognises(content):
            return candidate
    supported = ", ".join(candidate.name for candidate in FORMATS)
    start = f"starts with {content[:8]!r}" if content else "is empty"
    raise RadiographError(f"{start}; supported: {supported}. Convert it or exclude it.")


def _reason(error: Exception) -> str:
    if isinstance(error, RadiographError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened ({error.strerror}). Check the path and its permissions."
    if isinstance(error, MemoryError):
        return "does not fit into memory. Free memory, shrink the image or exclude it."
    reason = str(error).strip() or type(error).__name__
    return f"the image data are damaged ({reason}). Export the image again or exclude it."
