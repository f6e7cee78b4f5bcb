"""From stored pixels to grey levels: the DICOM grayscale pipeline, exactly once each step.

Modality LUT or rescale, then VOI LUT or window, then presentation LUT shape (PS3.4 N.2). Every
step maps a stored pixel to a number whatever its place, so the pipeline runs over the few patterns
that a pixel can have, and the image is looked up once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import RadiographError
from pneumoscope.core.types import FloatArray, GreyImage, IntArray
from pneumoscope.imaging.dicom_elements import DataSet
from pneumoscope.imaging.dicom_pixels import Layout, Patterns

_AGAIN = "Export the image again or exclude it."
_PADDING, _PADDING_LIMIT = 0x0028_0120, 0x0028_0121
_INTERCEPT, _SLOPE = 0x0028_1052, 0x0028_1053
_CENTER, _WIDTH, _FUNCTION = 0x0028_1050, 0x0028_1051, 0x0028_1056
_MODALITY_LUT, _VOI_LUT = 0x0028_3000, 0x0028_3010
_DESCRIPTOR, _DATA = 0x0028_3002, 0x0028_3006
_SHAPE = 0x2050_0020
TAGS = frozenset(
    {_PADDING, _PADDING_LIMIT, _INTERCEPT, _SLOPE, _CENTER, _WIDTH, _FUNCTION}
    | {_MODALITY_LUT, _VOI_LUT, _DESCRIPTOR, _DATA, _SHAPE}
)


class Table(NamedTuple):
    """A lookup table (PS3.3 C.11.1.1)."""

    first: int
    """The value that the first entry is for; lower ones get it too."""
    entries: IntArray
    """`[entry]`; higher values get the last one."""
    top: int
    """The highest level that an entry can have."""

    def look_up(self, values: FloatArray | IntArray) -> IntArray:
        """The entry for each value."""
        indices = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[indices.astype(np.intp)])


class Window(NamedTuple):
    """The range of values that is shown (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

    center: float
    width: float
    function: str = "LINEAR"
    """`LINEAR`, `LINEAR_EXACT` or `SIGMOID`."""

    def apply(self, values: FloatArray | IntArray) -> FloatArray:
        """0-1 for each value, from black to white."""
        if self.function == "SIGMOID":  # C.11.2.1.3.1
            exponent = np.clip(-4 * (values - self.center) / self.width, -700, 700)
            return np.asarray(1 / (1 + np.exp(exponent)))
        center, width = self.center, self.width
        if self.function == "LINEAR":  # C.11.2.1.2.1
            center, width = center - 0.5, width - 1
        if width == 0:
            return (np.asarray(values) > center).astype(np.float64)
        return np.asarray(np.clip((values - center) / width + 0.5, 0, 1))


def grey_levels(
    patterns: Patterns, layout: Layout, dataset: DataSet, *, inverse: bool
) -> GreyImage:
    """`[height, width]`, bright = dense: uint8 for up to 8 bits as stored, else uint16 0-65535.

    Black and white are the ends of the window or of the VOI LUT; where there is neither, the
    lowest and the highest value in the image. Padding is black and counts for neither. An 8-bit
    image without them keeps its levels; fewer bits are spread over 0-255.

    Args:
        patterns: as stored.
        layout: which bits of them count.
        dataset: the transformations.
        inverse: whether low values are white, `MONOCHROME1`.

    Raises:
        RadiographError: a lookup table or window function that cannot be used.
    """
    possible: IntArray
    indices: IntArray
    if patterns.dtype.itemsize > 2:
        possible, indices = np.unique(patterns, return_inverse=True)
        seen = np.ones(len(possible), dtype=bool)
    else:
        possible, indices = np.arange(1 << 8 * patterns.itemsize), patterns
        seen = np.bincount(patterns.ravel(), minlength=len(possible)) > 0
    values = stored_values(possible, layout)
    padding = _padding(possible, values, layout, dataset)
    inverse = inverse or dataset.word(_SHAPE) == "INVERSE"
    with np.errstate(all="ignore"):  # a rescale beyond all numbers is refused below
        levels = _levels(values, seen & ~padding, layout, dataset, inverse=inverse)
    levels[padding] = 0
    return levels[indices.reshape(patterns.shape)]


def stored_values(patterns: IntArray, layout: Layout) -> NDArray[np.int64]:
    """The number that each pattern stores; bits that do not count, overlays among them, do not."""
    values = patterns.astype(np.int64) >> layout.shift & (1 << layout.stored) - 1
    if layout.signed:
        sign = 1 << layout.stored - 1
        values = (values ^ sign) - sign
    return values


def _padding(
    patterns: IntArray, values: NDArray[np.int64], layout: Layout, dataset: DataSet
) -> NDArray[np.bool_]:
    """PS3.3 C.7.5.1.1.2; some writers pad beyond the bits stored."""
    padding = dataset.short(_PADDING)
    if padding is None:
        return np.zeros(len(values), dtype=bool)
    limit = dataset.short(_PADDING_LIMIT)
    ends = [padding, padding if limit is None else limit]
    whole = Layout(16, 16, 0, layout.signed)
    low, high = sorted(stored_values(np.array(ends), whole))
    words = stored_values(patterns, whole._replace(stored=layout.allocated))
    within = ((values >= low) & (values <= high)) | ((words >= low) & (words <= high))
    return np.asarray(within)


def _levels(
    values: NDArray[np.int64],
    seen: NDArray[np.bool_],
    layout: Layout,
    dataset: DataSet,
    *,
    inverse: bool,
) -> GreyImage:
    outputs: FloatArray | IntArray
    shown: FloatArray
    modality = _table(dataset, _MODALITY_LUT, signed=layout.signed)
    slope = dataset.number(_SLOPE) or 1.0
    intercept = dataset.number(_INTERCEPT) or 0.0
    negative = layout.signed or intercept < 0
    outputs = modality.look_up(values) if modality else values * slope + intercept
    if not np.isfinite(outputs).all():
        raise RadiographError(f"a rescale beyond all numbers. {_AGAIN}")
    voi = _table(dataset, _VOI_LUT, signed=negative and modality is None)
    window = None if voi else _window(dataset)
    if voi:
        shown = voi.look_up(outputs) / voi.top
    elif window:
        shown = window.apply(outputs)
    elif layout.stored <= 8 and modality is None and slope > 0:
        return _as_stored(values, layout, inverse=inverse)
    else:
        shown = _full_range(outputs, seen)
    return np.rint((1 - shown if inverse else shown) * 65535).astype(np.uint16)


def _as_stored(values: NDArray[np.int64], layout: Layout, *, inverse: bool) -> NDArray[np.uint8]:
    top = (1 << layout.stored) - 1
    levels = values + (1 << layout.stored - 1) if layout.signed else values
    spread: FloatArray = np.rint((top - levels if inverse else levels) * (255 / top))
    return spread.astype(np.uint8)


def _full_range(outputs: FloatArray | IntArray, seen: NDArray[np.bool_]) -> FloatArray:
    if not seen.any():
        return np.zeros(len(outputs))
    low, high = outputs[seen].min(), outputs[seen].max()
    if low == high:
        return np.zeros(len(outputs))
    return np.asarray(np.clip((outputs - low) / (high - low), 0, 1))


def _window(dataset: DataSet) -> Window | None:
    """The first window; none where its width shows nothing, as some writers leave it."""
    center, width = dataset.number(_CENTER), dataset.number(_WIDTH)
    function = dataset.word(_FUNCTION) or "LINEAR"
    if center is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return None
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        allowed = "supported: LINEAR, LINEAR_EXACT, SIGMOID"
        raise RadiographError(f"a window of another function; {allowed}. {_AGAIN}")
    return Window(center, width, function)


def _table(dataset: DataSet, tag: int, *, signed: bool) -> Table | None:
    """The first table of a sequence; none where it is not there or empty."""
    item = dataset.item(tag)
    data = item.elements.get(_DATA) if item else None
    if item is None or data is None or not data.value or len(item.shorts(_DESCRIPTOR)) < 3:
        return None
    count, first, bits = item.shorts(_DESCRIPTOR)[:3]
    count = count or 65536  # C.11.1.1: what 16 bits cannot say
    if not 1 <= bits <= 16:
        raise RadiographError(f"a lookup table of {bits} bits; allowed: 1 to 16. {_AGAIN}")
    # Two signednesses, one number; an explicit encoding says which.
    vr = item.elements[_DESCRIPTOR].vr
    if first >= 1 << 15 and (vr == "SS" or (signed and vr != "US")):
        first -= 1 << 16
    single = bits <= 8 and len(data.value) < 2 * count
    kind = np.dtype("u1" if single else f"{data.encoding.order}u2")
    if len(data.value) < count * kind.itemsize:
        raise RadiographError(f"a lookup table that is cut short. {_AGAIN}")
    entries = np.frombuffer(data.value[: count * kind.itemsize], kind).astype(np.int64)
    return Table(first, entries, max((1 << bits) - 1, int(entries.max())))
