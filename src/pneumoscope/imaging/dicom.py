"""DICOM to grey levels: single grey images (CR, DX, secondary capture and others).

Refused, each with its reason: several frames, colour, objects without an image, 12-bit JPEG
Extended. Overlays are not drawn. No message quotes the header.
"""

from __future__ import annotations

from pneumoscope.core.errors import RadiographError
from pneumoscope.imaging import dicom_levels, dicom_pixels
from pneumoscope.imaging.decoded import Limits, Radiograph
from pneumoscope.imaging.dicom_elements import DataSet, is_dicom, nothing_quoted, read_elements
from pneumoscope.imaging.dicom_tags import COLOUR, GREY, DicomTags, read_tags

__all__ = ["DicomTags", "decode_dicom", "is_dicom", "read_tags"]

_AGAIN = "Export the image again or exclude it."
_SOP_CLASS = 0x0008_0016
_FLOAT_PIXEL_DATA = frozenset({0x7FE0_0008, 0x7FE0_0009})
_SAMPLES, _PHOTOMETRIC, _FRAMES = 0x0028_0002, 0x0028_0004, 0x0028_0008
_TAGS = (
    frozenset({_SOP_CLASS, _SAMPLES, _PHOTOMETRIC, _FRAMES})
    | _FLOAT_PIXEL_DATA
    | dicom_pixels.TAGS
    | dicom_levels.TAGS
)
# PS3.4 B.5: what a data set without an image is, by its SOP class
_OBJECTS = {
    "1.2.840.10008.1.3.10": "a DICOMDIR",
    "1.2.840.10008.5.1.4.1.1.104.": "an encapsulated document",
    "1.2.840.10008.5.1.4.1.1.11.": "a presentation state",
    "1.2.840.10008.5.1.4.1.1.481.": "a radiotherapy object",
    "1.2.840.10008.5.1.4.1.1.88.": "a structured report",
    "1.2.840.10008.5.1.4.1.1.9.": "a waveform",
}


def decode_dicom(content: bytes, limits: Limits) -> Radiograph:
    """The radiograph in a DICOM file, as its window or lookup tables show it, bright = dense.

    Raises:
        RadiographError: whatever keeps the pixels from being read; never quotes the header.
    """
    with nothing_quoted():
        dataset = read_elements(content, _TAGS, limits)
        photometric = _check_kind(dataset)
        stored = dicom_pixels.read_layout(dataset)
        patterns, layout = dicom_pixels.read_patterns(dataset, stored, limits)
        inverse = photometric == "MONOCHROME1"
        pixels = dicom_levels.grey_levels(patterns, layout, dataset, inverse=inverse)
        return Radiograph(pixels, bits=stored.stored, photometric=photometric, format="dicom")


def _check_kind(dataset: DataSet) -> str:
    """The photometric interpretation of what is one grey image."""
    if _FLOAT_PIXEL_DATA & dataset.elements.keys():
        raise RadiographError("pixels of floating point; supported: whole numbers. Exclude it.")
    if dicom_pixels.PIXEL_DATA not in dataset.elements:
        sop_class = dataset.word(_SOP_CLASS)
        kinds = (kind for start, kind in _OBJECTS.items() if sop_class.startswith(start))
        what = next(kinds, "an object of another kind, or cut short")
        raise RadiographError(f"DICOM without an image ({what}). Give the image or exclude it.")
    frames = dataset.number(_FRAMES) if dataset.word(_FRAMES) else 1
    if frames != 1:
        found = "an unknown number of" if frames is None else f"{frames:.6g}"
        raise RadiographError(f"{found} frames; supported: one. Export a single frame.")
    samples, photometric = dataset.short(_SAMPLES), dataset.word(_PHOTOMETRIC)
    if samples not in (None, 1) or photometric in COLOUR:
        found = photometric if photometric in COLOUR else f"{samples} samples a pixel"
        raise RadiographError(
            f"colour ({found}); supported: grey. Export it as grey or exclude it."
        )
    if photometric not in GREY:
        allowed = f"supported: {', '.join(GREY)}"
        raise RadiographError(f"no usable photometric interpretation; {allowed}. {_AGAIN}")
    return photometric
