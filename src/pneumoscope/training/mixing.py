"""Mixup and CutMix: a batch mixed with itself, and its labels likewise."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional

from pneumoscope.core.randomness import generator
from pneumoscope.core.recipe import RegularizeRecipe


def mixed(
    inputs: Tensor,
    target: Tensor,
    recipe: RegularizeRecipe,
    *,
    labels: int,
    draw: tuple[int | str, ...],
) -> tuple[Tensor, Tensor]:
    """The batch and its targets, mixed with the batch turned by one; as they are without mixing.

    Where both are on, each batch is mixed one way or the other.

    Args:
        inputs: `[batch, ...]`; embeddings and activations mix as pixels do (Verma et al. 2019).
        target: `[batch]` label indices.
        recipe: Alphas of the Beta distributions (Zhang et al. 2018; Yun et al. 2019).
        labels: How many labels.
        draw: Seed and names of what is drawn.

    Returns:
        Inputs, and `[batch, label]` label probabilities, or the label indices if nothing is mixed.
    """
    cut = recipe.cutmix > 0 and inputs.ndim == 4
    if not (recipe.mixup or cut) or len(inputs) < 2:
        return inputs, target
    seed, *names = draw
    random = generator(int(seed), "mixing", *names)
    if cut and (not recipe.mixup or random.random() < 0.5):
        inputs, share = _pasted(inputs, float(random.beta(recipe.cutmix, recipe.cutmix)), random)
    else:
        share = float(random.beta(recipe.mixup, recipe.mixup))
        inputs = share * inputs + (1 - share) * inputs.roll(1, 0)
    shown = functional.one_hot(target, labels).to(inputs.dtype)
    return inputs, share * shown + (1 - share) * shown.roll(1, 0)


def _pasted(inputs: Tensor, share: float, random: np.random.Generator) -> tuple[Tensor, float]:
    height, width = inputs.shape[-2:]
    tall, wide = (round(side * (1 - share) ** 0.5) for side in (height, width))
    top, left = (int(random.integers(0, room + 1)) for room in (height - tall, width - wide))
    result = inputs.clone()
    box = (..., slice(top, top + tall), slice(left, left + wide))
    result[box] = inputs.roll(1, 0)[box]
    return result, 1 - tall * wide / (height * width)
