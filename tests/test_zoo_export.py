from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from pneumoscope.bundle.export import _fitted, export_onnx
from pneumoscope.bundle.graph import check_graph
from pneumoscope.bundle.runtimes import RUNTIMES, open_runtime
from pneumoscope.core.recipe import ModelRecipe
from pneumoscope.models.classifier import Classifier, build_classifier, evaluating
from pneumoscope.models.saliency import SaliencyClassifier

FAMILIES: list[tuple[str, float | None, int]] = [
    ("lenet5", None, 64),
    ("cnn6", None, 64),
    ("MobileNetV3Small", 0.5, 64),
    ("VGG16", None, 64),
    ("ResNet50", None, 64),
    ("Xception", None, 64),
    ("ConvNeXt-Tiny", None, 64),
    ("ViT-Tiny", None, 96),
]
"""The architectures that are exported in seconds; `bench/zoo.py` exports every known backbone."""

LABELS = ("A", "B")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def grey(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (3, 1, size, size), dtype=torch.uint8, generator=generator)


def opposed(classifier: Classifier, pixels: Tensor) -> Classifier:
    """With opposite logits as large as a trained network's: there is evidence to differ in.

    Random weights may let activations fade, or let every label have evidence against it.
    """
    weight, bias = classifier.head.output.weight, classifier.head.output.bias
    with torch.no_grad():
        weight[1], bias[:] = -weight[0], 0
    with evaluating(classifier):
        largest = float(classifier(pixels).abs().max())
    with torch.no_grad():
        weight *= 3 / largest
    return classifier


@pytest.mark.parametrize(("name", "width", "size"), FAMILIES)
def test_every_family_answers_in_every_runtime(name: str, width: float | None, size: int) -> None:
    recipe = ModelRecipe(backbone=name, width=width, weights="none")
    pixels = grey(size)
    built = build_classifier(recipe, LABELS, size=size, seed=1).classifier
    classifier = opposed(built, pixels)
    shapes = {key: value.shape for key, value in classifier.state_dict().items()}
    in_place = [getattr(part, "inplace", None) for part in classifier.modules()]
    content = export_onnx(classifier, size=size)
    assert {key: value.shape for key, value in classifier.state_dict().items()} == shapes
    assert [getattr(part, "inplace", None) for part in classifier.modules()] == in_place
    check_graph(content, size=size, labels=len(LABELS))
    with evaluating(classifier):
        answers = SaliencyClassifier(classifier)(pixels)
    for runtime in RUNTIMES:
        opened = open_runtime(content, runtime, threads=1)
        for batch in (3, 1):
            found = opened.run(pixels[:batch].numpy())
            for part, whole in zip(("logits", "embedding", "saliency"), answers, strict=True):
                expected = whole[:batch].numpy()
                allowed = 1e-4 * float(np.abs(whole.numpy()).max())
                assert allowed > 0, part
                error = np.abs(getattr(found, part) - expected).max()
                assert error <= allowed, (runtime, batch, part, error, allowed)


@pytest.mark.parametrize(
    ("name", "size", "copied"),
    [
        ("ViT-Tiny", 96, True),
        ("eva02_tiny_patch14_224", 112, True),
        ("swin_tiny_patch4_window7_224", 64, False),
        ("cnn6", 64, False),
    ],
)
def test_what_is_fitted_to_the_canvas_answers_as_before(name: str, size: int, copied: bool) -> None:
    """Position embeddings are resampled before the export: OpenVINO has no antialiased resizing."""
    recipe = ModelRecipe(backbone=name, weights="none")
    classifier = build_classifier(recipe, LABELS, size=size, seed=1).classifier
    fitted = _fitted(classifier, size)
    assert (fitted is not classifier) == copied
    with evaluating(classifier), evaluating(fitted):
        expected, found = classifier(grey(size)), fitted(grey(size))
    torch.testing.assert_close(found, expected)
    assert fitted.head.output.weight is classifier.head.output.weight
    assert not classifier.training
