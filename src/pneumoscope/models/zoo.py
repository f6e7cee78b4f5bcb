"""Backbones by name: any timm network, created without its own head or pooling."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from pneumoscope.core.errors import RecipeError

# The names people know, mapped to timm's.
NAMES: dict[str, str] = {"EfficientNet-Lite0": "tf_efficientnet_lite0"}


@dataclass(frozen=True, slots=True)
class InputScale:
    """How a backbone's weights want grey levels 0-255: `(grey / 255 - mean) / std`.

    One value per channel; a backbone whose channels agree takes one grey channel instead.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def uniform(self) -> bool:
        """Whether all channels share mean and standard deviation."""
        return len(set(self.mean)) == 1 and len(set(self.std)) == 1


class Backbone(nn.Module):
    """A pretrained feature extractor: grey levels in, feature maps out.

    Args:
        network: A timm network with `forward_features`.
        name: Its timm name.
        scale: The input scale of its weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, name: str, scale: InputScale) -> None:
        super().__init__()
        self.network = network
        self.name = name
        self.features = int(network.num_features)  # type: ignore[arg-type]
        self.register_buffer("mean", torch.tensor(scale.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(scale.std).view(1, -1, 1, 1), persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        """The precision the network's weights are in."""
        return next(self.network.parameters()).dtype

    def forward(self, pixels: Tensor) -> Tensor:
        """Feature maps `[batch, features, height, width]`.

        Args:
            pixels: `[batch, 1, size, size]` grey levels 0-255, uint8 or floating.
        """
        images = (pixels.to(torch.float32) / 255 - self.mean) / self.std
        images = images.to(self.dtype)
        maps: Tensor = self.network.forward_features(images)  # type: ignore[operator]
        return maps


def resolve(name: str) -> str:
    """The timm name for `name`.

    Raises:
        RecipeError: no such backbone; the closest names are given.

    >>> resolve("EfficientNet-Lite0")
    'tf_efficientnet_lite0'
    """
    import timm

    known = timm.list_models()
    timm_name = NAMES.get(name, name)
    if timm_name in known:
        return timm_name
    close = difflib.get_close_matches(name, [*NAMES, *known], n=3)
    hint = f"did you mean {', '.join(close)}?" if close else "see timm.list_models()."
    raise RecipeError(f"model.backbone: '{name}' is no backbone; {hint}")


def create_network(name: str) -> tuple[nn.Module, InputScale]:
    """The timm network `name` with random weights, and the input scale of its pretrained ones."""
    import timm

    network = timm.create_model(resolve(name), pretrained=False, num_classes=0, global_pool="")
    config = network.pretrained_cfg
    return network, InputScale(tuple(config["mean"]), tuple(config["std"]))


def to_backbone(network: nn.Module, name: str, scale: InputScale) -> Backbone:
    """The backbone that takes one grey channel.

    Where all channels share mean and standard deviation, the stem's filters are summed over their
    input channels: exact, also at the zero-padded border, at a third of the stem's cost. Elsewhere
    the grey channel is normalised three ways and the stem stays.
    """
    stem = network.get_submodule(_stem_name(network))
    if scale.uniform and isinstance(stem, nn.Conv2d) and stem.in_channels == len(scale.mean):
        stem.weight = nn.Parameter(stem.weight.detach().sum(dim=1, keepdim=True))
        stem.in_channels = 1
        scale = InputScale(scale.mean[:1], scale.std[:1])
    return Backbone(network, resolve(name), scale)


def require_feature_maps(backbone: Backbone, size: int) -> None:
    """Refuse a backbone that gives no feature maps `[batch, features, height, width]` at `size`.

    Raises:
        RecipeError: transformers and others whose features are no maps, or a canvas too small.
    """
    pixels = torch.zeros(1, 1, size, size, dtype=torch.uint8)
    try:
        with torch.inference_mode():
            shape = tuple(backbone(pixels).shape)
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        raise RecipeError(_no_maps(backbone, size, "fails")) from error
    if len(shape) != 4 or shape[1] != backbone.features or 0 in shape:
        raise RecipeError(_no_maps(backbone, size, f"gives {list(shape)}"))


def _no_maps(backbone: Backbone, size: int, what: str) -> str:
    return (
        f"model.backbone: {backbone.name} {what} on a canvas of {size} x {size}; feature maps "
        f"[1, {backbone.features}, height, width] are needed. Choose a convolutional backbone or "
        "another preprocess.size."
    )


def _stem_name(network: nn.Module) -> str:
    config = cast("Mapping[str, Any]", network.pretrained_cfg)
    first = config.get("first_conv") or ""
    return str(first[0] if isinstance(first, (tuple, list)) else first)
