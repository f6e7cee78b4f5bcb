"""Saliency from the pixels themselves: what a logit loses on the way to, or without, them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pneumoscope.models.classifier import Classifier

BASELINES = (0.0, 255.0)
"""Grey levels that integrated gradients start from."""


def integrated_gradients(
    classifier: Classifier, pixels: Tensor, labels: Tensor, *, steps: int = 16
) -> Tensor:
    """Integrated gradients `[image, size, size]` (Sundararajan et al. 2017, equation 1), signed.

    The mean over a black and a white canvas to start from: from one alone, pixels of its own grey
    level (air, in a radiograph) get nothing whatever they say (Sturmfels et al. 2020). It sums to
    the logit minus the mean of the logits of both canvases.

    Args:
        classifier: In evaluation mode.
        pixels: `[image, 1, size, size]` grey levels, floating.
        labels: `[image]`, the label whose logit is explained.
        steps: Points on each way, by Gauss and Legendre.
    """
    places, weights = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros_like(pixels)
    for baseline in BASELINES:
        way = pixels - baseline
        for place, weight in zip((1 + places) / 2, weights / 2, strict=True):
            at = (baseline + float(place) * way).requires_grad_()
            logits = classifier(at).gather(1, labels[:, None])
            (gradient,) = torch.autograd.grad(logits.sum(), at)
            total += float(weight) / len(BASELINES) * way * gradient
    return total[:, 0]


def occlusion(
    classifier: Classifier, pixels: Tensor, labels: Tensor, *, windows: int = 8
) -> Tensor:
    """How much the logit falls without each pixel, `[image, size, size]`, signed.

    A square of the image's mean grey level is laid over it at places that overlap by half; a pixel
    gets the mean over the squares that hid it (Zeiler and Fergus 2014, section 4.2).

    Args:
        classifier: In evaluation mode.
        pixels: `[image, 1, size, size]` grey levels, floating.
        labels: `[image]`, the label whose logit is explained.
        windows: Squares that fit beside each other.
    """
    size = pixels.shape[-1]
    fill = pixels.mean(dim=(2, 3), keepdim=True)
    total, times = torch.zeros_like(pixels), torch.zeros_like(pixels)
    with torch.no_grad():
        whole = classifier(pixels).gather(1, labels[:, None])
        for rows, columns in _places(size, windows):
            hidden = pixels.clone()
            hidden[:, :, rows, columns] = fill
            fall = whole - classifier(hidden).gather(1, labels[:, None])
            total[:, :, rows, columns] += fall[:, :, None, None]
            times[:, :, rows, columns] += 1
    return (total / times)[:, 0]


def _places(size: int, windows: int) -> Iterator[tuple[slice, slice]]:
    side = max(size // windows, 1)
    starts = sorted({*range(0, size - side, max(side // 2, 1)), size - side})
    for top in starts:
        for left in starts:
            yield slice(top, top + side), slice(left, left + side)
