"""What a network runs, found on the meta device: shapes without numbers, so in milliseconds."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

FAILURES = (
    RuntimeError, AssertionError, ValueError, IndexError, TypeError, AttributeError, KeyError,
)  # fmt: skip
"""What networks raise on inputs, or with parts, that they were not made for."""

_SAME_SHAPE = (
    nn.BatchNorm2d, nn.LayerNorm, nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU,
    nn.Hardswish,
)  # fmt: skip


@dataclass(frozen=True)
class Trace:
    """One pass of `forward_features`.

    Attributes:
        modules: Names of the modules that were called, in the order of their first call.
        shape: Of what came out.
        multiply_adds: Of all convolutions and linear layers, for one image; the matrix products
            inside attention are not counted.
    """

    modules: tuple[str, ...]
    shape: tuple[int, ...]
    multiply_adds: int


def trace(network: nn.Module, size: int) -> Trace:
    """What `network.forward_features` does with one image of `size`; the network is left alone."""
    called: dict[str, int] = {}
    shape = run_on_meta(on_meta(network), size, called)
    return Trace(tuple(called), shape, sum(called.values()))


def run_on_meta(network: nn.Module, size: int, called: dict[str, int]) -> tuple[int, ...]:
    """The shape of what a network on the meta device gives; hooks of it stay on the network.

    Args:
        network: As `on_meta` gives it.
        size: Side of the canvas.
        called: Filled with modules by name, in the order of their first call, and their
            multiply-adds.
    """
    first = next(network.parameters())
    for name, module in network.named_modules():
        if isinstance(module, _SAME_SHAPE):
            # Their shapes are found by torch's Python reference code, most of the time of a pass.
            vars(module)["forward"] = _same
        module.register_forward_hook(_noting(called, name))
        module.register_forward_pre_hook(_entering(called, name))
    images = torch.zeros(1, input_channels(network), size, size, device="meta", dtype=first.dtype)
    with torch.no_grad():
        features: Tensor = network.forward_features(images)  # type: ignore[operator]
    return tuple(features.shape)


def on_meta(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose tensors hold no numbers."""
    empty: dict[int, Any] = {
        id(parameter): nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
        for parameter in network.parameters()
    }
    empty |= {id(buffer): buffer.to("meta") for buffer in network.buffers()}
    return copy.deepcopy(network, empty).eval()


def config_of(network: nn.Module) -> Mapping[str, Any]:
    """What timm says of a network's pretrained weights; empty where it says nothing."""
    return cast("Mapping[str, Any]", getattr(network, "pretrained_cfg", None) or {})


def stem_name(network: nn.Module) -> str | None:
    """Name of the one layer that sees the image, as timm says it."""
    first = config_of(network).get("first_conv") or ()
    names = (first,) if isinstance(first, str) else tuple(first)
    return str(names[0]) if len(names) == 1 else None


def stem_of(network: nn.Module) -> nn.Conv2d | None:
    """That layer, if it is a plain convolution of one or three channels.

    Convolutions that compute their filters from their weights (weight standardisation) are not
    plain: summed weights are not summed filters there.
    """
    name = stem_name(network)
    stem = None if name is None else network.get_submodule(name)
    if not isinstance(stem, nn.Conv2d) or not _is_plain(stem):
        return None
    return stem if stem.groups == 1 and stem.in_channels in (1, 3) else None


def _is_plain(stem: nn.Conv2d) -> bool:
    if type(stem) is nn.Conv2d:
        return True
    from timm.layers import Conv2dSame

    return type(stem) is Conv2dSame


def input_channels(network: nn.Module) -> int:
    """How many channels the network's images have now: 1 or 3."""
    stem = stem_of(network)
    if stem is not None:
        return stem.in_channels
    return int(config_of(network).get("input_size", (3,))[0])


def _same(activation: Tensor, *_: object, **__: object) -> Tensor:
    return activation


def _entering(called: dict[str, int], name: str) -> Any:
    def enter(*_: object) -> None:
        called.setdefault(name, 0)

    return enter


def _noting(called: dict[str, int], name: str) -> Any:
    def note(module: nn.Module, _: object, output: object) -> None:
        if not isinstance(output, Tensor):
            return
        if isinstance(module, nn.Conv2d):
            called[name] += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            called[name] += output.numel() * module.in_features

    return note
