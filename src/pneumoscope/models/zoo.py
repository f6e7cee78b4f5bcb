"""Backbones by name: any timm network or small one, grey levels in, feature maps out."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pneumoscope.core.errors import RecipeError
from pneumoscope.models.names import NAMES, WIDTHS, key, known_name
from pneumoscope.models.scratch import SCRATCH, scratch_name
from pneumoscope.models.trace import FAILURES, config_of, stem_of, trace


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


XRV_SCALE = InputScale((0.5,), (1 / 2048,))
"""Grey levels 0-255 to [-1024, 1024]: what `torchxrayvision.utils.normalize` gives."""


class Backbone(nn.Module):
    """A feature extractor: grey levels in, feature maps out.

    Args:
        network: A timm network with `forward_features`, or one like it.
        name: Its timm name.
        scale: The input scale of its weights.

    Attributes:
        features: Channels of the feature maps, as measured.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, name: str, scale: InputScale) -> None:
        super().__init__()
        self.network = network
        self.name = name
        self.prefix_tokens = int(getattr(network, "num_prefix_tokens", 0))
        self.channels_at_end = False
        self.features = self._measure()
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
        images = self.scaled(pixels).to(self.dtype)
        return self.to_maps(self.network.forward_features(images))  # type: ignore[operator]

    def scaled(self, pixels: Tensor) -> Tensor:
        """The network's input, `[batch, 1 or 3, size, size]` float32, of grey levels 0-255."""
        return (pixels.to(torch.float32) / 255 - self.mean) / self.std

    def to_maps(self, features: Tensor) -> Tensor:
        """Feature maps `[batch, features, height, width]` of what `forward_features` gives.

        Tokens `[batch, token, features]` lose class and register tokens and become a square grid;
        maps with channels at the end are permuted.
        """
        if features.ndim == 3:
            tokens = features[:, self.prefix_tokens :]
            side = math.isqrt(tokens.shape[1])
            shape = (tokens.shape[0], tokens.shape[2], side, side)
            return tokens.transpose(1, 2).reshape(shape)
        return features.permute(0, 3, 1, 2) if self.channels_at_end else features

    def _measure(self) -> int:
        """Channels of the maps; timm's own `num_features` where they cannot be measured."""
        told = int(getattr(self.network, "num_features", 0))
        try:
            size = int(config_of(self.network)["input_size"][-1])
            shape = trace(self.network, size).shape
            self.channels_at_end = len(shape) == 4 and shape[3] == told != shape[1]
            return int(self.to_maps(torch.empty(shape, device="meta")).shape[1])
        except FAILURES:
            return told


def resolve(name: str, width: float | None = None) -> str:
    """The timm name, or small network's name, for `name`.

    Args:
        name: A timm name, with or without its tag, or a name people know, in any case.
        width: Width multiplier, for backbones that come in several.

    Raises:
        RecipeError: no such backbone (the closest names are given), or not in this width.

    >>> resolve("EfficientNet-Lite0"), resolve("mobilenetv2", 0.35)
    ('tf_efficientnet_lite0', 'mobilenetv2_035')
    """
    if width is None and (small := scratch_name(name)):
        return small  # without timm, which takes seconds to import
    import timm

    listed = timm.list_models()
    known = known_name(name)
    if width is not None:
        return _in_width(known or name, width)
    if name in listed:
        return name
    if known:
        return NAMES[known]
    tagged = timm.list_pretrained(f"{name.partition('.')[0]}.*") if "." in name else []
    if name in tagged:
        return name
    raise RecipeError(_unknown(name, [*NAMES, *SCRATCH, *listed, *tagged]))


def create_network(
    name: str, *, width: float | None = None, weights: str = "imagenet"
) -> tuple[nn.Module, InputScale]:
    """The network `name` with random weights, and the input scale that its weights want.

    What `forward_features` does not run (classifiers, VGG's dense layers) is left out.

    Args:
        name: As `resolve` takes it.
        width: As `resolve` takes it.
        weights: Where its weights will come from (or came from, for a bundle): `xrv:` has an input
            scale of its own, all others that of the backbone.

    Raises:
        RecipeError: no such backbone.
    """
    timm_name = resolve(name, width)
    network = new_network(timm_name)
    for part in _unused(timm_name):
        setattr(network, part, nn.Identity())
    config = config_of(network)
    if weights.startswith("xrv:"):
        return network, XRV_SCALE
    return network, InputScale(tuple(config["mean"]), tuple(config["std"]))


def new_network(timm_name: str) -> nn.Module:
    """The network as its project makes it, without classifier and pooling.

    Those with a fixed canvas are made to take any that their patches divide. VGG's dense layers,
    which feature maps do not need, are made small: in full they take 0.5 GB and seconds.
    """
    if timm_name in SCRATCH:
        return SCRATCH[timm_name]()
    # Some cannot do without their pooling, which is not run anyway.
    for options in ({"global_pool": "", **_any_canvas(timm_name)}, {"global_pool": ""}, {}):
        if (network := _made(timm_name, options)) is not None:
            return network
    raise RecipeError(f"model.backbone: {timm_name} cannot be made without its classifier.")


def to_backbone(network: nn.Module, name: str, scale: InputScale) -> Backbone:
    """The backbone that takes one grey channel.

    Where it is exact, the stem takes one channel too, at a third of its cost (see `grey_stem`).
    Elsewhere the grey channel is normalised three ways and the stem stays.
    """
    return Backbone(network, resolve(name), grey_stem(network, scale))


def grey_stem(network: nn.Module, scale: InputScale) -> InputScale:
    """Let the stem take one grey channel where that is exact; the input scale it then wants.

    Its filters are summed over their input channels. Where all channels share mean and standard
    deviation that is exact, also at a zero-padded border. Where they do not, what differs is
    linear: it goes into filters and bias, exact only where the stem has a bias and pads nothing.
    A stem that takes one channel already is left as it is.
    """
    stem = stem_of(network)
    grey = None if stem is None else _grey_scale(stem, scale)
    if stem is None or grey is None:
        return scale
    if stem.in_channels == 3:
        mean, std = (torch.tensor(value).view(1, -1, 1, 1) for value in (scale.mean, scale.std))
        weight = stem.weight.detach()
        if stem.bias is not None and not scale.uniform:
            offset = (weight * ((grey.mean[0] - mean) / std)).sum(dim=(1, 2, 3))
            stem.bias = nn.Parameter(stem.bias.detach() + offset)
        summed = (weight * (grey.std[0] / std)).sum(dim=1, keepdim=True)
        stem.weight = nn.Parameter(summed)
        stem.in_channels = 1
    return grey


def require_feature_maps(backbone: Backbone, size: int) -> None:
    """Refuse a backbone that gives no feature maps `[batch, features, height, width]` at `size`.

    Raises:
        RecipeError: its features are no maps, or the canvas is too small or no multiple of its
            patches.
    """
    pixels = torch.zeros(1, 1, size, size, dtype=torch.uint8)
    try:
        with torch.inference_mode():
            shape = tuple(backbone(pixels).shape)
    except FAILURES as error:
        raise RecipeError(_no_maps(backbone, size, "fails")) from error
    if len(shape) != 4 or shape[1] != backbone.features or 0 in shape:
        raise RecipeError(_no_maps(backbone, size, f"gives {list(shape)}"))


def _no_maps(backbone: Backbone, size: int, what: str) -> str:
    return (
        f"model.backbone: {backbone.name} {what} on a canvas of {size} x {size}; feature maps "
        f"[1, {backbone.features}, height, width] are needed. Choose another preprocess.size "
        "(transformers: a multiple of their patch) or another backbone."
    )


def _any_canvas(timm_name: str) -> dict[str, Any]:
    import timm

    if timm_name.startswith("vgg"):
        return {"mlp_ratio": 1 / 4096}
    if not timm.get_pretrained_cfg(timm_name).fixed_input_size:
        return {}
    return {"strict_img_size": False} if "swin" in timm_name else {"dynamic_img_size": True}


def _made(timm_name: str, options: dict[str, Any]) -> nn.Module | None:
    import timm

    try:
        network: nn.Module = timm.create_model(
            timm_name, pretrained=False, num_classes=0, **options
        )
    except (TypeError, AssertionError):
        return None
    return network


def _unknown(name: str, known: Sequence[str]) -> str:
    by_key = {key(other): other for other in reversed(known)}
    close = [by_key[other] for other in difflib.get_close_matches(key(name), by_key, n=3)]
    hint = f"did you mean {', '.join(close)}?" if close else "see timm.list_models()."
    return f"model.backbone: '{name}' is no backbone; {hint}"


def _in_width(name: str, width: float) -> str:
    widths = WIDTHS.get(name, {})
    found = next((timm_name for at, timm_name in widths.items() if math.isclose(at, width)), None)
    if found is not None:
        return found
    if widths:
        given = ", ".join(f"{at:g}" for at in widths)
        raise RecipeError(f"model.width: {width:g}; {name} comes in {given}. Choose one of these.")
    several = ", ".join(WIDTHS)
    raise RecipeError(
        f"model.width: {width:g}; {name} comes in one width (in several: {several}). Leave it out."
    )


def _grey_scale(stem: nn.Conv2d, scale: InputScale) -> InputScale | None:
    if scale.uniform:
        return InputScale(scale.mean[:1], scale.std[:1])
    unpadded = type(stem) is nn.Conv2d and stem.padding in ("valid", (0, 0))
    if not unpadded or stem.bias is None:
        return None
    mean, std = (sum(value) / len(value) for value in (scale.mean, scale.std))
    return InputScale((mean,), (std,))


@functools.cache
def _unused(timm_name: str) -> tuple[str, ...]:
    """The parts with parameters that `forward_features` never calls.

    Only if it gives the same without them: a part may be used without being called.
    """
    try:
        with torch.device("meta"):
            network = new_network(timm_name)
        size = int(config_of(network)["input_size"][-1])
        run = trace(network, size)
        unused = tuple(
            name
            for name, part in network.named_children()
            if name not in run.modules
            and not any(other.startswith(f"{name}.") for other in run.modules)
            and next(part.parameters(), None) is not None
        )
        for name in unused:
            setattr(network, name, nn.Identity())
        return unused if unused and trace(network, size).shape == run.shape else ()
    except FAILURES:
        return ()
