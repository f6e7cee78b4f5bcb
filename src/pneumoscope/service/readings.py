"""A `Reading` as a frame and back: what a decoder saw, so that nothing of it is lost."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundle.reading import Reading, Seen
from pneumoscope.imaging.geometry import Box, Geometry
from pneumoscope.imaging.radiograph import Radiograph
from pneumoscope.service.frames import FrameError

UPLOAD = Path("upload")
"""What every image is called inside the service: names may be patients' names."""

_PLAIN = tuple(one.name for one in fields(Radiograph) if one.name != "pixels")


def to_frame(reading: Reading) -> tuple[dict[str, object], list[memoryview]]:
    """Header and parts that say this reading."""
    header: dict[str, object] = {"reason": reading.reason, "milliseconds": reading.milliseconds}
    if reading.seen is None:
        return header, []
    radiograph, canvas = reading.seen.radiograph, reading.seen.canvas
    header["radiograph"] = {name: getattr(radiograph, name) for name in _PLAIN}
    header["geometry"] = asdict(reading.seen.geometry)
    header["bytes_per_pixel"] = radiograph.pixels.itemsize
    return header, [_raw(radiograph.pixels), _raw(canvas)]


def from_frame(header: dict[str, Any], content: memoryview) -> Reading:
    """The reading that `to_frame` wrote.

    Raises:
        FrameError: it is none.
    """
    try:
        seen = _seen(header, content) if "radiograph" in header else None
        reason = None if seen else str(header["reason"])
        return Reading(UPLOAD, seen, reason, float(header["milliseconds"]))
    except (KeyError, TypeError, ValueError) as error:
        raise FrameError(type(error).__name__) from error


def _seen(header: dict[str, Any], content: memoryview) -> Seen:
    said = header["geometry"]
    boxes = {name: Box(*map(int, said[name])) for name in ("crop", "placement")}
    sides = {name: int(said[name]) for name in ("source_height", "source_width", "size")}
    geometry = Geometry(**sides, **boxes)  # type: ignore[arg-type]
    kind = {1: np.uint8, 2: np.uint16}[header["bytes_per_pixel"]]
    shape = geometry.source_height, geometry.source_width
    split = shape[0] * shape[1] * np.dtype(kind).itemsize
    pixels = np.frombuffer(content[:split], kind).reshape(shape)
    canvas = np.frombuffer(content[split:], np.uint8).reshape(geometry.size, geometry.size)
    return Seen(Radiograph(pixels, **header["radiograph"]), canvas, geometry)


def _raw(pixels: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(pixels).data.cast("B")
