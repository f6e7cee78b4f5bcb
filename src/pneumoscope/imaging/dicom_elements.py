"""DICOM data elements as bytes: those asked for are kept, all others are stepped over unread.

A general reader decodes what it meets, and warns and logs through the whole process when text is
odd. Here no name, date or description is ever turned into text, so that none can reach a message,
a log or a caller, whichever thread reads; and a length that lies costs nothing.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import NamedTuple

from pneumoscope.core.errors import RadiographError
from pneumoscope.imaging.decoded import Limits

_AGAIN = "Export the image again or exclude it."
_TRANSFER_SYNTAX = 0x0002_0010
_PIXEL_DATA = 0x7FE0_0010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
_UNDEFINED = 0xFFFF_FFFF
_MAX_ELEMENTS = 1_000_000
_MAX_DEPTH = 32
# PS3.5 7.1.2: those with a length of four bytes, and all others
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_DEFLATED = "1.2.840.10008.1.2.1.99"


class Encoding(NamedTuple):
    """How data elements are written (PS3.5 7.1)."""

    explicit: bool
    """Whether each says its value representation."""
    order: str
    """`<` or `>`, as `struct` has it."""


_IMPLICIT = Encoding(explicit=False, order="<")
_ENCODINGS = {
    "1.2.840.10008.1.2": _IMPLICIT,
    "1.2.840.10008.1.2.2": Encoding(explicit=True, order=">"),
}
_EXPLICIT = Encoding(explicit=True, order="<")


class Element(NamedTuple):
    """One data element, undecoded."""

    vr: str
    """Two letters; empty where the encoding leaves them out."""
    value: memoryview
    encoding: Encoding
    undefined: bool
    """Whether the value is a sequence, or fragments, that end with a delimiter."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """The data elements asked for; what is absent, empty or no number reads as none."""

    elements: Mapping[int, Element]
    syntax: str = ""
    """Transfer syntax UID; empty where the file does not say."""

    def content(self, tag: int) -> bytes:
        """The value without the blanks and zeros that fill it up."""
        element = self.elements.get(tag)
        return bytes(element.value).strip(b" \0") if element else b""

    def words(self, tag: int) -> tuple[str, ...]:
        """The values of a text element, without blanks; what is not ASCII is replaced."""
        content = self.content(tag).decode("ascii", "replace")
        return tuple(part.strip() for part in content.split("\\")) if content else ()

    def word(self, tag: int) -> str:
        """The first value of a text element; empty where there is none."""
        return next(iter(self.words(tag)), "")

    def numbers(self, tag: int) -> tuple[float, ...]:
        """The values of a decimal or integer string; empty where one is no finite number."""
        try:
            values = tuple(float(word) for word in self.words(tag))
        except ValueError:
            return ()
        return values if all(map(math.isfinite, values)) else ()

    def number(self, tag: int) -> float | None:
        """The first value of a decimal or integer string."""
        return next(iter(self.numbers(tag)), None)

    def shorts(self, tag: int) -> tuple[int, ...]:
        """The values of a binary element of two bytes each, taken as unsigned."""
        element = self.elements.get(tag)
        if element is None:
            return ()
        count = len(element.value) // 2
        return struct.unpack_from(f"{element.encoding.order}{count}H", element.value)

    def short(self, tag: int) -> int | None:
        """The first value of a binary element of two bytes each, taken as unsigned."""
        return next(iter(self.shorts(tag)), None)

    def item(self, tag: int) -> DataSet | None:
        """The first item of a sequence."""
        element = self.elements.get(tag)
        if element is None:
            return None
        reader = _Reader(element.value)
        first = next(reader.items(0, element.encoding), None)
        if first is None:
            return None
        elements = reader.elements(first.start, first.stop, first.encoding)
        return DataSet({found.tag: reader.element(found) for found in elements})


@contextmanager
def nothing_quoted() -> Iterator[None]:
    """A block out of which only errors come that do not repeat the header."""
    try:
        yield
    except (RadiographError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it says may be a patient's name
        reason = f"the DICOM is damaged ({type(error).__name__})"
        raise RadiographError(f"{reason}. {_AGAIN}") from None


def is_dicom(content: bytes) -> bool:
    """Whether `content` is a DICOM file, or beyond doubt a data set without the file's header."""
    if content[128:132] == b"DICM":
        return True
    start = memoryview(content)[:4096]
    try:
        first = list(islice(_Reader(start).elements(0, len(start), _guess(start, 0)), 3))
    except RadiographError:
        return False
    # Groups come in order, 2 or 8 the first, and what is in them is short.
    return (
        len(first) == 3
        and first[0].tag >> 16 in (0x0002, 0x0008)
        and all(left.tag < right.tag for left, right in pairwise(first))
        and first[2].tag >> 16 <= 0x0010
    )


def read_elements(content: bytes, wanted: frozenset[int], limits: Limits) -> DataSet:
    """The elements of the main data set, up to and with the pixel data, whose tags are `wanted`.

    Raises:
        RadiographError: not a DICOM, sequences that do not fit together, more elements or levels
            than any writer makes, or more bytes than allowed once inflated.
    """
    if not is_dicom(content):
        raise RadiographError("not a DICOM. Give one or exclude it.")
    data = memoryview(content)
    start, syntax = _file_meta(data)
    if syntax == _DEFLATED:
        data, start = _inflated(data[start:], limits), 0
    reader = _Reader(data)
    encoding = _guess(data, start, _ENCODINGS.get(syntax, _EXPLICIT) if syntax else None)
    elements = {
        found.tag: reader.element(found)
        for found in reader.elements(start, len(data), encoding, stop_at=_PIXEL_DATA)
        if found.tag in wanted
    }
    return DataSet(elements, syntax)


def fragments(element: Element) -> Iterator[memoryview]:
    """The fragments of encapsulated pixel data, without the offset table (PS3.5 A.4)."""
    reader = _Reader(element.value)
    for found in islice(reader.items(0, element.encoding), 1, None):
        yield element.value[found.start : found.stop]


def _file_meta(data: memoryview) -> tuple[int, str]:
    """Where the data set starts, and its transfer syntax (PS3.10 7.1)."""
    start, syntax, reader = 132 if bytes(data[128:132]) == b"DICM" else 0, "", _Reader(data)
    while bytes(data[start : start + 2]) == b"\2\0":
        found = next(reader.elements(start, len(data), _EXPLICIT), None)
        if found is None:
            break
        if found.tag == _TRANSFER_SYNTAX:
            syntax = DataSet({found.tag: reader.element(found)}).word(found.tag)
        start = found.stop
    return start, syntax


def _inflated(content: memoryview, limits: Limits) -> memoryview:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(content, limits.max_bytes)
    except zlib.error:
        raise RadiographError(f"the deflated DICOM is damaged. {_AGAIN}") from None
    if inflater.unconsumed_tail:
        allowed = f"allowed: {limits.max_bytes:,}"
        raise RadiographError(f"more bytes than {allowed} once inflated. Export it smaller.")
    return memoryview(inflated)


def _guess(data: memoryview, start: int, stated: Encoding | None = None) -> Encoding:
    # What the first element looks like counts more than what the header claims.
    explicit = bytes(data[start + 4 : start + 6]) in _LONG | _SHORT
    if stated is not None:
        return stated._replace(explicit=explicit or stated.explicit)
    big = explicit and bytes(data[start : start + 1]) == b"\0"
    return Encoding(explicit, ">" if big else "<")


class _Found(NamedTuple):
    tag: int
    vr: str
    start: int
    stop: int
    encoding: Encoding
    undefined: bool


class _Reader:
    """Steps from element to element; counts steps, so that no file makes it run for long."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._left = _MAX_ELEMENTS

    def element(self, found: _Found) -> Element:
        value = self._data[found.start : found.stop]
        return Element(found.vr, value, found.encoding, found.undefined)

    def elements(
        self, at: int, end: int, encoding: Encoding, *, stop_at: int | None = None, depth: int = 0
    ) -> Iterator[_Found]:
        """The elements from `at` on, until `end`, an item's delimiter, or with `stop_at`.

        One that ends beyond the data is the last.
        """
        while at + 8 <= end:
            tag, vr, start, length, inner = self._header(at, encoding)
            if tag == _ITEM_END:
                return
            undefined = length == _UNDEFINED
            if tag == stop_at:
                stop = end if undefined else min(start + length, end)
                yield _Found(tag, vr, start, stop, inner, undefined)
                return
            stop = self._sequence_end(start, inner, depth) if undefined else start + length
            if stop > end:
                return
            yield _Found(tag, vr, start, stop, inner, undefined)
            at = stop

    def items(self, at: int, encoding: Encoding, depth: int = 0) -> Iterator[_Found]:
        """The items of a sequence, until its delimiter or the end of the data."""
        while at + 8 <= len(self._data):
            self._count()
            tag, length = self._tag_and_length(at, encoding)
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM:
                raise RadiographError(f"the DICOM is damaged (a sequence without items). {_AGAIN}")
            undefined = length == _UNDEFINED
            stop = self._item_end(at + 8, encoding, depth) if undefined else at + 8 + length
            if stop > len(self._data):
                raise RadiographError(f"the DICOM ends too early, inside a sequence. {_AGAIN}")
            yield _Found(tag, "", at + 8, stop, encoding, undefined)
            at = stop + 8 if undefined else stop

    def _header(self, at: int, encoding: Encoding) -> tuple[int, str, int, int, Encoding]:
        self._count()
        letters = bytes(self._data[at + 4 : at + 6])
        # Some writers fall back to implicit elements on the way.
        if not encoding.explicit or not (letters.isalpha() and letters.isupper()):
            tag, length = self._tag_and_length(at, encoding)
            return tag, "", at + 8, length, encoding._replace(explicit=False)
        group, number, _, length = struct.unpack_from(f"{encoding.order}HHHH", self._data, at)
        start = at + 8
        if letters in _LONG:
            if start + 4 > len(self._data):
                raise RadiographError(f"the DICOM ends too early. {_AGAIN}")
            (length,) = struct.unpack_from(f"{encoding.order}I", self._data, start)
            start += 4
        # PS3.5 6.2.2: of undefined length and unknown kind, the content is implicit.
        inner = _IMPLICIT if letters == b"UN" and length == _UNDEFINED else encoding
        return group << 16 | number, letters.decode(), start, length, inner

    def _tag_and_length(self, at: int, encoding: Encoding) -> tuple[int, int]:
        group, number, length = struct.unpack_from(f"{encoding.order}HHI", self._data, at)
        return group << 16 | number, length

    def _sequence_end(self, at: int, encoding: Encoding, depth: int) -> int:
        if depth == _MAX_DEPTH:
            raise RadiographError(f"DICOM of more than {_MAX_DEPTH} nested levels. {_AGAIN}")
        for found in self.items(at, encoding, depth + 1):
            at = found.stop + 8 if found.undefined else found.stop
        return at + 8

    def _item_end(self, at: int, encoding: Encoding, depth: int) -> int:
        for found in self.elements(at, len(self._data), encoding, depth=depth):
            at = found.stop
        return at

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise RadiographError(f"DICOM of more than {_MAX_ELEMENTS:,} elements. {_AGAIN}")
