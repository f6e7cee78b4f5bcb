"""From a file, or the bytes of one, to what the predictor needs; no model is asked here.

Reading may run in another thread or process than answering.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from pneumoscope.core.errors import InputError, RadiographError
from pneumoscope.core.files import printable
from pneumoscope.core.types import Canvas
from pneumoscope.imaging.preprocess import Geometry, Preprocess
from pneumoscope.imaging.radiograph import DEFAULT_LIMITS, Limits, Radiograph, read_radiograph


@dataclass(frozen=True, slots=True)
class Seen:
    """A radiograph as the model will see it.

    Attributes:
        decoded: The radiograph; None where it was let go, see `Reading.light`.
        canvas: `[size, size]`, what the model sees.
        geometry: Where the canvas lies on the radiograph.
    """

    decoded: Radiograph | None
    canvas: Canvas
    geometry: Geometry

    @property
    def radiograph(self) -> Radiograph:
        """As decoded.

        Raises:
            InputError: it was let go.
        """
        if self.decoded is None:
            raise InputError(
                "radiograph: let go by Reading.light; allowed: of a reading as it was read. Read "
                "the file again."
            )
        return self.decoded


@dataclass(frozen=True, slots=True)
class Reading:
    """One input, read or not.

    Attributes:
        source: The file, or the name of an upload.
        seen: None where it could not be read.
        reason: Why not.
        milliseconds: That reading took.
    """

    source: Path
    seen: Seen | None
    reason: str | None
    milliseconds: float

    def light(self) -> Reading:
        """The same without the decoded radiograph: enough for an answer without saliency map.

        A radiograph may have 100 megapixels, a canvas a few hundredths of one.
        """
        if self.seen is None:
            return self
        return replace(self, seen=replace(self.seen, decoded=None))


def read(
    source: str | Path | bytes,
    preprocess: Preprocess,
    *,
    name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Reading:
    """What a file, or its content, holds; never raises for what is in it.

    Args:
        source: A file, or its content.
        preprocess: Of the bundle that will answer.
        name: What to call it; the path where there is one.
        limits: What is refused before decoding.
    """
    start = time.perf_counter()
    source = Path(source) if isinstance(source, str) else source
    called = Path(name) if name else source if isinstance(source, Path) else Path("upload")
    try:
        radiograph = read_radiograph(source, limits=limits, name=str(called))
        canvas, geometry = preprocess.apply(radiograph)
    except RadiographError as error:
        reason = str(error).removeprefix(f"{called}: ")
        return Reading(called, None, printable(reason), since(start))
    return Reading(called, Seen(radiograph, canvas, geometry), None, since(start))


def since(start: float) -> float:
    """Milliseconds since a moment of `time.perf_counter`."""
    return (time.perf_counter() - start) * 1000
