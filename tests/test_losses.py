from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from pneumoscope.core.recipe import BalanceRecipe, LossRecipe
from pneumoscope.models.classifier import seeded
from pneumoscope.training.losses import Loss, log_complement, make_loss

COUNTS = (30, 10, 5)
WEIGHED, PLAIN = BalanceRecipe(method="class_weights"), BalanceRecipe(method="none")
Name = Literal["cross_entropy", "focal", "logit_adjusted"]
NAMES: tuple[Name, ...] = ("cross_entropy", "focal", "logit_adjusted")


def batch(seed: int = 0, images: int = 12) -> tuple[Tensor, Tensor]:
    with seeded(seed, "test"):
        return torch.randn(images, 3) * 3, torch.randint(3, (images,))


def soft(seed: int = 0, images: int = 12) -> Tensor:
    with seeded(seed, "soft"):
        return torch.softmax(torch.randn(images, 3) * 2, dim=1)


def mean(loss: Loss, logits: Tensor, target: Tensor) -> Tensor:
    """The loss of a batch, as the training loop reduces it."""
    weights: Tensor = loss.weights(target)
    total: Tensor = (weights * loss(logits, target)).sum() / weights.sum()
    return total


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([0.0, 0.1, 0.7]), st.booleans(), st.integers(0, 2**31))
def test_cross_entropy_equals_torchs(smoothing: float, weighed: bool, seed: int) -> None:
    """Torch's weighted mean with label smoothing included: it weighs the smoothed part by label."""
    loss = make_loss(LossRecipe(label_smoothing=smoothing), WEIGHED if weighed else PLAIN, COUNTS)
    expected_weights = torch.tensor([45 / (3 * n) for n in COUNTS]) if weighed else torch.ones(3)
    close(loss.label_weights, expected_weights)
    options: dict[str, Any] = {"weight": expected_weights, "label_smoothing": smoothing}
    logits, target = batch(seed)
    close(mean(loss, logits, target), functional.cross_entropy(logits, target, **options))
    summed = functional.cross_entropy(logits, target, reduction="none", **options)
    close(loss(logits, target) * loss.weights(target), summed)
    close(loss.weights(target), expected_weights[target])
    mixed = soft(seed)
    summed = functional.cross_entropy(logits, mixed, reduction="none", **options)
    close(loss(logits, mixed) * loss.weights(mixed), summed)


@pytest.mark.parametrize("name", NAMES)
def test_soft_labels_that_are_certain_are_indices(name: Name) -> None:
    loss = make_loss(LossRecipe(name=name, label_smoothing=0.1), WEIGHED, COUNTS)
    logits, target = batch()
    certain = functional.one_hot(target, 3)
    close(loss(logits, certain.float()), loss(logits, target))
    close(loss.weights(certain.float()), loss.weights(target))


def test_the_weight_of_a_soft_label_is_its_mean() -> None:
    loss = make_loss(LossRecipe(), WEIGHED, COUNTS)
    half = torch.tensor([[0.5, 0.0, 0.5]])
    close(loss.weights(half), (loss.label_weights[:1] + loss.label_weights[2:]) / 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    "neutral", [{"name": "focal", "gamma": 0}, {"name": "logit_adjusted", "tau": 0}]
)
def test_focal_and_adjusted_losses_contain_the_cross_entropy(
    neutral: dict[str, Any], smoothing: float
) -> None:
    logits, target = batch()
    loss = make_loss(LossRecipe(label_smoothing=smoothing, **neutral), WEIGHED, COUNTS)
    plain = make_loss(LossRecipe(label_smoothing=smoothing), WEIGHED, COUNTS)
    close(loss(logits, target), plain(logits, target))


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_focal_loss_is_lins(gamma: float) -> None:
    """Lin et al. 2017, equation 4: -(1 - p)^gamma log p."""
    logits, target = batch()
    loss = make_loss(LossRecipe(name="focal", gamma=gamma), PLAIN, COUNTS)
    own = torch.softmax(logits.double(), dim=1).gather(1, target[:, None])[:, 0]
    close(loss(logits, target).double(), -((1 - own) ** gamma) * own.log())


def test_focal_loss_of_two_labels_is_torchvisions_sigmoid_one() -> None:
    from torchvision.ops import sigmoid_focal_loss

    with seeded(1, "test"):
        logits, target = torch.randn(20, 2) * 3, torch.randint(2, (20,))
    loss = make_loss(LossRecipe(name="focal", gamma=2), PLAIN, (1, 1))
    difference = logits[:, 1] - logits[:, 0]
    expected = sigmoid_focal_loss(difference, target.float(), alpha=-1, gamma=2)
    close(loss(logits, target), expected)


def test_logit_adjustment_is_menons() -> None:
    """Menon et al. 2021, equation 10: the softmax of logits + tau log prior."""
    logits, target = batch()
    loss = make_loss(LossRecipe(name="logit_adjusted", tau=1.5), PLAIN, COUNTS)
    prior = torch.tensor(COUNTS) / sum(COUNTS)
    expected = functional.cross_entropy(logits + 1.5 * prior.log(), target, reduction="none")
    close(loss(logits, target), expected)


@pytest.mark.parametrize("method", ["oversample", "undersample"])
def test_images_drawn_in_equal_numbers_need_no_adjustment(
    method: Literal["oversample", "undersample"],
) -> None:
    logits, target = batch()
    loss = make_loss(LossRecipe(name="logit_adjusted"), BalanceRecipe(method=method), COUNTS)
    close(loss(logits, target), functional.cross_entropy(logits, target, reduction="none"))


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(NAMES),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([0.3, 1.0, 2.0]),
    st.lists(st.sampled_from([0.0, 1.0, -50.0, 200.0, 1e4, -1e30]), min_size=3, max_size=3),
    st.integers(0, 2),
)
def test_extreme_logits_have_finite_losses_and_gradients(
    name: Name, smoothing: float, gamma: float, values: list[float], label: int
) -> None:
    recipe = LossRecipe(name=name, label_smoothing=smoothing, gamma=gamma)
    loss = make_loss(recipe, WEIGHED, (30, 10, 0))
    logits = torch.tensor([values], requires_grad=True)
    value = loss(logits, torch.tensor([label]))
    value.sum().backward()
    assert logits.grad is not None
    assert value.isfinite().all()
    assert logits.grad.isfinite().all()
    assert (value >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_the_loss(name: Name) -> None:
    loss = make_loss(LossRecipe(name=name, label_smoothing=0.1), WEIGHED, COUNTS).double()
    logits, mixed = batch()[0].double().requires_grad_(), soft().double()
    assert torch.autograd.gradcheck(lambda given: loss(given, mixed), logits)


def test_the_complement_is_exact_where_one_minus_p_is_not() -> None:
    logits = torch.tensor([[40.0, 0.0, 0.0], [-3.0, 1.0, 2.0]])
    exact = torch.log1p(-torch.softmax(logits[1:].double(), dim=1))
    close(log_complement(logits)[1:], exact.float())
    assert log_complement(logits)[0, 0].item() == pytest.approx(-40 + 0.693147, abs=1e-4)


def test_a_loss_knows_its_labels_and_adds_nothing_to_a_checkpoint() -> None:
    loss = make_loss(LossRecipe(), PLAIN, COUNTS)
    assert loss.labels == 3
    assert not loss.state_dict()
    assert not list(loss.parameters())
