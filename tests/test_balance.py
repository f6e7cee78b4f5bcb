from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.randomness import generator
from pneumoscope.core.recipe import BalanceRecipe
from pneumoscope.core.types import IntArray
from pneumoscope.training.balance import (
    balanced_order,
    count_weights,
    drawn_counts,
    label_weights,
)

Method = Literal["none", "class_weights", "oversample", "undersample"]
METHODS: tuple[Method, ...] = ("none", "class_weights", "oversample", "undersample")
RECIPES = st.builds(
    BalanceRecipe, method=st.sampled_from(METHODS), to=st.none() | st.integers(1, 30)
)
TRUTH = st.lists(st.integers(0, 3), min_size=1, max_size=60).map(np.array)


def order(recipe: BalanceRecipe, truth: IntArray, seed: int = 0, epoch: int = 1) -> IntArray:
    return balanced_order(recipe, truth, seed=seed, epoch=epoch)


@given(RECIPES, TRUTH, st.integers(0, 5))
def test_an_epoch_draws_what_was_promised(
    recipe: BalanceRecipe, truth: IntArray, epoch: int
) -> None:
    """Each label as often as `drawn_counts` says, its images as evenly as can be."""
    found = order(recipe, truth, epoch=epoch)
    counts = np.bincount(truth, minlength=4).tolist()
    drawn = np.bincount(truth[found], minlength=4).tolist()
    assert drawn == drawn_counts(recipe, counts)
    times = Counter(found.tolist())
    for image, label in enumerate(truth):
        share = drawn[label] / counts[label]
        assert np.floor(share) <= times[image] <= np.ceil(share)


@given(RECIPES, st.lists(st.integers(0, 40), min_size=2, max_size=5))
def test_every_method_draws_its_numbers(recipe: BalanceRecipe, counts: list[int]) -> None:
    drawn = drawn_counts(recipe, counts)
    present = [count for count in counts if count]
    for count, times in zip(counts, drawn, strict=True):
        if recipe.method == "oversample" and count:
            assert times == (recipe.to or max(present))
        elif recipe.method == "undersample" and count:
            assert times == min(count, recipe.to or min(present))
        else:
            assert times == count


@given(TRUTH)
def test_without_drawing_it_is_a_permutation(truth: IntArray) -> None:
    for method in ("none", "class_weights"):
        found = order(BalanceRecipe(method=method, to=7), truth)
        assert sorted(found.tolist()) == list(range(len(truth)))


@pytest.mark.parametrize("method", METHODS)
def test_the_order_is_fixed_by_seed_epoch_and_purpose(method: Method) -> None:
    truth = np.repeat([0, 1, 2], [40, 12, 25])
    recipe = BalanceRecipe(method=method)
    first = order(recipe, truth)
    assert np.array_equal(first, order(recipe, truth))
    assert not np.array_equal(first, order(recipe, truth, epoch=2))
    assert not np.array_equal(first, order(recipe, truth, seed=1))
    other = balanced_order(recipe, truth, seed=0, epoch=1, names=("other",))
    assert not np.array_equal(first, other)
    expected = generator(0, "order", 1).permutation(77)
    assert np.array_equal(first, expected) == (method in ("none", "class_weights"))


@pytest.mark.parametrize("method", ["oversample", "undersample"])
def test_drawn_images_change_from_epoch_to_epoch_and_are_shuffled(
    method: Literal["oversample", "undersample"],
) -> None:
    truth = np.repeat([0, 1], [40, 13])
    recipe = BalanceRecipe(method=method)
    one, two = (order(recipe, truth, epoch=epoch) for epoch in (1, 2))
    assert Counter(one.tolist()) != Counter(two.tolist())
    assert len(one) == len(two), "every epoch has as many steps"
    half = truth[one[: len(one) // 2]].mean()
    assert 0.25 < half < 0.75, "labels are mixed"


def test_label_weights_are_for_class_weights_alone() -> None:
    truth = torch.tensor([0] * 30 + [1] * 10 + [2] * 5)
    weights = label_weights(BalanceRecipe(method="class_weights"), truth, 3)
    assert weights.tolist() == pytest.approx([0.5, 1.5, 3.0])
    for method in ("none", "oversample", "undersample"):
        assert label_weights(BalanceRecipe(method=method), truth, 3).tolist() == [1, 1, 1]
    assert count_weights(BalanceRecipe(), (4, 0)).tolist() == [0.5, 2]
