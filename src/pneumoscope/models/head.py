"""The head: layers given as data, the last linear layer added for the label set."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pneumoscope.core.recipe import Dense, HeadLayer


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
            if isinstance(layer, Dense):
                modules.append(nn.Linear(width, layer.dense))
                modules += [nn.ReLU()] if layer.activation == "relu" else []
                width = layer.dense
            else:
                modules.append(nn.Dropout(layer.dropout))
        self.hidden = nn.ModuleList(modules)
        self.output = nn.Linear(width, labels)

    def forward(self, embedding: Tensor) -> Tensor:
        """Logits `[batch, label]` of embeddings `[batch, features]`."""
        for layer in self.hidden:
            embedding = layer(embedding)
        logits: Tensor = self.output(embedding)
        return logits

    def label_gradients(self, embedding: Tensor) -> Tensor:
        """Derivative of each logit by the embedding, `[batch, label, features]`, without dropout.

        Written out layer by layer backwards, so that an exported graph holds it and Grad-CAM needs
        no backward pass (Selvaraju et al. 2017, equation 1, for pooling followed by dense layers).
        """
        gates: list[Tensor | None] = []
        for layer in self.hidden:
            if not isinstance(layer, nn.Dropout):
                embedding = layer(embedding)
            gates.append(
                (embedding > 0).to(embedding.dtype) if isinstance(layer, nn.ReLU) else None
            )
        gradient = self.output.weight.unsqueeze(0).expand(embedding.shape[0], -1, -1)
        for layer, gate in zip(reversed(self.hidden), reversed(gates), strict=True):
            if gate is not None:
                gradient = gradient * gate.unsqueeze(1)
            elif isinstance(layer, nn.Linear):
                gradient = torch.matmul(gradient, layer.weight)
        return gradient
