"""Tensors as safetensors bytes: no code, no pickle."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pneumoscope.core.errors import BundleError


def to_bytes(state: Mapping[str, Tensor]) -> bytes:
    """The tensors in safetensors form; the same tensors give the same bytes."""
    from safetensors.torch import save

    return save({name: value.detach().cpu().contiguous() for name, value in state.items()})


def from_bytes(content: bytes) -> dict[str, Tensor]:
    """The tensors in safetensors `content`.

    Raises:
        BundleError: it is something else, a pickle included.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BundleError(
            f"model.safetensors: is not safetensors ({error}). Export the bundle again."
        ) from error
