"""Views that the lung segmenter learns from: what other machines, sizes and patients would change.

The images it learns from are of children, from one hospital, squeezed to squares. Its views are
stretched, letterboxed, turned, of other contrast, cluttered, and clouded inside the lungs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Generator, Tensor
from torch.nn import functional

_Draw: TypeAlias = Callable[[float, float], Tensor]


class Views(NamedTuple):
    """Varied canvases and where lung is on them.

    Attributes:
        canvases: `[batch, 1, side, side]` float32, grey levels 0-255.
        lungs: `[batch, 1, side, side]` float32 in [0, 1].
    """

    canvases: Tensor
    lungs: Tensor


def draw_views(
    canvases: Tensor, lungs: Tensor, *, side: int, generator: Generator, plain: float = 0.0
) -> Views:
    """One view of each canvas.

    Args:
        canvases: `[batch, 1, height, width]` float32, grey levels 0-255.
        lungs: `[batch, 1, height, width]` float32, 0 or 1.
        side: Of the views, pixels.
        generator: Of everything random.
        plain: Share of views that are only moved, and that little.
    """
    calm = torch.zeros(len(canvases), 1, 1, 1, dtype=torch.bool)
    if plain:
        calm = _chance(len(canvases), plain, generator)
    moved, inside = _moved(torch.cat([canvases, lungs], dim=1), calm.view(-1), side, generator)
    images, marked = moved[:, :1] / 255, moved[:, 1:] * inside
    varied = _varied(images, marked, inside, generator)
    return Views(torch.where(calm, images, varied).clamp(0, 1) * 255, marked)


def _varied(images: Tensor, marked: Tensor, inside: Tensor, generator: Generator) -> Tensor:
    """Other grey levels, within the lungs, all over, and in the bars."""
    images = _clouded(images, marked, generator)
    images = _cluttered(_exposed(images, generator), generator)
    bars = torch.where(_chance(len(images), 0.8, generator), 0.0, _uniform(images, 0, 1, generator))
    images = torch.where(inside > 0, images, bars)
    return _noisy(_softened(images, generator), generator)


def _moved(
    pictures: Tensor, calm: Tensor, side: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """The pictures moved, and 1 where the view is no bar: letterboxed, stretched, turned, cut."""
    count = len(pictures)
    strength = torch.where(calm, 0.25, 1.0)

    def draw(low: float, high: float) -> Tensor:
        return _uniform(pictures, low, high, generator).view(-1) * strength

    shrunk = torch.stack([draw(0.5, 1), draw(0.5, 1)], dim=1)
    bar = torch.rand(count, 2, generator=generator) < 0.35
    # What the picture takes of the view, across and down.
    taken = torch.where(bar & ~calm[:, None], shrunk, 1.0)
    free = torch.stack([draw(-1, 1), draw(-1, 1)], dim=1) * (1 - taken)
    centre = torch.where(_chance(count, 0.3, generator).view(-1, 1), free, 0.0)
    base = torch.linspace(-1 + 1 / side, 1 - 1 / side, side)
    down, across = torch.meshgrid(base, base, indexing="ij")
    places = torch.stack([across, down], dim=-1).expand(count, -1, -1, -1)
    places = (places - centre[:, None, None]) / taken[:, None, None]
    inside = (places.abs() <= 1).all(dim=-1)[:, None].to(pictures.dtype)
    grid = torch.einsum("bhwc,bdc->bhwd", places, _turns(count, draw, generator))
    grid = grid + torch.stack([draw(-0.15, 0.15), draw(-0.15, 0.15)], dim=1)[:, None, None]
    image = functional.grid_sample(
        pictures[:, :1], grid, padding_mode="border", align_corners=False
    )
    lungs = functional.grid_sample(pictures[:, 1:], grid, align_corners=False)
    return torch.cat([image, lungs], dim=1), inside


def _turns(count: int, draw: _Draw, generator: Generator) -> Tensor:
    """`[batch, 2, 2]`: zoom, aspect, shear, rotation up to 17 degrees, and in part mirrored."""
    angle, shear, stretch = draw(-0.3, 0.3), draw(-0.12, 0.12), draw(-0.25, 0.25).exp()
    zoom = draw(-0.35, 0.12).exp()
    mirror = torch.where(_chance(count, 0.4, generator).view(-1), -1.0, 1.0)
    wide, tall = zoom * stretch * mirror, zoom / stretch
    rows = [
        angle.cos() * wide,
        (shear - angle.sin()) * tall,
        angle.sin() * wide,
        angle.cos() * tall,
    ]
    return torch.stack(rows, dim=1).view(-1, 2, 2)


def _clouded(images: Tensor, lungs: Tensor, generator: Generator) -> Tensor:
    """Clouds in the lungs, as bright as what is around them: consolidation is still lung."""
    clouds = _enlarged(torch.rand(len(images), 1, 6, 6, generator=generator), images)
    soft = ((clouds - _uniform(images, 0.5, 0.8, generator)) * 5).clamp(0, 1)
    soft = soft * functional.avg_pool2d(lungs, 7, stride=1, padding=3)
    soft = soft * torch.where(_chance(len(images), 0.4, generator), 1.0, 0.0)
    deviation, mean = torch.std_mean(images, dim=(1, 2, 3), keepdim=True)
    bright = mean + 0.8 * deviation
    strength = _uniform(images, 0.3, 0.9, generator)
    return images + (bright - images).clamp(min=0) * soft * strength


def _exposed(images: Tensor, generator: Generator) -> Tensor:
    """Other gamma, contrast, brightness, local contrast, and exposure that differs by place."""
    gamma = _uniform(images, -0.7, 0.7, generator).exp()
    field = _enlarged(torch.rand(len(images), 1, 3, 3, generator=generator) - 0.5, images)
    images = images.clamp(0, 1) ** gamma * (field * _uniform(images, 0, 0.9, generator)).exp()
    coarse = functional.avg_pool2d(images, 8, ceil_mode=True, count_include_pad=False)
    local = _enlarged(coarse, images)
    some = torch.where(_chance(len(images), 0.4, generator), 1.0, 0.0)
    images = images + (images - local) * _uniform(images, -0.5, 1.5, generator) * some
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * _uniform(images, 0.6, 1.4, generator) + mean
    return (images + _uniform(images, -0.15, 0.15, generator)).clamp(0, 1)


def _cluttered(images: Tensor, generator: Generator) -> Tensor:
    """Letters, lines and cut-outs: up to four rectangles, some thin, bright or dark."""
    height, width = images.shape[2:]
    rows = ((torch.arange(height) + 0.5) / height).view(1, 1, -1, 1)
    columns = ((torch.arange(width) + 0.5) / width).view(1, 1, 1, -1)
    for _ in range(4):
        tall, wide = _uniform(images, 0, 1, generator) ** 3, _uniform(images, 0, 1, generator) ** 3
        top, left = _uniform(images, 0, 1, generator), _uniform(images, 0, 1, generator)
        inside = ((rows - top).abs() < 0.01 + 0.15 * tall) & (
            (columns - left).abs() < 0.01 + 0.15 * wide
        )
        level = _uniform(images, -0.5, 1.5, generator).clamp(0, 1)
        images = torch.where(inside & _chance(len(images), 0.25, generator), level, images)
    return images


def _softened(images: Tensor, generator: Generator) -> Tensor:
    soft = functional.avg_pool2d(images, 3, 1, padding=1, count_include_pad=False)
    return torch.where(_chance(len(images), 0.3, generator), soft, images)


def _noisy(images: Tensor, generator: Generator) -> Tensor:
    strength = _uniform(images, -0.06, 0.06, generator).clamp(min=0)
    return images + torch.randn(images.shape, generator=generator) * strength


def _enlarged(fields: Tensor, images: Tensor) -> Tensor:
    return functional.interpolate(fields, size=images.shape[2:], mode="bilinear")


def _uniform(images: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    """`[batch, 1, 1, 1]`."""
    return torch.rand(len(images), 1, 1, 1, generator=generator) * (high - low) + low


def _chance(count: int, share: float, generator: Generator) -> Tensor:
    """`[batch, 1, 1, 1]` of bool, true in so large a share."""
    return torch.rand(count, 1, 1, 1, generator=generator) < share
