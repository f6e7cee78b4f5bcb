"""Tensors by name from a weight file: safetensors, or PyTorch's own without unpickling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pneumoscope.core.errors import WeightsError
from pneumoscope.models.checkpoint import widened

_INSIDE = ("state_dict", "model_state_dict", "model")
_BEFORE = ("backbone.network.", "module.")
"""Where a bundle keeps its backbone, and what data-parallel training puts before every name."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a network in a `.safetensors`, `.pth` or `.pt` file, by name.

    A bundle's `model.safetensors` gives those of its backbone. 16-bit ones come as float32.

    Raises:
        WeightsError: it cannot be read, or is something else.
    """
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise WeightsError(f"{path}: not a weight file; allowed: .safetensors, .pth, .pt.")
    if not path.is_file():
        raise WeightsError(f"{path}: no such file. Give the path of a weight file.")
    found = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    return widened(_of_the_network(found))


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path.name}: is not safetensors ({error}). Fetch it again.") from error


def _torch(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"{path.name}: is no weight file ({type(error).__name__}). Save a state_dict."
        ) from error
    for name in _INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path.name}: holds no tensors by name. Save a state_dict.")
    if not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path.name}: holds more than tensors. Save a state_dict.")
    return dict(content)


def _of_the_network(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _BEFORE:
        found = {
            name.removeprefix(prefix): value
            for name, value in state.items()
            if name.startswith(prefix)
        }
        if found:
            return found
    return state
