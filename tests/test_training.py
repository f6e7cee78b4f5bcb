from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from pneumoscope.core.errors import RecipeError, TrainingError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import (
    AugmentRecipe,
    BalanceRecipe,
    ModelRecipe,
    OptimizerRecipe,
    PreprocessRecipe,
    ProbePhase,
)
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import build_catalogue
from pneumoscope.data.layouts import recognise
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.models.classifier import build_classifier, evaluating, seeded
from pneumoscope.models.head import Head
from pneumoscope.models.zoo import Backbone, require_feature_maps
from pneumoscope.training import precision
from pneumoscope.training.allocator import keep_freed_memory
from pneumoscope.training.balance import label_weights
from pneumoscope.training.features import Embedder
from pneumoscope.training.phase import Epoch, ProbeData, run_probe


def clouds(seed: int = 0, noise: float = 1.5) -> ProbeData:
    """Two overlapping clouds of embeddings, 3 views each."""
    rng = np.random.default_rng(seed)
    truth = torch.tensor([0] * 150 + [1] * 50)
    centre = np.where(truth[:, None, None] > 0, 1.0, -1.0)
    values = torch.tensor(centre + rng.normal(0, noise, (200, 3, 8)), dtype=torch.float32)
    return ProbeData(values, truth, values[::4, :1], truth[::4])


def probe(
    data: ProbeData, *, rate: float = 1e-2, seed: int = 0, epochs: int = 30
) -> tuple[Head, list[Epoch]]:
    with seeded(0, "head"):
        head = Head(8, 2)
    history = run_probe(
        head,
        data,
        phase=ProbePhase(epochs=30, batch_size=32, patience=5),
        optimizer=OptimizerRecipe(learning_rate=1e-2),
        loss=functional.cross_entropy,
        score=lambda logits: 0.5,
        seed=seed,
        on_epoch=lambda epoch: None,
    )
    return head, history


def test_the_probe_learns_and_stops_at_its_best_epoch() -> None:
    data = clouds()
    head, history = probe(data)
    losses = [epoch.validation_loss for epoch in history]
    best = int(np.argmin(losses))
    assert losses[0] > losses[best]
    assert len(history) == 30 or len(history) - 1 - best == 5
    with evaluating(head):
        found = float(functional.cross_entropy(head(data.validation[:, 0]), data.validation_truth))
    assert found == pytest.approx(losses[best]), "the best epoch's parameters are kept"
    assert [epoch.best for epoch in history][best]


def test_the_same_seed_trains_the_same_head_to_the_last_bit() -> None:
    one, again, other = (probe(clouds(), seed=seed)[0].output.weight for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_loss_that_is_not_finite_stops_with_the_remedy() -> None:
    data = clouds()
    data.train[3, 0] = math.inf
    with pytest.raises(TrainingError, match=r"epoch 1: the loss is .*Lower optimizer"):
        probe(data)


def test_label_weights_are_scikit_learns_balanced() -> None:
    truth = torch.tensor([0] * 30 + [1] * 10 + [2] * 5)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=truth.numpy())
    weights = label_weights(BalanceRecipe(), truth, 3)
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-6)
    assert weights[truth].mean().item() == pytest.approx(1)
    assert label_weights(BalanceRecipe(method="none"), truth, 3).tolist() == [1, 1, 1]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_classifier(ModelRecipe(), ("A", "B"), seed=0).classifier.backbone


@pytest.fixture
def embedder(backbone: Backbone, phantoms: Path) -> Embedder:
    pixels = PixelCache(Preprocess(PreprocessRecipe(size=64)))
    build_catalogue(recognise(phantoms), pixels=pixels, reporter=Silent())
    return Embedder(backbone, pixels, AugmentRecipe(), 0, "float32", 8)


def some_ids(embedder: Embedder, count: int) -> list[str]:
    return sorted(embedder.pixels.image_ids)[:count]


def test_embeddings_are_the_backbones_and_belong_to_their_ids(embedder: Embedder) -> None:
    ids = some_ids(embedder, 11)
    found = embedder.embed(ids, views=2, reporter=Silent())
    assert found.image_ids == tuple(ids)
    assert found.values.shape == (11, 2, 1280)
    with evaluating(embedder.backbone):
        maps = embedder.backbone(torch.from_numpy(embedder.pixels.pixels([ids[5]])))
    np.testing.assert_allclose(found.values[5, 0], maps.mean(dim=(2, 3))[0], atol=1e-4)
    assert np.abs(found.values[:, 1] - found.values[:, 0]).max() > 1e-2


def test_embeddings_are_computed_once(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = some_ids(embedder, 9)
    first = embedder.embed(ids, views=2, reporter=Silent())
    monkeypatch.setattr(
        "pneumoscope.training.features.in_precision", lambda *_: pytest.fail("computed again")
    )
    again = embedder.embed(ids, views=2, reporter=Silent())
    assert np.array_equal(first.values, again.values)
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        embedder.embed(ids[::-1], views=2, reporter=Silent())


def test_the_backbone_is_left_as_it_was(embedder: Embedder) -> None:
    before = {name: value.clone() for name, value in embedder.backbone.state_dict().items()}
    embedder.embed(some_ids(embedder, 7), views=3, reporter=Silent())
    after = embedder.backbone.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_bfloat16_stays_near_float32(backbone: Backbone) -> None:
    pixels = torch.arange(64 * 64, dtype=torch.float32).view(1, 1, 64, 64) / 16
    low = precision.in_precision(backbone, "bfloat16")
    assert low.dtype == torch.bfloat16
    assert backbone.dtype == torch.float32
    with evaluating(backbone), evaluating(low):
        exact, near = backbone(pixels).mean(dim=(2, 3)), low(pixels).float().mean(dim=(2, 3))
    cosine = functional.cosine_similarity(exact, near).item()
    assert cosine > 0.99


def test_the_precision_timed_once_is_remembered(
    backbone: Backbone, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = {"float32": 100.0, "bfloat16": 120.0}

    def choose() -> str:
        return precision.choose_precision(
            backbone, size=64, batch_size=4, requested="auto", reporter=Silent()
        )

    monkeypatch.setattr(precision, "_images_per_second", lambda b, p, name, **_: speeds[name])
    assert choose() == "float32", "a narrow lead is not worth rounding"
    speeds["bfloat16"] = 200.0
    assert choose() == "float32", "remembered, so that a repeated run repeats"
    next((fresh_cache / "precision").iterdir()).unlink()
    assert choose() == "bfloat16"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's mallopt")
def test_the_allocator_keeps_what_is_freed() -> None:
    assert keep_freed_memory()


@pytest.mark.parametrize(("name", "size"), [("vit_tiny_patch16_224", 64), ("inception_v3", 32)])
def test_a_backbone_without_feature_maps_is_refused(name: str, size: int) -> None:
    recipe = ModelRecipe(backbone=name, weights="none")
    built = build_classifier(recipe, ("A", "B"), seed=0)
    with pytest.raises(RecipeError, match=f"model.backbone: {name}.*canvas of {size}"):
        require_feature_maps(built.classifier.backbone, size)
