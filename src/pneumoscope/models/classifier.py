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
from pneumoscope.models.pooling import Pooling, make_pooling
from pneumoscope.models.weights import WeightsRecord, load_weights
from pneumoscope.models.zoo import (
    Backbone,
    InputScale,
    create_network,
    require_feature_maps,
    resolve,
    to_backbone,
)


class Classifier(nn.Module):
    """A radiograph classifier: grey levels 0-255 in, logits out."""

    def __init__(self, backbone: Backbone, pooling: Pooling, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.head = head

    def embed_maps(self, maps: Tensor) -> Tensor:
        """Pooled features `[batch, features]`, float32, of maps `[batch, channel, height, width]`.

        The maps may be in any precision; pooling is done in float32.
        """
        embedding: Tensor = self.pooling(maps.to(torch.float32))
        return embedding

    def embed(self, pixels: Tensor) -> Tensor:
        """Pooled features `[batch, features]`, float32, of pixels `[batch, 1, size, size]`."""
        return self.embed_maps(self.backbone(pixels))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits `[batch, label]` of pixels `[batch, 1, size, size]`."""
        logits: Tensor = self.head(self.embed(pixels))
        return logits


@dataclass(frozen=True, slots=True)
class Built:
    """A classifier and where its weights came from."""

    classifier: Classifier
    weights: WeightsRecord


def build_classifier(recipe: ModelRecipe, labels: Sequence[str], *, size: int, seed: int) -> Built:
    """The network the recipe describes, weights loaded, in evaluation mode, channels last.

    Random parameters (the head, or all with `weights: none`) depend on `seed` alone.

    Args:
        recipe: What to build.
        labels: The label set.
        size: Side of the canvas; where pooling keeps positions, the head is as wide as it asks.
        seed: The run's seed.

    Raises:
        RecipeError: no such backbone, or no feature maps to flatten on such a canvas.
        WeightsError: the pretrained weights are missing or changed.
    """
    with seeded(seed, "initial weights"):
        network, scale = _create(recipe)
        record = load_weights(network, resolve(recipe.backbone, recipe.width), recipe.weights)
        return Built(_assemble(recipe, labels, network, scale, size), record)


def rebuild_classifier(
    recipe: ModelRecipe, labels: Sequence[str], state: Mapping[str, Tensor], *, size: int
) -> Classifier:
    """The classifier whose tensors a bundle holds; no pretrained weights are needed.

    Raises:
        BundleError: the tensors are not those of this network.
    """
    with seeded(0, "initial weights"):
        classifier = _assemble(recipe, labels, *_create(recipe), size)
    try:
        classifier.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"model.safetensors: not the network described ({reason}).") from error
    return classifier


def _create(recipe: ModelRecipe) -> tuple[nn.Module, InputScale]:
    return create_network(recipe.backbone, width=recipe.width, weights=recipe.weights)


def _assemble(
    recipe: ModelRecipe, labels: Sequence[str], network: nn.Module, scale: InputScale, size: int
) -> Classifier:
    backbone = to_backbone(network, resolve(recipe.backbone, recipe.width), scale)
    pooling = make_pooling(recipe)
    height, width = _positions(backbone, size) if recipe.pooling == "flatten" else (1, 1)
    features = pooling.features(backbone.features, height, width)
    head = Head(features, len(labels), recipe.head)
    return Classifier(backbone, pooling, head).eval().to(memory_format=torch.channels_last)


def _positions(backbone: Backbone, size: int) -> tuple[int, int]:
    """Height and width of the feature maps on a canvas of `size`."""
    with evaluating(backbone):
        require_feature_maps(backbone, size)
        maps = backbone(torch.zeros(1, 1, size, size, dtype=torch.uint8))
    return int(maps.shape[2]), int(maps.shape[3])


@contextmanager
def seeded(seed: int, *names: str | int) -> Iterator[None]:
    """Torch's generator set for the named purpose inside the block, restored after it."""
    used = bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
    number = derive_seed(seed, *names) % 2**63
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if used else []):
        # Not torch.manual_seed: where there is no GPU it also queues a call, with its stack, for
        # the day that one is used, thousands of times in a training.
        torch.default_generator.manual_seed(number)
        if used:
            torch.cuda.manual_seed(number)
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
