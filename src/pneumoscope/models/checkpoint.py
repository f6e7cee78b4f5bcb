"""Tensors as safetensors bytes: no code, no pickle."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pneumoscope.core.errors import BundleError


def to_bytes(state: Mapping[str, Tensor]) -> bytes:
    """The tensors in safetensors form; the same tensors give the same bytes.

    A tensor of float32 takes half the room, as bfloat16, where nothing of it is lost so.
    """
    from safetensors.torch import save

    return save({name: _halved(value.detach().cpu()) for name, value in state.items()})


def _halved(value: Tensor) -> Tensor:
    half = value.bfloat16() if value.dtype == torch.float32 else value
    return (half if torch.equal(half.to(value.dtype), value) else value).contiguous()


def from_bytes(content: bytes) -> dict[str, Tensor]:
    """The tensors in safetensors `content`; bfloat16 comes as float32.

    Raises:
        BundleError: it is something else, a pickle included.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        found = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BundleError(
            f"model.safetensors: is not safetensors ({error}). Export the bundle again."
        ) from error
    return widened(found)


def widened(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, those of 16-bit floating point as float32: arithmetic is done in that."""
    half = (torch.bfloat16, torch.float16)
    return {name: value.float() if value.dtype in half else value for name, value in state.items()}
