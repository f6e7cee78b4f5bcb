"""What a lung mask is used for: seeing only the lungs, only what is around them, or their box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import InputError, RadiographError
from pneumoscope.imaging.decoded import Radiograph
from pneumoscope.imaging.geometry import Box

MARGIN = 0.05
"""Added on each side of the lungs' box, of its height and width."""

_FEW = 16
"""A picture of so many grey levels is a map of regions, not a grey one."""


def lung_mask(picture: Radiograph) -> NDArray[np.bool_]:
    """`[height, width]`: where the picture of a mask shows lung.

    In a map of regions (at most 16 levels: 0 and 255, or a number for each lung) that is whatever
    is not 0; in others, where edges are smooth or stored as JPEG, what is above half the maximum.
    """
    pixels = picture.pixels
    regions = np.count_nonzero(np.bincount(pixels.ravel())) <= _FEW
    return pixels > (0 if regions else int(pixels.max()) // 2)


def require_mask(use: str, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """The mask, checked to be of use.

    Raises:
        InputError: there is none, or it is no `[height, width]` of booleans.
        RadiographError: it marks no lung at all.
    """
    if mask is None:
        raise InputError(
            f"preprocess.lungs={use} needs a lung mask for every radiograph, and none was given. "
            "Give data whose catalogue has mask_path, or train with preprocess.lungs=off."
        )
    if mask.ndim != 2 or mask.dtype != np.bool_:
        found = f"{list(mask.shape)} of {mask.dtype}"
        raise InputError(f"lung mask is {found}; allowed: [height, width] of bool. Convert it.")
    if not mask.any():
        raise RadiographError("its lung mask marks no lung. Correct the mask or exclude it.")
    return mask


def lung_box(mask: NDArray[np.bool_], height: int, width: int) -> Box:
    """The lungs' box with 5 % more on each side, in a source of `height` x `width` pixels.

    Args:
        mask: of any resolution; it covers the whole source.
        height: of the source.
        width: of the source.
    """
    top, rows = _span(np.asarray(mask.any(axis=1)), height)
    left, columns = _span(np.asarray(mask.any(axis=0)), width)
    return Box(top, left, rows, columns)


def on_canvas(
    mask: NDArray[np.bool_], source: tuple[int, int], crop: Box, placed: Box
) -> NDArray[np.bool_]:
    """`[placed.height, placed.width]` bool: the mask as the placed part of the canvas has it.

    Each pixel takes the mask's value at its centre.

    Args:
        mask: of any resolution; it covers the whole source.
        source: height and width of the source.
        crop: what is seen of the source.
        placed: where it is seen.
    """
    rows = _nearest(crop.top, crop.height, placed.height, mask.shape[0] / source[0])
    columns = _nearest(crop.left, crop.width, placed.width, mask.shape[1] / source[1])
    return mask[rows[:, None], columns]


def _span(lines: NDArray[np.bool_], side: int) -> tuple[int, int]:
    """Start and length, pixels of the source, of the lines from the first to the last that hold."""
    held = np.flatnonzero(lines)
    scale = side / len(lines)
    start, stop = held[0] * scale, (held[-1] + 1) * scale
    margin = MARGIN * (stop - start)
    first, last = max(int(start - margin), 0), min(int(np.ceil(stop + margin)), side)
    return first, last - first


def _nearest(start: int, seen: int, placed: int, scale: float) -> NDArray[np.intp]:
    """Lines of the mask under the centres of the placed lines."""
    centres = start + (np.arange(placed) + 0.5) * seen / placed
    return (centres * scale).astype(np.intp)
