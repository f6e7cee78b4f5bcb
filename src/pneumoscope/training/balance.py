"""What is done about labels of unequal frequency: weights in the loss, or drawing images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pneumoscope.core.randomness import generator
from pneumoscope.core.recipe import BalanceRecipe
from pneumoscope.core.types import IntArray


def label_weights(recipe: BalanceRecipe, truth: Tensor, labels: int) -> Tensor:
    """A loss weight per label, `[label]`, whose mean over the images is 1.

    Args:
        recipe: `class_weights` weighs a label by images / (labels * images of the label), as
            scikit-learn's "balanced"; the others weigh all alike.
        truth: `[image]` label indices of the training split.
        labels: How many labels; each occurs in `truth`.
    """
    return count_weights(recipe, torch.bincount(truth, minlength=labels).tolist())


def count_weights(recipe: BalanceRecipe, counts: Sequence[int]) -> Tensor:
    """As `label_weights`, from the number of training images per label.

    A label without images is taken to have one, so that its weight is finite.
    """
    images = torch.tensor(counts, dtype=torch.float32)
    if recipe.method != "class_weights":
        return torch.ones(len(counts))
    return images.sum() / (len(counts) * images.clamp(min=1))


def drawn_counts(recipe: BalanceRecipe, counts: Sequence[int]) -> list[int]:
    """How many images of each label an epoch draws.

    Args:
        recipe: `oversample` draws every label up to the largest (or to `to`, which may also be
            fewer than there are), `undersample` down to the smallest (or to `to`, where a label
            has as many); the others draw each image once.
        counts: Training images per label; a label without any stays without.
    """
    present = [count for count in counts if count]
    if recipe.method == "oversample" and present:
        return [(recipe.to or max(present)) if count else 0 for count in counts]
    if recipe.method == "undersample" and present:
        return [min(recipe.to or min(present), count) for count in counts]
    return list(counts)


def balanced_order(
    recipe: BalanceRecipe,
    truth: IntArray,
    *,
    seed: int,
    epoch: int,
    names: Sequence[str | int] = ("order",),
) -> IntArray:
    """Indices `[drawn]` into `truth`: the training images of one epoch, shuffled.

    A label that is drawn n times has each of its images `floor(n / images)` times; only the
    remainder is drawn, without replacement.

    Args:
        recipe: How many of each label are drawn; see `drawn_counts`.
        truth: `[image]` label indices of the training split.
        seed: The run's seed.
        epoch: Another epoch has another order and other drawn images.
        names: What the order is for; another purpose has another order.
    """
    random = generator(seed, *names, epoch)
    counts = np.bincount(truth).tolist()
    wanted = drawn_counts(recipe, counts)
    if wanted == counts:
        return random.permutation(len(truth))
    parts = [
        _draw(np.flatnonzero(truth == label), count, random) for label, count in enumerate(wanted)
    ]
    return random.permutation(np.concatenate(parts))


def _draw(images: IntArray, count: int, random: np.random.Generator) -> IntArray:
    if not count:
        return images[:0]
    whole, remainder = divmod(count, len(images))
    drawn = random.choice(images, remainder, replace=False)
    return np.concatenate([np.repeat(images, whole), drawn])
