"""Views of a training image: draw per image from its own named seed, then apply to the batch.

One bilinear resampling per image whatever the geometry, on the device the pixels are on. What is
drawn depends on the seed, the image id and the view alone, never on batches or workers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pneumoscope.core.randomness import generator
from pneumoscope.core.recipe import AugmentRecipe
from pneumoscope.core.types import FloatArray


@dataclass(frozen=True)
class Draws:
    """What was drawn for a batch.

    Attributes:
        matrices: `[batch, 2, 3]`, from output to input in normalised coordinates (-1 to 1).
        gamma: `[batch]` exponents. contrast: `[batch]` factors. brightness: `[batch]` factors.
    """

    matrices: FloatArray
    gamma: FloatArray
    contrast: FloatArray
    brightness: FloatArray


def draw(recipe: AugmentRecipe, image_ids: Sequence[str], *, view: int, seed: int) -> Draws:
    """Draws for these images and this view; view 0 is the plain image."""
    rows = [_draw_one(recipe, image_id, view, seed) for image_id in image_ids]
    table = np.array(rows, np.float64).reshape(len(rows), 9)
    return Draws(table[:, :6].reshape(-1, 2, 3), table[:, 6], table[:, 7], table[:, 8])


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


def apply(pixels: Tensor, draws: Draws, *, fill: int = 0) -> Tensor:
    """The views drawn, as float32 grey levels 0-255.

    Args:
        pixels: `[batch, 1, size, size]` grey levels 0-255, any dtype.
        draws: What to do to each.
        fill: Grey level of what a move brings in from outside.
    """
    images = pixels.to(torch.float32)
    matrices = torch.as_tensor(draws.matrices, dtype=torch.float32, device=images.device)
    identity = torch.tensor([[1.0, 0, 0], [0, 1, 0]], device=images.device)
    if not bool((matrices == identity).all()):
        grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
        images = functional.grid_sample(images - fill, grid, align_corners=False) + fill
    return _photometric(images, draws)


def _photometric(images: Tensor, draws: Draws) -> Tensor:
    """Gamma, contrast about the mean, brightness: torchvision's definitions, a factor per image."""
    gamma, contrast, brightness = (
        torch.as_tensor(values, dtype=torch.float32, device=images.device).view(-1, 1, 1, 1)
        for values in (draws.gamma, draws.contrast, draws.brightness)
    )
    if not bool((gamma == 1).all()):
        images = (images / 255).clamp(0, 1).pow(gamma) * 255
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images * contrast + mean * (1 - contrast)).clamp(0, 255)
    return (images * brightness).clamp(0, 255)
