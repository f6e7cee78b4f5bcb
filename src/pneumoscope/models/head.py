"""The head: layers given as data, the last linear layer added for the label set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pneumoscope.core.recipe import Activation, BatchNorm, Dense, Dropout, HeadLayer

ACTIVATIONS: dict[Activation, Callable[[], nn.Module] | None] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "linear": None,
}
"""The module of each activation, with torch's own slopes; `linear` needs none."""


class Head(nn.Module):
    """Pooled features in, logits out; its input gradient is also written as a forward pass.

    Args:
        features: Width of the embedding.
        labels: How many labels.
        layers: What stands before the last linear layer.
    """

    def __init__(self, features: int, labels: int, layers: Sequence[HeadLayer] = ()) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        width = features
        for layer in layers:
            modules += _modules(layer, width)
            width = layer.dense if isinstance(layer, Dense) else width
        self.hidden = nn.ModuleList(modules)
        self.output = nn.Linear(width, labels)

    def forward(self, embedding: Tensor) -> Tensor:
        """Logits `[batch, label]` of embeddings `[batch, features]`."""
        for layer in self.hidden:
            embedding = layer(embedding)
        logits: Tensor = self.output(embedding)
        return logits

    def label_gradients(self, embedding: Tensor) -> Tensor:
        """Derivative of each logit by the embedding, `[batch, label, features]`.

        Of the head as it answers (no dropout, learned statistics), whatever mode it is in. Written
        out layer by layer backwards, so that an exported graph holds it and Grad-CAM needs no
        backward pass (Selvaraju et al. 2017, equation 1).
        """
        inputs: list[Tensor] = []
        for layer in self.hidden:
            inputs.append(embedding)
            embedding = _answer(layer, embedding)
        gradient = self.output.weight.unsqueeze(0).expand(embedding.shape[0], -1, -1)
        for layer, given in zip(reversed(self.hidden), reversed(inputs), strict=True):
            gradient = _pull_back(layer, given, gradient)
        return gradient


class BatchNormalization(nn.BatchNorm1d):
    """Batch normalisation that also takes a batch of one image while training.

    One image has no variance; it is normalised by the statistics learned so far.
    """

    running_mean: Tensor
    running_var: Tensor

    def forward(self, embedding: Tensor) -> Tensor:
        """Normalised embeddings, `[batch, features]`."""
        if self.training and embedding.shape[0] == 1:
            return self.answer(embedding)
        return super().forward(embedding)

    def answer(self, embedding: Tensor) -> Tensor:
        """Embeddings normalised by the learned statistics, `[batch, features]`."""
        return functional.batch_norm(
            embedding, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


def _modules(layer: HeadLayer, width: int) -> list[nn.Module]:
    if isinstance(layer, Dense):
        activation = ACTIVATIONS[layer.activation]
        return [nn.Linear(width, layer.dense), *([activation()] if activation else [])]
    if isinstance(layer, Dropout):
        return [nn.Dropout(layer.dropout)]
    return [BatchNormalization(width) if isinstance(layer, BatchNorm) else nn.LayerNorm(width)]


def _answer(layer: nn.Module, given: Tensor) -> Tensor:
    """What the layer gives outside training."""
    if isinstance(layer, nn.Dropout):
        return given
    result: Tensor = layer.answer(given) if isinstance(layer, BatchNormalization) else layer(given)
    return result


def _pull_back(layer: nn.Module, given: Tensor, gradient: Tensor) -> Tensor:
    """The gradient by a layer's input.

    Args:
        layer: One of the head's.
        given: Its input, `[batch, in]`.
        gradient: By its output, `[batch, label, out]`.
    """
    if isinstance(layer, nn.Dropout):
        return gradient
    if isinstance(layer, nn.Linear):
        # OpenVINO keeps one packed copy per constant and shape: a square matrix that stands in the
        # graph also transposed, as in `forward`, would be mistaken for it. Negated it is another.
        return torch.matmul(-gradient, -layer.weight)
    if isinstance(layer, nn.LayerNorm):
        return _pull_back_layer_norm(layer, given, gradient)
    if isinstance(layer, BatchNormalization):
        return gradient * (layer.weight * torch.rsqrt(layer.running_var + layer.eps))
    return gradient * _DERIVATIVES[type(layer)](given).unsqueeze(1)


def _pull_back_layer_norm(layer: nn.LayerNorm, given: Tensor, gradient: Tensor) -> Tensor:
    """The transposed Jacobian of layer normalisation times the gradient (Ba et al. 2016).

    With y = (x - mean) / std: (g - mean(g) - y mean(g y)) / std, means over the features.
    """
    centred = given - given.mean(dim=1, keepdim=True)
    inverse = torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + layer.eps)
    normal = (centred * inverse).unsqueeze(1)
    weighted = gradient * layer.weight
    along = (weighted * normal).mean(dim=2, keepdim=True)
    return (weighted - weighted.mean(dim=2, keepdim=True) - normal * along) * inverse.unsqueeze(1)


def _leaky_slope(given: Tensor) -> Tensor:
    return torch.ones_like(given).masked_fill(given <= 0, nn.LeakyReLU().negative_slope)


def _gelu_slope(given: Tensor) -> Tensor:
    """Derivative of x Phi(x): Phi(x) + x phi(x) (Hendrycks and Gimpel 2016)."""
    below = (1 + torch.erf(given / math.sqrt(2))) / 2
    return below + given * torch.exp(-given.square() / 2) / math.sqrt(2 * math.pi)


_DERIVATIVES: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.ReLU: lambda given: (given > 0).to(given.dtype),
    nn.LeakyReLU: _leaky_slope,
    nn.ELU: lambda given: torch.exp(torch.clamp(given, max=0)),
    nn.GELU: _gelu_slope,
    nn.Tanh: lambda given: 1 - torch.tanh(given).square(),
}
