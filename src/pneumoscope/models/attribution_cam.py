"""Saliency from a network's last feature maps: the Grad-CAM family, each method a formula."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pneumoscope.core.types import FloatArray
from pneumoscope.models.classifier import Classifier

Formula = Callable[[Tensor, Tensor], Tensor]
"""A map `[image, height, width]` of feature maps and the logit's gradients by them, both
`[image, channel, height, width]`; what is negative is evidence against the label."""


def gradcam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, equations 1 and 2)."""
    return (gradients.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)


def gradcam_plus_plus(maps: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhay et al. 2018, equations 5 and 19).

    Score and exponential in its derivation cancel: a position with gradient g counts
    1 / (2 + g sum(A)) of relu(g), A the channel's map. The authors assume that maps are not
    negative; where an activation lets them be, sums below 0 count as 0, which keeps this below 1/2.
    """
    rising = torch.relu(gradients)
    total = maps.sum(dim=(2, 3), keepdim=True).clamp(min=0)
    weights = (rising / (2 + rising * total)).sum(dim=(2, 3), keepdim=True)
    return (weights * maps).sum(dim=1)


def hirescam(maps: Tensor, gradients: Tensor) -> Tensor:
    """HiResCAM (Draelos and Carin 2020): no averaging of gradients over positions."""
    return (gradients * maps).sum(dim=1)


def eigencam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Eigen-CAM (Muhammad and Yeasin 2020): the maps' first principal component.

    The same for every label. Maps are not centred, as in the paper; of the two signs that a
    singular vector can have, the one that most of the maps' sum lies on is taken.
    """
    del gradients
    rows = maps.flatten(2).transpose(1, 2)
    _, _, directions = torch.linalg.svd(rows, full_matrices=False)
    projected = (rows @ directions[:, 0, :, None]).squeeze(2)
    sign = torch.where(projected.sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    signed: Tensor = sign * projected
    return signed.reshape(-1, *maps.shape[2:])


CAMS: dict[str, Formula] = {
    "gradcam": gradcam,
    "gradcam++": gradcam_plus_plus,
    "hirescam": hirescam,
    "eigencam": eigencam,
}


def cam(classifier: Classifier, pixels: Tensor, labels: Tensor, formula: Formula) -> Tensor:
    """Maps `[image, size, size]`, >= 0: the formula's positive part, enlarged bilinearly.

    Args:
        classifier: In evaluation mode; any pooling and head, as gradients are torch's own.
        pixels: `[image, 1, size, size]` grey levels.
        labels: `[image]`, the label whose logit is explained.
        formula: One of `CAMS`.
    """
    with torch.no_grad():
        maps = classifier.backbone(pixels).to(torch.float32)
    maps = maps.detach().requires_grad_()
    logits = classifier.head(classifier.embed_maps(maps))
    (gradients,) = torch.autograd.grad(_chosen(logits, labels).sum(), maps)
    return _enlarge(torch.relu(formula(maps.detach(), gradients)), pixels.shape[-1])


def enlarge(maps: FloatArray, size: int) -> NDArray[np.float32]:
    """`[image, size, size]` float32: maps `[image, height, width]` at canvas size, bilinearly."""
    given = torch.from_numpy(np.ascontiguousarray(maps, dtype=np.float32))
    enlarged: NDArray[np.float32] = _enlarge(given, size).numpy()
    return enlarged


def _chosen(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.gather(1, labels[:, None]).squeeze(1)


def _enlarge(maps: Tensor, size: int) -> Tensor:
    shape = (size, size)
    return functional.interpolate(maps[:, None], shape, mode="bilinear", align_corners=False)[:, 0]
