"""What each kind of phase trains, and from which inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.core.errors import RecipeError, StorageError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import FineTunePhase, Phase, ProbePhase, Recipe
from pneumoscope.data.cache import PixelCache
from pneumoscope.models.classifier import Classifier
from pneumoscope.models.stages import Cut, Stage, split_network, stage_parameters, stages
from pneumoscope.models.zoo import Backbone
from pneumoscope.training.activations import Activations, Recorder
from pneumoscope.training.distributed import World
from pneumoscope.training.features import Embedder
from pneumoscope.training.frozen import Frozen
from pneumoscope.training.optim import parameter_groups
from pneumoscope.training.precision import choose_training_precision
from pneumoscope.training.sources import (
    ActivationSource,
    EmbeddingSource,
    Images,
    PixelSource,
    Source,
)
from pneumoscope.training.views import Views

_BATCH_NORM = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - torch has no public name for all
_RESIDENT = 0.4
"""Part of a GPU's free memory that canvases may take."""


@dataclass(frozen=True)
class Task:
    """One phase made ready.

    Attributes:
        network: From inputs to logits; its parameters are the classifier's own.
        groups: Parameters to train, with `scale` of the learning rate and `weight_decay`.
        training_mode: Puts the network into the mode it learns in.
        precision: Of forward and backward pass.
        threads: How many to compute with; None for all.
    """

    network: nn.Module
    source: Source
    groups: Sequence[dict[str, Any]]
    training_mode: Callable[[], None]
    precision: str
    threads: int | None = None


@dataclass(frozen=True)
class Bench:
    """What all phases of a run share."""

    recipe: Recipe
    classifier: Classifier
    pixels: PixelCache
    images: Images
    validation: Images
    views: Views
    frozen: Frozen
    """Computes what is not trained."""
    world: World
    reporter: Reporter


class Front(nn.Module):
    """The frozen part of a classifier, from pixels to activations at the cut.

    Args:
        backbone: Scales the pixels.
        prefix: Of a cut through it, in any precision.
    """

    def __init__(self, backbone: Backbone, prefix: nn.Module) -> None:
        super().__init__()
        self.prefix = prefix
        self._scaled = backbone.scaled

    def forward(self, pixels: Tensor) -> Tensor:
        """Activations of pixels `[batch, 1, size, size]`."""
        images = self._scaled(pixels).to(memory_format=torch.channels_last)
        activations: Tensor = self.prefix(images.to(next(self.prefix.parameters()).dtype))
        return activations


class Tail(nn.Module):
    """The trained part of a classifier, from activations at the cut to logits."""

    def __init__(self, classifier: Classifier, cut: Cut) -> None:
        super().__init__()
        self.suffix = cut.suffix
        self.pooling = classifier.pooling
        self.head = classifier.head
        self._to_maps = classifier.backbone.to_maps

    def forward(self, activations: Tensor) -> Tensor:
        """Logits `[batch, label]`."""
        maps = self._to_maps(self.suffix(activations)).to(torch.float32)
        logits: Tensor = self.head(self.pooling(maps))
        return logits


def prepare_probe(bench: Bench, phase: ProbePhase) -> Task:
    """The head, on embeddings of the frozen backbone."""
    embedder = Embedder(
        bench.classifier,
        bench.pixels,
        bench.views,
        bench.frozen,
        bench.recipe.compute.batch_size,
        bench.world,
    )
    found, seen = (
        embedder.embed(images.ids, views=views, reporter=bench.reporter)
        for images, views in ((bench.images, phase.views), (bench.validation, 1))
    )
    source = EmbeddingSource.of(bench.images, found, bench.validation, seen, bench.world.device)
    head = bench.classifier.head
    decay = bench.recipe.optimizer.weight_decay
    groups = parameter_groups([(list(head.named_parameters()), 1.0)], decay)

    def training_mode() -> None:
        head.train()

    return Task(head, source, groups, training_mode, precision="float32", threads=1)


def prepare_fine_tuning(bench: Bench, phase: FineTunePhase) -> Task:
    """The head with the last stages, or all, of the backbone."""
    backbone = bench.classifier.backbone
    size = bench.pixels.preprocess.size
    trained = _freeze(bench, phase, size)
    cut = None if phase.last == "all" else split_network(backbone.network, phase.last, size)
    network, source = _connect(bench, phase, cut)
    names = [name for stage in trained.frozen for name in stage.modules]
    still = [backbone.network.get_submodule(name) for name in names]
    learns = phase.batch_norm == "train" or (
        phase.batch_norm == "auto" and phase.last == "all" and bench.recipe.model.weights == "none"
    )

    def training_mode() -> None:
        network.train()
        for part in still:
            part.eval()
        if not learns:
            _keep_statistics(backbone)

    training_mode()
    precision = bench.world.agreed(
        choose_training_precision(
            network,
            source.inputs(np.arange(min(phase.batch_size, len(bench.images.ids))), 1),
            name=f"{backbone.name} last {phase.last} {phase.batch_norm}",
            requested=phase.precision,
            reporter=bench.reporter,
        )
    )
    return Task(network, source, _groups(bench, phase, trained), training_mode, precision)


def require_stages(backbone: Backbone, phases: Sequence[Phase], size: int) -> None:
    """Refuse, before anything is trained, to train more stages than a backbone has.

    Raises:
        RecipeError: which phase, and how many there are.
    """
    count = len(stages(backbone.network, size))
    for number, phase in enumerate(phases):
        if isinstance(phase, FineTunePhase) and phase.last != "all" and phase.last >= count:
            raise RecipeError(
                f"phases.{number}.last: {phase.last}; {backbone.name} has {count} stages. Give 1 "
                f"to {count - 1}, or `all`."
            )


@dataclass(frozen=True)
class _Stages:
    """A backbone's stages, those that stay as they are and those that learn."""

    frozen: Sequence[Stage]
    learning: Sequence[Stage]


def _freeze(bench: Bench, phase: FineTunePhase, size: int) -> _Stages:
    """Let only the head and the last stages learn."""
    network = bench.classifier.backbone.network
    found = stages(network, size)
    count = len(found) if phase.last == "all" else phase.last
    parts = _Stages(found[: len(found) - count], found[len(found) - count :])
    for stage in found:
        for _, parameter in stage_parameters(network, stage):
            parameter.requires_grad_(stage in parts.learning)
    return parts


def _connect(bench: Bench, phase: FineTunePhase, cut: Cut | None) -> tuple[nn.Module, Source]:
    """What is trained, and the inputs it is trained on."""
    if cut is None:
        views = 0 if phase.last == "all" else phase.views
        if phase.last != "all":
            bench.reporter.say(
                f"{bench.classifier.backbone.name} is no chain of stages: its frozen part is "
                "computed again in every step."
            )
        return bench.classifier, _from_pixels(bench, views=views, front=None)
    backbone = bench.classifier.backbone
    front = Front(backbone, cut.prefix)
    compute = bench.frozen.ready(front, size=bench.pixels.preprocess.size)
    tail = Tail(bench.classifier, cut)
    recorded = _recorded(bench, phase, front, compute) if phase.views else None
    if recorded is None:
        return tail, _from_pixels(bench, views=phase.views, front=compute)
    seed, device = bench.recipe.seed, bench.world.device
    return tail, ActivationSource(bench.images, bench.validation, *recorded, seed, device)


def _recorded(
    bench: Bench, phase: FineTunePhase, front: nn.Module, compute: nn.Module
) -> tuple[Activations, Activations] | None:
    """Activations of both splits, or None, and why, where the disk has no room for them."""
    recipe, reporter = bench.recipe, bench.reporter
    recorder = Recorder(
        front,
        compute,
        str(bench.frozen),
        bench.pixels,
        bench.views,
        recipe.compute.batch_size,
        bench.world,
    )
    budget = int(phase.cache_gib * 2**30)
    needed = recorder.make_room({bench.images.ids: phase.views, bench.validation.ids: 1}, budget)
    if needed > budget:
        reporter.warn(
            f"activations of {phase.views} views would take {needed / 2**30:.1f} GiB, more than "
            f"cache_gib: {phase.cache_gib:g}. They are computed again in every epoch."
        )
        return None
    try:
        train, validation = (
            recorder.record(images.ids, views=views, reporter=reporter)
            for images, views in ((bench.images, phase.views), (bench.validation, 1))
        )
    except StorageError as error:
        reporter.warn(f"activations are computed again in every epoch: {error}")
        return None
    return train, validation


def _from_pixels(bench: Bench, *, views: int, front: nn.Module | None) -> PixelSource:
    device = bench.world.device
    resident = None
    if device.type == "cuda":
        side = bench.pixels.preprocess.size
        if len(bench.images.ids) * side**2 < _RESIDENT * torch.cuda.mem_get_info(device)[0]:
            resident = torch.from_numpy(bench.pixels.pixels(bench.images.ids)).to(device)
    return PixelSource(
        bench.images,
        bench.validation,
        bench.pixels,
        bench.views,
        bench.recipe.seed,
        device,
        views=views,
        prefix=front,
        resident=resident,
    )


def _groups(bench: Bench, phase: FineTunePhase, parts: _Stages) -> Sequence[dict[str, Any]]:
    """The head at the full rate, each stage at `layer_decay` of the one after it."""
    network = bench.classifier.backbone.network
    rates: list[tuple[Sequence[tuple[str, nn.Parameter]], float]] = [
        (stage_parameters(network, stage), phase.layer_decay**distance)
        for distance, stage in enumerate(reversed(parts.learning), start=1)
    ]
    head = [*bench.classifier.pooling.named_parameters(), *bench.classifier.head.named_parameters()]
    decay = bench.recipe.optimizer.weight_decay
    backbone = parameter_groups(rates, decay, base_rate=1.0)
    pulled = [{**group, "held": True} for group in backbone]  # by `regularize.towards_start`
    return [*pulled, *parameter_groups([(head, 1.0)], decay, base_rate=1.0)]


def _keep_statistics(backbone: nn.Module) -> None:
    for module in backbone.modules():
        if isinstance(module, _BATCH_NORM):
            module.eval()
