"""Exchangeability of splits, and label shift."""

from __future__ import annotations

import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation.label_shift import LabelShift, estimate_label_shift
from pneumoscope.evaluation.shift import ShiftTest, Statistic, exchangeability_test

Scores = NDArray[np.float64]
Clusters = NDArray[np.int64]


def draw_split(
    n_patients: int, *, random: np.random.Generator, shift: float = 0.0
) -> tuple[Scores, Clusters]:
    """Logits of patients with 1 to 5 images that resemble each other."""
    clusters = np.repeat(np.arange(n_patients), random.integers(1, 6, size=n_patients))
    scores = random.normal(size=(n_patients, 2))[clusters]
    return scores + 0.2 * random.normal(size=scores.shape) + shift * np.array([1, -1]), clusters


def compare(
    calibration: tuple[Scores, Clusters],
    test: tuple[Scores, Clusters],
    *,
    statistic: Statistic = "ks",
    permutations: int = 99,
    seed: int = 0,
) -> ShiftTest:
    return exchangeability_test(
        calibration[0],
        test[0],
        calibration_clusters=calibration[1],
        test_clusters=test[1],
        statistic=statistic,
        permutations=permutations,
        seed=seed,
    )


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30), st.booleans())
@settings(max_examples=50)
def test_statistics_are_those_of_scipy(seed: int, n_one: int, n_two: int, rounded: bool) -> None:
    random = np.random.default_rng(seed)
    one, two = random.normal(size=(n_one, 3)), random.normal(size=(n_two, 3)) + 0.3
    if rounded:  # many ties
        one, two = one.round(), two.round()
    found = compare((one, np.arange(n_one)), (two, np.arange(n_two)), permutations=1)
    with warnings.catch_warnings(action="ignore"):  # about its p-value
        expected = [stats.ks_2samp(one[:, k], two[:, k]).statistic for k in range(3)]
    assert found.by_column == pytest.approx(expected, abs=1e-12)
    assert found.statistic == pytest.approx(max(expected), abs=1e-12)
    single = [(part[:, :1], np.arange(len(part))) for part in (one, two)]
    energy = compare(single[0], single[1], statistic="energy", permutations=1)
    squared = stats.energy_distance(one[:, 0], two[:, 0]) ** 2
    assert energy.statistic == pytest.approx(squared, abs=1e-12)


@pytest.mark.parametrize("statistic", ["ks", "energy"])
def test_the_p_value_is_that_of_every_shuffle(statistic: Statistic) -> None:
    """Seven patients: all 35 ways to deal them can be counted."""
    random = np.random.default_rng(3)
    one, two = draw_split(3, random=random, shift=0.5), draw_split(4, random=random)
    scores = np.concatenate([one[0], two[0]])
    patient = np.concatenate([one[1], two[1] + 3])

    def difference(dealt: tuple[int, ...]) -> float:
        own = np.isin(patient, dealt)
        parts = (scores[own], np.arange(own.sum())), (scores[~own], np.arange((~own).sum()))
        return compare(*parts, statistic=statistic, permutations=1).statistic

    seen = difference((0, 1, 2))
    exact = np.mean([difference(dealt) >= seen - 1e-12 for dealt in combinations(range(7), 3)])
    found = compare(one, two, statistic=statistic, permutations=4000)
    assert found.statistic == pytest.approx(seen)
    assert found.p_value == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("statistic", ["ks", "energy"])
def test_false_alarms_are_as_rare_as_promised(statistic: Statistic) -> None:
    p_values = []
    for seed in range(400):
        random = np.random.default_rng(seed)
        one, two = draw_split(20, random=random), draw_split(30, random=random)
        p_values.append(compare(one, two, statistic=statistic, seed=seed).p_value)
    alarms = np.mean(np.array(p_values) <= 0.05)
    # Three standard errors about 5 %.
    assert 0.05 - 0.033 < alarms < 0.05 + 0.033
    assert np.mean(np.array(p_values) <= 0.5) == pytest.approx(0.5, abs=0.075)


def test_shuffling_images_instead_would_raise_false_alarms() -> None:
    alarms = []
    for seed in range(150):
        random = np.random.default_rng(seed)
        one, two = draw_split(20, random=random), draw_split(30, random=random)
        apart = [(scores, np.arange(len(scores))) for scores, _ in (one, two)]
        alarms.append(compare(apart[0], apart[1], seed=seed).p_value <= 0.05)
    assert np.mean(alarms) > 0.15


@pytest.mark.parametrize("statistic", ["ks", "energy"])
def test_a_shift_is_seen(statistic: Statistic) -> None:
    random = np.random.default_rng(0)
    one, two = draw_split(80, random=random), draw_split(80, random=random, shift=0.8)
    found = compare(one, two, statistic=statistic, permutations=999)
    assert found.p_value < 0.01
    assert found.p_value * 1000 == pytest.approx(round(found.p_value * 1000))
    assert found == compare(one, two, statistic=statistic, permutations=999)


def test_no_p_value_is_smaller_than_the_shuffles_allow() -> None:
    random = np.random.default_rng(5)
    one, two = draw_split(30, random=random), draw_split(30, random=random, shift=20)
    assert compare(one, two, permutations=99).p_value == 1 / 100
    assert compare(one, one, permutations=99).p_value == 1


def test_the_seed_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    one, two = draw_split(10, random=random), draw_split(12, random=random)
    whole = compare(one, two)
    monkeypatch.setattr("pneumoscope.evaluation.shift._CHUNK_BYTES", 8 * 500)
    assert compare(one, two) == whole


def test_a_rising_map_changes_nothing_for_ks() -> None:
    random = np.random.default_rng(2)
    one, two = draw_split(15, random=random), draw_split(15, random=random)
    mapped = [(np.exp(scores), clusters) for scores, clusters in (one, two)]
    assert compare(one, two) == compare(mapped[0], mapped[1])


def test_arguments_of_the_test_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    one, two = draw_split(5, random=random), draw_split(5, random=random)
    with pytest.raises(PredictionsError, match="Give the same columns"):
        compare((one[0][:, :1], one[1]), two)
    with pytest.raises(PredictionsError, match=r"allowed: \[image, column\]"):
        compare((one[0][:1], one[1][:0]), two)
    with pytest.raises(PredictionsError, match="not finite"):
        compare((one[0] * np.nan, one[1]), two)
    with pytest.raises(PredictionsError, match="permutations=0"):
        compare(one, two, permutations=0)
    monkeypatch.setattr("pneumoscope.evaluation.shift.MOST_ENERGY_IMAGES", 3)
    with pytest.raises(PredictionsError, match=r"allowed: 3 at most. Use ks"):
        compare(one, two, statistic="energy")


LABELS = ("NORMAL", "BACTERIA", "VIRUS")
CONFUSION = np.array([[0.9, 0.06, 0.04], [0.05, 0.75, 0.2], [0.1, 0.25, 0.65]])
"""Share of each answer, given the label; rows sum to 1."""


def answer(
    n_images: int, shares: list[float], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    truth = random.choice(3, size=n_images, p=shares)
    predicted = (random.random(n_images)[:, None] > CONFUSION.cumsum(axis=1)[truth]).sum(axis=1)
    return truth, predicted


def estimate(seed: int, *, n_images: int = 400, resamples: int = 300) -> LabelShift:
    random = np.random.default_rng(seed)
    truth, predicted = answer(n_images, [0.3, 0.5, 0.2], random)
    _, test_predicted = answer(n_images + 100, [0.6, 0.1, 0.3], random)
    return estimate_label_shift(
        truth,
        predicted,
        test_predicted,
        labels=LABELS,
        clusters=np.arange(n_images),
        test_clusters=np.arange(n_images + 100),
        resamples=resamples,
        confidence_level=0.9,
        seed=seed,
    )


def test_shares_are_estimated() -> None:
    found = estimate(0, n_images=200_000, resamples=2)
    assert [share.value for share in found.shares] == pytest.approx([0.6, 0.1, 0.3], abs=0.01)
    assert [weight.value for weight in found.weights] == pytest.approx([2.0, 0.2, 1.5], abs=0.06)
    assert found.calibration_shares == pytest.approx([0.3, 0.5, 0.2], abs=0.01)
    joint = CONFUSION.T * np.array([0.3, 0.5, 0.2])
    smallest = np.linalg.svd(joint, compute_uv=False)[-1]
    assert found.singular_value == pytest.approx(smallest, abs=0.002)


def test_intervals_of_shares_hold_them_as_often_as_they_say() -> None:
    held = np.array(
        [
            [
                one.low <= true <= one.high
                for one, true in zip(estimate(seed).shares, (0.6, 0.1, 0.3), strict=True)
            ]
            for seed in range(150)
        ]
    )
    assert held.mean() == pytest.approx(0.9, abs=0.05)


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_shares_are_shares(seed: int) -> None:
    found = estimate(seed, resamples=20)
    values = [share.value for share in found.shares]
    assert sum(values) == pytest.approx(1)
    assert all(0 <= one.low <= one.value <= one.high <= 1 for one in found.shares)
    ratios = [value / own for value, own in zip(values, found.calibration_shares, strict=True)]
    assert [weight.value for weight in found.weights] == pytest.approx(ratios)


def test_a_label_that_a_resample_lacks_is_borne() -> None:
    truth = np.array([0] * 10 + [1] * 10 + [2])
    found = estimate_label_shift(
        truth,
        truth,
        truth[5:],
        labels=LABELS,
        clusters=np.arange(21),
        test_clusters=np.arange(16),
        resamples=200,
    )
    assert found.shares[0].value == pytest.approx(5 / 16)
    assert all(np.isfinite([one.low, one.high]).all() for one in found.weights)


def test_arguments_of_the_estimate_are_refused() -> None:
    truth, test = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1])
    clusters, test_clusters = np.arange(6), np.arange(2)

    def attempt(
        truth: NDArray[np.int64], predicted: NDArray[np.int64], clusters: NDArray[np.int64]
    ) -> None:
        estimate_label_shift(
            truth,
            predicted,
            test,
            labels=LABELS,
            clusters=clusters,
            test_clusters=test_clusters,
            resamples=10,
        )

    with pytest.raises(PredictionsError, match="'VIRUS' has no calibration images"):
        attempt(truth % 2, truth, clusters)
    with pytest.raises(PredictionsError, match="hardly depend on the label"):
        attempt(truth, np.zeros(6, dtype=np.int64), clusters)
    with pytest.raises(PredictionsError, match="labels 0 to 3; allowed: 0 to 2"):
        attempt(truth, truth + 1, clusters)
    with pytest.raises(PredictionsError, match="three times"):
        attempt(truth, truth, clusters[:3])
