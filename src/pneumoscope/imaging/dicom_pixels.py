"""The stored pixels of a DICOM as bit patterns: what they mean as grey levels comes later."""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.errors import RadiographError
from pneumoscope.imaging.decoded import Limits
from pneumoscope.imaging.dicom_codestream import decompress
from pneumoscope.imaging.dicom_elements import DataSet, Element, fragments

_AGAIN = "Export the image again or exclude it."
_RLE = "1.2.840.10008.1.2.5"
_NATIVE = frozenset(
    {
        "",  # no header: uncompressed
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.2",
    }
)

Patterns: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32]
"""`[height, width]`, pixels as stored, bits that do not count included."""

PIXEL_DATA = 0x7FE0_0010
_ROWS, _COLUMNS = 0x0028_0010, 0x0028_0011
_ALLOCATED, _STORED, _HIGH, _REPRESENTATION = 0x0028_0100, 0x0028_0101, 0x0028_0102, 0x0028_0103
TAGS = frozenset({PIXEL_DATA, _ROWS, _COLUMNS, _ALLOCATED, _STORED, _HIGH, _REPRESENTATION})


class Layout(NamedTuple):
    """Which bits of a pattern are the pixel (PS3.5 8.1.1)."""

    allocated: int
    """1, 8, 16 or 32."""
    stored: int
    """1 to `allocated`."""
    shift: int
    """Bits below the pixel that are none of it."""
    signed: bool


def read_layout(dataset: DataSet) -> Layout:
    """Which bits of a stored pixel count, as the header says.

    Raises:
        RadiographError: missing, contradicting or unsupported.
    """
    allocated = dataset.short(_ALLOCATED)
    if allocated not in (1, 8, 16, 32):
        found = "no bits allocated" if allocated is None else f"{allocated} bits allocated"
        raise RadiographError(f"{found}; supported: 1, 8, 16, 32. {_AGAIN}")
    stored = dataset.short(_STORED)
    stored = allocated if stored is None else stored
    high = dataset.short(_HIGH)
    high = stored - 1 if high is None else high
    if not 1 <= stored <= high + 1 <= allocated:
        found = f"{stored} bits stored up to bit {high} of {allocated}"
        raise RadiographError(f"{found} contradict each other. {_AGAIN}")
    return Layout(allocated, stored, high + 1 - stored, dataset.short(_REPRESENTATION) == 1)


def read_patterns(dataset: DataSet, layout: Layout, limits: Limits) -> tuple[Patterns, Layout]:
    """The stored pixels and which of their bits count.

    Args:
        dataset: with its pixel data.
        layout: as the header says; a codestream may know better.
        limits: what is refused before decoding.

    Raises:
        RadiographError: too large or too small, less data than the header promises, a coding that
            is not supported, damage.
    """
    height, width = dataset.short(_ROWS) or 0, dataset.short(_COLUMNS) or 0
    limits.check_size(width=width, height=height)
    element = dataset.elements[PIXEL_DATA]
    if not element.undefined and dataset.syntax in _NATIVE:
        return _native(element, layout, height, width), layout
    if not element.undefined and bytes(element.value[:4]) != b"\xfe\xff\x00\xe0":
        raise RadiographError(f"the compressed image data are not where they belong. {_AGAIN}")
    content = b"".join(fragments(element))
    if dataset.syntax == _RLE:
        return _run_lengths(content, layout, height, width), layout
    patterns, bits = decompress(content, limits, width=width, height=height)
    # The codestream knows its bits better than the header, and leaves none between.
    return patterns, layout._replace(allocated=8 * patterns.itemsize, stored=bits, shift=0)


def _native(element: Element, layout: Layout, height: int, width: int) -> Patterns:
    count = height * width
    needed = -(-count * layout.allocated // 8)
    if len(element.value) < needed:
        found = f"{len(element.value):,} of {needed:,} bytes of image data"
        raise RadiographError(f"{found}: the file is cut short. {_AGAIN}")
    order = element.encoding.order
    if layout.allocated == 1:
        packed = np.frombuffer(element.value[:needed], np.uint8)
        return np.unpackbits(packed, count=count, bitorder="little").reshape(height, width)
    if layout.allocated == 8 and order == ">" and element.vr == "OW":
        # Two pixels a word, the first in the lower byte (PS3.5 A.3, D.3)
        pairs = np.frombuffer(element.value[: len(element.value) // 2 * 2], np.uint16)
        return pairs.byteswap().view(np.uint8)[:count].reshape(height, width)
    stored = np.frombuffer(element.value[:needed], f"{order}u{layout.allocated // 8}")
    return stored.reshape(height, width)


def _run_lengths(content: bytes, layout: Layout, height: int, width: int) -> Patterns:
    """PS3.5 G: one segment a byte of the pixel, the most significant first."""
    size, count = layout.allocated // 8, height * width
    try:
        segments, *starts = struct.unpack_from("<16I", content)
    except struct.error:
        segments, starts = 0, []
    if not 0 < segments == size:
        raise RadiographError(f"the RLE inside has not the segments that it needs. {_AGAIN}")
    ends = [*starts[1:segments], len(content)]
    levels = np.empty((height, width, size), np.uint8)
    for place, (start, end) in enumerate(zip(starts, ends, strict=False)):
        try:
            line = Image.frombytes("L", (count, 1), content[start:end], "packbits", "L")
        except ValueError:
            raise RadiographError(f"the RLE inside is damaged. {_AGAIN}") from None
        levels[:, :, place] = np.asarray(line).reshape(height, width)
    return levels.view(f">u{size}")[:, :, 0]
