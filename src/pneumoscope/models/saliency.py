"""Grad-CAM inside the forward pass: logits, embedding and saliency maps at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pneumoscope.models.classifier import Classifier


class SaliencyClassifier(nn.Module):
    """What is exported: a classifier that also answers where its evidence lies.

    Head and pooling write their derivatives out as forward operations, so Grad-CAM (Selvaraju et
    al. 2017, equations 1 and 2) needs no backward pass.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, embedding and saliency maps.

        Args:
            pixels: `[batch, 1, size, size]`, uint8 grey levels.

        Returns:
            Logits `[batch, label]`; embedding `[batch, features]`; saliency maps
            `[batch, label, height, width]` at the resolution of the last feature maps, >= 0, in
            logit units: Grad-CAM times the number of positions. A channel weighs as much as the
            logit changes when it rises by 1 at every position; for average pooling and a linear
            head the mean over positions, before negative parts are cut, is the logit without its
            bias.
        """
        maps = self.classifier.backbone(pixels).to(torch.float32)
        embedding = self.classifier.embed_maps(maps)
        gradients = self.classifier.head.label_gradients(embedding)
        weights = self.classifier.pooling.channel_weights(gradients, maps, embedding)
        saliency = torch.relu(torch.einsum("blc,bchw->blhw", weights, maps))
        return self.classifier.head(embedding), embedding, saliency
