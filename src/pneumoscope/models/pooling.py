"""From feature maps to an embedding, and back from embedding gradients to Grad-CAM's weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pneumoscope.core.recipe import ModelRecipe

_SMALLEST = 1e-6


class Pooling(nn.Module):
    """Base of all poolings: one number per channel, moved by a channel's positions together."""

    def features(self, channels: int, height: int, width: int) -> int:  # noqa: ARG002
        """Width of the embedding of feature maps `[channels, height, width]`."""
        return channels

    def forward(self, maps: Tensor) -> Tensor:
        """The embedding `[batch, features]` of float32 feature maps."""
        raise NotImplementedError

    def channel_weights(
        self,
        gradients: Tensor,
        maps: Tensor,  # noqa: ARG002
        embedding: Tensor,  # noqa: ARG002
    ) -> Tensor:
        """Each logit's derivative by the feature maps, summed over positions.

        Grad-CAM's channel weights are this over the number of positions (Selvaraju et al. 2017,
        equation 1). Average, maximum and their mean share their derivative out among the
        positions, so its sum is the embedding's gradient.

        Args:
            gradients: By the embedding, `[batch, label, features]`.
            maps: Feature maps `[batch, channel, height, width]`, float32.
            embedding: This pooling of them, `[batch, features]`.

        Returns:
            `[batch, label, channel]`.
        """
        return gradients


class AveragePooling(Pooling):
    """The mean over positions."""

    def forward(self, maps: Tensor) -> Tensor:
        """The embedding `[batch, channel]`."""
        return maps.mean(dim=(2, 3))


class MaximumPooling(Pooling):
    """The largest value over positions."""

    def forward(self, maps: Tensor) -> Tensor:
        """The embedding `[batch, channel]`."""
        return maps.amax(dim=(2, 3))


class AverageMaximumPooling(Pooling):
    """The mean of average and maximum."""

    def forward(self, maps: Tensor) -> Tensor:
        """The embedding `[batch, channel]`."""
        return (maps.mean(dim=(2, 3)) + maps.amax(dim=(2, 3))) / 2


class GeneralizedMeanPooling(Pooling):
    """The p-th root of the mean p-th power, p learned (Radenovic et al. 2018, equation 3).

    p = 1 is the average of what is positive, p towards infinity the maximum.
    """

    def __init__(self) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.full((1,), 3.0))

    def forward(self, maps: Tensor) -> Tensor:
        """The embedding `[batch, channel]`, >= 1e-6."""
        positive = maps.clamp(min=_SMALLEST)
        power = self._power()
        # The mean does not depend on this scale, which keeps the powers from leaving float32.
        largest = positive.detach().amax(dim=(2, 3), keepdim=True)
        mean = (positive / largest).pow(power).mean(dim=(2, 3))
        return largest.flatten(1) * mean.pow(1 / power)

    def channel_weights(self, gradients: Tensor, maps: Tensor, embedding: Tensor) -> Tensor:
        """As `Pooling.channel_weights`: d e / d x = (x / e)^(p - 1) / positions, where x > 1e-6."""
        share = (maps / embedding[:, :, None, None]).clamp(min=0).pow(self._power() - 1)
        slope = torch.where(maps >= _SMALLEST, share, 0.0).mean(dim=(2, 3))
        return gradients * slope.unsqueeze(1)

    def extra_repr(self) -> str:
        """The power, so that what is kept under the pooling's name is kept for this power."""
        return f"power={self.power.item()}"

    def _power(self) -> Tensor:
        return self.power.clamp(min=1)


class Flatten(Pooling):
    """Every position of every channel."""

    def features(self, channels: int, height: int, width: int) -> int:
        """Width of the embedding: all values of the maps."""
        return channels * height * width

    def forward(self, maps: Tensor) -> Tensor:
        """The embedding `[batch, channel * height * width]`."""
        return maps.flatten(1)

    def channel_weights(
        self,
        gradients: Tensor,
        maps: Tensor,
        embedding: Tensor,  # noqa: ARG002
    ) -> Tensor:
        """As `Pooling.channel_weights`: a channel's gradients summed."""
        batch, labels, _ = gradients.shape
        return gradients.reshape(batch, labels, maps.shape[1], -1).sum(dim=3)


POOLINGS: dict[str, Callable[[], Pooling]] = {
    "avg": AveragePooling,
    "max": MaximumPooling,
    "avgmax": AverageMaximumPooling,
    "gem": GeneralizedMeanPooling,
    "flatten": Flatten,
}


def make_pooling(recipe: ModelRecipe) -> Pooling:
    """The pooling the recipe names."""
    return POOLINGS[recipe.pooling]()
