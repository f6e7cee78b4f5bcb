"""What a poorer picture lacks: sharpness, fine detail, clean levels, a whole canvas."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pneumoscope.core.types import FloatArray

_BLOCK = 8
_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
"""Quantisation steps, row by row: ITU-T T.81 (JPEG), table K.1."""
_NUDGE = 1e-3
"""Coefficients of whole grey levels often lie halfway between two steps; without it, the order of
a sum would decide which way they fall."""
_MIXERS = ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32))
"""Shifts and multipliers of lowbias32 (Wellons, *Prospecting for Hash Functions*, 2018); the second
less 2^32, the same to 32 bits, so that no product leaves 64 bits."""
_LOW = 0xFFFFFFFF


def blur(images: Tensor, deviations: FloatArray) -> Tensor:
    """Images under a Gaussian of their own standard deviation, cut at 4 of them; edges reflect.

    Args:
        images: `[batch, 1, height, width]` grey levels 0-255, float32.
        deviations: `[batch]`, pixels.
    """
    batch, _, height, width = images.shape
    reach = min(math.ceil(4 * float(deviations.max(initial=0))), height - 1, width - 1)
    offsets = np.arange(-reach, reach + 1)
    own = np.maximum(deviations, 1e-3)[:, None]
    weights = np.exp(-0.5 * (offsets / own) ** 2) * (np.abs(offsets) <= np.ceil(4 * own))
    weights /= weights.sum(axis=1, keepdims=True)
    kernels = torch.as_tensor(weights, dtype=torch.float32, device=images.device)
    padded = functional.pad(images, (reach, reach, reach, reach), mode="reflect")
    channels = padded.view(1, batch, *padded.shape[2:])
    across = functional.conv2d(channels, kernels.view(batch, 1, 1, -1), groups=batch)
    down = functional.conv2d(across, kernels.view(batch, 1, -1, 1), groups=batch)
    return down.view_as(images).clamp(0, 255)


def degrade(images: Tensor, qualities: FloatArray) -> Tensor:
    """Images that lost what a JPEG of their quality loses; not rounded to whole grey levels.

    Args:
        images: `[batch, 1, height, width]` grey levels 0-255, float32.
        qualities: `[batch]`, whole numbers 1-100; 100 leaves an image as it is.
    """
    batch, _, height, width = images.shape
    room = (0, -width % _BLOCK, 0, -height % _BLOCK)
    padded = functional.pad(images - 128, room, mode="replicate")
    rows, columns = padded.shape[2] // _BLOCK, padded.shape[3] // _BLOCK
    blocks = padded.reshape(batch, rows, _BLOCK, columns, _BLOCK).transpose(2, 3)
    basis = torch.as_tensor(_cosines(), dtype=torch.float32, device=images.device)
    steps = torch.as_tensor(_steps(qualities), dtype=torch.float32, device=images.device)
    coefficients = blocks.reshape(batch, -1, _BLOCK**2) @ basis.T / steps[:, None]
    coefficients = (coefficients + (0.5 + _NUDGE)).floor() * steps[:, None]
    blocks = (coefficients @ basis).view(batch, rows, columns, _BLOCK, _BLOCK)
    whole = blocks.transpose(2, 3).reshape(padded.shape)[:, :, :height, :width]
    lossy = torch.as_tensor(qualities < 100, device=images.device).view(-1, 1, 1, 1)
    return torch.where(lossy, whole + 128, images).clamp(0, 255)


def _cosines() -> FloatArray:
    """`[64, 64]`, a row per frequency: the orthonormal two-dimensional DCT-II of a block."""
    places, frequencies = np.arange(_BLOCK) + 0.5, np.arange(_BLOCK)[:, None]
    line = np.cos(math.pi / _BLOCK * places * frequencies) * math.sqrt(2 / _BLOCK)
    line[0] /= math.sqrt(2)
    return np.kron(line, line)


def _steps(qualities: FloatArray) -> FloatArray:
    """`[batch, 64]`: libjpeg's `jpeg_quality_scaling` and `jpeg_add_quant_table`, 8-bit steps."""
    scale = np.where(qualities < 50, np.floor(5000 / qualities), 200 - 2 * qualities)[:, None]
    return np.clip(np.floor((np.array(_LUMINANCE) * scale + 50) / 100), 1, 255)


def add_noise(images: Tensor, drawn: FloatArray) -> Tensor:
    """Images with Gaussian noise, the same for the same key on every device and in every batch.

    Args:
        images: `[batch, 1, height, width]` grey levels 0-255, float32.
        drawn: `[batch, 2]`, see `Draws.noise`.
    """
    deviations = torch.as_tensor(drawn[:, 0], dtype=torch.float32, device=images.device)
    keys = torch.as_tensor(drawn[:, 1].astype(np.int64), device=images.device)
    pattern = _normal(keys, images[0].numel() if len(images) else 0).view_as(images)
    return (images + pattern * deviations.view(-1, 1, 1, 1)).clamp(0, 255)


def _normal(keys: Tensor, count: int) -> Tensor:
    """`[batch, count]` standard normal numbers: a hash of key and place, by Box and Muller (1958).

    Sixteen bits a uniform number: none lies beyond 4.9 standard deviations.
    """
    places = _mix(torch.arange((count + 1) // 2, device=keys.device))
    bits = _mix(places ^ keys[:, None])
    radius = ((bits >> 16).to(torch.float32) + 0.5).div_(2**16).log_().mul_(-2).sqrt_()
    angle = (bits & 0xFFFF).to(torch.float32).mul_(2 * math.pi / 2**16)
    return torch.cat([angle.cos().mul_(radius), angle.sin().mul_(radius)], dim=1)[:, :count]


def _mix(numbers: Tensor) -> Tensor:
    """Each number below 2^32 to another, one to one."""
    mixed = numbers.clone()
    for shift, multiplier in _MIXERS:
        mixed ^= mixed >> shift
        mixed *= multiplier
        mixed &= _LOW
    mixed ^= mixed >> 16
    return mixed


def erase(images: Tensor, rectangles: FloatArray) -> Tensor:
    """Images with one rectangle each of their mean grey level.

    Args:
        images: `[batch, 1, height, width]` grey levels 0-255, float32.
        rectangles: `[batch, 4]`: top, left, height, width as fractions of the canvas.
    """
    boxes = torch.as_tensor(rectangles, dtype=torch.float32, device=images.device)
    top, left, tall, wide = boxes.view(-1, 4, 1).unbind(1)
    rows, columns = (
        (torch.arange(size, device=images.device) + 0.5) / size for size in images.shape[2:]
    )
    within_rows = (rows >= top) & (rows < top + tall)
    within_columns = (columns >= left) & (columns < left + wide)
    inside = (within_rows[:, :, None] & within_columns[:, None, :])[:, None]
    return torch.where(inside, images.mean(dim=(1, 2, 3), keepdim=True), images).clamp(0, 255)
