"""EXIF orientation: the one EXIF field that changes pixels.

Read from the bytes themselves: a damaged block then means "upright" and nothing is warned about,
whichever thread reads.
"""

from __future__ import annotations

import struct

from pneumoscope.core.types import GreyImage

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION = 0x0112
_VALUES = {3: "H", 4: "I"}  # SHORT as EXIF 2.3 table 4 asks; LONG as some writers do


def orientation(block: bytes) -> int:
    """The orientation 1-8 in a TIFF-structured EXIF block; 1 where absent or unreadable.

    Source: EXIF 2.3 (CIPA DC-008), 4.6.4 A; TIFF 6.0, section 2.
    """
    order = _ORDERS.get(block[:4])
    if order is None:
        return 1
    try:
        value = _first_directory_value(block, order)
    except struct.error:
        return 1
    return value if 1 <= value <= 8 else 1


def _first_directory_value(block: bytes, order: str) -> int:
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    (entries,) = struct.unpack_from(f"{order}H", block, start)
    for index in range(entries):
        entry = start + 2 + 12 * index
        tag, kind = struct.unpack_from(f"{order}HH", block, entry)
        if tag == _ORIENTATION and kind in _VALUES:
            return int(struct.unpack_from(order + _VALUES[kind], block, entry + 8)[0])
    return 1


def upright(pixels: GreyImage, orientation: int) -> GreyImage:
    """`[height, width]` turned and mirrored as `orientation` says; sides swap for 5-8."""
    turned = pixels.T if orientation in (5, 6, 7, 8) else pixels
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return turned if turned.flags.c_contiguous else turned.copy()
