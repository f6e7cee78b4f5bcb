"""Radiographs with lungs or surroundings taken away or exchanged: where does an answer come from?

Nothing here draws at random but the pairing, which is fixed by the images' ids: an image is
changed in the same way in whatever batch and order it comes. Masks are cleaned first, so that a
stray blob is neither kept nor makes a box large.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import InputError, RadiographError
from pneumoscope.core.randomness import derive_seed
from pneumoscope.core.types import Canvas, FloatArray, PixelBatch
from pneumoscope.data.lung_masks import clean_mask
from pneumoscope.imaging.geometry import Box
from pneumoscope.imaging.lungs import lung_box

LUNG_CONDITIONS: dict[str, str] = {
    "lungs_only": "all around the lungs is one grey",
    "lungs_removed": "a box over both lungs is filled from its surroundings",
    "lungs_swapped": "the lungs are those of an image of another label",
    "lungs_exchanged": "the lungs are those of another image of the same label: what cutting costs",
}
"""What is done to an image under each condition."""

Masks = NDArray[np.bool_]
"""`[batch, size, size]`: where there is lung."""

_EXTRA = 0.05
"""Of the lungs' box, added to its own margin where it is removed: a mask that leaves out a lung's
base, as masks of dense lungs do, must not leave that base to be seen."""
_RIM = 0.06
"""Of the lungs' box: what is compared between images, and blended."""
_GAIN = (0.5, 2.0)
_MIDDLE_GREY = 128


def with_lungs(masks: Masks) -> NDArray[np.bool_]:
    """`[batch]`: whether a mask marks something like a lung, so that the image can be changed."""
    return np.array([clean_mask(mask).any() for mask in masks], dtype=np.bool_)


def lungs_only(canvases: PixelBatch, masks: Masks) -> PixelBatch:
    """The lungs on one grey, the mean of their own rim.

    That grey leaves the weakest edge that holds nothing of the surroundings, whose mean would be a
    cue itself. Lungs fade into it over a hundredth of the side, inwards: no pixel outside the mask
    reaches the result. The shape of the lungs stays.

    Args:
        canvases: `[batch, 1, size, size]`.
        masks: `[batch, size, size]`.

    Raises:
        InputError: shapes or types do not fit.
        RadiographError: a mask marks nothing like a lung, see `with_lungs`.
    """
    shown = np.empty_like(canvases)
    for place, mask in enumerate(_cleaned(canvases, masks)):
        shown[place, 0] = _lungs_on_grey(canvases[place, 0], mask)
    return shown


def lungs_removed(canvases: PixelBatch, masks: Masks) -> PixelBatch:
    """What is around the lungs: a box over both, a tenth larger on each side, is filled.

    A box tells less of the lungs' shape than their outline would. It is filled from the lines just
    outside it, each weighing less the farther it is, so that there is no edge: no pixel of the box
    reaches the result. Its place still tells where the lungs were.

    Args:
        canvases: `[batch, 1, size, size]`.
        masks: `[batch, size, size]`.

    Raises:
        InputError: shapes or types do not fit.
        RadiographError: a mask marks nothing like a lung, see `with_lungs`.
    """
    filled = canvases.copy()
    for canvas, mask in zip(filled[:, 0], _cleaned(canvases, masks), strict=True):
        box = _larger(lung_box(mask, *mask.shape), _EXTRA, mask.shape[0])
        canvas[box.slices] = _from_outside(canvas, box)
    return filled


def lungs_swapped(
    canvases: PixelBatch, masks: Masks, donors: PixelBatch, donor_masks: Masks
) -> PixelBatch:
    """The surroundings of each canvas with the lungs of its donor.

    The donor's box over both lungs is stretched into the host's, faded in over its rim. Its grey
    levels are changed by one line (gain 0.5 to 2) so that the rim's mean and spread are those of
    the host: exposure is the host's, and how dense lungs are beside their rim the donor's.

    Args:
        canvases: `[batch, 1, size, size]`, the hosts.
        masks: `[batch, size, size]`, of the hosts.
        donors: as `canvases`, one for each of them.
        donor_masks: of the donors.

    Raises:
        InputError: shapes or types do not fit.
        RadiographError: a mask marks nothing like a lung, see `with_lungs`.
    """
    hosted, given = _cleaned(canvases, masks), _cleaned(donors, donor_masks)
    if len(donors) != len(canvases):
        message = f"{len(donors)} donors for {len(canvases)} images; allowed: as many."
        raise InputError(f"{message} Give one donor for each.")
    swapped = canvases.copy()
    for canvas, mask, donor, other in zip(swapped[:, 0], hosted, donors[:, 0], given, strict=True):
        box = lung_box(mask, *mask.shape)
        lungs = _stretched(donor, lung_box(other, *other.shape), box)
        canvas[box.slices] = _blended(canvas[box.slices], lungs)
    return swapped


def pair_with_other_label(
    image_ids: Sequence[str],
    labels: Sequence[str],
    patients: Sequence[str | None],
    *,
    seed: int = 0,
) -> dict[str, str]:
    """The donor of each image by the image's id: of another label and patient.

    Each image gives and takes once at most, so that no lung counts twice; of a label that more
    than half of the images have, only as many take part as there are others. With two labels any
    two images exchange theirs.

    Args:
        image_ids: unique; their order does not matter.
        labels: of each image.
        patients: of each image, None when unknown.
        seed: of the pairing.
    """
    label_of = dict(zip(image_ids, labels, strict=True))
    patient_of = dict(zip(image_ids, patients, strict=True))
    counts = Counter(labels)
    drawn = sorted(image_ids, key=lambda name: (derive_seed(seed, "swap", name), name))
    most = {label: min(count, len(drawn) - count) for label, count in counts.items()}
    line = [
        name
        for label in sorted(counts)
        for name in [one for one in drawn if label_of[one] == label][: most[label]]
    ]
    # Labels stand one after the other: as far on as the longest of them is another label.
    shift = max(most.values(), default=0)
    pairs = ((host, line[(at + shift) % len(line)]) for at, host in enumerate(line))
    return {
        host: donor
        for host, donor in pairs
        if patient_of[host] is None or patient_of[host] != patient_of[donor]
    }


def pair_with_same_label(
    image_ids: Sequence[str],
    labels: Sequence[str],
    patients: Sequence[str | None],
    *,
    seed: int = 0,
) -> dict[str, str]:
    """As `pair_with_other_label`, but the donor is of the same label: the control for the cut."""
    patient_of = dict(zip(image_ids, patients, strict=True))
    of_label: dict[str, list[str]] = {}
    for name, label in zip(image_ids, labels, strict=True):
        of_label.setdefault(label, []).append(name)
    pairs: list[tuple[str, str]] = []
    for names in of_label.values():
        drawn = sorted(names, key=lambda name: (derive_seed(seed, "exchange", name), name))
        half = len(drawn) // 2
        pairs += zip(drawn, drawn[half:] + drawn[:half], strict=True)
    return {
        host: donor
        for host, donor in pairs
        if host != donor and (patient_of[host] is None or patient_of[host] != patient_of[donor])
    }


def _lungs_on_grey(canvas: Canvas, mask: NDArray[np.bool_]) -> Canvas:
    from scipy.ndimage import minimum_filter, uniform_filter

    width = 2 * max(1, round(mask.shape[0] / 100)) + 1
    inner = minimum_filter(mask.astype(np.uint8), size=width, mode="nearest")
    share = uniform_filter(inner.astype(np.float32), size=width, mode="nearest")
    rim = mask & (inner == 0)
    grey = float(canvas[rim if rim.any() else mask].mean())
    return _rounded(grey + share * (canvas - grey))


def _from_outside(canvas: Canvas, box: Box) -> Canvas:
    """`[box.height, box.width]`: the four lines around the box, by the inverse of the distance."""
    top, left, height, width = box
    bottom, right, size = top + height, left + width, canvas.shape[0]
    rows, columns = np.arange(height)[:, None] + 1.0, np.arange(width)[None] + 1.0
    deep = max(1, size // 50)
    strips = [
        (canvas[max(0, top - deep) : top, left:right], 0, rows),
        (canvas[bottom : bottom + deep, left:right], 0, height + 1 - rows),
        (canvas[top:bottom, max(0, left - deep) : left], 1, columns),
        (canvas[top:bottom, right : right + deep], 1, width + 1 - columns),
    ]
    total, weights = np.zeros((height, width)), np.zeros((height, width))
    for strip, axis, distance in strips:
        if strip.size:
            line = np.expand_dims(_smooth(strip.mean(axis=axis), size // 8), axis)
            total += line / distance
            weights += 1 / distance
    if not weights.any():
        return np.full((height, width), _MIDDLE_GREY, dtype=np.uint8)
    return _rounded(total / weights)


def _smooth(line: FloatArray, width: int) -> FloatArray:
    from scipy.ndimage import uniform_filter1d

    return np.asarray(uniform_filter1d(line, size=max(1, width), mode="nearest"))


def _stretched(donor: Canvas, seen: Box, into: Box) -> FloatArray:
    from PIL import Image

    edges = (seen.left, seen.top, seen.left + seen.width, seen.top + seen.height)
    picture = Image.fromarray(donor).resize(
        (into.width, into.height), Image.Resampling.BILINEAR, box=edges
    )
    return np.asarray(picture, dtype=np.float32)


def _blended(host: Canvas, lungs: FloatArray) -> Canvas:
    height, width = host.shape
    fade = _ramp(height)[:, None] * _ramp(width)[None]
    rim = fade < 1
    gain = float(np.clip(host[rim].std() / max(float(lungs[rim].std()), 1.0), *_GAIN))
    matched = host[rim].mean() + gain * (lungs - lungs[rim].mean())
    return _rounded(fade * matched + (1 - fade) * host)


def _ramp(length: int) -> FloatArray:
    """`[length]`: 0 beyond both ends, 1 inside the rim, smooth between."""
    reach = max(1, round(_RIM * length))
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    straight = np.clip(distance / reach, 0, 1)
    return np.asarray(straight * straight * (3 - 2 * straight))


def _larger(box: Box, share: float, size: int) -> Box:
    deep, wide = round(share * box.height), round(share * box.width)
    top, left = max(0, box.top - deep), max(0, box.left - wide)
    bottom, right = box.top + box.height + deep, box.left + box.width + wide
    return Box(top, left, min(bottom, size) - top, min(right, size) - left)


def _rounded(levels: FloatArray) -> Canvas:
    return np.asarray(np.rint(np.clip(levels, 0, 255)), dtype=np.uint8)


def _cleaned(canvases: PixelBatch, masks: Masks) -> list[NDArray[np.bool_]]:
    size = canvases.shape[-1]
    if canvases.shape != (len(canvases), 1, size, size) or canvases.dtype != np.uint8:
        found = f"{list(canvases.shape)} of {canvases.dtype}"
        message = f"canvases are {found}; allowed: [batch, 1, size, size] of uint8."
        raise InputError(f"{message} Give them as preprocessing makes them.")
    if masks.shape != (len(canvases), size, size) or masks.dtype != np.bool_:
        found = f"{list(masks.shape)} of {masks.dtype}"
        message = f"masks are {found}; allowed: {[len(canvases), size, size]} of bool."
        raise InputError(f"{message} Give the lungs as they lie on the canvas.")
    cleaned = [clean_mask(mask) for mask in masks]
    empty = [place for place, mask in enumerate(cleaned) if not mask.any()]
    if empty:
        message = f"{len(empty)} of {len(masks)} masks, first number {empty[0]}, mark no lung."
        raise RadiographError(f"{message} Leave these images out, see `with_lungs`.")
    return cleaned
