"""What befalls radiographs between the detector and a model, in three severities each.

The same image, kind and seed give the same result in whatever batch and order. What is drawn (a
direction, a place, a pattern of noise) does not depend on the severity: a worse one is more of
the same. The kinds follow Hendrycks and Dietterich, *Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations*, ICLR 2019, as far as radiographs know them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from pneumoscope.core.errors import InputError
from pneumoscope.core.randomness import generator
from pneumoscope.core.types import Canvas, FloatArray, PixelBatch

Apply = Callable[[Canvas, float, np.random.Generator], Canvas]
"""A canvas `[size, size]`, how strong, and what to draw from, to the corrupted canvas."""

_LETTERS = (
    ("1110", "1001", "1110", "1010", "1001"),
    ("1000", "1000", "1000", "1000", "1111"),
)
"""R and L, as the markers of sides are."""


@dataclass(frozen=True)
class Corruption:
    """One kind of damage.

    Attributes:
        kind: its name.
        description: one line for a reader.
        strengths: of severity 1, 2, ... in the unit that the description names.
        apply: does it.
    """

    kind: str
    description: str
    strengths: tuple[float, ...]
    apply: Apply

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of its severities in the conditions table, such as `noise:1`."""
        return tuple(f"{self.kind}:{at}" for at in range(1, len(self.strengths) + 1))


def corrupt(
    canvases: PixelBatch, image_ids: Sequence[str], *, kind: str, severity: int, seed: int = 0
) -> PixelBatch:
    """The canvases under one corruption, as a new `[batch, 1, size, size]`.

    Args:
        canvases: `[batch, 1, size, size]`, grey levels 0-255.
        image_ids: one for each.
        kind: of `CORRUPTIONS`.
        severity: 1 to as many as the kind has.
        seed: of what is drawn.

    Raises:
        InputError: an unknown kind or severity, or another number of ids than of canvases.
    """
    found = find_corruption(kind)
    if not 1 <= severity <= len(found.strengths):
        message = f"severity {severity} of {kind}; allowed: 1 to {len(found.strengths)}."
        raise InputError(f"{message} Choose one of these.")
    if canvases.ndim != 4 or len(image_ids) != len(canvases):
        message = f"{len(image_ids)} ids for canvases {list(canvases.shape)}"
        raise InputError(
            f"{message}; allowed: one for each of [batch, 1, size, size]. Give an id per canvas."
        )
    strength = found.strengths[severity - 1]
    changed = np.empty_like(canvases)
    for place, image_id in enumerate(image_ids):
        drawn = generator(seed, "corruption", kind, image_id)
        changed[place, 0] = found.apply(canvases[place, 0], strength, drawn)
    return changed


def find_corruption(kind: str) -> Corruption:
    """The corruption of that name.

    Raises:
        InputError: there is none.
    """
    known = {one.kind: one for one in CORRUPTIONS}
    if kind not in known:
        raise InputError(f"corruption '{kind}'; allowed: {', '.join(known)}. Choose one of these.")
    return known[kind]


def _noise(canvas: Canvas, strength: float, drawn: np.random.Generator) -> Canvas:
    pattern = drawn.standard_normal(canvas.shape, dtype=np.float32)
    return _levels(canvas + strength * pattern)


def _blur(canvas: Canvas, strength: float, drawn: np.random.Generator) -> Canvas:  # noqa: ARG001
    from scipy.ndimage import gaussian_filter

    deviation = strength * canvas.shape[0]
    return _levels(gaussian_filter(canvas.astype(np.float32), deviation, mode="nearest"))


def _jpeg(canvas: Canvas, strength: float, drawn: np.random.Generator) -> Canvas:  # noqa: ARG001
    from PIL import Image

    stored = BytesIO()
    Image.fromarray(canvas).save(stored, format="JPEG", quality=int(strength))
    return np.asarray(Image.open(stored))


def _gamma(canvas: Canvas, strength: float, drawn: np.random.Generator) -> Canvas:
    exponent = strength if drawn.random() < 0.5 else 1 / strength
    table = _levels(255 * (np.arange(256) / 255) ** exponent)
    return np.asarray(table[canvas])


def _rotation(canvas: Canvas, strength: float, drawn: np.random.Generator) -> Canvas:
    from PIL import Image

    angle = strength if drawn.random() < 0.5 else -strength
    turned = Image.fromarray(canvas).rotate(angle, Image.Resampling.BILINEAR, fillcolor=0)
    return np.asarray(turned)


def _inversion(canvas: Canvas, strength: float, drawn: np.random.Generator) -> Canvas:  # noqa: ARG001
    return np.asarray(255 - canvas)


def _marker(canvas: Canvas, strength: float, drawn: np.random.Generator) -> Canvas:
    letter = np.array([list(row) for row in _LETTERS[drawn.integers(2)]]) == "1"
    plate = np.where(np.pad(letter, 1), 255, 0).astype(np.uint8)
    size = canvas.shape[0]
    height, start = max(7, round(strength * size)), size // 32
    width = round(height * plate.shape[1] / plate.shape[0])
    rows = np.arange(height) * plate.shape[0] // height
    columns = np.arange(width) * plate.shape[1] // width
    bottom, right = drawn.random(2) < 0.5
    top = size - start - height if bottom else start
    left = size - start - width if right else start
    marked = canvas.copy()
    marked[top : top + height, left : left + width] = plate[rows[:, None], columns]
    return marked


def _crop(canvas: Canvas, strength: float, drawn: np.random.Generator) -> Canvas:
    from PIL import Image

    size = canvas.shape[0]
    left, top = drawn.random(2) * size * (1 - strength)
    seen = (left, top, left + strength * size, top + strength * size)
    picture = Image.fromarray(canvas).resize((size, size), Image.Resampling.BILINEAR, box=seen)
    return np.asarray(picture)


def _resolution(canvas: Canvas, strength: float, drawn: np.random.Generator) -> Canvas:  # noqa: ARG001
    from PIL import Image

    size = canvas.shape[0]
    few = max(1, round(size / strength))
    small = Image.fromarray(canvas).resize((few, few), Image.Resampling.BOX)
    return np.asarray(small.resize((size, size), Image.Resampling.BILINEAR))


def _levels(values: FloatArray) -> Canvas:
    return np.asarray(np.rint(np.clip(values, 0, 255)), dtype=np.uint8)


CORRUPTIONS: tuple[Corruption, ...] = (
    Corruption("noise", "Gaussian noise of 5, 12 or 25 grey levels", (5, 12, 25), _noise),
    Corruption("blur", "Gaussian blur of 0.6, 1 or 1.6 % of the side", (0.006, 0.01, 0.016),
               _blur),
    Corruption("jpeg", "stored as JPEG of quality 40, 20 or 8", (40, 20, 8), _jpeg),
    Corruption("gamma", "brighter or darker by an exponent of 1.25, 1.6 or 2.2", (1.25, 1.6, 2.2),
               _gamma),
    Corruption("rotation", "turned by 5, 10 or 20 degrees to either side", (5, 10, 20), _rotation),
    Corruption("inversion", "black and white exchanged", (1,), _inversion),
    Corruption("marker", "a letter in a corner, 8, 12 or 18 % of the side high",
               (0.08, 0.12, 0.18), _marker),
    Corruption("crop", "only 90, 80 or 70 % of each side seen", (0.9, 0.8, 0.7), _crop),
    Corruption("resolution", "a half, a quarter or an eighth of the pixels along each side",
               (2, 4, 8), _resolution),
)  # fmt: skip
"""Every kind, in the order of the report: 25 severities in all."""
