from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from pneumoscope.core.errors import RecipeError
from pneumoscope.core.progress import Noting, Silent
from pneumoscope.core.recipe import ComputeRecipe, ModelRecipe, PreprocessRecipe, Recipe
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import build_catalogue
from pneumoscope.data.layouts import recognise
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.models.classifier import Classifier, build_classifier, evaluating
from pneumoscope.models.zoo import require_feature_maps
from pneumoscope.training import precision
from pneumoscope.training.allocator import keep_freed_memory
from pneumoscope.training.features import Embedder
from pneumoscope.training.frozen import Frozen, OpenVinoNetwork, choose_frozen
from pneumoscope.training.views import Views


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return build_classifier(ModelRecipe(), ("A", "B"), size=64, seed=0).classifier


@pytest.fixture
def embedder(classifier: Classifier, phantoms: Path) -> Embedder:
    pixels = PixelCache(Preprocess(PreprocessRecipe(size=64)))
    build_catalogue(recognise(phantoms), pixels=pixels, reporter=Silent())
    return Embedder(classifier, pixels, Views(Recipe()), Frozen("torch", "float32", Silent()), 8)


def some_ids(embedder: Embedder, count: int) -> list[str]:
    return sorted(embedder.pixels.image_ids)[:count]


def test_embeddings_are_the_backbones_and_belong_to_their_ids(embedder: Embedder) -> None:
    ids = some_ids(embedder, 11)
    found = embedder.embed(ids, views=2, reporter=Silent())
    assert found.image_ids == tuple(ids)
    assert found.values.shape == (11, 2, 1280)
    with evaluating(embedder.classifier):
        expected = embedder.classifier.embed(torch.from_numpy(embedder.pixels.pixels([ids[5]])))
    np.testing.assert_allclose(found.values[5, 0], expected[0], atol=1e-4)
    assert np.abs(found.values[:, 1] - found.values[:, 0]).max() > 1e-2


def test_embeddings_are_computed_once(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = some_ids(embedder, 9)
    first = embedder.embed(ids, views=2, reporter=Silent())
    monkeypatch.setattr(
        "pneumoscope.training.frozen.in_precision", lambda *_: pytest.fail("computed again")
    )
    again = embedder.embed(ids, views=2, reporter=Silent())
    assert np.array_equal(first.values, again.values)
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        embedder.embed(ids[::-1], views=2, reporter=Silent())


def test_the_backbone_is_left_as_it_was(embedder: Embedder) -> None:
    before = {name: value.clone() for name, value in embedder.classifier.state_dict().items()}
    embedder.embed(some_ids(embedder, 7), views=3, reporter=Silent())
    after = embedder.classifier.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_bfloat16_stays_near_float32(classifier: Classifier) -> None:
    backbone = classifier.backbone
    pixels = torch.arange(64 * 64, dtype=torch.float32).view(1, 1, 64, 64) / 16
    low = precision.in_precision(backbone, "bfloat16")
    assert low.dtype == torch.bfloat16
    assert backbone.dtype == torch.float32
    with evaluating(backbone), evaluating(low):
        exact, near = backbone(pixels).mean(dim=(2, 3)), low(pixels).float().mean(dim=(2, 3))
    cosine = functional.cosine_similarity(exact, near).item()
    assert cosine > 0.99


def test_the_precision_timed_once_is_remembered(
    classifier: Classifier, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = iter([100.0, 120.0, 100.0, 200.0])

    def choose() -> str:
        compute = ComputeRecipe(batch_size=4)
        return choose_frozen(
            classifier.backbone, compute, size=64, views=1, reporter=Silent()
        ).precision

    monkeypatch.setattr(precision, "_images_per_second", lambda *_, **__: next(speeds))
    assert choose() == "float32", "a narrow lead is not worth rounding"
    assert choose() == "float32", "remembered, so that a repeated run repeats"
    next((fresh_cache / "precision").iterdir()).unlink()
    assert choose() == "bfloat16"


@pytest.mark.parametrize(("number", "near"), [("float32", 1e-3), ("bfloat16", 0.1)])
def test_openvino_computes_what_torch_does(
    classifier: Classifier, number: str, near: float
) -> None:
    network = Frozen("openvino", number, Silent()).ready(classifier.backbone, size=64)
    assert isinstance(network, OpenVinoNetwork)
    pixels = torch.randint(0, 256, (5, 1, 64, 64), dtype=torch.uint8)
    with evaluating(classifier.backbone):
        expected = classifier.backbone(pixels)
    first, found = network(pixels[:2]), network(pixels)
    assert (found - expected).abs().max() < near * expected.abs().max()
    torch.testing.assert_close(first, found[:2], atol=near * 10, rtol=near)


def test_openvino_is_left_with_a_warning_where_it_answers_otherwise(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Noting(Silent())
    monkeypatch.setattr("pneumoscope.training.frozen._TOLERANCE", 0.0)
    network = Frozen("openvino", "float32", heard).ready(classifier.backbone, size=64)
    assert not isinstance(network, OpenVinoNetwork)
    assert "torch does (its answers differ by" in heard.notices[0]


def test_openvino_is_taken_where_it_pays(classifier: Classifier) -> None:
    def engine(views: int, **changes: str) -> str:
        compute = ComputeRecipe.model_validate({"precision": "float32", **changes})
        chosen = choose_frozen(
            classifier.backbone, compute, size=64, views=views, reporter=Silent()
        )
        return chosen.engine

    assert engine(100) == "torch"
    assert engine(10_000) == "openvino"
    assert engine(10_000, engine="torch") == "torch"
    assert engine(100, engine="openvino") == "openvino"


def test_timing_a_training_step_changes_nothing(classifier: Classifier, fresh_cache: Path) -> None:
    classifier.train()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    pixels = torch.zeros(4, 1, 64, 64, dtype=torch.uint8)
    precision.choose_training_precision(
        classifier, pixels, name="x", requested="auto", reporter=Silent()
    )
    after = classifier.eval().state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(parameter.grad is None for parameter in classifier.parameters())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's mallopt")
def test_the_allocator_keeps_what_is_freed() -> None:
    assert keep_freed_memory()


def test_a_canvas_too_small_for_the_backbone_is_refused() -> None:
    recipe = ModelRecipe(backbone="inception_v3", weights="none")
    built = build_classifier(recipe, ("A", "B"), size=32, seed=0)
    with pytest.raises(RecipeError, match=r"model.backbone: inception_v3.*canvas of 32"):
        require_feature_maps(built.classifier.backbone, 32)
