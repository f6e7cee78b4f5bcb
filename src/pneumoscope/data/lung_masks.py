"""Lung masks that other programs drew: made plausible, and laid beside the images they are of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import InputError, LayoutError
from pneumoscope.data.layouts import image_paths
from pneumoscope.data.patients import patient_from_name

LEAST_AREA = 0.002
"""Of the picture: what is smaller is no lung."""

_CANDIDATES = 6
_LEAST_RATIO = 0.08
"""Of the smaller lung's area to the larger's: as little as a collapsed lung, no stray blob."""
_LEAST_BESIDE = 0.4
"""Of the smaller lung's rows that are rows of the larger too."""
_MOST_ABOVE = 0.5
"""Of the narrower lung's columns that are columns of the other too."""


@dataclass(frozen=True, slots=True)
class MaskedImage:
    """An image and the mask drawn for it.

    Attributes:
        path: Of the image, inside the data folder.
        image: The image file.
        mask: The mask file.
        label: The folder it is in.
        patient: Who it shows; the path where its name does not say.
    """

    path: str
    image: Path
    mask: Path
    label: str
    patient: str


class _Part(NamedTuple):
    """A connected component: its number in the map, its area and its box."""

    number: int
    area: int
    rows: slice[int, int, None]
    columns: slice[int, int, None]


def clean_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`[height, width]`: the lungs of a noisy mask without stray blobs, holes filled.

    Of all components, the two that cover most of those pairs that could be lungs: beside one
    another, at about the same height, neither a tenth of the other. The largest alone where it
    covers more than any such pair, as one lung does and two that touch. Nothing where there is
    nothing of a lung's size.

    Args:
        mask: `[height, width]`, any size.

    Raises:
        InputError: it is no `[height, width]` of booleans.
    """
    from scipy import ndimage

    if mask.ndim != 2 or mask.dtype != np.bool_:
        found = f"{list(mask.shape)} of {mask.dtype}"
        raise InputError(f"lung mask is {found}; allowed: [height, width] of bool. Convert it.")
    components, count = ndimage.label(mask)
    if not count:
        return np.zeros_like(mask)
    kept = _lungs(_parts(components))
    chosen = np.zeros(count + 1, dtype=np.bool_)
    chosen[[part.number for part in kept]] = True
    return _filled(chosen[components])


def is_plausible(cleaned: NDArray[np.bool_]) -> bool:
    """Whether a cleaned mask shows two lungs that a network may learn from.

    Two parts, the smaller at least 0.4 of the larger, together 8 to 50 % of the picture, each
    filling 0.75 of its convex hull: lungs of which consolidation hid a part, or that a bridge
    joined, are left out.
    """
    from scipy import ndimage

    components, count = ndimage.label(cleaned)
    parts = _parts(components) if count == 2 else []
    if len(parts) != 2 or not 0.08 <= cleaned.mean() <= 0.5:
        return False
    solid = min(_solidity(components == part.number) for part in parts)
    return parts[1].area >= 0.4 * parts[0].area and solid >= 0.75


def masked_images(data: Path, masks: Path) -> list[MaskedImage]:
    """The images below `data` that have a mask at the same relative path below `masks`, `.png`.

    Raises:
        LayoutError: a folder is not there, or no image has a mask.
    """
    for folder in (data, masks):
        if not folder.is_dir():
            raise LayoutError(f"{folder}: is no folder. Give a folder of images, one of masks.")
    found = sorted(_pairs(data, masks), key=lambda pair: pair.path)
    if not found:
        raise LayoutError(
            f"{masks}: holds no mask of an image in {data}. Give each the image's path, as .png."
        )
    return found


def dice(
    one: NDArray[np.bool_], other: NDArray[np.bool_], *, axis: tuple[int, ...] | None = None
) -> NDArray[np.float64]:
    """Twice what both mark over what each marks (Dice 1945), in [0, 1]; 1 where neither does."""
    both = np.sum(one & other, axis=axis, dtype=np.float64)
    each = np.sum(one, axis=axis, dtype=np.float64) + np.sum(other, axis=axis, dtype=np.float64)
    return np.where(each > 0, 2 * both / np.maximum(each, 1), 1.0)


def _pairs(data: Path, masks: Path) -> Iterator[MaskedImage]:
    for image in image_paths(data):
        inside = PurePosixPath(image.relative_to(data).as_posix())
        mask = masks / inside.with_suffix(".png")
        if mask.is_file() and mask != image:
            patient = patient_from_name(inside.stem) or str(inside)
            yield MaskedImage(str(inside), image, mask, inside.parent.name, patient)


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and all that it encloses: background from which no way leads to the edge.

    In half the time of `scipy.ndimage.binary_fill_holes`, which finds the same.
    """
    from scipy import ndimage

    background, count = ndimage.label(~mask)
    outside = np.zeros(count + 1, dtype=np.bool_)
    for edge in (background[0], background[-1], background[:, 0], background[:, -1]):
        outside[edge] = True
    outside[0] = False
    filled: NDArray[np.bool_] = ~outside[background]
    return filled


def _parts(components: NDArray[np.int32]) -> list[_Part]:
    """The components that could be a lung by their size, largest first, at most `_CANDIDATES`."""
    from scipy import ndimage

    areas = np.bincount(components.ravel())
    areas[0] = 0
    boxes = ndimage.find_objects(components)
    order = np.argsort(-areas, kind="stable")[:_CANDIDATES]
    least = max(LEAST_AREA * components.size, 1)
    return [_Part(int(i), int(areas[i]), *boxes[i - 1]) for i in order if areas[i] >= least]


def _lungs(parts: list[_Part]) -> tuple[_Part, ...]:
    single = [(part,) for part in parts[:1]]
    paired = [pair for pair in combinations(parts, 2) if _side_by_side(*pair)]
    choices: list[tuple[_Part, ...]] = [*single, *paired]
    return max(choices, key=lambda choice: sum(part.area for part in choice), default=())


def _side_by_side(larger: _Part, smaller: _Part) -> bool:
    narrower = min(_length(larger.columns), _length(smaller.columns))
    return (
        smaller.area >= _LEAST_RATIO * larger.area
        and _shared(larger.rows, smaller.rows) >= _LEAST_BESIDE * _length(smaller.rows)
        and _shared(larger.columns, smaller.columns) <= _MOST_ABOVE * narrower
    )


def _solidity(part: NDArray[np.bool_]) -> float:
    """Area over that of the convex hull of the pixels' centres, at most 1."""
    from scipy.spatial import ConvexHull, QhullError

    ends = np.flatnonzero(part.any(axis=1))
    first, last = part[ends].argmax(axis=1), part.shape[1] - part[ends, ::-1].argmax(axis=1)
    edges = np.concatenate([np.stack([ends, first], axis=1), np.stack([ends, last - 1], axis=1)])
    try:
        # `volume` is the area of a hull in the plane.
        return min(float(part.sum() / max(ConvexHull(edges).volume, 1)), 1.0)
    except QhullError:
        return 1.0  # all pixels on one line


def _length(lines: slice[int, int, None]) -> int:
    return lines.stop - lines.start


def _shared(one: slice[int, int, None], other: slice[int, int, None]) -> int:
    return max(min(one.stop, other.stop) - max(one.start, other.start), 0)
