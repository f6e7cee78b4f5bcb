"""Where each pixel of a view comes from: one affine map per image, one bilinear resampling."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pneumoscope.core.types import FloatArray


def move(images: Tensor, matrices: FloatArray, *, fill: int) -> Tensor:
    """`[batch, 1, height, width]` moved; untouched where every matrix is the identity.

    Args:
        images: `[batch, 1, height, width]` grey levels 0-255, float32.
        matrices: `[batch, 2, 3]`, from output to input in normalised coordinates (-1 to 1).
        fill: Grey level of what comes in from outside.
    """
    theta = torch.as_tensor(matrices, dtype=torch.float32, device=images.device)
    identity = torch.tensor([[1.0, 0, 0], [0, 1, 0]], device=images.device)
    if bool((theta == identity).all()):
        return images
    grid = _grid(theta, *images.shape[-2:])
    return functional.grid_sample(images - fill, grid, align_corners=False) + fill


def _grid(theta: Tensor, height: int, width: int) -> Tensor:
    """`[batch, height, width, 2]`: where each pixel's centre comes from.

    `functional.affine_grid` multiplies a matrix for every pixel; a sum of what its row and what its
    column contributes is the same and takes a quarter of the time on a processor.
    """
    x, y = (
        (2 * torch.arange(side, dtype=theta.dtype, device=theta.device) + 1) / side - 1
        for side in (width, height)
    )
    columns = (theta[:, :, 0, None] * x + theta[:, :, 2, None]).transpose(1, 2)
    rows = (theta[:, :, 1, None] * y).transpose(1, 2)
    return rows[:, :, None] + columns[:, None]
