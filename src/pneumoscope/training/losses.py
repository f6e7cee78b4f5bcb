"""What training minimises: cross-entropy, focal and logit-adjusted losses, one value per image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pneumoscope.core.recipe import BalanceRecipe, LossRecipe
from pneumoscope.training.balance import count_weights, drawn_counts


class Loss(nn.Module):
    """A loss per image; a batch's loss is their mean, weighted by `weights`.

    Label smoothing and label weights mean what they mean in `torch.nn.functional.cross_entropy`.
    Targets are label indices `[batch]`, or soft labels `[batch, label]` that sum to 1 (mixup).

    Args:
        label_weights: `[label]`, > 0.
        adjustment: `[label]`, added to the logits.
        label_smoothing: Share of the target spread over all labels, in [0, 1).
        gamma: Focusing parameter; 0 leaves the cross-entropy.
    """

    label_weights: Tensor
    adjustment: Tensor

    def __init__(
        self,
        label_weights: Tensor,
        adjustment: Tensor,
        *,
        label_smoothing: float = 0.0,
        gamma: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("label_weights", label_weights, persistent=False)
        self.register_buffer("adjustment", adjustment, persistent=False)
        self.label_smoothing = label_smoothing
        self.gamma = gamma

    @property
    def labels(self) -> int:
        """How many labels."""
        return len(self.label_weights)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Losses `[batch]` of logits `[batch, label]`, in nats."""
        adjusted = logits + self.adjustment
        losses = -functional.log_softmax(adjusted, dim=1)
        if self.gamma:
            losses = losses * torch.exp(self.gamma * log_complement(adjusted))
        shares = self._shares(target)
        smoothed = (1 - self.label_smoothing) * shares + self.label_smoothing / self.labels
        return (smoothed * self.label_weights * losses).sum(dim=1) / self.weights(target)

    def weights(self, target: Tensor) -> Tensor:
        """What each image counts, `[batch]`: its label's weight, for soft labels their mean."""
        weights: Tensor = self._shares(target) @ self.label_weights
        return weights

    def _shares(self, target: Tensor) -> Tensor:
        if target.ndim == 2:
            return target.to(self.label_weights.dtype)
        return functional.one_hot(target, self.labels).to(self.label_weights.dtype)


def make_loss(recipe: LossRecipe, balance: BalanceRecipe, counts: Sequence[int]) -> Loss:
    """The loss the recipe names, on the CPU.

    Args:
        recipe: `focal` is Lin et al. 2017, equation 4, with all labels of a softmax; its gamma 0 is
            the cross-entropy. `logit_adjusted` is Menon et al. 2021, equation 10: logits plus tau
            times the log of the label's frequency among the images drawn; its tau 0 is the
            cross-entropy.
        balance: `class_weights` weighs images by label in each of these losses.
        counts: Training images per label.
    """
    adjustment = torch.zeros(len(counts))
    if recipe.name == "logit_adjusted":
        drawn = torch.tensor(drawn_counts(balance, counts), dtype=torch.float32)
        # A label without images would have a prior of 0, whose logarithm no logit outweighs.
        seen = drawn.clamp(min=1)
        adjustment = recipe.tau * torch.log(seen / seen.sum())
    return Loss(
        count_weights(balance, counts),
        adjustment,
        label_smoothing=recipe.label_smoothing,
        gamma=recipe.gamma if recipe.name == "focal" else 0.0,
    )


def log_complement(logits: Tensor) -> Tensor:
    """log(1 - softmax), `[batch, label]`, of two labels or more.

    Summed over the other labels instead of subtracted from 1: exact and differentiable also where
    a probability rounds to 1.
    """
    labels = logits.shape[1]
    own = torch.eye(labels, dtype=torch.bool, device=logits.device)
    others = logits.unsqueeze(1).expand(-1, labels, -1).masked_fill(own, -torch.inf)
    return torch.logsumexp(others, dim=2) - torch.logsumexp(logits, dim=1, keepdim=True)
