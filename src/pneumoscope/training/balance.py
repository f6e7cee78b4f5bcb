"""What is done about labels of unequal frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from pneumoscope.core.recipe import BalanceRecipe


def label_weights(recipe: BalanceRecipe, truth: Tensor, labels: int) -> Tensor:
    """A loss weight per label, `[label]`, whose mean over the images is 1.

    Args:
        recipe: `class_weights` weighs a label by images / (labels * images of the label), as
            scikit-learn's "balanced"; `none` weighs all alike.
        truth: `[image]` label indices of the training split.
        labels: How many labels; each occurs in `truth`.
    """
    if recipe.method == "none":
        return torch.ones(labels)
    counts = torch.bincount(truth, minlength=labels).to(torch.float32)
    return len(truth) / (labels * counts)
