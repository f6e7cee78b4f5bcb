"""Decompression in a process of its own: a program, run by `dicom_codestream`.

The decoders of JPEG Lossless, JPEG-LS and JPEG 2000 crash, or ask for gigabytes, when a small file
is made to mislead them. Here they may: memory is limited, nothing is shared, and the one who
started the program sees to its time. It reads a codestream and writes grey levels, least
significant byte first.
"""

from __future__ import annotations

import os
import sys

MISSING = 3
"""Exit status where the decoder is not installed."""

_LOSSLESS, _NEAR_LOSSLESS = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.81"


def main(coding: str, width: int, height: int, bits: int, memory: int) -> None:
    """Decompress standard input to standard output.

    Args:
        coding: `JPEG Lossless`, `JPEG-LS` or `JPEG 2000`.
        width: of the picture in the codestream, pixels.
        height: likewise.
        bits: precision in the codestream, 2 to 16.
        memory: bytes that the process may use.
    """
    answer = os.dup(1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # decoders print
    limit_memory(memory)
    content = sys.stdin.buffer.read()
    if coding == "JPEG 2000":
        levels = _by_pillow(content)
    else:
        syntax = _LOSSLESS if coding == "JPEG Lossless" else _NEAR_LOSSLESS
        levels = _by_gdcm(content, syntax, width, height, bits)
    with os.fdopen(answer, "wb") as file:
        file.write(levels)


def limit_memory(memory: int) -> None:
    """Let this process, and those it starts, use `memory` bytes at most, and dump no core."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    memory = memory if allowed == resource.RLIM_INFINITY else min(memory, allowed)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a patient's image is not left on the disk


def _by_pillow(content: bytes) -> bytes:
    import io

    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # the size has been checked
    with Image.open(io.BytesIO(content), formats=["JPEG2000"]) as image:
        return image.tobytes()


def _by_gdcm(content: bytes, syntax: str, width: int, height: int, bits: int) -> bytes:
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(content)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((width, height, 1))
    grey = gdcm.PhotometricInterpretation.MONOCHROME2
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(1, 8 if bits <= 8 else 16, bits, bits - 1, 0))
    image.SetDataElement(element)
    # Bytes come as text; those that are no text come as surrogates.
    levels: bytes = image.GetBuffer().encode("utf-8", "surrogateescape")
    return levels


if __name__ == "__main__":
    try:
        main(sys.argv[1], *map(int, sys.argv[2:]))
    except ImportError:
        sys.exit(MISSING)
