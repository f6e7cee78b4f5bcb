"""One training step from pixels, to be looked at: nothing of it is cached, nothing is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.core.recipe import FineTunePhase, Phase, Recipe
from pneumoscope.core.types import IntArray
from pneumoscope.models.classifier import Classifier
from pneumoscope.models.stages import stage_parameters, stages
from pneumoscope.training.losses import make_loss
from pneumoscope.training.optim import make_optimizer


def example_step(
    classifier: Classifier,
    recipe: Recipe,
    pixels: Tensor,
    truth: IntArray,
    *,
    counts: Sequence[int],
) -> Callable[[], object]:
    """A step of the recipe's last phase on a copy of the network, to be called again and again.

    Forward, loss, backward, optimiser, in float32; a real training has what is frozen in a cache.

    Args:
        classifier: As trained; it stays as it is.
        recipe: What is trained, and how.
        pixels: `[image, 1, size, size]`, grey levels 0-255.
        truth: `[image]` label indices.
        counts: Training images of each label.
    """
    network = copy.deepcopy(classifier)
    learning = let_learn(network, recipe.phases[-1], recipe.preprocess.size)
    network.eval()
    network.head.train()
    optimizer = make_optimizer(recipe.optimizer, [{"params": learning}])
    loss = make_loss(recipe.loss, recipe.balance, list(counts))
    target = torch.from_numpy(np.asarray(truth))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(network(pixels), target).mean().backward()
        optimizer.step()

    return step


def let_learn(network: Classifier, phase: Phase, size: int) -> list[nn.Parameter]:
    """The parameters that the phase trains; no other asks for a gradient afterwards.

    Args:
        network: Changed in that.
        phase: Of a recipe.
        size: Side of a canvas.
    """
    network.requires_grad_(requires_grad=False)
    learning = [*network.pooling.parameters(), *network.head.parameters()]
    if isinstance(phase, FineTunePhase):
        backbone = network.backbone.network
        found = stages(backbone, size)
        last = len(found) if phase.last == "all" else phase.last
        learning += [p for stage in found[-last:] for _, p in stage_parameters(backbone, stage)]
    for parameter in learning:
        parameter.requires_grad_()
    return learning
