"""DICOM: every step of the pipeline against pydicom and highdicom, every coding against the
original, every refusal as one line that quotes nothing of the header."""

from __future__ import annotations

import base64
import hmac
import io
import logging
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from pneumoscope.core.errors import InputError, RadiographError
from pneumoscope.imaging import dicom_decompress
from pneumoscope.imaging.dicom import read_tags
from pneumoscope.imaging.dicom_tags import PATIENT_ID, pseudonym
from pneumoscope.imaging.radiograph import Limits, Radiograph, read_radiograph

Stored = NDArray[Any]
NAME = "SECRET^NAME"
KEY = bytes(range(32))
CLOSE = 1
"""Grey levels of 65,535 that two ways of rounding may differ."""


def scene(bits: int = 12, *, signed: bool = False, height: int = 40, width: int = 56) -> Stored:
    """`[height, width]`: smooth, asymmetric, from the lowest to the highest value of `bits`."""
    y, x = np.mgrid[:height, :width]
    wave = np.sin(x / 9 + 0.2) + np.cos(y / 7) + x / width
    levels = np.rint((wave - wave.min()) / np.ptp(wave) * (2**bits - 1)).astype(np.int64)
    if signed:
        levels -= 2 ** (bits - 1)
    kind = "i" if signed else "u"
    stored: Stored = levels.astype(f"{kind}{1 if bits <= 8 else 2}")
    return stored


def lut(entries: Stored, first: int, bits: int, *, vr: str = "US") -> Dataset:
    """One item of a lookup table sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [len(entries) % 65536, first, bits])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return item


def dicom(
    pixels: Stored,
    *,
    bits: int | None = None,
    syntax: uid.UID = uid.ExplicitVRLittleEndian,
    data: bytes | None = None,
    **attributes: Any,
) -> bytes:
    """A DX file; `data` in place of the pixels' own bytes, an attribute of None is left out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.StudyInstanceUID = dataset.SeriesInstanceUID = "1.2.3"
    dataset.PatientName, dataset.PatientID = NAME, "SECRET-ID"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 8 * pixels.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    order = pixels.dtype.newbyteorder("<" if syntax.is_little_endian else ">")
    native = pixels.astype(order).tobytes()
    dataset.PixelData = native + bytes(len(native) % 2) if data is None else data
    for name, value in attributes.items():
        if value is None:
            delattr(dataset, name)
        elif name.startswith("Padding"):
            vr = "SS" if dataset.PixelRepresentation else "US"
            dataset.add_new(f"Pixel{name}", vr, value)
        else:
            setattr(dataset, name, value)
    dataset["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def compressed(pixels: Stored, codestream: bytes, syntax: uid.UID, **options: Any) -> bytes:
    return dicom(pixels, data=encapsulate([codestream]), syntax=syntax, **options)


def refused(content: bytes, **options: Any) -> str:
    with pytest.raises(RadiographError) as caught:
        read_radiograph(content, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert "SECRET" not in message
    return message


def difference(left: Stored, right: Stored) -> int:
    assert left.shape == right.shape
    return int(np.abs(left.astype(np.int64) - right.astype(np.int64)).max())


def by_pydicom(content: bytes) -> NDArray[np.float64]:
    """0-65535 as pydicom shows it, before the inversion of MONOCHROME1."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    outputs = apply_modality_lut(dataset.pixel_array, dataset)
    shown = apply_voi_lut(outputs, dataset).astype(np.float64)
    ends = np.array([shown.min(), shown.max()])
    if "VOILUTSequence" in dataset:
        ends = np.array([0, 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1])
    elif "WindowCenter" in dataset:
        bits, signed = dataset.BitsStored, dataset.PixelRepresentation
        ends = np.array([0, 2**bits - 1]) - signed * 2 ** (bits - 1)
        if "ModalityLUTSequence" in dataset:
            ends = np.array([0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1])
        elif "RescaleSlope" in dataset:
            ends = ends * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    return np.asarray((shown - ends[0]) / (ends[1] - ends[0]) * 65535)


def by_highdicom(content: bytes) -> NDArray[np.float64]:
    """0-65535 as highdicom shows it, inversion included."""
    image = highdicom.imread(io.BytesIO(content))
    shown = image.get_frame(1, apply_modality_transform=None, apply_voi_transform=True)
    return np.asarray(shown * 65535)


# What is stored


def test_eight_bit_comes_back_as_stored() -> None:
    radiograph = read_radiograph(dicom(scene(8)))
    np.testing.assert_array_equal(radiograph.pixels, scene(8))
    assert radiograph.pixels.dtype == np.uint8
    assert (radiograph.bits, radiograph.photometric) == (8, "MONOCHROME2")
    assert radiograph.format == "dicom"


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_deeper_images_run_from_their_lowest_to_their_highest_value(
    bits: int, signed: bool
) -> None:
    content = dicom(scene(bits, signed=signed), bits=bits)
    radiograph = read_radiograph(content)
    assert radiograph.pixels.dtype == np.uint16
    assert (radiograph.pixels.min(), radiograph.pixels.max()) == (0, 65535)
    assert radiograph.bits == bits
    assert difference(radiograph.pixels, by_pydicom(content)) <= CLOSE


def test_signed_eight_bit_starts_at_black() -> None:
    stored = scene(8, signed=True)
    pixels = read_radiograph(dicom(stored)).pixels
    np.testing.assert_array_equal(pixels, stored.astype(np.int64) + 128)
    assert pixels.dtype == np.uint8


def test_few_bits_are_spread() -> None:
    stored = scene(6)
    pixels = read_radiograph(dicom(stored, bits=6)).pixels
    assert difference(pixels, np.rint(stored * (255 / 63))) == 0
    assert pixels.dtype == np.uint8


def test_single_bits_are_black_and_white() -> None:
    stored = (scene(8) > 99).astype(np.uint8)
    data = np.packbits(stored, bitorder="little").tobytes()
    content = dicom(stored, data=data, BitsAllocated=1, BitsStored=1, HighBit=0)
    np.testing.assert_array_equal(read_radiograph(content).pixels, stored * 255)


def test_thirty_two_bits_are_spread() -> None:
    stored = scene(16).astype(np.uint32) * 60_000
    content = dicom(stored)
    assert difference(read_radiograph(content).pixels, by_pydicom(content)) <= CLOSE


@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_those_stored_do_not_count(signed: bool) -> None:
    stored = scene(12, signed=signed)
    patterns = stored.view(np.uint16) & 0x0FFF
    overlay = (np.arange(stored.size).reshape(stored.shape) % 16).astype(np.uint16) << 12
    content = dicom((patterns | overlay).view(stored.dtype), bits=12)
    np.testing.assert_array_equal(
        read_radiograph(content).pixels, read_radiograph(dicom(stored, bits=12)).pixels
    )


@pytest.mark.parametrize("signed", [False, True])
def test_the_high_bit_says_where_the_pixel_is(signed: bool) -> None:
    stored = scene(12, signed=signed)
    shifted = (stored.view(np.uint16) << 4 | 0b1010).view(stored.dtype)
    content = dicom(shifted, bits=12, HighBit=15)
    np.testing.assert_array_equal(
        read_radiograph(content).pixels, read_radiograph(dicom(stored, bits=12)).pixels
    )


def test_an_image_of_one_value_is_black() -> None:
    assert not read_radiograph(dicom(np.full((9, 9), 700, np.uint16), bits=12)).pixels.any()


# Modality LUT and rescale, window, VOI LUT

WINDOWS = [("LINEAR", 2200, 2000), ("LINEAR_EXACT", 2200, 2000), ("SIGMOID", 2200, 900)]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("function", "center", "width"), WINDOWS)
def test_windows_as_pydicom_and_highdicom_apply_them(
    bits: int, signed: bool, function: str, center: float, width: float
) -> None:
    scale = 2**bits / 4096
    shift = 2 ** (bits - 1) if signed else 0
    window: dict[str, Any] = {"WindowCenter": center * scale - shift, "WindowWidth": width * scale}
    content = dicom(scene(bits, signed=signed), bits=bits, VOILUTFunction=function, **window)
    pixels = read_radiograph(content).pixels
    assert pixels.dtype == np.uint16
    assert ((pixels > 0) & (pixels < 65535)).mean() > 0.5
    assert difference(pixels, by_pydicom(content)) <= CLOSE
    assert difference(pixels, by_highdicom(content)) <= CLOSE


def test_without_a_function_the_window_is_linear_and_the_first() -> None:
    window: dict[str, Any] = {"WindowCenter": [1000, 3000], "WindowWidth": [800, 100]}
    content = dicom(scene(), bits=12, **window)
    pixels = read_radiograph(content).pixels
    assert difference(pixels, by_pydicom(content)) <= CLOSE
    exact = dicom(scene(), bits=12, VOILUTFunction="LINEAR_EXACT", **window)
    assert difference(pixels, read_radiograph(exact).pixels) > CLOSE


def test_the_narrowest_window_is_a_threshold() -> None:
    content = dicom(scene(), bits=12, WindowCenter=2000, WindowWidth=1)
    expected = np.where(scene() >= 2000, 65535, 0)
    np.testing.assert_array_equal(read_radiograph(content).pixels, expected)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 300, "WindowWidth": 2000}])
def test_rescale_as_pydicom_applies_it(window: dict[str, Any]) -> None:
    stored = scene(12, signed=True)
    content = dicom(stored, bits=12, RescaleSlope=2.5, RescaleIntercept=-24, **window)
    assert difference(read_radiograph(content).pixels, by_pydicom(content)) <= CLOSE


def test_a_negative_slope_turns_levels_round() -> None:
    # Not against pydicom, which takes the ends of the range the other way round.
    window: dict[str, Any] = {"WindowCenter": -2000, "WindowWidth": 2001}
    content = dicom(scene(), bits=12, RescaleSlope=-1.5, RescaleIntercept=-24, **window)
    expected = np.clip((scene() * -1.5 - 24 + 2000.5) / 2000 + 0.5, 0, 1) * 65535
    assert difference(read_radiograph(content).pixels, np.rint(expected)) <= CLOSE


def test_a_negative_slope_turns_even_eight_bits_round() -> None:
    content = dicom(scene(8), RescaleSlope=-1, RescaleIntercept=255)
    assert difference(read_radiograph(content).pixels, (255 - scene(8).astype(int)) * 257) <= CLOSE


def table(bits: int, size: int) -> Stored:
    """Rising, curved, from 0 to the highest level of `bits`."""
    share = np.arange(size, dtype=np.float64) / (size - 1)
    return np.asarray(np.rint(share**2 * (2**bits - 1)).astype(np.uint16))


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize(("size", "first"), [(4096, 0), (1000, 1500), (65536, 0)])
def test_voi_lut_as_pydicom_and_highdicom_apply_it(bits: int, size: int, first: int) -> None:
    content = dicom(scene(), bits=12, VOILUTSequence=[lut(table(bits, size), first, bits)])
    pixels = read_radiograph(content).pixels
    assert np.ptp(pixels.astype(np.int64)) > 100
    assert difference(pixels, by_pydicom(content)) <= CLOSE
    if bits == 16 and size < 65536:  # highdicom takes no others
        assert difference(pixels, by_highdicom(content)) <= CLOSE


@pytest.mark.parametrize("packed", [False, True])
def test_voi_lut_of_eight_bits(packed: bool) -> None:
    # Not against pydicom, which looks entries beyond the 256th up wrongly.
    entries = table(8, 3000)
    item = lut(entries, 100, 8)
    if packed:
        item["LUTData"].value = entries.astype(np.uint8).tobytes()
    pixels = read_radiograph(dicom(scene(), bits=12, VOILUTSequence=[item])).pixels
    expected = entries[np.clip(scene().astype(int) - 100, 0, 2999)] * 257.0
    assert difference(pixels, expected) <= CLOSE


@pytest.mark.parametrize(("implicit", "signed"), [(False, False), (False, True), (True, True)])
def test_lut_that_starts_below_zero(implicit: bool, signed: bool) -> None:
    item = lut(table(12, 4096), -1024, 12, vr="SS")
    syntax = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
    stored = scene(12, signed=signed)
    content = dicom(stored, bits=12, VOILUTSequence=[item], syntax=syntax)
    indices = np.clip(stored.astype(np.int64) + 1024, 0, 4095)
    expected = np.rint(table(12, 4096)[indices] * (65535 / 4095))
    assert difference(read_radiograph(content).pixels, expected) <= CLOSE
    if signed:  # pydicom takes no others
        assert difference(expected, by_pydicom(content)) <= CLOSE


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 7000, "WindowWidth": 5000}])
def test_modality_lut_as_pydicom_applies_it(window: dict[str, Any]) -> None:
    content = dicom(scene(), bits=12, ModalityLUTSequence=[lut(table(16, 4000), 50, 16)], **window)
    assert difference(read_radiograph(content).pixels, by_pydicom(content)) <= CLOSE


def test_lut_comes_before_window_and_the_first_before_others() -> None:
    items = [lut(table(12, 4096), 0, 12), lut(table(12, 4096)[::-1], 0, 12)]
    window: dict[str, Any] = {"WindowCenter": 1000, "WindowWidth": 10}
    both = read_radiograph(dicom(scene(), bits=12, VOILUTSequence=items, **window))
    alone = read_radiograph(dicom(scene(), bits=12, VOILUTSequence=items[:1]))
    np.testing.assert_array_equal(both.pixels, alone.pixels)


@pytest.mark.parametrize(
    "useless",
    [
        {"WindowCenter": 700},
        {"WindowWidth": 700},
        {"WindowCenter": 700, "WindowWidth": 0},
        {"WindowCenter": 700, "WindowWidth": -5},
        {"WindowCenter": 700, "WindowWidth": 0.5},
        {"WindowCenter": "", "WindowWidth": ""},
        {"VOILUTSequence": []},
        {"VOILUTSequence": [Dataset()]},
        {"RescaleSlope": 0, "RescaleIntercept": 0},
    ],
    ids=str,
)
def test_what_shows_nothing_is_passed_over(useless: dict[str, Any]) -> None:
    plain = read_radiograph(dicom(scene(), bits=12))
    content = dicom(scene(), bits=12, **useless)
    np.testing.assert_array_equal(read_radiograph(content).pixels, plain.pixels)


def test_window_after_rescale_as_highdicom_applies_both() -> None:
    values: dict[str, Any] = {"RescaleSlope": 0.5, "RescaleIntercept": -100, "RescaleType": "US"}
    # Not LINEAR: highdicom then takes one from the width before the rescale, not after.
    window: dict[str, Any] = {
        "WindowCenter": 900,
        "WindowWidth": 700,
        "VOILUTFunction": "LINEAR_EXACT",
    }
    content = dicom(scene(), bits=12, **values, **window)
    assert difference(read_radiograph(content).pixels, by_highdicom(content)) <= CLOSE


# Inversion, exactly once

INVERSIONS = [
    ("MONOCHROME2", None, False),
    ("MONOCHROME2", "IDENTITY", False),
    ("MONOCHROME2", "INVERSE", True),
    ("MONOCHROME1", None, True),
    ("MONOCHROME1", "IDENTITY", True),
    ("MONOCHROME1", "INVERSE", True),
]


@pytest.mark.parametrize(("photometric", "shape", "inverted"), INVERSIONS)
@pytest.mark.parametrize("kind", ["8 bits", "12 bits", "window", "LUT"])
def test_inverted_exactly_once(
    photometric: str, shape: str | None, inverted: bool, kind: str
) -> None:
    bits = 8 if kind == "8 bits" else 12
    kinds: dict[str, dict[str, Any]] = {
        "window": {"WindowCenter": 900, "WindowWidth": 1500},
        "LUT": {"VOILUTSequence": [lut(table(12, 4096), 0, 12)]},
    }
    options = kinds.get(kind, {})
    plain = read_radiograph(dicom(scene(bits), bits=bits, **options)).pixels
    if shape:
        options = {**options, "PresentationLUTShape": shape}
    content = dicom(scene(bits), bits=bits, PhotometricInterpretation=photometric, **options)
    radiograph = read_radiograph(content)
    top = np.iinfo(plain.dtype).max
    assert difference(radiograph.pixels, top - plain if inverted else plain) <= CLOSE
    assert radiograph.photometric == photometric


@pytest.mark.parametrize(("photometric", "shape", "inverted"), INVERSIONS)
def test_inverted_as_highdicom_inverts(photometric: str, shape: str | None, inverted: bool) -> None:
    if (photometric, shape) == ("MONOCHROME1", "IDENTITY"):
        return  # forbidden by PS3.3 C.8.11.3; highdicom then goes by the shape alone
    options: dict[str, Any] = {"PresentationLUTShape": shape} if shape else {}
    options |= {"WindowCenter": 900, "WindowWidth": 1500}
    content = dicom(scene(), bits=12, PhotometricInterpretation=photometric, **options)
    assert difference(read_radiograph(content).pixels, by_highdicom(content)) <= CLOSE


# Padding

MASK = np.zeros((40, 56), dtype=bool)
MASK[:5] = MASK[:, 50:] = True


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("padding", [0, 4095])
@pytest.mark.parametrize("signed", [False, True])
def test_padding_is_black_and_does_not_count(photometric: str, padding: int, signed: bool) -> None:
    stored = np.clip(scene(), 1000, 3000)
    stored[MASK] = padding
    value = padding - 2048 if signed else padding
    shifted = (stored.astype(np.int64) - 2048).astype(np.int16) if signed else stored
    options: dict[str, Any] = {
        "PhotometricInterpretation": photometric,
        "PaddingValue": value,
    }
    pixels = read_radiograph(dicom(shifted, bits=12, **options)).pixels
    expected = (stored.astype(float) - 1000) / 2000
    expected = 65535 * (1 - expected if photometric == "MONOCHROME1" else expected)
    assert not pixels[MASK].any()
    assert difference(pixels[~MASK], expected[~MASK]) <= CLOSE


@pytest.mark.parametrize("ends", [(3500, 4095), (4095, 3500)])
def test_a_range_of_padding(ends: tuple[int, int]) -> None:
    options: dict[str, Any] = {"PaddingValue": ends[0], "PaddingRangeLimit": ends[1]}
    pixels = read_radiograph(dicom(scene(), bits=12, **options)).pixels
    padded = scene() >= 3500
    assert padded.any()
    assert not pixels[padded].any()
    assert pixels[~padded].max() == 65535


def test_padding_of_eight_bits_is_black() -> None:
    stored = np.maximum(scene(8), 1)
    stored[MASK] = 255
    pixels = read_radiograph(dicom(stored, PaddingValue=255)).pixels
    np.testing.assert_array_equal(pixels, np.where(stored == 255, 0, stored))


def test_padding_beyond_the_bits_stored() -> None:
    stored = np.clip(scene(), 1000, 3000)
    stored[MASK] = 0xFFFF
    pixels = read_radiograph(dicom(stored, bits=12, PaddingValue=0xFFFF)).pixels
    assert not pixels[MASK].any()
    assert pixels[~MASK].max() == 65535


def test_nothing_but_padding_is_black() -> None:
    content = dicom(np.full((9, 9), 7, np.uint16), bits=12, PaddingValue=7)
    assert not read_radiograph(content).pixels.any()


# Transfer syntaxes


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
)
@pytest.mark.parametrize("bits", [8, 12])
def test_uncompressed_syntaxes_are_one(syntax: uid.UID, bits: int) -> None:
    options: dict[str, Any] = {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2 ** (bits - 2)}
    data = None
    if syntax == uid.ExplicitVRBigEndian and bits == 8:  # as 16-bit words, PS3.5 D.3
        data = scene(8).view(np.uint16).byteswap().tobytes()
    content = dicom(scene(bits), bits=bits, syntax=syntax, data=data, **options)
    plain = dicom(scene(bits), bits=bits, **options)
    pixels = read_radiograph(content).pixels
    np.testing.assert_array_equal(pixels, read_radiograph(plain).pixels)


def test_big_endian_lut() -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 12])
    item.add_new("LUTData", "US", table(12, 4096).tolist())
    big = dicom(scene(), bits=12, syntax=uid.ExplicitVRBigEndian, VOILUTSequence=[item])
    little = dicom(scene(), bits=12, VOILUTSequence=[item])
    np.testing.assert_array_equal(read_radiograph(big).pixels, read_radiograph(little).pixels)


def encoded(stored: Stored, bits: int, syntax: uid.UID, **options: Any) -> bytes:
    """One frame as pydicom's encoders write it."""
    frame: bytes = get_encoder(syntax).encode(
        stored,
        rows=stored.shape[0],
        columns=stored.shape[1],
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=8 * stored.itemsize,
        bits_stored=bits,
        pixel_representation=int(stored.dtype.kind == "i"),
        number_of_frames=1,
        **options,
    )
    return frame


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("syntax", "plugin"),
    [
        (uid.RLELossless, "pydicom"),
        (uid.JPEGLSLossless, "pyjpegls"),
        (uid.JPEG2000Lossless, "pylibjpeg"),
    ],
)
def test_lossless_codings_equal_the_original(
    syntax: uid.UID, plugin: str, bits: int, signed: bool
) -> None:
    stored = scene(bits, signed=signed)
    frame = encoded(stored, bits, syntax, encoding_plugin=plugin)
    content = compressed(stored, frame, syntax, bits=bits)
    expected = read_radiograph(dicom(stored, bits=bits))
    radiograph = read_radiograph(content)
    np.testing.assert_array_equal(radiograph.pixels, expected.pixels)
    assert radiograph.bits == bits


def huffman(bits: str) -> bytes:
    """Bits as bytes; after 0xFF comes a zero (T.81 F.1.2.3)."""
    padded = bits + "1" * (-len(bits) % 8)
    return int(padded, 2).to_bytes(len(padded) // 8, "big").replace(b"\xff", b"\xff\0")


def jpeg_lossless(levels: Stored, bits: int) -> bytes:
    """T.81 annex H, predictor 1; each of 17 categories has a code of five bits."""
    height, width = levels.shape
    values = levels.astype(np.int64)
    predicted = np.empty_like(values)
    predicted[0, 0], predicted[0, 1:], predicted[1:, 0] = (
        1 << bits - 1,
        values[0, :-1],
        values[:-1, 0],
    )
    predicted[1:, 1:] = values[1:, :-1]
    scan = []
    changes = (values - predicted + 32767) % 65536 - 32767  # H.1.2.1: modulo 2 to the 16
    for change in changes.ravel().tolist():
        size = abs(change).bit_length()
        extra = change if change > 0 else change + (1 << size) - 1
        scan.append(f"{size:05b}" + (f"{extra:0{size}b}" if size else ""))
    frame = struct.pack(">HHBHHB3B", 0xFFC3, 11, bits, height, width, 1, 1, 0x11, 0)
    codes = struct.pack(">HHB", 0xFFC4, 2 + 17 + 17, 0) + bytes(4) + b"\x11" + bytes(11)
    start = struct.pack(">HHB2B3B", 0xFFDA, 8, 1, 1, 0, 1, 0, 0)
    return (
        b"\xff\xd8"
        + frame
        + codes
        + bytes(range(17))
        + start
        + huffman("".join(scan))
        + b"\xff\xd9"
    )


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1])
def test_jpeg_lossless_equals_the_original(bits: int, signed: bool, syntax: uid.UID) -> None:
    stored = scene(bits, signed=signed)
    patterns = stored.astype(np.int64) & (1 << bits) - 1
    content = compressed(stored, jpeg_lossless(patterns, bits), syntax, bits=bits)
    expected = read_radiograph(dicom(stored, bits=bits))
    np.testing.assert_array_equal(read_radiograph(content).pixels, expected.pixels)


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit])
def test_jpeg_of_eight_bits_as_pydicom_reads_it(syntax: uid.UID) -> None:
    buffer = io.BytesIO()
    Image.fromarray(scene(8)).save(buffer, "JPEG", quality=95)
    content = compressed(scene(8), buffer.getvalue(), syntax)
    expected = pydicom.dcmread(io.BytesIO(content)).pixel_array
    pixels = read_radiograph(content).pixels
    assert difference(pixels, expected) <= CLOSE
    assert difference(pixels, scene(8)) < 8


def test_lossy_codings_are_close() -> None:
    near = encoded(scene(), 12, uid.JPEGLSNearLossless, jls_error=4)
    lossy = encoded(scene(), 12, uid.JPEG2000, j2k_cr=[4])
    plain = read_radiograph(dicom(scene(), bits=12)).pixels
    for frame, syntax in ((near, uid.JPEGLSNearLossless), (lossy, uid.JPEG2000)):
        content = compressed(scene(), frame, syntax, bits=12)
        assert 0 < difference(read_radiograph(content).pixels, plain) < 65535 * 0.02


def test_high_throughput_jpeg_2000() -> None:
    frame = base64.b64decode(
        "/0//UQApQAAAAAAYAAAAEAAAAAAAAAAAAAAAGAAAABAAAAAAAAAAAAABBwEB/1AACAACAAAAAv9SAAwAAgAB"
        "AAUEBEAB/1wAEyBIUFBQUFBQUFBQUFBQSEhI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAHMA"
        "Af+TwCWfAQd0AMASgOYAh3QAwBHAEwAXcwBa7QAiNADAEsATgFqAy3QALGMAJHdVAMATwBVgJPnYp0J1AJSI"
        "iP7gDPfJ7LcAwCqgFogAAPPwKenp4ngACAAAAOD/EASe/ZJ79knsvAD/2Q=="
    )
    y, x = np.mgrid[:16, :24]
    expected = (3 * x + 5 * y).astype(np.uint8)
    content = compressed(expected, frame, uid.HTJ2KLossless)
    np.testing.assert_array_equal(read_radiograph(content).pixels, expected)


def test_the_codestream_decides_not_the_header() -> None:
    frame = encoded(scene(), 12, uid.JPEGLSLossless)
    content = compressed(scene(), frame, uid.JPEG2000Lossless, bits=12)
    expected = read_radiograph(dicom(scene(), bits=12))
    np.testing.assert_array_equal(read_radiograph(content).pixels, expected.pixels)


def test_signs_that_disagree_with_the_codestream() -> None:
    stored = scene(12, signed=True)
    patterns = (stored.view(np.uint16) & 0x0FFF).astype(np.uint16)
    frame = encoded(patterns, 12, uid.JPEG2000Lossless)
    expected = read_radiograph(dicom(stored, bits=12))
    pixels = read_radiograph(compressed(stored, frame, uid.JPEG2000Lossless, bits=12)).pixels
    np.testing.assert_array_equal(pixels, expected.pixels)


def test_bits_that_disagree_with_the_codestream() -> None:
    stored = scene(12, signed=True)
    frame = encoded((stored.view(np.uint16) & 0x0FFF).astype(np.uint16), 12, uid.JPEGLSLossless)
    expected = read_radiograph(dicom(stored, bits=12))
    radiograph = read_radiograph(compressed(stored, frame, uid.JPEGLSLossless, bits=16))
    np.testing.assert_array_equal(radiograph.pixels, expected.pixels)
    assert radiograph.bits == 16


def test_jpeg_2000_in_its_own_file_format() -> None:
    frame = encoded(scene(8), 8, uid.JPEG2000Lossless)
    boxes = struct.pack(">I4sI", 12, b"jP  ", 0x0D0A870A) + struct.pack(">I4s", 0, b"jp2c")
    content = compressed(scene(8), boxes + frame, uid.JPEG2000Lossless)
    np.testing.assert_array_equal(read_radiograph(content).pixels, scene(8))


def test_a_frame_in_pieces() -> None:
    frame = encoded(scene(), 12, uid.JPEGLSLossless)
    data = encapsulate([frame], fragments_per_frame=4)
    content = dicom(scene(), bits=12, data=data, syntax=uid.JPEGLSLossless)
    expected = read_radiograph(dicom(scene(), bits=12))
    np.testing.assert_array_equal(read_radiograph(content).pixels, expected.pixels)


def test_without_the_last_delimiter() -> None:
    frame = encoded(scene(8), 8, uid.JPEGLSLossless)
    content = compressed(scene(8), frame, uid.JPEGLSLossless)
    assert content.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    np.testing.assert_array_equal(read_radiograph(content[:-8]).pixels, scene(8))


def test_explicit_elements_where_the_header_says_implicit() -> None:
    content = dicom(scene(8))
    stated = content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0")
    assert stated != content
    np.testing.assert_array_equal(read_radiograph(stated).pixels, scene(8))


def test_unknown_sequences_are_implicit_inside() -> None:
    content = dicom(scene(8))
    place = content.index(b"\x10\0\x10\0PN")
    # The length of the element inside, 0x4141, reads as two letters.
    inside = b"\x09\0\x11\x10AA\0\0" + bytes(0x4141)
    start, end = b"\xfe\xff\0\xe0" + b"\xff" * 4, b"\xfe\xff\x0d\xe0" + bytes(4)
    sequence = b"\x09\0\x10\x10UN\0\0" + b"\xff" * 4 + start + inside + end
    sequence += b"\xfe\xff\xdd\xe0" + bytes(4)
    whole = content[:place] + sequence + content[place:]
    np.testing.assert_array_equal(read_radiograph(whole).pixels, scene(8))


def test_without_the_header_of_the_file() -> None:
    content = dicom(scene(), bits=12)
    expected = read_radiograph(content).pixels
    np.testing.assert_array_equal(read_radiograph(content[132:]).pixels, expected)
    dataset = pydicom.dcmread(io.BytesIO(content))
    for explicit in (False, True):
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, Dataset(dataset), implicit_vr=not explicit, little_endian=True)
        assert not buffer.getvalue().startswith(bytes(128))
        np.testing.assert_array_equal(read_radiograph(buffer.getvalue()).pixels, expected)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08\0\x05\0", b"\x08\0" * 999, b"\2\0" * 999, bytes(999), b"name,label\n" * 99],
)
def test_other_files_are_no_dicom(content: bytes) -> None:
    assert "supported: PNG, JPEG, DICOM" in refused(content)


def test_sequences_and_icons_on_the_way_are_stepped_over() -> None:
    inner = Dataset()
    inner.WindowCenter, inner.WindowWidth, inner.Rows = "1", "2", 3
    icon = Dataset()
    icon.Rows = icon.Columns = 4
    icon.add_new("PixelData", "OB", encapsulate([b"abcd"]))
    icon["PixelData"].is_undefined_length = True
    inner.IconImageSequence = [icon]
    inner.is_undefined_length_sequence_item = True
    options: dict[str, Any] = {
        "ReferencedImageSequence": [inner, inner],
        "IconImageSequence": [icon],
    }
    frame = encoded(scene(), 12, uid.JPEGLSLossless)
    content = compressed(scene(), frame, uid.JPEGLSLossless, bits=12, **options)
    expected = read_radiograph(dicom(scene(), bits=12))
    np.testing.assert_array_equal(read_radiograph(content).pixels, expected.pixels)


# Refusals


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"NumberOfFrames": 40}, "40 frames"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "colour (RGB)"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour (PALETTE COLOR)"),
        ({"PhotometricInterpretation": None}, "no usable photometric interpretation"),
        ({"PhotometricInterpretation": "SECRET"}, "no usable photometric interpretation"),
        ({"PixelData": None}, "without an image"),
        ({"BitsAllocated": 12}, "12 bits allocated"),
        ({"BitsAllocated": None}, "no bits allocated"),
        ({"BitsStored": 17}, "contradict"),
        ({"HighBit": 3}, "contradict"),
        ({"Rows": None}, "56 x 0 pixels"),
        ({"Rows": 41}, "cut short"),
        ({"VOILUTFunction": "SECRET", "WindowCenter": 1, "WindowWidth": 9}, "another function"),
        ({"VOILUTSequence": [lut(table(8, 20), 0, 17)]}, "17 bits"),
        ({"RescaleSlope": 1e308, "RescaleIntercept": 0}, "beyond all numbers"),
    ],
    ids=str,
)
def test_refused_with_a_reason(options: dict[str, Any], expected: str) -> None:
    if "PixelData" in options:
        dataset = pydicom.dcmread(io.BytesIO(dicom(scene(), bits=12)))
        del dataset.PixelData
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        assert expected in refused(buffer.getvalue())
    else:
        assert expected in refused(dicom(scene(), bits=12, **options))


def test_a_lut_that_is_cut_short() -> None:
    item = lut(table(12, 4096), 0, 12)
    item["LUTData"].value = bytes(4000)
    assert "cut short" in refused(dicom(scene(), bits=12, VOILUTSequence=[item]))


@pytest.mark.parametrize(
    ("sop_class", "expected"),
    [
        (uid.EncapsulatedPDFStorage, "encapsulated document"),
        (uid.BasicTextSRStorage, "structured report"),
        (uid.GrayscaleSoftcopyPresentationStateStorage, "presentation state"),
        (uid.RTPlanStorage, "radiotherapy object"),
        (uid.MediaStorageDirectoryStorage, "DICOMDIR"),
        (uid.RawDataStorage, "another kind"),
    ],
)
def test_objects_without_an_image_are_named(sop_class: uid.UID, expected: str) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.PatientName = sop_class, "1.2", NAME
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    assert expected in refused(buffer.getvalue())


def test_floating_point_pixels_are_refused() -> None:
    dataset = pydicom.dcmread(io.BytesIO(dicom(scene(), bits=12)))
    del dataset.PixelData
    dataset.FloatPixelData = scene().astype("<f4").tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    assert "floating point" in refused(buffer.getvalue())


def test_twelve_bit_jpeg_extended_is_refused_with_the_remedy() -> None:
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    message = refused((folder / "JPGExtended.dcm").read_bytes())
    assert "12-bit JPEG Extended" in message
    assert "gdcmconv --raw" in message


def test_colour_inside_a_grey_header_is_refused() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.stack([scene(8)] * 3, axis=-1)).save(buffer, "JPEG")
    assert "colour inside" in refused(compressed(scene(8), buffer.getvalue(), uid.JPEGBaseline8Bit))


def test_other_codings_are_refused() -> None:
    assert "unknown way" in refused(compressed(scene(8), b"\0\0\1\xb3video", uid.MPEG2MPML))
    frame = encoded(scene(8), 8, uid.RLELossless)
    assert "segments" in refused(compressed(scene(12), frame, uid.RLELossless))


# Limits: a header costs nothing, its promise may


@pytest.mark.parametrize(
    "syntax",
    [uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.RLELossless],
)
def test_a_large_promise_is_refused_before_decoding(syntax: uid.UID) -> None:
    data = encapsulate([bytes(64)]) if syntax.is_encapsulated else bytes(64)
    content = dicom(scene(), data=data, syntax=syntax, Rows=65535, Columns=65535)
    assert "65535 x 65535 pixels" in refused(content)
    assert "6000 x 6000" not in refused(
        dicom(scene(), data=data, syntax=syntax, Rows=6000, Columns=6000)
    )


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEGLosslessSV1])
def test_a_codestream_of_another_size_is_refused(syntax: uid.UID) -> None:
    if syntax == uid.JPEGLosslessSV1:
        frame = jpeg_lossless(scene(12), 12)
    else:
        frame = encoded(scene(), 12, syntax)
    content = compressed(scene(), frame, syntax, bits=12, Rows=20)
    assert "56 x 40 pixels, the DICOM says 56 x 20" in refused(content)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEGLosslessSV1])
def test_a_codestream_without_its_end_is_refused(syntax: uid.UID) -> None:
    lossless = syntax == uid.JPEGLosslessSV1
    frame = jpeg_lossless(scene(12), 12) if lossless else encoded(scene(), 12, syntax)
    content = compressed(scene(), frame.rstrip(b"\0")[:-2], syntax, bits=12)
    assert "ends too early" in refused(content)


def test_a_deflated_bomb_is_refused() -> None:
    content = dicom(scene(), bits=12)
    place = content.index(b"\2\0\x10\0UI")
    end = place + 8 + struct.unpack_from("<H", content, place + 6)[0]
    syntax = b"1.2.840.10008.1.2.1.99"
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(b"\x08\0\x05\0CS\2\0AB" * 3_000_000) + deflate.flush()
    header = content[:place] + b"\2\0\x10\0UI" + struct.pack("<H", 22) + syntax
    assert end < len(content)
    assert len(bomb) < 100_000
    message = refused(header + bomb, limits=Limits(max_bytes=1_000_000))
    assert "once inflated" in message


def test_endless_elements_and_nesting_are_refused() -> None:
    start = bytes(128) + b"DICM"
    assert "1,000,000 elements" in refused(start + b"\x09\0\x10\0LO\0\0" * 1_000_001)
    nest = b"\x09\0\x10\0SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    assert "nested levels" in refused(start + nest * 5000)
    many = encapsulate([bytes(8)], has_bot=False)[:8] + b"\xfe\xff\0\xe0\0\0\0\0" * 1_000_001
    content = dicom(scene(8), data=many, syntax=uid.JPEGLSLossless)
    assert "1,000,000 elements" in refused(content)
    filled = b"\xff\xd8" + b"\xff" * 100_000
    assert "damaged" in refused(compressed(scene(8), filled, uid.JPEGBaseline8Bit))


def coding_style(frame: bytes, side: int) -> bytes:
    """A JPEG 2000 of `side` x `side` pixels in a million precincts: gigabytes out of bytes."""
    changed = bytearray(frame)
    struct.pack_into(">8I", changed, 8, side, side, 0, 0, side, side, 0, 0)
    place = changed.index(b"\xff\x52")
    length = struct.unpack_from(">H", changed, place + 2)[0]
    changed[place + 4] |= 1
    precincts = bytes([0x11] * (changed[place + 9] + 1))
    changed[place + 2 : place + 4] = struct.pack(">H", length + len(precincts))
    changed[place + 2 + length : place + 2 + length] = precincts
    return bytes(changed)


def test_a_codestream_that_asks_for_gigabytes_is_refused() -> None:
    frame = coding_style(encoded(scene(8), 8, uid.JPEG2000Lossless), 1800)
    content = compressed(scene(8), frame, uid.JPEG2000Lossless, Rows=1800, Columns=1800)
    assert "damaged" in refused(content)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_decoders_keep_to_their_memory() -> None:
    frame = jpeg_lossless(scene(12), 12)
    sizes = []
    for memory in (2**29, 2**24):
        command = [sys.executable, dicom_decompress.__file__, "JPEG Lossless", "56", "40", "12"]
        command.append(str(memory))
        done = subprocess.run(command, input=frame, capture_output=True, check=False)
        sizes.append(len(done.stdout))
    assert sizes == [2 * 56 * 40, 0]


def test_a_decoder_that_crashes_or_never_ends_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = compressed(
        scene(), encoded(scene(), 12, uid.JPEGLSLossless), uid.JPEGLSLossless, bits=12
    )
    program = tmp_path / "program.py"
    monkeypatch.setattr(dicom_decompress, "__file__", str(program))
    program.write_text("import os; os.abort()")
    assert "damaged" in refused(content)
    program.write_text("import sys; sys.exit(3)")
    assert "python-gdcm" in refused(content)
    run = subprocess.run

    def exhausted(*arguments: Any, **options: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "run", exhausted)
    assert "Resource temporarily unavailable" in refused(content)

    def impatient(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[bytes]:
        assert options["timeout"] > 10
        return run(*arguments, **{**options, "timeout": 0.3})

    monkeypatch.setattr(subprocess, "run", impatient)
    program.write_text("while True: pass")
    assert "took more than 10 s" in refused(content)


# The header stays where it is


def test_no_message_log_or_warning_repeats_the_header(caplog: pytest.LogCaptureFixture) -> None:
    values: dict[str, Any] = {"WindowCenter": 900, "WindowWidth": 1500, "VOILUTFunction": "SIGMOID"}
    values |= {"RescaleSlope": 1, "RescaleIntercept": 0, "NumberOfFrames": 1}
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "R-10206", "SRT", NAME
    content = dicom(
        scene(),
        bits=12,
        VOILUTSequence=[lut(table(12, 9), 0, 12)],
        ViewCodeSequence=[code],
        **values,
    )
    caplog.set_level(logging.DEBUG)
    messages = []
    for place in range(132, content.rindex(b"OW")):
        for damaged in (content[:place], content[:place] + NAME.encode() + content[place + 11 :]):
            for read in (read_radiograph, lambda given: read_tags(given, key=KEY)):
                try:
                    read(damaged)
                except RadiographError as error:
                    messages.append(str(error))
    assert len(messages) > 500
    assert len(set(messages)) > 8
    assert not any("SECRET" in message or "NAME" in message for message in messages)
    assert not caplog.records


def test_errors_do_not_carry_the_header_along() -> None:
    content = dicom(scene(), bits=12, PhotometricInterpretation="SECRET")
    with pytest.raises(RadiographError) as caught:
        read_radiograph(content)
    error: BaseException | None = caught.value
    while error:
        assert "SECRET" not in str(error)
        error = error.__cause__


def test_errors_of_any_kind_are_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise ValueError(NAME)

    monkeypatch.setattr("pneumoscope.imaging.dicom_levels.grey_levels", fail)
    assert "damaged (ValueError)" in refused(dicom(scene(8)))


def test_importing_loads_no_dicom_library() -> None:
    script = "import sys, pneumoscope.imaging.radiograph; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert {"pydicom", "gdcm", "highdicom", "openjpeg"}.isdisjoint(done.stdout.split())


# Tags


def tags_of(**attributes: Any) -> Any:
    return read_tags(dicom(scene(), bits=12, **attributes), key=KEY)


def test_tags_of_a_whole_header() -> None:
    tags = tags_of(
        ViewPosition="PA",
        PatientSex="F",
        PatientAge="042Y",
        ImagerPixelSpacing=[0.2, 0.15],
        PixelSpacing=[0.1, 0.1],
        Manufacturer="ACME Röntgen",
        SpecificCharacterSet="ISO_IR 100",
        Modality="DX",
    )
    assert (tags.view, tags.sex, tags.age, tags.modality) == ("PA", "F", 42.0, "DX")
    assert tags.spacing == (0.2, 0.15)
    assert tags.manufacturer == "ACME Röntgen"
    assert (tags.photometric, tags.bits) == ("MONOCHROME2", 12)
    assert "SECRET" not in repr(tags)
    assert NAME not in repr(tags)


def test_an_empty_header_says_nothing() -> None:
    tags = tags_of(PatientID=None, StudyInstanceUID=None)
    unknown = (tags.patient_id, tags.study_id, tags.view, tags.sex, tags.age)
    assert unknown == (None,) * 5
    assert (tags.spacing, tags.manufacturer, tags.modality) == (None,) * 3


def test_pseudonyms_follow_the_patient_and_the_key() -> None:
    one, same = tags_of(), tags_of(PatientSex="M")
    assert one.patient_id == same.patient_id
    assert len(one.patient_id) == 16
    assert int(one.patient_id, 16) >= 0
    assert one.patient_id != tags_of(PatientID="SECRET-IE").patient_id
    other = read_tags(dicom(scene(), bits=12), key=bytes(32))
    assert other.patient_id != one.patient_id
    assert other.study_id != one.study_id
    assert tags_of(PatientID="1.2.3").patient_id != one.study_id


def test_a_pseudonym_is_a_keyed_hash_of_tag_and_value() -> None:
    expected = hmac.new(KEY, b"\x00\x10\x00\x20" + b"SECRET-ID", "sha256").hexdigest()[:16]
    assert pseudonym(b" SECRET-ID\0", tag=PATIENT_ID, key=KEY) == expected
    assert tags_of(PatientID="SECRET-ID").patient_id == expected
    assert pseudonym(b" \0", tag=PATIENT_ID, key=KEY) is None


@pytest.mark.parametrize("content", [b"", b"name,label\n" * 99, bytes(999)])
def test_tags_of_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(RadiographError, match="not a DICOM"):
        read_tags(content, key=KEY)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(InputError, match="16 or more"):
        read_tags(dicom(scene()), key=b"secret")


@pytest.mark.parametrize(
    ("position", "view"),
    [
        ("PA", "PA"),
        ("AP", "AP"),
        ("LL", "LATERAL"),
        ("RL", "LATERAL"),
        ("LATERAL", "LATERAL"),
        ("pa ", "PA"),
        ("LLO", None),
        ("SECRET", None),
        ("", None),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_views_by_position(position: str, view: str | None) -> None:
    assert tags_of(ViewPosition=position).view == view


@pytest.mark.parametrize(
    ("value", "scheme", "view"),
    [
        ("272479007", "SCT", "PA"),
        ("R-10206", "SRT", "AP"),
        ("399173006", "SCT", "LATERAL"),
        ("R-10236", "SNM3", "LATERAL"),
        ("272479007", "99SECRET", None),
        ("399004004", "SCT", None),
    ],
)
def test_views_by_code(value: str, scheme: str, view: str | None) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, "view"
    assert tags_of(ViewCodeSequence=[code]).view == view
    assert tags_of(ViewCodeSequence=[code], ViewPosition="AP").view == "AP"


@pytest.mark.parametrize(
    ("text", "years"),
    [("042Y", 42), ("018M", 1.5), ("026W", 0.4983), ("073D", 0.19986), ("42", None), ("", None)],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
def test_ages_in_years(text: str, years: float | None) -> None:
    age = tags_of(PatientAge=text).age
    assert age == (years if years is None else pytest.approx(years, rel=1e-3))


@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ({"PixelSpacing": [0.3, 0.4]}, (0.3, 0.4)),
        ({"ImagerPixelSpacing": [0, 0], "PixelSpacing": [0.3, 0.4]}, (0.3, 0.4)),
        ({"PixelSpacing": [0.3, -0.4]}, None),
        ({"PixelSpacing": "0.3"}, None),
    ],
)
def test_spacing_is_two_positive_numbers(
    attributes: dict[str, Any], spacing: tuple[float, float] | None
) -> None:
    assert tags_of(**attributes).spacing == spacing


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
@pytest.mark.parametrize("sex", ["X", "SECRET", "", "m"])
def test_other_sexes_are_unknown(sex: str) -> None:
    assert tags_of(PatientSex=sex).sex is None


@pytest.mark.filterwarnings("ignore:The value length")
def test_manufacturers_are_printable_and_short() -> None:
    assert tags_of(Manufacturer="A\x1b[31mB\tC" + "D" * 60).manufacturer == "A[31mBC" + "D" * 57


# Threads


def contents() -> Iterator[bytes]:
    yield dicom(scene(), bits=12, WindowCenter=900, WindowWidth=1500)
    for syntax in (uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless):
        yield compressed(scene(), encoded(scene(), 12, syntax), syntax, bits=12)


def test_threads_read_what_one_reads() -> None:
    given = [*contents()] * 4
    alone = [read_radiograph(content) for content in given]
    with ThreadPoolExecutor(4) as pool:
        together: list[Radiograph] = list(pool.map(read_radiograph, given))
    for left, right in zip(alone, together, strict=True):
        np.testing.assert_array_equal(left.pixels, right.pixels)
