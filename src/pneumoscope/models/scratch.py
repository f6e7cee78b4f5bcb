"""Small networks, trained from random weights: one grey channel in, feature maps out.

They look like timm networks as far as the rest of the package asks: `forward_features`,
`num_features`, `pretrained_cfg`. Each group of layers is one child of `stages`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from pneumoscope.models.names import key


class ScratchNetwork(nn.Module):
    """Groups of layers in a row.

    Args:
        groups: One stage each.
        features: Channels of the last feature maps.
        size: Canvas for which its size and work are told; others are possible.
    """

    def __init__(self, groups: Sequence[nn.Module], *, features: int, size: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(*groups)
        self.num_features = features
        self.pretrained_cfg: dict[str, Any] = {
            "mean": (0.5,),
            "std": (0.5,),
            "first_conv": "stages.0.0",
            "input_size": (1, size, size),
        }

    def forward_features(self, images: Tensor) -> Tensor:
        """Feature maps `[batch, features, height, width]` of images `[batch, 1, size, size]`."""
        maps: Tensor = self.stages(images)
        return maps


def lenet5() -> ScratchNetwork:
    """LeNet-5's convolutions: 6 and 16 filters of 5x5, hyperbolic tangent, mean pooling.

    Its dense layers of 120 and 84 belong to the head, with pooling `flatten`; a canvas of 32 gives
    maps of 5x5 as in LeCun et al. 1998, section II-B. Their trained subsampling coefficients and
    the partial connection of the second layer are left out, as everywhere since.
    """
    groups = [
        nn.Sequential(nn.Conv2d(inputs, filters, 5), nn.Tanh(), nn.AvgPool2d(2))
        for inputs, filters in ((1, 6), (6, 16))
    ]
    return ScratchNetwork(groups, features=16, size=32)


def cnn3() -> ScratchNetwork:
    """Three plain convolutions of 32, 64 and 128 filters of 3x3, each halved by max pooling."""
    return _row((32, 64, 128), kernel=3, size=128)


def cnn4() -> ScratchNetwork:
    """Four convolutions of 32 to 256 filters of 3x3 with batch normalisation and max pooling."""
    return _row((32, 64, 128, 256), kernel=3, size=128, batch_norm=True)


def cnn6() -> ScratchNetwork:
    """Six convolutions of 16 to 256 filters of 3x3 with batch normalisation and max pooling."""
    return _row((16, 32, 64, 128, 256, 256), kernel=3, size=128, batch_norm=True)


def cnn4x4() -> ScratchNetwork:
    """Four convolutions of 128, 64, 32 and 16 filters of 4x4, each halved by max pooling."""
    return _row((128, 64, 32, 16), kernel=4, size=128)


SCRATCH: dict[str, Callable[[], ScratchNetwork]] = {
    "lenet5": lenet5,
    "cnn3": cnn3,
    "cnn4": cnn4,
    "cnn6": cnn6,
    "cnn4x4": cnn4x4,
}


def scratch_name(name: str) -> str | None:
    """The small network that `name` spells, if any.

    >>> scratch_name("LeNet-5")
    'lenet5'
    """
    return key(name) if key(name) in SCRATCH else None


def _row(
    filters: Sequence[int], *, kernel: int, size: int, batch_norm: bool = False
) -> ScratchNetwork:
    groups: list[nn.Module] = []
    for inputs, outputs in zip((1, *filters), filters, strict=False):
        convolution = nn.Conv2d(inputs, outputs, kernel, padding=1, bias=not batch_norm)
        norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
        groups.append(nn.Sequential(convolution, *norm, nn.ReLU(), nn.MaxPool2d(2)))
    return ScratchNetwork(groups, features=filters[-1], size=size)
