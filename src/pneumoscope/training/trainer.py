"""From a split catalogue and a recipe to a trained classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional

from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import Recipe
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import usable
from pneumoscope.evaluation.metrics import compute
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.models.classifier import Classifier, build_classifier
from pneumoscope.models.weights import WeightsRecord
from pneumoscope.models.zoo import require_feature_maps
from pneumoscope.training.allocator import keep_freed_memory
from pneumoscope.training.balance import label_weights
from pneumoscope.training.features import Embedder
from pneumoscope.training.phase import Epoch, Loss, ProbeData, run_probe
from pneumoscope.training.precision import choose_precision


@dataclass(frozen=True)
class Trained:
    """A trained classifier and how it came about.

    Attributes:
        history: One row per epoch: `phase`, `epoch`, `train_loss`, `validation_loss`,
            `validation_auc`, `learning_rate`, `best`.
        precision: In which the frozen backbone was run.
    """

    classifier: Classifier
    weights: WeightsRecord
    history: pl.DataFrame
    precision: str


def train_classifier(
    recipe: Recipe,
    catalogue: pl.DataFrame,
    labels: Sequence[str],
    pixels: PixelCache,
    *,
    reporter: Reporter,
    on_epoch: Callable[[Epoch], None],
) -> Trained:
    """Run the recipe's phases on the train split, stopping by the validation split.

    The calibration and test splits are not looked at.

    Raises:
        TrainingError: the loss is not finite.
        WeightsError: the pretrained weights are missing or changed.
    """
    keep_freed_memory()
    built = build_classifier(recipe.model, labels, seed=recipe.seed)
    require_feature_maps(built.classifier.backbone, recipe.preprocess.size)
    precision = choose_precision(
        built.classifier.backbone,
        size=recipe.preprocess.size,
        batch_size=recipe.compute.batch_size,
        requested=recipe.compute.precision,
        reporter=reporter,
    )
    embedder = Embedder(
        built.classifier.backbone,
        pixels,
        recipe.augment,
        recipe.seed,
        precision,
        recipe.compute.batch_size,
    )
    phase = recipe.phases[0]
    data = _probe_data(catalogue, labels, embedder, phase.views, reporter)
    epochs = run_probe(
        built.classifier.head,
        data,
        phase=phase,
        optimizer=recipe.optimizer,
        loss=_loss(recipe, data.train_truth, len(labels)),
        score=_validation_auc(labels, data),
        seed=recipe.seed,
        on_epoch=on_epoch,
    )
    history = pl.DataFrame([asdict(epoch) for epoch in epochs])
    return Trained(built.classifier, built.weights, history, precision)


def _probe_data(
    catalogue: pl.DataFrame,
    labels: Sequence[str],
    embedder: Embedder,
    views: int,
    reporter: Reporter,
) -> ProbeData:
    parts: list[Tensor] = []
    for split, count in (("train", views), ("validation", 1)):
        rows = usable(catalogue).filter(pl.col("split") == split).sort("image_id")
        found = embedder.embed(rows["image_id"].to_list(), views=count, reporter=reporter)
        truth = dict(rows.select("image_id", "label").iter_rows())
        indices = [labels.index(truth[image_id]) for image_id in found.image_ids]
        parts += [torch.from_numpy(found.values), torch.tensor(indices)]
    return ProbeData(*parts)


def _loss(recipe: Recipe, truth: Tensor, labels: int) -> Loss:
    weights = label_weights(recipe.balance, truth, labels)

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits, target, weight=weights, label_smoothing=recipe.loss.label_smoothing
        )

    return loss


def _validation_auc(labels: Sequence[str], data: ProbeData) -> Callable[[Tensor], float]:
    truth = data.validation_truth.numpy()
    count = len(truth)

    def score(logits: Tensor) -> float:
        predictions = Predictions(
            labels=tuple(labels),
            image_ids=tuple(map(str, range(count))),
            truth=truth,
            logits=logits.double().numpy(),
            probabilities=torch.softmax(logits.double(), dim=1).numpy(),
            clusters=np.arange(count),
        )
        return float(compute(predictions, np.ones((1, count)))["auc"][0])

    return score
