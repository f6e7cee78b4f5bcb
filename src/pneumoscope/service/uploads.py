"""The images of a multipart/form-data body (RFC 7578, RFC 2046 5.1), in memory only.

Starlette's own parser writes large parts to disk, and walks byte by byte through what looks like
boundaries; here nothing is written, and every step is a search in C over a bounded body.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from pneumoscope.core.files import printable
from pneumoscope.service.admission import Visit
from pneumoscope.service.problems import Problem

FIELD: Final = "images"
_MAX_HEADERS: Final = 8 * 2**10
_MAX_NAME: Final = 255
_BOUNDARY: Final = re.compile(
    r"multipart/form-data\s*;(?:[^\"]*;)?\s*boundary=(?:\"([^\"]{1,70})\"|([^\s\";,]{1,70}))\s*(?:;.*)?",
    re.IGNORECASE,
)
_DISPOSITION: Final = re.compile(rb"(?im)^content-disposition:[ \t]*form-data[ \t]*(;[^\r\n]*)$")
_PARAMETER: Final = re.compile(rb';[ \t]*(name|filename)=(?:"((?:[^"\\]|\\.)*)"|([^\s";]+))')


@dataclass(frozen=True, slots=True)
class Upload:
    """One image as sent.

    Attributes:
        name: As the sender calls it; for the sender's eyes only, it may be a patient's.
        content: What was sent.
    """

    name: str
    content: memoryview


async def read_body(
    chunks: AsyncIterator[bytes], declared: str | None, *, max_bytes: int, visit: Visit
) -> bytes:
    """The whole body, refused as soon as it is too large.

    Args:
        chunks: Of the body.
        declared: Content-Length, if given.
        max_bytes: Allowed.
        visit: Room taken for it.

    Raises:
        Problem: `too-large` or `queue-full`.
    """
    size = int(declared) if declared and declared.isascii() and declared.isdigit() else 0
    _check_size(size, max_bytes)
    visit.take(size=size)
    parts, received = [], 0
    async for chunk in chunks:
        received += len(chunk)
        _check_size(received, max_bytes)
        if received > visit.size:
            visit.take(size=received - visit.size)
        parts.append(chunk)
    return b"".join(parts)


def boundary_of(content_type: str | None, encoding: str | None) -> bytes:
    """What separates the parts.

    Raises:
        Problem: `wrong-type`, or `bad-upload` where there is no boundary.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data" or (encoding or "identity").lower() != "identity":
        raise Problem("wrong-type", "allowed: multipart/form-data without Content-Encoding.")
    found = _BOUNDARY.fullmatch((content_type or "").strip())
    if not found:
        raise Problem("bad-upload", "the content type names no boundary of 1 to 70 characters.")
    return (found[1] or found[2]).encode("latin-1")


def split_body(body: bytes, boundary: bytes, *, max_images: int) -> list[Upload]:
    """The images in a body, in their order.

    Raises:
        Problem: `bad-upload`, `too-large` (too many), `no-images`, or `bad-parameter` where a part
            is none of an image.
    """
    uploads: list[Upload] = []
    view = memoryview(body)
    for start, end in _parts(body, b"--" + boundary, max_images):
        head = body.find(b"\r\n\r\n", start, min(end, start + _MAX_HEADERS))
        if head < 0:
            raise Problem("bad-upload", "a part has no headers, or too many of them.")
        name = _name(body[start : head + 2], len(uploads) + 1)
        uploads.append(Upload(name, view[head + 4 : end]))
    if not uploads:
        raise Problem("no-images", "the upload has no part.")
    return uploads


def _parts(body: bytes, delimiter: bytes, most: int) -> list[tuple[int, int]]:
    """Where each part starts, with its first header, and ends."""
    at = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if at == 1:
        raise Problem("bad-upload", "the boundary does not occur.")
    found: list[tuple[int, int]] = []
    while not body.startswith(b"--", at + len(delimiter)):
        start = body.find(b"\r\n", at + len(delimiter))
        end = body.find(b"\r\n" + delimiter, start) if start >= 0 else -1
        if end < 0 or body[at + len(delimiter) : start].strip(b" \t"):
            raise Problem("bad-upload", "it ends too early, or a boundary is damaged.")
        if len(found) == most:
            raise Problem("too-large", f"allowed: {most} images in one request.")
        found.append((start + 2, end))
        at = end + 2
    return found


def _name(headers: bytes, number: int) -> str:
    disposition = _DISPOSITION.search(headers.replace(b"\r\n", b"\n"))
    said = disposition[1] if disposition else b""
    values = {found[1]: found[2] or found[3] or b"" for found in _PARAMETER.finditer(said)}
    if values.get(b"name") != FIELD.encode():
        raise Problem("bad-parameter", f"part {number}; allowed: parts named '{FIELD}'.")
    name = values.get(b"filename", b"").decode("utf8", "replace")
    shown = "".join(letter for letter in printable(name) if letter.isprintable())
    return shown[:_MAX_NAME] or f"image {number}"


def _check_size(size: int, allowed: int) -> None:
    if size > allowed:
        raise Problem("too-large", f"allowed: {allowed:,} bytes in one request.")
