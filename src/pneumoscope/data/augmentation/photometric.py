"""Grey levels of a view: another image's histogram, gamma, contrast, brightness."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pneumoscope.core.types import FloatArray

_LEVELS = 256
_REACH = 16
"""Grey levels to either side over which the moves of levels are averaged, and over which they set
in beside the fill: steeper, they would make speckle of the noise in a nearly black background."""


def adjust(
    images: Tensor, gamma: FloatArray, contrast: FloatArray, brightness: FloatArray
) -> Tensor:
    """Gamma, contrast about the mean, brightness: torchvision's definitions, a factor per image."""
    exponent, spread, factor = (
        torch.as_tensor(values, dtype=torch.float32, device=images.device).view(-1, 1, 1, 1)
        for values in (gamma, contrast, brightness)
    )
    if not bool((exponent == 1).all()):
        images = (images / 255).clamp(0, 1).pow(exponent) * 255
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images * spread + mean * (1 - spread)).clamp(0, 255)
    return (images * factor).clamp(0, 255)


def cumulative_histograms(pixels: Tensor, *, fill: int = 0) -> Tensor:
    """`[batch, 256]` float32: which fraction of each image is at or below each grey level.

    The fill is left out, so that padding, which is no part of the radiograph, does not count; an
    image of nothing else gives zeros.

    Args:
        pixels: `[batch, 1, height, width]` grey levels 0-255, any dtype.
        fill: Grey level that is not counted.
    """
    return _cumulative(_levels(pixels.to(torch.float32)), fill)


def match_histograms(images: Tensor, drawn: FloatArray, histograms: Tensor, *, fill: int) -> Tensor:
    """Images whose grey levels lie nearer to those of a reference; the fill stays.

    A level moves to where the reference has the same cumulative fraction, times the strength
    (Gonzalez & Woods, *Digital Image Processing*, histogram specification; a level's pixels are
    taken as spread over its width, so that an image matched to itself does not change). Moves are
    averaged over neighbouring levels that occur.

    Args:
        images: `[batch, 1, height, width]` grey levels 0-255, float32.
        drawn: `[batch, 2]`, see `Draws.histogram`.
        histograms: `[reference, 256]`, see `cumulative_histograms`.
        fill: Grey level that is neither counted nor moved; levels beside it move less.
    """
    count = len(histograms)
    chosen = torch.as_tensor(np.minimum(drawn[:, 1] * count, count - 1).astype(np.int64))
    reference = histograms.to(images.device, torch.float32)[chosen.to(images.device)]
    strength = torch.as_tensor(drawn[:, :1], dtype=torch.float32, device=images.device)
    levels = _levels(images)
    distance = (torch.arange(_LEVELS, device=images.device) - fill).abs()
    strength = strength * (distance / _REACH).clamp(max=1)
    shift = strength * _shifts(_cumulative(levels, fill), reference)
    rows = _LEVELS * torch.arange(len(images), device=images.device)[:, None]
    return (images + torch.take(shift, levels + rows).view_as(images)).clamp(0, 255)


def _shifts(source: Tensor, reference: Tensor) -> Tensor:
    """`[batch, 256]`: how far each level moves; nowhere towards a reference without pixels."""
    before = functional.pad(source[:, :-1], (1, 0))
    middle = (source + before) / 2
    above = torch.searchsorted(reference, middle).clamp(max=_LEVELS - 1)
    low = functional.pad(reference, (1, 0)).gather(1, above)
    high = reference.gather(1, above)
    moved = above - 0.5 + (middle - low) / (high - low).clamp(min=1e-9)
    shifts = moved - torch.arange(_LEVELS, device=source.device)
    occupied = (source > before).to(torch.float32)
    smooth = _neighbours(shifts * occupied) / _neighbours(occupied).clamp(min=1e-6)
    return torch.where(reference[:, -1:] > 0, smooth, 0.0)


def _neighbours(values: Tensor) -> Tensor:
    """`[batch, 256]`: mean over the levels within reach, those beyond 0-255 taken as 0."""
    return functional.avg_pool1d(values[:, None], 2 * _REACH + 1, stride=1, padding=_REACH)[:, 0]


def _levels(images: Tensor) -> Tensor:
    """`[batch, pixels]`: the nearest of the 256 levels."""
    return images.flatten(1).round().clamp(0, _LEVELS - 1).long()


def _cumulative(levels: Tensor, fill: int) -> Tensor:
    batch = len(levels)
    rows = _LEVELS * torch.arange(batch, device=levels.device)[:, None]
    counts = torch.bincount((levels + rows).flatten(), minlength=_LEVELS * batch)
    counts = counts.view(batch, _LEVELS)
    counts[:, fill] = 0
    sums = counts.cumsum(1)
    return (sums / sums[:, -1:].clamp(min=1)).to(torch.float32)
