"""Whatever happens to a DICOM: pixels or one line, soon, and never another kind of error."""

from __future__ import annotations

import base64
import functools
import io
import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from pneumoscope.core.errors import RadiographError
from pneumoscope.imaging.dicom import is_dicom, read_tags
from pneumoscope.imaging.radiograph import Limits, read_radiograph

FOLDER = Path(pydicom.__file__).parent / "data"
LIMITS = Limits(max_pixels=1_000_000, min_side=1)
KEY = bytes(16)
SECONDS = 10
"""Far above what the slowest takes; far below what anyone calls hanging."""
FILES = 2000
CODESTREAMS = 80
CHANGES = (
    b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0",
    b"\xff\xff", b"\0\0", b"SQ", b"UN", b"OB", b"US", b"\xff\xd9",
)  # fmt: skip


@functools.cache
def shipped() -> dict[str, bytes]:
    """All files that come with pydicom."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.is_file())
    return {str(path.relative_to(FOLDER)): path.read_bytes() for path in paths}


@functools.cache
def readable() -> dict[str, bytes]:
    """Those of them that hold a grey image, and are small."""
    return {
        name: content
        for name, content in shipped().items()
        if len(content) < 50_000 and outcome(content) == "pixels"
    }


def outcome(content: bytes) -> str:
    """`pixels` or the reason; nothing else may happen."""
    start = time.perf_counter()
    try:
        radiograph = read_radiograph(content, limits=LIMITS, name="file")
    except RadiographError as error:
        reason = str(error)
        assert reason.startswith("file: ")
        assert "\n" not in reason
    else:
        assert radiograph.width * radiograph.height <= LIMITS.max_pixels
        reason = "pixels"
    try:
        read_tags(content, key=KEY, limits=LIMITS)
    except RadiographError as error:
        message = str(error)
        assert "\n" not in message
    assert time.perf_counter() - start < SECONDS
    return reason


def test_every_shipped_file_is_read_or_refused() -> None:
    outcomes = Counter(outcome(content) for content in shipped().values())
    assert outcomes["pixels"] > 40
    assert len(outcomes) > 10


def by_pydicom(content: bytes) -> NDArray[np.float64]:
    """0-1 as pydicom shows it; padding is 0."""
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    stored = dataset.pixel_array
    shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(np.float64)
    padding = np.zeros(stored.shape, dtype=bool)
    if (value := dataset.get("PixelPaddingValue")) is not None:
        padding = stored.astype(np.int64) % 65536 == value % 65536
    low, high = shown[~padding].min(), shown[~padding].max()
    bits, signed = dataset.BitsStored, dataset.PixelRepresentation
    if dataset.get("WindowWidth") or bits <= 8:
        slope, intercept = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
        ends = np.array([0, 2**bits - 1]) - signed * 2 ** (bits - 1)
        low, high = ends * float(slope) + float(intercept)
    shown = (shown - low) / (high - low)
    shown = 1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown
    return np.where(padding, 0, shown)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_every_shipped_image_is_what_pydicom_shows() -> None:
    compared = 0
    for name, content in shipped().items():
        if is_dicom(content) and outcome(content) == "pixels":
            pixels = read_radiograph(content, limits=LIMITS).pixels
            expected = by_pydicom(content) * np.iinfo(pixels.dtype).max
            assert np.abs(expected - pixels).max() <= 1, name
            compared += 1
    assert compared > 40


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Bytes and bits changed, cut, added and moved, mostly in the header."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(min(len(changed), draw.choice([700, 1500, 3000, 100_000])))
        match draw.choice(["byte", "byte", "bit", "bit", "field", "field", "cut", "add", "end"]):
            case "byte":
                changed[place] = draw.randrange(256)
            case "bit":
                changed[place] ^= 1 << draw.randrange(8)
            case "field":
                field = draw.choice(CHANGES)
                changed[place : place + len(field)] = field
            case "cut":
                del changed[place : place + draw.randint(1, 9)]
            case "add":
                changed[place:place] = draw.randbytes(draw.randint(1, 9))
            case "end" if place > 400:
                del changed[place:]
    return bytes(changed)


def test_mutated_files_are_read_or_refused() -> None:
    grey, files = [*readable().values()], [*shipped().values()]
    files = [content for content in files if is_dicom(content) and len(content) < 50_000]
    outcomes: Counter[str] = Counter()
    for number in range(FILES):
        draw = random.Random(number)
        content = draw.choice(files if number % 4 == 0 else grey)
        outcomes[outcome(mutated(content, draw))] += 1
    assert outcomes["pixels"] > FILES / 5
    assert outcomes.total() - outcomes["pixels"] > FILES / 5
    assert len(outcomes) > 30


LOSSLESS = """
/9j/wwALDAAMABABAREA/8QAJAAAAAAAEQAAAAAAAAAAAAAAAAECAwQFBgcICQoLDA0ODxD/2gAIAQEAAQAAMebw
3hvDeG8N4bw3hvDeG8N4bw3hvD2jem9N6b03pvTbG9N6b03pvTem2N6e0b43xvjbm+N8bc3xvjfG3N8b425vj2jf
m/Nwb83BvzcG/N+bg35uDfm4N+e0eAbk8A3J4BuTcngG5PANyeAbk3J4B7R4JujdHgm6N0bo8E3RujwTdG6N0eCe
0eEbs3Zuzdm7N2eEbs3Zuzdm7N2eEe0bw3hvDeG8N4bw3hvDeG8N4bw3hvD2jem9N6b03pvTbG9N6b03pvTem2N6
e0b43xvjbm+N8bc3xvjfG3N8b425vj2jfm/Nwb83BvzcG/N+bg35uDfm4N+e0eAbk8A3J4BuTcngG5PANyeAbk3J
4H//2Q==
"""
"""JPEG Lossless of `levels`."""


def levels() -> NDArray[np.uint16]:
    """`[12, 16]`, 12 bits."""
    y, x = np.mgrid[:12, :16]
    return np.asarray(2000 + 60 * x + 90 * y + x * y % 7).astype(np.uint16)


def codestream(image: NDArray[np.uint16], syntax: uid.UID) -> bytes:
    """The image, compressed."""
    if syntax == uid.JPEGLosslessSV1:
        return base64.b64decode(LOSSLESS)
    rows, columns = image.shape
    encoded: bytes = get_encoder(syntax).encode(
        image, rows=rows, columns=columns, samples_per_pixel=1, number_of_frames=1,
        bits_allocated=16, bits_stored=12, pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
    )  # fmt: skip
    return encoded


def dicom(image: NDArray[np.uint16], data: bytes, syntax: uid.UID) -> bytes:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = uid.DigitalXRayImageStorageForPresentation, "1.2"
    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = encapsulate([data])
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "syntax",
    [uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless],
    ids=lambda syntax: syntax.name,
)
def test_mutated_codestreams_are_read_or_refused(syntax: uid.UID) -> None:
    # JPEG 2000 halves the image five times.
    image = np.tile(levels(), (3, 2)) if syntax == uid.JPEG2000Lossless else levels()
    whole = codestream(image, syntax)
    expected = image - image.min()
    pixels = read_radiograph(dicom(image, whole, syntax)).pixels
    assert np.abs(pixels - expected * (65535 / expected.max())).max() <= 1
    outcomes: Counter[str] = Counter()
    for number in range(CODESTREAMS):
        damaged = mutated(whole, random.Random(number))
        outcomes[outcome(dicom(image, damaged, syntax))] += 1
    assert outcomes.total() - outcomes["pixels"] > CODESTREAMS / 10
    assert len(outcomes) > 1
