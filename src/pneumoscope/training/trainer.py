"""From a split catalogue and a recipe to a trained classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.core.recipe import FineTunePhase, Phase, ProbePhase, Recipe
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import usable
from pneumoscope.evaluation.metrics import compute
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.models.classifier import Classifier, build_classifier
from pneumoscope.models.weights import WeightsRecord
from pneumoscope.models.zoo import require_feature_maps
from pneumoscope.training.allocator import keep_freed_memory
from pneumoscope.training.checkpoints import Checkpoints
from pneumoscope.training.distributed import World
from pneumoscope.training.frozen import Frozen, choose_frozen
from pneumoscope.training.loop import run_phase
from pneumoscope.training.losses import make_loss
from pneumoscope.training.phases import (
    Bench,
    Task,
    prepare_fine_tuning,
    prepare_probe,
    require_stages,
)
from pneumoscope.training.plan import Epoch, Plan
from pneumoscope.training.precision import round_weights
from pneumoscope.training.sources import Images
from pneumoscope.training.views import Views


@dataclass(frozen=True)
class Trained:
    """A trained classifier and how it came about.

    Attributes:
        classifier: On the CPU, in evaluation mode.
        history: One row per epoch: `phase`, `epoch`, `train_loss`, `validation_loss`,
            `validation_auc`, `learning_rate`, `best`.
        frozen: What computed the frozen backbone.
        phase_precisions: By number, in which the phases that say one were trained.
    """

    classifier: Classifier
    weights: WeightsRecord
    history: pl.DataFrame
    frozen: Frozen
    phase_precisions: Mapping[int, str]


def train_classifier(
    recipe: Recipe,
    catalogue: pl.DataFrame,
    labels: Sequence[str],
    pixels: PixelCache,
    *,
    checkpoints: Checkpoints,
    world: World,
    reporter: Reporter,
    on_epoch: Callable[[Epoch], None],
) -> Trained:
    """Run the recipe's phases on the train split, stopping by the validation split.

    The calibration and test splits are not looked at.

    Args:
        recipe: What to train, and how.
        catalogue: With a split.
        labels: The label set.
        pixels: Canvases of its images.
        checkpoints: Where an unfinished training goes on from, if there is one.
        world: This process and those that train with it.
        reporter: Shown what happens.
        on_epoch: Called after every new epoch.

    Raises:
        TrainingError: the loss is not finite.
        WeightsError: the pretrained weights are missing or changed.
    """
    keep_freed_memory()
    size = recipe.preprocess.size
    built = build_classifier(recipe.model, labels, size=size, seed=recipe.seed)
    require_feature_maps(built.classifier.backbone, size)
    require_stages(built.classifier.backbone, recipe.phases, size)
    parts = (_images(catalogue, split, labels) for split in ("train", "validation"))
    heard = reporter if world.first else Silent()
    bench = _bench(recipe, built.classifier, pixels, *parts, world=world, reporter=heard)
    history: list[Epoch] = []
    precisions: dict[int, str] = {}
    for number, phase in enumerate(recipe.phases):
        task = _prepare(bench, phase)
        plan = _plan(bench, task, phase, number, labels)
        if isinstance(phase, FineTunePhase):
            precisions[number] = task.precision
        history += run_phase(
            task.network,
            task.source,
            plan,
            checkpoints=checkpoints,
            world=world,
            reporter=heard,
            on_epoch=on_epoch,
        )
    classifier = built.classifier.requires_grad_().cpu().eval()
    if recipe.model.rounding == "bfloat16":
        round_weights(classifier)
    table = pl.DataFrame([asdict(epoch) for epoch in history])
    return Trained(classifier, built.weights, table, bench.frozen, precisions)


def _bench(
    recipe: Recipe,
    classifier: Classifier,
    pixels: PixelCache,
    images: Images,
    validation: Images,
    *,
    world: World,
    reporter: Reporter,
) -> Bench:
    """What the phases share; every process computes in the precision the first one chose."""
    classifier.to(world.device)
    frozen = choose_frozen(
        classifier.backbone,
        recipe.compute,
        size=recipe.preprocess.size,
        views=max(map(_frozen_views, recipe.phases)) * len(images.ids),
        reporter=reporter,
    )
    return Bench(
        recipe,
        classifier,
        pixels,
        images,
        validation,
        Views.of(recipe, images.ids, pixels),
        replace(frozen, precision=world.agreed(frozen.precision)),
        world,
        reporter,
    )


def _frozen_views(phase: Phase) -> int:
    """How often each image goes through the frozen part; there is none where all is trained."""
    if isinstance(phase, FineTunePhase):
        return 0 if phase.last == "all" else phase.views or phase.epochs
    return phase.views


def _images(catalogue: pl.DataFrame, split: str, labels: Sequence[str]) -> Images:
    rows = usable(catalogue).filter(pl.col("split") == split).sort("image_id")
    truth = np.array([labels.index(label) for label in rows["label"]], np.int64)
    return Images(tuple(rows["image_id"]), truth)


def _prepare(bench: Bench, phase: Phase) -> Task:
    if isinstance(phase, ProbePhase):
        return prepare_probe(bench, phase)
    return prepare_fine_tuning(bench, phase)


def _plan(bench: Bench, task: Task, phase: Phase, number: int, labels: Sequence[str]) -> Plan:
    recipe = bench.recipe
    counts = np.bincount(bench.images.truth, minlength=len(labels)).tolist()
    same = [other for other in recipe.phases[:number] if other.kind == phase.kind]
    return Plan(
        name=f"{phase.kind}_{len(same) + 1}" if same else phase.kind,
        number=number,
        phase=phase,
        groups=task.groups,
        loss=make_loss(recipe.loss, recipe.balance, counts).to(bench.world.device),
        score=_validation_auc(labels, bench.validation),
        training_mode=task.training_mode,
        optimizer=recipe.optimizer,
        regularize=recipe.regularize,
        balance=recipe.balance,
        seed=recipe.seed,
        precision=task.precision,
        threads=task.threads,
        compile=recipe.compute.compile,
    )


def _validation_auc(labels: Sequence[str], validation: Images) -> Callable[[Tensor], float]:
    count = len(validation.ids)

    def score(logits: Tensor) -> float:
        predictions = Predictions(
            labels=tuple(labels),
            image_ids=validation.ids,
            truth=validation.truth.astype(np.int64),
            logits=logits.double().numpy(),
            probabilities=torch.softmax(logits.double(), dim=1).numpy(),
            clusters=np.arange(count),
        )
        return float(compute(predictions, np.ones((1, count)))["auc"][0])

    return score
