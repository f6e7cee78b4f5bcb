"""PNG and JPEG to grey levels.

Colour becomes ITU-R 601 luma, exact where red, green and blue agree. What is transparent lies on
black, as the background of a radiograph does. Colour profiles and gamma are not applied: grey
levels stay as stored. Only the chunks that make the picture reach the decoder, so that text,
profiles and metadata can neither warn, nor fail, nor inflate. A damaged image is refused, never
filled up.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from pneumoscope.core.errors import RadiographError
from pneumoscope.core.types import GreyImage
from pneumoscope.imaging import exif
from pneumoscope.imaging.decoded import Limits, Radiograph

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_AGAIN = "Export the image again or exclude it."
_MAX_CHUNKS = 100_000
_COLOUR_SIDE = 128
_MAX_SCANS = 100


def is_png(content: bytes) -> bool:
    """Whether `content` starts as a PNG does."""
    return content.startswith(_PNG)


def is_jpeg(content: bytes) -> bool:
    """Whether `content` starts as a JPEG does."""
    return content.startswith(_JPEG)


def decode_png(content: bytes, limits: Limits) -> Radiograph:
    """The radiograph in a PNG: 1- to 16-bit grey, 8-bit colour, palette, with or without alpha.

    Raises:
        RadiographError: too large or too small, animated, 16-bit colour, damaged or cut short.
            Pillow's own errors pass through for `read_radiograph` to translate.
    """
    header = _png_header(content)
    limits.check_size(width=header.width, height=header.height)
    if header.depth == 16 and header.colour != _GREY:
        allowed = "supported: 16-bit grey, 8-bit colour"
        raise RadiographError(f"16-bit colour PNG; {allowed}. Save it as grey or exclude it.")
    parts = _png_parts(content, header)
    image = PngImageFile(io.BytesIO(parts.picture))
    if image.size != (header.width, header.height):  # a second header would escape the limits
        raise RadiographError(f"PNG with more than one header. {_AGAIN}")
    if image.mode == "P" and image.palette is None:
        raise RadiographError(f"PNG without its palette. {_AGAIN}")
    image.load()
    pixels = _grey(image)
    if parts.transparent:
        pixels[_transparent(image, parts.transparent, header)] = 0
    pixels = exif.upright(pixels, exif.orientation(parts.exif))
    bits = 16 if pixels.dtype == np.uint16 else 8
    return Radiograph(pixels, bits, image.mode, "png", colour=_colour(image))


def decode_jpeg(content: bytes, limits: Limits) -> Radiograph:
    """The radiograph in a JPEG: grey, colour or CMYK; baseline or progressive.

    Raises:
        RadiographError: too large or too small, or more scans than any writer makes. The
            libraries' own errors pass through for `read_radiograph` to translate.
    """
    import simplejpeg

    # A hundred passes over a large image are minutes of work for a small file.
    if sum(1 for _ in islice(_SCAN.finditer(content), _MAX_SCANS + 1)) > _MAX_SCANS:
        raise RadiographError(f"JPEG of more than {_MAX_SCANS} scans. {_AGAIN}")
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
    except (ValueError, KeyError):
        image: Image.Image = _jpeg_by_pillow(content, limits)
    else:
        limits.check_size(width=width, height=height)
        mode = _JPEG_MODES.get(space, "RGB")
        pixels = simplejpeg.decode_jpeg(content, colorspace="GRAY" if mode == "L" else mode)
        # Four components are stored inverted, as Adobe does and Pillow assumes.
        stored = "CMYK;I" if mode == "CMYK" else mode
        image = Image.frombuffer(mode, (width, height), pixels, "raw", stored, 0, 1)
    upright = exif.upright(_grey(image), exif.orientation(_jpeg_exif(content)))
    return Radiograph(upright, 8, image.mode, "jpeg", colour=_colour(image))


def _colour(image: Image.Image) -> float:
    """See `Radiograph.colour`; measured on block means, which keep patches and drop noise."""
    if image.mode not in ("RGB", "RGBA", "P", "CMYK"):
        return 0.0
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    side = (min(_COLOUR_SIDE, image.width), min(_COLOUR_SIDE, image.height))
    small = image.convert("RGB").resize(side, Image.Resampling.BOX)
    # Channel by channel: NumPy reduces an axis of three forty times slower.
    red, green, blue = np.moveaxis(np.asarray(small, np.int16), 2, 0)
    highest = np.maximum(np.maximum(red, green), blue)
    return float((highest - np.minimum(np.minimum(red, green), blue)).mean())


def _grey(image: Image.Image) -> GreyImage:
    if image.mode in ("L", "I;16"):
        return np.array(image)
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    grey = image.convert("RGB").convert("L") if image.mode == "CMYK" else image.convert("L")
    if image.mode in ("LA", "RGBA"):
        black = Image.new("L", image.size, 0)
        black.paste(grey, mask=image.getchannel("A"))
        grey = black
    return np.array(grey)


# PNG (third edition, W3C): 5 datastream structure, 11 chunk specifications

_GREY, _RGB, _PALETTE = 0, 2, 3
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


class _PngHeader(NamedTuple):
    width: int
    height: int
    depth: int
    colour: int


class _PngParts(NamedTuple):
    picture: bytes
    transparent: bytes
    exif: bytes


def _png_header(content: bytes) -> _PngHeader:
    if len(content) < 33 or content[8:16] != b"\0\0\0\x0dIHDR":
        raise RadiographError(f"the PNG does not begin with its header. {_AGAIN}")
    return _PngHeader(*struct.unpack_from(">IIBB", content, 16))


def _png_parts(content: bytes, header: _PngHeader) -> _PngParts:
    picture, transparent, block = [_PNG], b"", b""
    for kind, start, end in _png_chunks(content):
        if kind in _CRITICAL or (kind == b"tRNS" and header.colour == _PALETTE):
            _check_crc(content, start, end)
            picture.append(content[start:end])
        elif kind == b"tRNS" and header.colour in (_GREY, _RGB):
            transparent = content[start + 8 : end - 4]
        elif kind == b"eXIf":
            block = content[start + 8 : end - 4]
        elif kind == b"acTL":
            raise RadiographError("animated PNG; supported: one image. Export a single frame.")
        elif not kind[0] & 0x20:  # an upper-case first letter: not to be skipped (PNG 5.4)
            raise RadiographError(f"PNG with the unknown part {kind!r}. {_AGAIN}")
    return _PngParts(b"".join(picture), transparent, block)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    start = len(_PNG)
    for _ in range(_MAX_CHUNKS):
        if start + 12 > len(content):
            break
        length, kind = struct.unpack_from(">I4s", content, start)
        end = start + 12 + length
        if end > len(content):
            break
        yield kind, start, end
        if kind == b"IEND":
            return
        start = end
    else:
        raise RadiographError(f"PNG of more than {_MAX_CHUNKS:,} chunks. {_AGAIN}")
    raise RadiographError(f"the PNG ends too early, at {len(content):,} bytes. {_AGAIN}")


def _check_crc(content: bytes, start: int, end: int) -> None:
    with memoryview(content) as view, view[start + 4 : end - 4] as body:
        if zlib.crc32(body) != int.from_bytes(content[end - 4 : end], "big"):
            kind = content[start + 4 : start + 8].decode("ascii", "replace")
            raise RadiographError(f"the PNG is damaged (checksum of {kind}). {_AGAIN}")


def _transparent(image: Image.Image, key: bytes, header: _PngHeader) -> NDArray[np.bool_]:
    colour = np.frombuffer(key, dtype=">u2")
    pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
    if header.colour == _RGB:
        return np.asarray((pixels == colour[:3]).all(axis=-1))
    # Pillow spreads 1-, 2- and 4-bit grey over 0-255.
    spread = 255 // (2**header.depth - 1) if header.depth < 8 else 1
    return np.asarray(pixels == int(colour[0]) * spread)


# JPEG (ITU-T T.81): B.1.1 markers

_JPEG_MODES = {"Gray": "L", "CMYK": "CMYK", "YCCK": "CMYK"}
_SCAN = re.compile(rb"\xff\xda")  # 0xFF is followed by zero inside a scan (B.1.1.5)
_START_OF_SCAN = 0xDA
_APP1 = 0xE1
_EXIF = b"Exif\0\0"
# Frames and Huffman tables (C0-CF but C8), quantisation, restarts, JFIF, Adobe
_PICTURE = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDD, 0xE0, 0xEE} - {0xC8})


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment; the first scan counts as the last one."""
    start = 2
    while content[start : start + 1] == b"\xff" and start + 4 <= len(content):
        marker = content[start + 1]
        if marker == 0xFF:
            start += 1
            continue
        if marker == _START_OF_SCAN:
            yield marker, start, len(content)
            return
        end = start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        yield marker, start, end
        start = end


def _jpeg_exif(content: bytes) -> bytes:
    for marker, start, end in _jpeg_segments(content):
        if marker == _APP1 and content.startswith(_EXIF, start + 4):
            return content[start + 10 : end]
    return b""


def _jpeg_by_pillow(content: bytes, limits: Limits) -> JpegImageFile:
    # Sampling factors that simplejpeg has no name for, and headers that are no header at all.
    picture, marker = [content[:2]], 0
    for marker, start, end in _jpeg_segments(content):
        if marker in _PICTURE or marker == _START_OF_SCAN:
            picture.append(content[start:end])
    if marker != _START_OF_SCAN:
        raise RadiographError(f"the JPEG is damaged before its image data. {_AGAIN}")
    image = JpegImageFile(io.BytesIO(b"".join(picture)))
    limits.check_size(width=image.width, height=image.height)
    image.load()
    return image
