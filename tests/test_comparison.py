"""Paired comparison of models: DeLong, McNemar, bootstrap, Holm, and the words."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation import paired
from pneumoscope.evaluation.comparison import Comparison, compare
from pneumoscope.evaluation.delong import delong, delong_difference, delong_interval, delong_mean
from pneumoscope.evaluation.intervals import Interval, bootstrap_intervals
from pneumoscope.evaluation.metrics import metric_units
from pneumoscope.evaluation.paired import (
    bootstrap_difference,
    difference_of_draws,
    holm,
    mcnemar,
)
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.resampling import patient_sums, percentile_bounds, resampled_metrics

Floats = NDArray[np.float64]
LABELS = ("NORMAL", "PNEUMONIA", "TB")


def make_predictions(
    logits: Floats, truth: NDArray[np.int64], clusters: NDArray[np.int64] | None = None
) -> Predictions:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return Predictions(
        labels=LABELS[: logits.shape[1]],
        image_ids=tuple(f"image{index:06d}" for index in range(len(truth))),
        truth=truth,
        logits=logits,
        probabilities=shifted / shifted.sum(axis=1, keepdims=True),
        clusters=np.arange(len(truth)) if clusters is None else clusters,
    )


def two_models(
    n_images: int, n_labels: int = 2, *, seed: int = 0, noise: float = 1.0, per_patient: int = 1
) -> dict[str, Predictions]:
    """A and B see the same evidence of each patient, B through `noise` as much of its own as A."""
    random = np.random.default_rng(seed)
    n_patients = -(-n_images // per_patient)
    clusters = np.repeat(np.arange(n_patients), per_patient)[:n_images]
    truth = random.integers(n_labels, size=n_images)
    truth[:n_labels] = np.arange(n_labels)
    shared = random.normal(size=(n_patients, n_labels))[clusters]
    shared[np.arange(n_images), truth] += 1
    own = [random.normal(size=shared.shape) * size for size in (0.7, 0.7 * noise)]
    return {
        name: make_predictions(shared + more, truth, clusters)
        for name, more in zip("AB", own, strict=True)
    }


def reordered(model: Predictions, order: NDArray[np.int64]) -> Predictions:
    """The same images under other ids, so that their order is another."""
    numbers: dict[int, int] = {}
    clusters = [numbers.setdefault(int(one), len(numbers)) for one in model.clusters[order]]
    return replace(
        model,
        truth=model.truth[order],
        logits=model.logits[order],
        probabilities=model.probabilities[order],
        clusters=np.array(clusters),
    )


def kernel(positives: Floats, negatives: Floats) -> Floats:
    gaps = positives[:, None] - negatives[None]
    return (np.sign(gaps) + 1) / 2


def obuchowski(
    scores: Floats, truth: NDArray[np.bool_], clusters: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Obuchowski 1997 as printed: every pair compared, one patient at a time."""
    areas = np.array([kernel(row[truth], row[~truth]).mean() for row in scores])
    m, n = int(truth.sum()), int((~truth).sum())
    ids = np.unique(clusters)
    x, y = np.zeros((len(scores), len(ids))), np.zeros((len(scores), len(ids)))
    for place, one in enumerate(ids):
        for row, values in enumerate(scores):
            pairs = kernel(values[truth], values[~truth])
            mine, others = clusters[truth] == one, clusters[~truth] == one
            x[row, place] = (pairs.mean(axis=1)[mine] - areas[row]).sum()
            y[row, place] = (pairs.mean(axis=0)[others] - areas[row]).sum()
    i10, i01, i = len(np.unique(clusters[truth])), len(np.unique(clusters[~truth])), len(ids)
    s10, s01 = i10 / ((i10 - 1) * m) * x @ x.T, i01 / ((i01 - 1) * n) * y @ y.T
    s11 = i / (i - 1) * x @ y.T
    return areas, s10 / m + s01 / n + (s11 + s11.T) / (m * n)


@pytest.mark.parametrize("ties", [False, True])
def test_delong_is_the_two_sample_jackknife_of_scikit_learn(ties: bool) -> None:
    random = np.random.default_rng(1)
    truth = random.random(60) < 0.4
    scores = random.normal(size=(2, 60)) + truth
    scores = scores.round() if ties else scores
    found = delong(scores, truth)
    expected = [roc_auc_score(truth, row) for row in scores]
    assert found.values == pytest.approx(expected, abs=1e-15)
    covariance = np.zeros((2, 2))
    for part in (np.flatnonzero(truth), np.flatnonzero(~truth)):
        kept = [np.delete(np.arange(60), one) for one in part]
        left_out = np.array([[roc_auc_score(truth[k], row[k]) for k in kept] for row in scores])
        covariance += np.cov(left_out) * (len(part) - 1) ** 2 / len(part)
    assert found.covariance == pytest.approx(covariance, rel=1e-10)


@pytest.mark.parametrize("ties", [False, True])
def test_delong_of_patients_is_obuchowski(ties: bool) -> None:
    random = np.random.default_rng(2)
    clusters = random.integers(25, size=90)
    truth = random.random(90) < 0.4
    scores = random.normal(size=(3, 90)) + truth + random.normal(size=25)[clusters]
    scores = scores.round() if ties else scores
    areas, covariance = obuchowski(scores, truth, clusters)
    found = delong(scores, truth, clusters)
    assert found.values == pytest.approx(areas, abs=1e-14)
    assert found.covariance == pytest.approx(covariance, rel=1e-10)
    apart = delong(scores, truth)
    assert found.covariance[0, 0] != pytest.approx(apart.covariance[0, 0], rel=0.05)


def test_area_is_the_mann_whitney_statistic() -> None:
    random = np.random.default_rng(3)
    truth, scores = random.random(50) < 0.5, random.integers(0, 8, size=50).astype(float)
    statistic = stats.mannwhitneyu(scores[truth], scores[~truth]).statistic
    found = delong_interval(scores, truth)
    assert found.value == pytest.approx(statistic / truth.sum() / (~truth).sum(), abs=1e-15)


def test_repeating_each_image_of_a_patient_says_nothing_new() -> None:
    models = two_models(120)
    scores = np.stack([model.probabilities[:, 1] for model in models.values()])
    truth = models["A"].truth == 1
    once = delong(scores, truth)
    thrice = delong(scores.repeat(3, axis=1), truth.repeat(3), np.arange(120).repeat(3))
    assert thrice.covariance == pytest.approx(once.covariance, rel=1e-9)


def test_mean_area_of_two_labels_is_that_of_either() -> None:
    models = two_models(150, per_patient=3)
    probabilities = np.stack([model.probabilities for model in models.values()])
    truth, clusters = models["A"].truth, models["A"].clusters
    mean = delong_mean(probabilities, truth, clusters)
    one = delong(probabilities[:, :, 1], truth == 1, clusters)
    assert mean.values == pytest.approx(one.values, abs=1e-15)
    assert mean.covariance == pytest.approx(one.covariance, rel=1e-12)


@pytest.mark.parametrize("per_patient", [1, 4])
def test_mean_area_of_three_labels_varies_as_the_bootstrap_says(per_patient: int) -> None:
    models = two_models(900, 3, per_patient=per_patient)
    probabilities = np.stack([model.probabilities for model in models.values()])
    found = delong_mean(probabilities, models["A"].truth, models["A"].clusters)
    draws = resampled_metrics(list(models.values()), ["auc"], resamples=1500, seed=0)
    expected = np.cov(np.stack([draw["auc"] for draw in draws]))
    assert found.covariance == pytest.approx(expected, rel=0.15)
    assert found.values[0] == pytest.approx(
        roc_auc_score(models["A"].truth, probabilities[0], multi_class="ovr"), abs=1e-14
    )


@pytest.mark.parametrize("scale", ["logit", "linear"])
@pytest.mark.parametrize("per_patient", [1, 3])
def test_delong_interval_covers_the_true_area(scale: str, per_patient: int) -> None:
    """Scores of variance 1, half of it shared by a patient's images, shifted by 1.5."""
    random, runs, n_patients = np.random.default_rng(4), 400, 60
    true_area, clusters = stats.norm.cdf(1.5 / math.sqrt(2)), np.arange(60).repeat(per_patient)
    covered = apart = 0
    for _ in range(runs):
        truth = np.arange(n_patients) % 2 == 0
        shared = random.normal(size=n_patients) + 1.5 * math.sqrt(2) * truth
        scores = shared[clusters] + random.normal(size=len(clusters))
        options = {"confidence_level": 0.9, "scale": scale}
        found = delong_interval(scores, truth[clusters], clusters, **options)  # type: ignore[arg-type]
        covered += found.low <= true_area <= found.high
        alone = delong_interval(scores, truth[clusters], **options)  # type: ignore[arg-type]
        apart += alone.low <= true_area <= alone.high
    assert 0.85 <= covered / runs <= 0.94
    assert per_patient == 1 or apart / runs < 0.8


def test_linear_interval_is_the_estimate_plus_and_minus() -> None:
    random = np.random.default_rng(5)
    truth, scores = np.arange(80) % 2 == 0, random.normal(size=80)
    error = math.sqrt(delong(scores[None], truth).covariance[0, 0])
    found = delong_interval(scores, truth, scale="linear")
    half = stats.norm.ppf(0.975) * error
    assert [found.low, found.high] == pytest.approx([found.value - half, found.value + half])


def test_a_perfect_ranking_still_has_an_interval() -> None:
    truth = np.arange(40) < 15
    found = delong_interval(truth.astype(float), truth)
    # Clopper and Pearson for 15 right of 15, as SciPy has it.
    expected = stats.binomtest(15, 15).proportion_ci(0.95, method="exact").low
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(expected)
    mirrored = delong_interval(-truth.astype(float), truth)
    assert (mirrored.value, mirrored.low) == (0, 0)
    assert mirrored.high == pytest.approx(1 - expected)
    patients = delong_interval(truth.astype(float), truth, np.arange(40) // 5)
    assert patients.low == pytest.approx(0.025 ** (1 / 3))
    mixed = delong_interval(truth.astype(float), truth, np.arange(40) % 15)
    assert mixed.low == pytest.approx(0.025 ** (1 / 7))  # each of 15 patients in one pair only
    equal = delong_interval(np.ones(40), truth)
    assert equal.value == 0.5
    assert (equal.low, equal.high) == pytest.approx((expected / 2, 1 - expected / 2))


def test_areas_without_positives_or_with_one_patient_are_undefined() -> None:
    nothing = delong_interval(np.arange(4.0), np.zeros(4, dtype=bool))
    assert all(math.isnan(number) for number in (nothing.value, nothing.low, nothing.high))
    single = delong_interval(np.array([0.1, 0.5, 0.3]), np.array([False, False, True]))
    assert single.value == 0.5
    assert math.isnan(single.low)


def test_delong_refuses_what_it_cannot_rank() -> None:
    truth = np.array([True, False])
    with pytest.raises(PredictionsError, match=r"score of image 1 is not finite"):
        delong_interval(np.array([0.1, math.nan]), truth)
    with pytest.raises(PredictionsError, match="Give one value per image"):
        delong_interval(np.arange(3.0), truth)
    with pytest.raises(PredictionsError, match=r"confidence_level=2"):
        delong_interval(np.arange(2.0), truth, confidence_level=2)


def test_no_test_applies_where_neither_ranking_varies() -> None:
    truth = np.arange(20) % 2 == 0
    areas = delong(np.stack([truth.astype(float), np.zeros(20)]), truth)
    found = delong_difference(areas, 0, 1)
    assert found.interval.value == 0.5
    assert math.isnan(found.p_value)


def test_mcnemar_without_patients_is_scipys_binomial_test() -> None:
    random = np.random.default_rng(6)
    for chance in (0.3, 0.5, 0.8, 1.0):
        first, second = random.random(70) < chance, random.random(70) < 0.6
        gained, lost = int((first & ~second).sum()), int((second & ~first).sum())
        expected = stats.binomtest(gained, gained + lost).pvalue
        assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_patients_counts_every_swap() -> None:
    random = np.random.default_rng(7)
    clusters = np.sort(np.append(np.arange(9), random.integers(9, size=25)))
    for _ in range(10):
        first, second = random.random(34) < 0.7, random.random(34) < 0.5
        margins = np.bincount(clusters, weights=first.astype(float) - second)
        leads = np.array([abs(margins @ swap) for swap in product((-1, 1), repeat=9)])
        expected = (leads >= abs(margins.sum()) - 1e-9).mean()
        assert mcnemar(first, second, clusters) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_very_many_is_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(8)
    first, second = random.random(6000) < 0.71, random.random(6000) < 0.7
    clusters = np.arange(6000) // 2
    exact = mcnemar(first, second, clusters)
    monkeypatch.setattr(paired, "_MOST_EXACT", 0)
    assert mcnemar(first, second, clusters) == pytest.approx(exact, rel=0.05)


def test_mcnemar_keeps_its_level_with_patients() -> None:
    """Two equally good models whose mistakes a patient's images share."""
    random, runs, n_patients = np.random.default_rng(9), 400, 80
    clusters = np.arange(n_patients).repeat(4)
    rejected = apart = 0
    for _ in range(runs):
        first, second = (random.random((2, n_patients)) < 0.7)[:, clusters]
        rejected += mcnemar(first, second, clusters) < 0.1
        apart += mcnemar(first, second) < 0.1
    assert rejected / runs <= 0.13
    assert apart / runs > 0.3


def test_shared_draws_are_those_of_the_intervals() -> None:
    model = two_models(200, 3, per_patient=3)["A"]
    # The calibration error's interval is made otherwise: see `calibration_error_bounds`.
    names = [name for name in metric_units(model.labels) if name != "ece"]
    expected = bootstrap_intervals(model, resamples=300, seed=5)
    draws = resampled_metrics([model], names, resamples=300, seed=5)[0]
    for name in names:
        point = np.array(expected[name].value)
        low, high = percentile_bounds(draws[name], point, confidence_level=0.95)
        assert [low, high] == pytest.approx([expected[name].low, expected[name].high], abs=1e-12)


def test_bounds_are_numpys_and_leave_the_undefined_out() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(101, 4))
    values[::3, 1], values[:, 2], values[5:, 3] = np.nan, np.nan, np.nan
    low, high = percentile_bounds(values, np.zeros(4), confidence_level=0.8)
    for column in (0, 1, 3):
        expected = np.nanquantile(values[:, column], [0.1, 0.9])
        assert low[column] == pytest.approx(min(expected[0], 0), abs=1e-12)
        assert high[column] == pytest.approx(max(expected[1], 0), abs=1e-12)
    assert np.isnan([low[2], high[2]]).all()
    assert np.isnan(percentile_bounds(values, np.full(4, np.nan), confidence_level=0.8)).all()


def test_bounds_hold_the_estimate() -> None:
    values = np.linspace(0, 1, 101)[:, None].repeat(3, axis=1)
    low, high = percentile_bounds(values, np.array([-1, 0.5, 2]), confidence_level=0.9)
    assert low == pytest.approx([-1, 0.05, 0.05])
    assert high == pytest.approx([0.95, 0.95, 2])


def test_patient_sums_are_bincounts() -> None:
    random = np.random.default_rng(0)
    clusters = np.append(np.arange(6), random.integers(6, size=20))
    values = random.normal(size=(26, 2))
    expected = [np.bincount(clusters, weights=column) for column in values.T]
    np.testing.assert_allclose(patient_sums(values, clusters).T, expected, rtol=1e-12)


def test_bootstrap_test_agrees_with_its_interval_and_with_mcnemar() -> None:
    models = two_models(800, noise=1.6, per_patient=2)
    found = bootstrap_difference(models["A"], models["B"], "accuracy", resamples=1500)
    right = tuple(models[name].predicted == models[name].truth for name in "AB")
    gain = right[0].astype(float) - right[1]
    assert found.interval.value == pytest.approx(gain.mean(), abs=1e-12)
    sums = patient_sums(gain, models["A"].clusters)
    half = 1.96 * sums.std(ddof=1) * math.sqrt(len(sums)) / 800
    assert found.interval.low == pytest.approx(found.interval.value - half, abs=0.15 * half)
    assert found.interval.high == pytest.approx(found.interval.value + half, abs=0.15 * half)
    assert found.p_value == pytest.approx(
        mcnemar(right[0], right[1], models["A"].clusters), abs=0.03
    )


def test_bootstrap_p_value_counts_the_sample_and_the_other_sign() -> None:
    drawn = np.array([0.1] * 97 + [-0.1, 0.0, math.nan])
    found = difference_of_draws(0.1, drawn, confidence_level=0.9)
    assert found.p_value == pytest.approx(2 * (2 + 1) / (99 + 1))
    assert difference_of_draws(-0.1, drawn, confidence_level=0.9).p_value == 1
    assert difference_of_draws(0.0, drawn, confidence_level=0.9).p_value == 1
    assert math.isnan(difference_of_draws(math.nan, drawn, confidence_level=0.9).p_value)


def test_interval_of_a_difference_covers_it() -> None:
    """Against what the same two models do on very many images."""
    true = {
        name: float((model.predicted == model.truth).mean())
        for name, model in two_models(200_000, noise=1.8, per_patient=4).items()
    }
    covered = {"accuracy": 0, "auc": 0}
    areas = delong(
        np.stack([m.probabilities[:, 1] for m in two_models(200_000, noise=1.8).values()]),
        two_models(200_000, noise=1.8)["A"].truth == 1,
    ).values
    runs = 150
    for run in range(runs):
        models = two_models(240, noise=1.8, per_patient=4, seed=100 + run)
        for found in compare(models, resamples=250, confidence_level=0.9):
            gap = areas[0] - areas[1] if found.metric == "auc" else true["A"] - true["B"]
            covered[found.metric] += found.difference.low <= gap <= found.difference.high
    for name, count in covered.items():
        assert 0.82 <= count / runs <= 0.97, name


def test_holm_is_the_published_procedure() -> None:
    # Holm 1979's steps by hand: 0.01 * 4, 0.02 * 3, 0.03 * 2, 0.04 * 1, kept from falling.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    with_gap = holm([0.5, math.nan, 0.9])
    assert with_gap[0] == 1
    assert math.isnan(with_gap[1])
    assert with_gap[2] == 1
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_only_raises_and_keeps_the_order(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(one <= other <= 1 for one, other in zip(p_values, corrected, strict=True))
    assert np.array(corrected)[np.argsort(p_values)].tolist() == sorted(corrected)
    assert min(corrected) == pytest.approx(min(1, min(p_values) * len(p_values)))


METRICS = ("auc", "auc:PNEUMONIA", "accuracy", "log_loss", "mcc")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 3), st.integers(1, 3))
def test_swapping_models_swaps_the_sign(seed: int, n_labels: int, per_patient: int) -> None:
    models = two_models(60, n_labels, seed=seed, noise=2, per_patient=per_patient)
    swapped = {name: models[name] for name in "BA"}
    found = compare(models, metrics=METRICS, resamples=60)
    mirrored = compare(swapped, metrics=METRICS, resamples=60)
    for one, other in zip(found, mirrored, strict=True):
        assert one.difference.value == -other.difference.value
        assert one.difference.low == pytest.approx(-other.difference.high, abs=1e-12)
        assert one.difference.high == pytest.approx(-other.difference.low, abs=1e-12)
        assert one.p_value == pytest.approx(other.p_value, abs=1e-12)
        assert one.better == other.better


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 3), st.integers(1, 3))
def test_a_model_ties_with_itself(seed: int, n_labels: int, per_patient: int) -> None:
    model = two_models(60, n_labels, seed=seed, per_patient=per_patient)["A"]
    for found in compare({"A": model, "B": model}, metrics=METRICS, resamples=40):
        assert found.difference == Interval(0, 0, 0)
        assert (found.p_value, found.adjusted_p_value, found.verdict) == (1, 1, "tie")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16))
def test_the_order_of_images_does_not_matter(seed: int) -> None:
    models = two_models(60, noise=2, seed=seed, per_patient=2)
    order = np.random.default_rng(seed).permutation(60)
    shuffled = {name: reordered(model, order) for name, model in models.items()}
    for one, other in zip(compare(models), compare(shuffled), strict=True):
        assert one.difference.value == pytest.approx(other.difference.value, abs=1e-12)
        assert one.p_value == pytest.approx(other.p_value, rel=1e-9)
        if one.test == "DeLong":
            assert one.difference.low == pytest.approx(other.difference.low, abs=1e-12)


def test_values_are_those_of_the_metrics_file() -> None:
    models = two_models(90, 3, per_patient=2)
    names = list(metric_units(models["A"].labels))
    expected = {name: bootstrap_intervals(model, resamples=1) for name, model in models.items()}
    for found in compare(models, metrics=names, resamples=20):
        assert found.first_value == pytest.approx(expected["A"][found.metric].value, abs=1e-14)
        assert found.second_value == pytest.approx(expected["B"][found.metric].value, abs=1e-14)
        gap = found.first_value - found.second_value
        assert found.difference.value == pytest.approx(gap, abs=1e-14)


def test_better_is_lower_where_less_is_better() -> None:
    models = two_models(900, noise=3)
    for found in compare(models, metrics=("auc", "brier", "log_loss"), resamples=300):
        assert (found.verdict, found.better) == ("better", "A"), found.metric
        assert found.words().startswith("A is better than B in ")
        low, high = found.words().partition("(")[2].partition(")")[0].split(" to ")
        assert 0 < float(low) < float(high)


def test_accuracy_is_compared_patient_by_patient() -> None:
    models = two_models(400, noise=1.4, per_patient=4)
    (found,) = compare(models, metrics=("accuracy",), resamples=20)
    right = tuple(models[name].predicted == models[name].truth for name in "AB")
    assert found.p_value == mcnemar(right[0], right[1], models["A"].clusters)
    assert found.p_value != mcnemar(right[0], right[1])


def test_pairs_are_all_or_those_with_the_reference() -> None:
    models = {**two_models(60), "C": two_models(60, noise=2)["B"]}
    found = compare(models, metrics=("accuracy",), resamples=20)
    assert [(one.first, one.second) for one in found] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert {one.comparisons for one in found} == {3}
    assert [one.adjusted_p_value for one in found] == holm([one.p_value for one in found])
    against = compare(models, metrics=("accuracy", "auc"), resamples=20, reference="B")
    assert [(one.first, one.second, one.metric, one.test) for one in against] == [
        ("A", "B", "accuracy", "McNemar"), ("A", "B", "auc", "DeLong"),
        ("C", "B", "accuracy", "McNemar"), ("C", "B", "auc", "DeLong"),
    ]  # fmt: skip


def make_comparison(**changes: object) -> Comparison:
    plain = Comparison(
        "auc", "A", "B", 0.95, 0.938, Interval(0.012, 0.003, 0.021), 0.002, 0.004, "DeLong", 2, 0.95
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_words() -> None:
    better = make_comparison()
    assert better.words() == (
        "A is better than B in AUC by 0.012 (0.003 to 0.021), p = 0.004 after Holm"
    )
    alone = make_comparison(comparisons=1, metric="auc:TB", adjusted_p_value=1e-5)
    assert alone.words() == "A is better than B in AUC of TB by 0.012 (0.003 to 0.021), p < 0.001"
    lower = make_comparison(metric="log_loss", comparisons=1)
    assert lower.words() == "B is better than A in log loss by 0.012 (0.003 to 0.021), p = 0.004"
    negative = make_comparison(difference=Interval(-0.012, -0.021, -0.003))
    assert negative.words().startswith("B is better than A in AUC by 0.012 (0.003 to 0.021)")
    tie = make_comparison(
        difference=Interval(0.0, -0.0102, 0.0204), p_value=0.3, adjusted_p_value=0.6
    )
    assert tie.words() == (
        "A and B are a statistical tie in AUC: 0.000 (-0.010 to 0.020), p = 0.600 after Holm"
    )
    lost = make_comparison(p_value=0.03, adjusted_p_value=0.06)
    assert lost.words().endswith("p = 0.060 after Holm (p = 0.030 before)")
    small = make_comparison(difference=Interval(0.0005, 0.0001, 0.0012))
    assert "by 0.0005 (0.0001 to 0.0012)" in small.words()


def test_words_where_nothing_can_be_said() -> None:
    nothing = make_comparison(
        difference=Interval(math.nan, math.nan, math.nan),
        p_value=math.nan,
        adjusted_p_value=math.nan,
    )
    assert nothing.words() == "A and B cannot be compared in AUC: it is not defined"
    assert nothing.verdict == "undecided"
    untested = make_comparison(
        difference=Interval(0.5, math.nan, math.nan), p_value=math.nan, adjusted_p_value=math.nan
    )
    assert untested.words() == "A and B differ in AUC by 0.500, and no test applies"
    content = json.loads(json.dumps(untested.to_json(), allow_nan=False))
    assert (content["difference"], content["low"], content["p_value"]) == (0.5, None, None)
    assert (content["verdict"], content["better"]) == ("undecided", None)


def test_one_patient_has_no_interval() -> None:
    models = {
        name: replace(model, clusters=np.zeros(20, dtype=np.int64))
        for name, model in two_models(20, noise=2).items()
    }
    for found in compare(models, metrics=("auc", "accuracy", "brier"), resamples=20):
        assert math.isnan(found.difference.low), found.metric
        assert found.verdict != "better"
    assert math.isnan(bootstrap_difference(models["A"], models["B"], "brier").p_value)


def test_models_of_other_images_are_refused() -> None:
    models = two_models(20)
    ids = (*models["B"].image_ids[:15], *(f"other{index}" for index in range(5)))
    with pytest.raises(PredictionsError, match="A and B: 20 and 20 images, 15 in common"):
        compare({**models, "B": replace(models["B"], image_ids=ids)})
    truth = models["B"].truth.copy()
    truth[[3, 7]] = 1 - truth[[3, 7]]
    with pytest.raises(PredictionsError, match=r"2 images differ, first that of image000003"):
        compare({**models, "B": replace(models["B"], truth=truth)})
    with pytest.raises(PredictionsError, match="labels NORMAL, PNEUMONIA and PNEUMONIA, NORMAL"):
        compare({**models, "B": replace(models["B"], labels=("PNEUMONIA", "NORMAL"))})
    with pytest.raises(PredictionsError, match="other patients"):
        compare({**models, "B": replace(models["B"], clusters=np.arange(20) // 2)})
    with pytest.raises(PredictionsError, match="other patients"):
        grouped = {"A": np.arange(20) // 2, "B": np.arange(20) % 10}
        compare({name: replace(models[name], clusters=grouped[name]) for name in "AB"})
    renumbered = replace(models["B"], clusters=np.arange(20)[::-1].copy())
    assert compare({**models, "B": renumbered}, resamples=20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ("auroc",)}, "metric 'auroc'; allowed: accuracy"),
        ({"metrics": ()}, "metrics none"),
        ({"metrics": ("auc", "auc")}, "each once"),
        ({"reference": "C"}, "reference 'C'; allowed: A, B"),
        ({"resamples": 0}, "resamples=0"),
        ({"confidence_level": 95}, "confidence_level=95"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        compare(two_models(20), **options)  # type: ignore[arg-type]
    with pytest.raises(PredictionsError, match="1 models; allowed: two or more"):
        compare({"A": two_models(20)["A"]})


def test_ten_thousand_images_take_little() -> None:
    models = two_models(10_000, per_patient=2)
    start = time.process_time()
    compare(models, metrics=("auc", "accuracy", "brier", "ece", "macro_f1"), resamples=2000)
    assert time.process_time() - start < 2
