"""Backbone, pooling and head as one network, built from the recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pneumoscope.core.errors import BundleError
from pneumoscope.core.randomness import derive_seed
from pneumoscope.core.recipe import ModelRecipe
from pneumoscope.models.head import Head
from pneumoscope.models.weights import WeightsRecord, load_weights
from pneumoscope.models.zoo import Backbone, create_network, resolve, to_backbone


class Classifier(nn.Module):
    """A radiograph classifier: grey levels 0-255 in, logits out."""

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def embed(self, pixels: Tensor) -> Tensor:
        """Pooled features `[batch, features]`, float32, of pixels `[batch, 1, size, size]`."""
        maps: Tensor = self.backbone(pixels)
        return maps.to(torch.float32).mean(dim=(2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits `[batch, label]` of pixels `[batch, 1, size, size]`."""
        logits: Tensor = self.head(self.embed(pixels))
        return logits


@dataclass(frozen=True, slots=True)
class Built:
    """A classifier and where its weights came from."""

    classifier: Classifier
    weights: WeightsRecord


def build_classifier(recipe: ModelRecipe, labels: Sequence[str], *, seed: int) -> Built:
    """The network the recipe describes, weights loaded, in evaluation mode, channels last.

    Random parameters (the head, or all with `weights: none`) depend on `seed` alone.
    """
    with seeded(seed, "initial weights"):
        network, scale = create_network(recipe.backbone)
        record = load_weights(network, resolve(recipe.backbone), recipe.weights)
        backbone = to_backbone(network, recipe.backbone, scale)
        head = Head(backbone.features, len(labels), recipe.head)
    classifier = Classifier(backbone, head).eval()
    return Built(classifier.to(memory_format=torch.channels_last), record)


def rebuild_classifier(
    recipe: ModelRecipe, labels: Sequence[str], state: Mapping[str, Tensor]
) -> Classifier:
    """The classifier whose tensors a bundle holds; no pretrained weights are needed.

    Raises:
        BundleError: the tensors are not those of this network.
    """
    built = build_classifier(recipe.model_copy(update={"weights": "none"}), labels, seed=0)
    try:
        built.classifier.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"model.safetensors: not the network described ({reason}).") from error
    return built.classifier


@contextmanager
def seeded(seed: int, *names: str) -> Iterator[None]:
    """Torch's generator set for the named purpose inside the block, restored after it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, *names) % 2**63)
        yield


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside the block; the mode is restored after it."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
