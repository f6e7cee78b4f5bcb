from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pneumoscope.bundle.export import check_parity, export_onnx
from pneumoscope.bundle.runtimes import RUNTIMES, open_runtime
from pneumoscope.core.errors import RecipeError
from pneumoscope.core.recipe import (
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    HeadLayer,
    LayerNorm,
    ModelRecipe,
)
from pneumoscope.models import checkpoint
from pneumoscope.models.classifier import (
    Classifier,
    build_classifier,
    evaluating,
    rebuild_classifier,
    seeded,
)
from pneumoscope.models.head import ACTIVATIONS, Head
from pneumoscope.models.pooling import POOLINGS, GeneralizedMeanPooling
from pneumoscope.models.saliency import SaliencyClassifier
from pneumoscope.models.zoo import Backbone

ACTIVATION_NAMES = tuple(ACTIVATIONS)
EVERY_LAYER: tuple[HeadLayer, ...] = (
    BatchNorm(batch_norm=True),
    *(Dense(dense=9, activation=name) for name in ACTIVATION_NAMES),
    LayerNorm(layer_norm=True),
    Dropout(dropout=0.4),
    Dense(dense=12, activation="gelu"),
    BatchNorm(batch_norm=True),
)
LAYERS: st.SearchStrategy[HeadLayer] = st.one_of(
    st.builds(Dropout, dropout=st.sampled_from([0.0, 0.5])),
    st.builds(Dense, dense=st.integers(2, 12), activation=st.sampled_from(ACTIVATION_NAMES)),
    st.just(BatchNorm(batch_norm=True)),
    st.just(LayerNorm(layer_norm=True)),
)


def gradients(function: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
    """Each output's derivative by autograd, `[batch, output, ...]`."""
    given = given.detach().requires_grad_()
    outputs = function(given)
    rows = [
        torch.autograd.grad(outputs[:, at].sum(), given, retain_graph=True)[0]
        for at in range(outputs.shape[1])
    ]
    return torch.stack(rows, dim=1)


def shaken(module: nn.Module) -> nn.Module:
    """Scales, shifts and statistics as after some training, in evaluation mode."""
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.LayerNorm)):
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.uniform_(part.bias, -1, 1)
        if isinstance(part, nn.BatchNorm1d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.2, 3)
    return module.eval()


def make_head(layers: tuple[HeadLayer, ...], features: int = 10, labels: int = 3) -> Head:
    return cast("Head", shaken(Head(features, labels, layers)))


@settings(deadline=None, max_examples=60)
@given(st.lists(LAYERS, max_size=7).map(tuple), st.integers(0, 2**31), st.sampled_from([0.5, 20.0]))
def test_label_gradients_equal_autograd(
    layers: tuple[HeadLayer, ...], seed: int, spread: float
) -> None:
    with seeded(seed, "test"):
        head = make_head(layers).double()
        embedding = torch.randn(4, 10, dtype=torch.float64) * spread
    expected = gradients(head, embedding)
    torch.testing.assert_close(head.label_gradients(embedding), expected, atol=1e-9, rtol=1e-6)


def test_label_gradients_hold_in_single_precision() -> None:
    with seeded(3, "test"):
        head, embedding = make_head(EVERY_LAYER), torch.randn(6, 10)
    expected = gradients(head, embedding)
    torch.testing.assert_close(head.label_gradients(embedding), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_each_activation_has_its_derivative_also_where_it_bends(name: Activation) -> None:
    with seeded(2, "test"):
        head = make_head((Dense(dense=10, activation=name),)).double()
    first = cast("nn.Linear", head.hidden[0])
    with torch.no_grad():
        first.weight.copy_(torch.eye(10))
        first.bias.zero_()
    embedding = torch.tensor([[-900.0, -30, -2, -1e-3, 0, 1e-3, 0.7, 2, 30, 900]]).double()
    expected = gradients(head, embedding)
    torch.testing.assert_close(head.label_gradients(embedding), expected, atol=1e-12, rtol=1e-9)
    assert head.label_gradients(embedding).isfinite().all()


def test_label_gradients_are_those_of_the_answer_in_any_mode() -> None:
    head = make_head(EVERY_LAYER)
    embedding = torch.randn(4, 10)
    expected = head.label_gradients(embedding)
    state = {name: value.clone() for name, value in head.state_dict().items()}
    head.train()
    torch.testing.assert_close(head.label_gradients(embedding), expected)
    assert all(torch.equal(value, state[name]) for name, value in head.state_dict().items())


def test_batch_normalisation_learns_from_batches_and_bears_a_single_image() -> None:
    head = Head(10, 2, (BatchNorm(batch_norm=True),)).train()
    reference = nn.BatchNorm1d(10)
    batch = torch.randn(6, 10) * 3 + 1
    torch.testing.assert_close(head(batch), head.output(reference(batch)))
    mean = cast("nn.BatchNorm1d", head.hidden[0]).running_mean
    assert mean is not None
    torch.testing.assert_close(mean, reference.running_mean)
    torch.testing.assert_close(head(batch[:1]), head.output(reference.eval()(batch[:1])))


def some_maps(seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Feature maps with negative values, ties, and a channel of zeros."""
    with seeded(seed, "maps"):
        maps = torch.randn(3, 4, 3, 5, dtype=dtype) * 2
    maps[:, 1] = 0
    maps[:, 2] = maps[:, 2].clamp(max=0.5)
    return maps


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("power", [1.0, 3.0, 12.5])
def test_channel_weights_equal_autograd(name: str, power: float) -> None:
    pooling = POOLINGS[name]().double()
    if isinstance(pooling, GeneralizedMeanPooling):
        nn.init.constant_(pooling.power, power)
    maps = some_maps()
    embedding = pooling(maps)
    assert embedding.shape == (3, pooling.features(4, 3, 5))
    outer = torch.randn(3, 2, embedding.shape[1], dtype=torch.float64)
    expected = gradients(lambda m: (outer * pooling(m).unsqueeze(1)).sum(dim=2), maps).sum((3, 4))
    found = pooling.channel_weights(outer, maps, embedding)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-6)


def test_poolings_are_what_their_names_say() -> None:
    maps = some_maps()
    average, largest = maps.mean(dim=(2, 3)), maps.flatten(2).max(dim=2).values
    assert torch.equal(POOLINGS["avg"]()(maps), average)
    assert torch.equal(POOLINGS["max"]()(maps), largest)
    torch.testing.assert_close(POOLINGS["avgmax"]()(maps), (average + largest) / 2)
    assert torch.equal(POOLINGS["flatten"]()(maps)[1, 2 * 15 + 7], maps[1, 2, 1, 2])
    cubes = maps.clamp(min=1e-6).pow(3).mean(dim=(2, 3)).pow(1 / 3)
    torch.testing.assert_close(POOLINGS["gem"]().double()(maps), cubes)
    assert repr(POOLINGS["gem"]()) == "GeneralizedMeanPooling(power=3.0)"


@pytest.mark.parametrize("level", [0.0, 1e-6, 1.0, 1e4])
@pytest.mark.parametrize("power", [-2.0, 1.0, 3.0, 40.0])
def test_the_generalised_mean_stays_finite_in_single_precision(level: float, power: float) -> None:
    pooling = GeneralizedMeanPooling()
    nn.init.constant_(pooling.power, power)
    maps = (torch.rand(2, 3, 4, 4) * level).requires_grad_()
    embedding = pooling(maps)
    embedding.sum().backward()
    assert maps.grad is not None
    assert pooling.power.grad is not None
    for value in (embedding, maps.grad, pooling.power.grad):
        assert value.isfinite().all()
    assert (embedding <= maps.amax(dim=(2, 3)).clamp(min=1e-6) * 1.001).all()
    assert (embedding >= maps.mean(dim=(2, 3)) * 0.999).all()


class Tiny(nn.Module):
    """Stands for a backbone: 5 channels at a quarter of the canvas."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv2d(1, 5, 4, stride=4)
        self.features = 5

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = torch.nn.functional.elu(self.filters(pixels.to(torch.float32) / 255))
        return maps


def tiny(name: str, layers: tuple[HeadLayer, ...], size: int = 12) -> Classifier:
    with seeded(4, "test"):
        backbone, pooling = Tiny(), POOLINGS[name]()
        nn.init.normal_(backbone.filters.weight, std=0.8)
        head = make_head(layers, pooling.features(5, size // 4, size // 4))
    return Classifier(cast("Backbone", backbone), pooling, head).eval()


def canvases(size: int = 12) -> Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (3, 1, size, size), dtype=np.uint8))


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("layers", [(), (Dense(dense=8),), EVERY_LAYER])
def test_saliency_equals_grad_cam_by_backward_pass(
    name: str, layers: tuple[HeadLayer, ...]
) -> None:
    """Selvaraju et al. 2017: weights are the mean gradient over positions, then ReLU of the sum."""
    classifier = tiny(name, layers)
    maps = classifier.backbone(canvases()).detach()
    slopes = gradients(lambda m: classifier.head(classifier.pooling(m)), maps)
    grad_cam = torch.relu((slopes.mean(dim=(3, 4), keepdim=True) * maps.unsqueeze(1)).sum(dim=2))
    logits, embedding, saliency = SaliencyClassifier(classifier)(canvases())
    torch.testing.assert_close(saliency, grad_cam * 9, atol=1e-5, rtol=1e-4)
    assert (saliency == 0).any(), "negative evidence is cut"
    torch.testing.assert_close(logits, classifier(canvases()))
    torch.testing.assert_close(embedding, classifier.embed(canvases()))


def test_saliency_is_in_logit_units() -> None:
    """Average pooling, linear head: its mean is the logit without bias, where nothing is cut."""
    classifier = tiny("avg", ())
    with torch.no_grad():
        for parameter in (classifier.head.output.weight, *classifier.backbone.parameters()):
            parameter.abs_()
    logits, _, saliency = SaliencyClassifier(classifier)(canvases())
    expected = logits - classifier.head.output.bias
    torch.testing.assert_close(saliency.mean(dim=(2, 3)), expected)


def test_maps_of_low_precision_are_pooled_in_full() -> None:
    maps = some_maps(dtype=torch.float32).to(torch.bfloat16)
    embedding = tiny("avg", ()).embed_maps(maps)
    assert embedding.dtype == torch.float32
    assert torch.equal(embedding, maps.float().mean(dim=(2, 3)))


@pytest.mark.parametrize(("name", "layers"), [("gem", EVERY_LAYER), ("flatten", ())])
def test_the_exported_graph_equals_the_network(name: str, layers: tuple[HeadLayer, ...]) -> None:
    classifier = tiny(name, layers)
    onnx = export_onnx(classifier, size=12)
    assert check_parity(classifier, onnx, canvases().numpy()).logits < 1e-4
    with evaluating(classifier):
        _, _, expected = SaliencyClassifier(classifier)(canvases())
    for runtime in RUNTIMES:
        found = open_runtime(onnx, runtime).run(canvases().numpy())
        np.testing.assert_allclose(found.saliency, expected.numpy(), atol=1e-4, rtol=1e-3)


SMALL = ModelRecipe(backbone="resnet10t", weights="none")


def test_pooling_without_parameters_leaves_the_random_parameters_as_they_are() -> None:
    def weight(name: str) -> Tensor:
        recipe = SMALL.model_copy(update={"pooling": name})
        return build_classifier(recipe, ("A", "B"), size=64, seed=1).classifier.head.output.weight

    expected = weight("avg")
    for name in ("max", "avgmax", "gem"):
        assert torch.equal(weight(name), expected)


def test_flatten_is_as_wide_as_the_maps_of_this_canvas() -> None:
    recipe = SMALL.model_copy(update={"pooling": "flatten"})
    built = build_classifier(recipe, ("A", "B"), size=70, seed=0).classifier
    with evaluating(built):
        maps = built.backbone(torch.zeros(2, 1, 70, 70))
        assert built(torch.zeros(2, 1, 70, 70)).shape == (2, 2)
    assert built.head.output.in_features == maps[0].numel() > built.backbone.features
    means = [p.running_mean for p in built.modules() if isinstance(p, nn.BatchNorm2d)]
    assert all(mean is not None and not mean.any() for mean in means), "measuring leaves no trace"
    again = rebuild_classifier(recipe, ("A", "B"), built.state_dict(), size=70)
    assert checkpoint.to_bytes(again.state_dict()) == checkpoint.to_bytes(built.state_dict())


def test_a_canvas_without_maps_to_flatten_is_refused() -> None:
    recipe = ModelRecipe(backbone="inception_v3", weights="none", pooling="flatten")
    with pytest.raises(RecipeError, match=r"model.backbone: inception_v3.*canvas of 32"):
        build_classifier(recipe, ("A", "B"), size=32, seed=0)
