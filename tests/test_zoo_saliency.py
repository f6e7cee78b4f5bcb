from __future__ import annotations

from collections.abc import Iterator

import pytest
import timm
import torch
from torch import Tensor, nn

from pneumoscope.core.recipe import Dense, ModelRecipe
from pneumoscope.models.classifier import Classifier, build_classifier, evaluating
from pneumoscope.models.names import NAMES
from pneumoscope.models.saliency import SaliencyClassifier
from pneumoscope.models.scratch import SCRATCH
from pneumoscope.models.zoo import resolve

FAMILIES: list[tuple[str, float | None, int]] = [
    *((name, None, 128) for name in SCRATCH),
    ("DenseNet121", None, 64),
    ("MobileNetV2", 0.35, 64),
    ("MobileNetV2", 1.1, 64),
    ("MobileNetV3Small", 0.5, 64),
    ("MobileNetV3Large", 0.75, 64),
    ("VGG16", None, 64),
    ("ResNet50", None, 64),
    ("ResNet50V2", None, 64),
    ("EfficientNetB0", None, 64),
    ("EfficientNet-Lite0", None, 64),
    ("InceptionV3", None, 112),
    ("Xception", None, 64),
    ("InceptionResNetV2", None, 112),
    ("NASNet", None, 64),
    ("ConvNeXt-Tiny", None, 64),
    ("ViT", None, 64),
    ("ViT-Tiny", None, 96),
    ("swin_tiny_patch4_window7_224", None, 64),
]
"""Every architecture among the known names, in its smallest form, and one with channels last."""

LABELS = ("A", "B", "C")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def grey(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (2, 1, size, size), dtype=torch.uint8, generator=generator)


def settled(classifier: Classifier, pixels: Tensor) -> Classifier:
    """Statistics of these pixels: random weights alone let activations fade (or, once, explode)."""
    for part in classifier.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.train().momentum = 1.0
    with torch.no_grad():
        classifier.embed(pixels)
    return classifier.eval()


def answers_with_maps(classifier: Classifier, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and the backbone's feature maps that they came from, with their graph."""
    seen: list[Tensor] = []

    def see(_: nn.Module, __: object, maps: Tensor) -> Tensor:
        seen.append(maps.detach().requires_grad_())
        return seen[0]

    hook = classifier.backbone.register_forward_hook(see)
    try:
        return classifier(pixels), seen[0]
    finally:
        hook.remove()


def grad_cam(logits: Tensor, maps: Tensor) -> Tensor:
    """Selvaraju et al. 2017, equations 1 and 2, by backward pass, for each image and label."""
    rows = []
    for label in range(logits.shape[1]):
        gradient = torch.autograd.grad(logits[:, label].sum(), maps, retain_graph=True)[0]
        rows.append(torch.relu((gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)))
    return torch.stack(rows, dim=1).detach()


@pytest.mark.parametrize(("name", "width", "size"), FAMILIES)
def test_saliency_of_every_family_is_grad_cam(name: str, width: float | None, size: int) -> None:
    recipe = ModelRecipe(
        backbone=name, width=width, weights="none", head=(Dense(dense=8, activation="gelu"),)
    )
    pixels = grey(size)
    built = build_classifier(recipe, LABELS, size=size, seed=1).classifier
    classifier = settled(built, pixels)
    logits, maps = answers_with_maps(classifier, pixels)
    expected = grad_cam(logits, maps) * maps.shape[2] * maps.shape[3]
    with evaluating(classifier):
        ours, embedding, saliency = SaliencyClassifier(classifier)(pixels)
    largest = float(expected.max())
    assert largest > 0
    torch.testing.assert_close(saliency, expected, rtol=0, atol=1e-4 * largest)
    torch.testing.assert_close(ours, logits.detach(), rtol=1e-4, atol=1e-5)
    assert embedding.shape == (2, classifier.backbone.features)


def test_no_architecture_is_left_out() -> None:
    taken = {
        timm.model_entrypoint(resolve(*row[:2])).__module__ for row in FAMILIES[len(SCRATCH) :]
    }
    assert {timm.model_entrypoint(name).__module__ for name in NAMES.values()} <= taken
