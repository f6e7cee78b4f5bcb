"""Compressed grey levels inside a DICOM: what the codestream itself says decides, then decoding.

The header of a codestream is read before any decoder sees it, so that no size or depth but the
one in the DICOM is ever decoded.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import RadiographError
from pneumoscope.core.types import GreyImage
from pneumoscope.imaging import dicom_decompress, raster
from pneumoscope.imaging.decoded import Limits

_AGAIN = "Export the image again or exclude it."
_JPEG_2000 = b"\xff\x4f\xff\x51"  # ITU-T T.800 A.4.1, A.5.1: SOC, SIZ
_JPEG = b"\xff\xd8"
_MAX_BOXES = 4096
_MAX_MARKERS = 10_000
_END = b"\xff\xd9"
# ITU-T T.81 B.1.1.3, T.87 C.1.1: start of frame
_FRAMES = {
    0xC0: "JPEG",
    0xC1: "JPEG",
    0xC2: "JPEG",
    0xC3: "JPEG Lossless",
    0xF7: "JPEG-LS",
}
_OTHER_FRAMES = frozenset({0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})


class Codestream(NamedTuple):
    """What a codestream says about itself."""

    coding: str
    """`JPEG`, `JPEG Lossless`, `JPEG-LS` or `JPEG 2000`."""
    width: int
    height: int
    bits: int
    """Precision: 8 for JPEG, else 2 to 16."""
    signed: bool
    """Of JPEG 2000; the others do not say."""


def memory_for(size: int, pixels: int) -> int:
    """Bytes that decoding may take, for a file of `size` bytes: twice what the largest take."""
    return 2**29 + 4 * size + 32 * pixels


def decompress(
    content: bytes, limits: Limits, *, width: int, height: int
) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], int]:
    """`[height, width]` bit patterns as stored, and how many bits of each count.

    Raises:
        RadiographError: another size than the DICOM says, colour, an unsupported coding, damage.
    """
    if (box := content.find(_JPEG_2000, 0, _MAX_BOXES)) > 0 and not content.startswith(_JPEG):
        content = content[box:]  # a JP2 file, against PS3.5 8.2.4
    header = _header(content)
    if (header.width, header.height) != (width, height):
        found = f"the {header.coding} inside has {header.width} x {header.height} pixels"
        raise RadiographError(f"{found}, the DICOM says {width} x {height}. {_AGAIN}")
    if header.coding == "JPEG":
        return _by_raster(content, limits, header), 8
    levels = _by_process(content, header)
    if header.coding != "JPEG 2000":
        return levels, header.bits
    # Pillow spreads the precision over whole bytes, and moves signed levels up by half.
    stored = np.right_shift(levels, 8 * levels.itemsize - header.bits, dtype=levels.dtype)
    if header.signed:
        stored ^= stored.dtype.type(1 << (header.bits - 1))
    return stored, header.bits


def _header(content: bytes) -> Codestream:
    try:
        if content.startswith(_JPEG_2000):
            return _jpeg_2000_header(content)
        if content.startswith(_JPEG):
            return _jpeg_header(content)
    except (struct.error, IndexError):
        raise RadiographError(f"the compressed image data end too early. {_AGAIN}") from None
    supported = "supported: JPEG, JPEG Lossless, JPEG-LS, JPEG 2000, RLE"
    raise RadiographError(f"compressed in an unknown way; {supported}. Save it uncompressed.")


def _jpeg_2000_header(content: bytes) -> Codestream:
    right, bottom, left, top = struct.unpack_from(">4I", content, 8)
    components, depth, across, down = struct.unpack_from(">H3B", content, 40)
    _check_components(components)
    bits = (depth & 0x7F) + 1
    if (across, down) != (1, 1) or bits > 16 or right <= left or bottom <= top:
        raise RadiographError(f"JPEG 2000 of an unsupported kind. {_AGAIN}")
    return Codestream("JPEG 2000", right - left, bottom - top, bits, bool(depth & 0x80))


def _jpeg_header(content: bytes) -> Codestream:
    at = 2
    for _ in range(_MAX_MARKERS):
        marker = content[at + 1]
        if content[at] != 0xFF:
            break
        if marker == 0xFF:  # any number of them may come before a marker (B.1.1.2)
            at += 1
            continue
        if marker in _OTHER_FRAMES:
            break
        if marker in _FRAMES:
            bits, height, width, components = struct.unpack_from(">BHHB", content, at + 4)
            _check_components(components)
            _check_jpeg_bits(_FRAMES[marker], bits)
            return Codestream(_FRAMES[marker], width, height, bits, signed=False)
        at += 2 + max(2, struct.unpack_from(">H", content, at + 2)[0])
    raise RadiographError(f"JPEG of an unsupported kind, or damaged. {_AGAIN}")


def _check_components(components: int) -> None:
    if components != 1:
        raise RadiographError("colour inside; supported: grey. Export it as grey or exclude it.")


def _check_jpeg_bits(coding: str, bits: int) -> None:
    if coding == "JPEG" and bits == 12:
        remedy = "Convert it with `gdcmconv --raw` or `dcmdjpeg`"
        raise RadiographError(f"12-bit JPEG Extended; supported: 8 bits. {remedy}.")
    if not (bits == 8 if coding == "JPEG" else 2 <= bits <= 16):
        raise RadiographError(f"{coding} of {bits} bits. {_AGAIN}")


def _by_raster(content: bytes, limits: Limits, header: Codestream) -> GreyImage:
    try:
        pixels = raster.decode_jpeg(content, limits).pixels
    except ValueError as error:
        raise RadiographError(f"the JPEG inside is damaged ({error}). {_AGAIN}") from None
    if pixels.shape != (header.height, header.width):
        raise RadiographError(f"the JPEG inside is damaged. {_AGAIN}")
    return pixels


def _by_process(content: bytes, header: Codestream) -> GreyImage:
    # Decoders fill up what is missing.
    if _END not in content[-64:]:
        raise RadiographError(f"the {header.coding} inside ends too early. {_AGAIN}")
    pixels = header.width * header.height
    seconds = 10 + 2 * pixels / 1e6
    memory = memory_for(len(content), pixels)
    arguments = [header.coding, *map(str, (header.width, header.height, header.bits, memory))]
    # -P: nothing in the current folder, nor beside the program, is imported.
    command = [sys.executable, "-P", str(Path(dicom_decompress.__file__)), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - our own program, given numbers
            command,
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except OSError as error:
        reason = f"{header.coding} cannot be decompressed ({error.strerror})"
        raise RadiographError(f"{reason}. Free memory and processes, try again.") from None
    except subprocess.TimeoutExpired:
        took = f"took more than {seconds:.0f} s to decompress"
        raise RadiographError(f"the {header.coding} inside {took}. {_AGAIN}") from None
    if done.returncode == dicom_decompress.MISSING:
        raise RadiographError(f"{header.coding} needs python-gdcm. Install it.")
    dtype = np.dtype("u1" if header.bits <= 8 else "<u2")
    if done.returncode or len(done.stdout) != pixels * dtype.itemsize:
        raise RadiographError(f"the {header.coding} inside is damaged. {_AGAIN}")
    return np.frombuffer(done.stdout, dtype).reshape(header.height, header.width)
