"""Decisions, the risk of answering only the surest, and thresholds with a guarantee."""

from __future__ import annotations

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation.abstention import aurc, decide, selective_risk
from pneumoscope.evaluation.intervals import wilson_interval
from pneumoscope.evaluation.selective_threshold import (
    one_image_per_patient,
    risk_upper_bound,
    threshold_for_risk,
)

Answers = tuple[NDArray[np.float64], NDArray[np.bool_]]


def simulate(n_images: int, *, seed: int) -> Answers:
    """Calibrated confidences of two labels, and whether the answer is wrong."""
    random = np.random.default_rng(seed)
    confidence = 0.5 + 0.5 * random.beta(3, 1, size=n_images)
    return confidence, random.random(n_images) > confidence


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), max_size=20))
def test_every_set_has_its_decision(rows: list[list[bool]]) -> None:
    meaning = {0: "abstain", 1: "answer", 2: "set", 3: "abstain"}
    sets = np.array(rows, dtype=bool).reshape(-1, 3)
    assert list(decide(sets)) == [meaning[sum(row)] for row in rows]


def test_two_labels_leave_no_set() -> None:
    sets = np.array([[True, True], [False, True], [False, False]])
    assert decide(sets) == ("abstain", "answer", "abstain")


def slow_aurc(pairs: list[tuple[float, bool]]) -> float:
    """Mean risk of the n surest, over every order that ties allow."""
    areas = []
    for order in permutations(pairs):
        if any(one[0] < two[0] for one, two in pairwise(order)):
            continue
        errors = np.cumsum([wrong for _, wrong in order])
        areas.append(float((errors / np.arange(1, len(order) + 1)).mean()))
    return float(np.mean(areas))


@given(st.lists(st.tuples(st.sampled_from([0.5, 0.7, 0.9]), st.booleans()), min_size=1, max_size=6))
def test_aurc_is_its_definition_with_ties(pairs: list[tuple[float, bool]]) -> None:
    confidence = np.array([confidence for confidence, _ in pairs])
    wrong = np.array([wrong for _, wrong in pairs])
    assert aurc(confidence, wrong) == pytest.approx(slow_aurc(pairs), abs=1e-12)


@given(st.integers(1, 60), st.integers(0, 1000))
def test_the_surest_order_is_best(n_images: int, seed: int) -> None:
    wrong = np.random.default_rng(seed).random(n_images) < 0.3
    best, worst = aurc(1.0 - wrong, wrong), aurc(wrong * 1.0, wrong)
    assert 0 <= best <= aurc(np.ones(n_images), wrong) + 1e-12
    assert aurc(np.ones(n_images), wrong) == pytest.approx(wrong.mean(), abs=1e-12)
    assert best <= worst <= 1


def test_the_curve_is_the_risk_of_the_surest() -> None:
    confidence, wrong = simulate(400, seed=0)
    curve = selective_risk(confidence, wrong, clusters=np.arange(400), resamples=200)
    order = np.argsort(-confidence)
    errors = np.cumsum(wrong[order])
    for coverage, risk in zip(curve.coverage.tolist(), curve.risk.tolist(), strict=True):
        answered = round(coverage * 400)
        assert risk == pytest.approx(errors[answered - 1] / answered, abs=1e-12)
    assert curve.risk[-1] == pytest.approx(wrong.mean())
    assert curve.area.value == pytest.approx((errors / np.arange(1, 401)).mean(), abs=1e-12)
    assert (curve.low <= curve.risk).all()
    assert (curve.risk <= curve.high).all()
    assert curve.area.low < curve.area.value < curve.area.high


def test_resamples_are_counted_like_copies() -> None:
    """A patient drawn twice is two images of each of its own."""
    from pneumoscope.evaluation import abstention

    confidence, wrong = simulate(30, seed=1)
    weights = np.random.default_rng(0).integers(0, 4, size=(5, 30)).astype(float)
    areas = abstention._areas(*abstention._running(confidence, wrong, weights))
    for row, area in zip(weights.astype(int), areas.tolist(), strict=True):
        copies = np.repeat(np.arange(30), row)
        assert area == pytest.approx(aurc(confidence[copies], wrong[copies]), abs=1e-12)


def test_the_interval_of_the_area_holds_it_as_often_as_it_says() -> None:
    confidence, wrong = simulate(100_000, seed=2)
    true_area = aurc(confidence, wrong)
    held = []
    for seed in range(150):
        confidence, wrong = simulate(150, seed=1000 + seed)
        area = selective_risk(
            confidence, wrong, clusters=np.arange(150), resamples=200, confidence_level=0.9
        ).area
        held.append(area.low <= true_area <= area.high)
    assert np.mean(held) == pytest.approx(0.88, abs=0.08)


def test_patients_widen_the_band() -> None:
    confidence, wrong = simulate(60, seed=3)
    copies = np.repeat(np.arange(60), 8)
    alone = selective_risk(
        confidence[copies], wrong[copies], clusters=np.arange(480), resamples=300
    )
    together = selective_risk(confidence[copies], wrong[copies], clusters=copies, resamples=300)
    assert together.area.value == alone.area.value
    assert together.area.high - together.area.low > 2 * (alone.area.high - alone.area.low)
    assert (together.high - together.low).mean() > 2 * (alone.high - alone.low).mean()


def test_answers_without_an_error_may_still_be_wrong() -> None:
    confidence, wrong, clusters = np.linspace(1, 0.5, 200), np.zeros(200, bool), np.arange(200) // 2
    curve = selective_risk(confidence, wrong, clusters=clusters, resamples=20)
    for point, patients in ((-1, 100), (49, 50), (0, 1)):
        expected = wilson_interval(0, patients, confidence_level=0.95)
        assert (curve.low[point], curve.high[point]) == (0, pytest.approx(expected.high))
    assert curve.area.value == curve.area.low == 0
    assert curve.area.high == pytest.approx(curve.high.mean())
    wrong[-20:] = True
    curve = selective_risk(confidence, wrong, clusters=clusters, resamples=200)
    assert curve.risk[20] == curve.low[20] == 0
    assert curve.high[20] == pytest.approx(wilson_interval(0, 21, confidence_level=0.95).high)
    assert 0 < curve.area.low < curve.area.value < curve.area.high < 0.1


def test_one_patient_has_no_band() -> None:
    confidence, wrong = simulate(5, seed=4)
    curve = selective_risk(confidence, wrong, clusters=np.zeros(5, dtype=np.int64))
    assert math.isnan(curve.area.low)
    assert np.isnan(curve.low).all()
    assert np.isfinite(curve.risk).all()


def test_same_seed_same_curve() -> None:
    confidence, wrong = simulate(80, seed=5)
    areas = [
        selective_risk(confidence, wrong, clusters=np.arange(80), resamples=50, seed=seed).area
        for seed in (1, 1, 2)
    ]
    assert areas[0] == areas[1] != areas[2]


@given(st.integers(1, 300), st.floats(0.001, 0.5), st.data())
def test_the_bound_is_that_of_scipy(answers: int, error_level: float, data: st.DataObject) -> None:
    errors = data.draw(st.integers(0, answers))
    exact = stats.binomtest(errors, answers, alternative="less")
    expected = exact.proportion_ci(1 - error_level, method="exact").high
    found = risk_upper_bound(errors, answers, error_level=error_level)
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_threshold_is_found() -> None:
    confidence, wrong = simulate(2000, seed=6)
    found = threshold_for_risk(confidence, wrong, wanted_risk=0.1)
    answered = confidence > found.threshold
    assert found.coverage == answered.mean()
    assert found.risk == wrong[answered].mean()
    assert found.risk < found.risk_bound <= 0.1
    assert 0.3 < found.coverage < 1
    stricter = threshold_for_risk(confidence, wrong, wanted_risk=0.05)
    assert stricter.coverage < found.coverage
    easy = threshold_for_risk(confidence, wrong, wanted_risk=0.4)
    assert (easy.threshold, easy.coverage) == (0.0, 1.0)


def test_nothing_is_answered_where_nothing_is_sure() -> None:
    confidence, wrong = simulate(40, seed=7)
    found = threshold_for_risk(confidence, wrong, wanted_risk=0.01)
    assert (found.threshold, found.coverage) == (1.0, 0.0)
    assert math.isnan(found.risk)
    assert math.isnan(found.risk_bound)
    # 59 faultless answers are the fewest that show a risk of 5 % at 95 %.
    perfect = np.zeros(60, dtype=bool)
    assert threshold_for_risk(np.full(60, 0.9), perfect, wanted_risk=0.05).coverage == 1
    assert threshold_for_risk(np.full(58, 0.9), perfect[:58], wanted_risk=0.05).coverage == 0


@pytest.mark.parametrize("rounded", [False, True])
def test_the_risk_is_kept_as_often_as_promised(rounded: bool) -> None:
    """The true risk above a threshold is known: confidences are calibrated."""
    confidence, wrong = simulate(200_000, seed=8)
    broken, coverages = [], []
    for seed in range(400):
        own, errors = simulate(400, seed=5000 + seed)
        if rounded:
            own, confidence = own.round(2), confidence.round(2)
        found = threshold_for_risk(own, errors, wanted_risk=0.2, confidence_level=0.8)
        answered = confidence > found.threshold
        broken.append(answered.any() and wrong[answered].mean() > 0.2)
        coverages.append(found.coverage)
    assert np.mean(broken) < 0.2 + 0.05
    assert np.mean(coverages) > 0.4


def test_many_tries_are_paid_for() -> None:
    """Confidence says nothing and the risk is a hair too large: whatever is found is wrong."""
    random = np.random.default_rng(11)
    found = [
        threshold_for_risk(
            random.random(400), random.random(400) < 0.2001, wanted_risk=0.2, confidence_level=0.8
        ).coverage
        for _ in range(500)
    ]
    assert np.mean(np.array(found) > 0) < 0.2


def test_one_image_stands_for_each_patient() -> None:
    clusters = np.array([3, 0, 0, 1, 1, 1, 2, 0])
    drawn = one_image_per_patient(clusters, seed=0)
    assert sorted(clusters[drawn].tolist()) == [0, 1, 2, 3]
    assert (np.diff(drawn) > 0).all()
    assert np.array_equal(drawn, one_image_per_patient(clusters, seed=0))
    times = np.bincount(
        np.concatenate([one_image_per_patient(clusters, seed=seed) for seed in range(900)])
    )
    assert times[[1, 2, 7]] / 900 == pytest.approx(1 / 3, abs=0.06)
    confidence, wrong = simulate(8, seed=9)
    found = threshold_for_risk(confidence, wrong, wanted_risk=0.9, clusters=clusters)
    assert found.n_images == 4


def test_arguments_are_refused() -> None:
    confidence, wrong = simulate(10, seed=10)
    with pytest.raises(PredictionsError, match=r"\[10\], \[9\], \[10\]"):
        selective_risk(confidence, wrong[:9], clusters=np.arange(10))
    with pytest.raises(PredictionsError, match="confidence_level=1"):
        selective_risk(confidence, wrong, clusters=np.arange(10), confidence_level=1)
    with pytest.raises(PredictionsError, match="not finite"):
        aurc(np.full(10, np.nan), wrong)
    with pytest.raises(PredictionsError, match="outside 0 to 1"):
        threshold_for_risk(confidence * 2, wrong, wanted_risk=0.1)
    with pytest.raises(PredictionsError, match="wanted_risk=0"):
        threshold_for_risk(confidence, wrong, wanted_risk=0)
    with pytest.raises(PredictionsError, match=r"wrong \[9\]"):
        threshold_for_risk(confidence, wrong[:9], wanted_risk=0.1)
