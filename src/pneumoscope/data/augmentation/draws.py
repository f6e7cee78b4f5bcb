"""What is drawn for each image and view, before any pixel is touched."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pneumoscope.core.randomness import generator
from pneumoscope.core.recipe import AugmentRecipe
from pneumoscope.core.types import FloatArray


@dataclass(frozen=True)
class Draws:
    """What was drawn for a batch; a part that is None is left out.

    Attributes:
        matrices: `[batch, 2, 3]`, from output to input in normalised coordinates (-1 to 1).
        gamma: `[batch]` exponents.
        contrast: `[batch]` factors.
        brightness: `[batch]` factors.
        histogram: `[batch, 2]`: strength in [0, 1]; which reference, as a place in [0, 1) along
            their list.
        blur: `[batch]` standard deviations, pixels.
        degrade: `[batch]` JPEG qualities, whole numbers 1-100; 100 leaves an image as it is.
        noise: `[batch, 2]`: standard deviation in grey levels; key of the pattern, a whole number
            below 2^32.
        erase: `[batch, 4]`: top, left, height, width as fractions of the canvas.
    """

    matrices: FloatArray
    gamma: FloatArray
    contrast: FloatArray
    brightness: FloatArray
    histogram: FloatArray | None = None
    blur: FloatArray | None = None
    degrade: FloatArray | None = None
    noise: FloatArray | None = None
    erase: FloatArray | None = None


def draw(
    recipe: AugmentRecipe, image_ids: Sequence[str], *, view: int | Sequence[int], seed: int
) -> Draws:
    """Draws for these images and this view, or a view for each; view 0 is the plain image."""
    views: list[int] = np.broadcast_to(view, len(image_ids)).tolist()
    rows = [_draw_one(recipe, *named, seed) for named in zip(image_ids, views, strict=True)]
    table = np.array(rows, np.float64).reshape(len(rows), 9)
    matrices = table[:, :6].reshape(-1, 2, 3)

    def numbers(name: str) -> FloatArray:
        rows = [_unit_numbers(name, *named, seed) for named in zip(image_ids, views, strict=True)]
        return np.array(rows, np.float64).reshape(len(rows), 4)

    if recipe.horizontal_flip > 0:
        mirrored = numbers("horizontal_flip")[:, 0] < recipe.horizontal_flip
        matrices[mirrored & (np.array(views) > 0), :, 0] *= -1
    parts = {
        name: scaled(numbers(name), reach)
        for name, scaled in _PARTS.items()
        if any(views) and (reach := getattr(recipe, name)) > 0
    }
    return Draws(matrices, table[:, 6], table[:, 7], table[:, 8], **parts)


def _draw_one(recipe: AugmentRecipe, image_id: str, view: int, seed: int) -> list[float]:
    if view == 0:
        return [1, 0, 0, 0, 1, 0, 1, 1, 1]
    u = generator(seed, "augment", image_id, view).uniform(-1, 1, 9).tolist()
    angle, shear = math.radians(recipe.rotation * u[0]), math.radians(recipe.shear * u[1])
    zoom, aspect = (1 + recipe.zoom) ** u[2], (1 + recipe.aspect) ** (u[3] / 2)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = (
        turn
        @ np.array([[1, math.tan(shear)], [0, 1]])
        @ np.diag([aspect / zoom, 1 / (aspect * zoom)])
    )
    shift = [2 * recipe.shift * u[4], 2 * recipe.shift * u[5]]
    photometric = [(1 + recipe.gamma) ** u[6], (1 + recipe.contrast) ** u[7]]
    return [*linear[0], shift[0], *linear[1], shift[1], *photometric, 1 + recipe.brightness * u[8]]


def _unit_numbers(name: str, image_id: str, view: int, seed: int) -> FloatArray:
    """Four in [0, 1), from a generator of this part's own: no part moves another's draws.

    Zeros for view 0: of every part they make its least, which changes nothing.
    """
    return generator(seed, f"augment {name}", image_id, view).random(4) if view else np.zeros(4)


def _histogram(u: FloatArray, reach: float) -> FloatArray:
    return np.stack([reach * u[:, 0], u[:, 1]], axis=1)


def _blur(u: FloatArray, reach: float) -> FloatArray:
    return reach * u[:, 0]


def _degrade(u: FloatArray, reach: float) -> FloatArray:
    return np.round(100 - 90 * reach * u[:, 0])


def _noise(u: FloatArray, reach: float) -> FloatArray:
    return np.stack([reach * u[:, 0], np.floor(u[:, 1] * 2**32)], axis=1)


def _erase(u: FloatArray, reach: float) -> FloatArray:
    """Rectangles of area up to `reach`; a side ratio that the canvas cannot hold gives way."""
    area, ratio = reach * u[:, 0], 3 ** (2 * u[:, 1] - 1)
    height = np.clip(np.sqrt(area * ratio), area, 1)
    width = area / np.maximum(height, 1e-12)
    return np.stack([u[:, 2] * (1 - height), u[:, 3] * (1 - width), height, width], axis=1)


_PARTS: Mapping[str, Callable[[FloatArray, float], FloatArray]] = {
    "histogram": _histogram,
    "blur": _blur,
    "degrade": _degrade,
    "noise": _noise,
    "erase": _erase,
}
"""Field of the recipe and of `Draws`, and what `[batch, 4]` numbers in [0, 1) mean for it."""
