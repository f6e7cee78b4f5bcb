"""Convolutions while training on a processor: the same functions, computed where they are fast.

PyTorch hands convolutions to oneDNN. Two kinds of them are slow there, and are most of what
mobile networks are made of: depthwise ones in bfloat16 (no kernel for their backward pass, many
times slower than in float32), and 1x1 ones, above all those on single pixels (squeeze and
excitation), which pay for rearranged weights and are plain matrix products otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional


@contextmanager
def fast_convolutions(network: nn.Module) -> Iterator[int]:
    """Inside the block, such convolutions of the network are computed otherwise; how many.

    Convolutions that are no plain `Conv2d` (weight standardisation, padding `same`) and those on
    a GPU stay as they are. Values differ by rounding alone.
    """
    changed = [module for module in network.modules() if type(module) is nn.Conv2d]
    changed = [module for module in changed if _is_slow(module)]
    for module in changed:
        module.forward = _faster(module)  # type: ignore[method-assign, assignment]
    try:
        yield len(changed)
    finally:
        for module in changed:
            del module.forward


def _is_slow(module: nn.Conv2d) -> bool:
    return module.weight.device.type == "cpu" and (_is_depthwise(module) or _is_product(module))


def _is_depthwise(module: nn.Conv2d) -> bool:
    return module.groups == module.in_channels > 1


def _is_product(module: nn.Conv2d) -> bool:
    plain = (module.kernel_size, module.stride, module.padding) == ((1, 1), (1, 1), (0, 0))
    return plain and module.groups == 1


def _faster(module: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    """What `module` computes, as a function of its input."""

    def depthwise(images: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return nn.Conv2d.forward(module, images.to(module.weight.dtype))

    def product(images: Tensor) -> Tensor:
        if not torch.is_autocast_enabled("cpu") and images.shape[2:] != (1, 1):
            return nn.Conv2d.forward(module, images)
        values = functional.linear(
            images.permute(0, 2, 3, 1), module.weight[:, :, 0, 0], module.bias
        )
        return values.permute(0, 3, 1, 2)

    return depthwise if _is_depthwise(module) else product
