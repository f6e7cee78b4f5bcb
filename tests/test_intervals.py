"""Bootstrap over patients, and Wilson's interval."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import IntArray
from pneumoscope.evaluation import draws
from pneumoscope.evaluation.calibration_error import (
    adaptive_error_bounds,
    calibration_error_bounds,
)
from pneumoscope.evaluation.draws import bootstrap_weights
from pneumoscope.evaluation.intervals import bootstrap_intervals, wilson_interval
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.verdict.figures import calibration


def make_predictions(correct: list[bool], clusters: IntArray | None = None) -> Predictions:
    """Alternating labels, answered at 0.8 with the true label or with the other."""
    n_images = len(correct)
    truth = np.arange(n_images) % 2
    answered = np.where(correct, truth, 1 - truth)
    probabilities = np.where(np.arange(2) == answered[:, None], 0.8, 0.2)
    return Predictions(
        labels=("NORMAL", "PNEUMONIA"),
        image_ids=tuple(f"image{index:05d}" for index in range(n_images)),
        truth=truth,
        logits=np.log(probabilities),
        probabilities=probabilities,
        clusters=np.arange(n_images) if clusters is None else np.asarray(clusters, dtype=np.int64),
    )


def all_weights(clusters: IntArray, *, resamples: int, seed: int) -> np.ndarray:
    return np.concatenate(list(bootstrap_weights(clusters, resamples=resamples, seed=seed)))


def test_weights_are_whole_and_clusters_move_together() -> None:
    clusters = np.array([0, 1, 1, 2, 0, 3, 3, 3])
    weights = all_weights(clusters, resamples=300, seed=0)
    assert weights.shape == (300, 8)
    assert np.array_equal(weights, weights.round())
    for cluster in range(4):
        members = weights[:, clusters == cluster]
        assert (members == members[:, :1]).all()
    firsts = weights[:, [0, 1, 3, 5]]
    assert (firsts.sum(axis=1) == 4).all()
    assert firsts.mean(axis=0) == pytest.approx(np.ones(4), abs=0.2)
    assert len(np.unique(firsts, axis=0)) > 20


def test_the_seed_alone_decides_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    clusters = np.arange(17)
    first = all_weights(clusters, resamples=50, seed=3)
    assert np.array_equal(first, all_weights(clusters, resamples=50, seed=3))
    assert not np.array_equal(first, all_weights(clusters, resamples=50, seed=4))
    monkeypatch.setattr(draws, "_CHUNK_BYTES", 7 * 17 * 8)
    pieces = list(bootstrap_weights(clusters, resamples=50, seed=3))
    assert [len(piece) for piece in pieces] == [7] * 7 + [1]
    assert np.array_equal(first, np.concatenate(pieces))


def test_pieces_stay_small() -> None:
    pieces = bootstrap_weights(np.arange(200_000), resamples=100, seed=0)
    assert next(pieces).nbytes <= 8 * 2**20


def test_same_seed_same_intervals() -> None:
    predictions = make_predictions([index % 5 > 0 for index in range(60)])
    first = bootstrap_intervals(predictions, resamples=100, seed=1)
    assert first == bootstrap_intervals(predictions, resamples=100, seed=1)
    assert first != bootstrap_intervals(predictions, resamples=100, seed=2)


@pytest.mark.parametrize("confidence_level", [0.8, 0.95])
def test_interval_of_a_mean_is_close_to_the_normal_one(confidence_level: float) -> None:
    random = np.random.default_rng(0)
    predictions = make_predictions((random.random(1000) < 0.8).tolist())
    found = bootstrap_intervals(predictions, resamples=2000, confidence_level=confidence_level)
    accuracy = found["accuracy"]
    z = {0.8: 1.2816, 0.95: 1.96}[confidence_level]
    half = z * math.sqrt(accuracy.value * (1 - accuracy.value) / 1000)
    assert accuracy.low == pytest.approx(accuracy.value - half, abs=0.1 * half)
    assert accuracy.high == pytest.approx(accuracy.value + half, abs=0.1 * half)


def test_images_of_one_patient_count_as_one_answer() -> None:
    correct = np.random.default_rng(0).random(100) < 0.8
    alone = bootstrap_intervals(make_predictions(correct.tolist()), resamples=500)
    clusters = np.repeat(np.arange(100), 4)
    repeated = make_predictions(correct.repeat(4).tolist(), clusters)
    together = bootstrap_intervals(repeated, resamples=500)
    apart = bootstrap_intervals(make_predictions(correct.repeat(4).tolist()), resamples=500)
    width = {
        name: result["accuracy"].high - result["accuracy"].low
        for name, result in {"alone": alone, "together": together, "apart": apart}.items()
    }
    assert width["together"] == pytest.approx(width["alone"], rel=1e-9)
    assert width["apart"] < 0.65 * width["together"]


def test_resamples_without_a_label_are_left_out() -> None:
    predictions = make_predictions([True, True, False, True])
    found = bootstrap_intervals(predictions, resamples=200)["auc"]
    assert not math.isnan(found.low)
    assert found.low <= found.value <= found.high


def test_every_interval_holds_its_estimate() -> None:
    calibrated = make_predictions([index % 5 > 0 for index in range(400)])
    for name, interval in bootstrap_intervals(calibrated, resamples=100).items():
        assert interval.low <= interval.value <= interval.high, name
    ece = bootstrap_intervals(calibrated, resamples=100)["ece"]
    assert ece.value == pytest.approx(0, abs=1e-12)
    assert ece.high > 0.01


def test_a_metric_without_a_value_has_no_interval() -> None:
    predictions = make_predictions([True, True, True, True])
    single = Predictions(
        predictions.labels,
        predictions.image_ids,
        np.zeros(4, dtype=np.int64),
        predictions.logits,
        predictions.probabilities,
        predictions.clusters,
    )
    found = bootstrap_intervals(single, resamples=20)["auc"]
    assert all(math.isnan(number) for number in (found.value, found.low, found.high))


def test_one_patient_has_no_interval() -> None:
    predictions = make_predictions([True, False, True], np.zeros(3, dtype=np.int64))
    found = bootstrap_intervals(predictions, resamples=20)["accuracy"]
    assert found.value == pytest.approx(2 / 3)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_perfect_figure_has_the_interval_of_as_many_patients() -> None:
    """60 patients of two images each, 30 with each label, all answered right."""
    predictions = make_predictions([True] * 120, np.arange(120) // 4 * 2 + np.arange(120) % 2)
    found = bootstrap_intervals(predictions, resamples=50)
    whole = wilson_interval(60, 60, confidence_level=0.95).low
    label = wilson_interval(30, 30, confidence_level=0.95).low
    exact = 0.025 ** (1 / 30)  # Clopper and Pearson 1934: none wrong in 30 pairs without a patient
    bounds = {name: (one.low, one.high) for name, one in found.items()}
    assert bounds["accuracy"] == pytest.approx((whole, 1))
    for name in ("balanced_accuracy", "macro_f1", "sensitivity:NORMAL", "specificity:NORMAL",
                 "precision:PNEUMONIA", "f1:PNEUMONIA"):  # fmt: skip
        assert bounds[name] == pytest.approx((label, 1)), name
    assert bounds["mcc"] == pytest.approx((2 * label - 1, 1))
    assert bounds["auc"] == bounds["auc:NORMAL"] == pytest.approx((exact, 1))
    assert all(math.isnan(bound) for bound in bounds["average_precision"] + bounds["log_loss"])
    for name, one in found.items():
        assert not one.high - one.low < 0.02, name
        assert math.isnan(one.low) or one.low <= one.value <= one.high, name


def test_a_figure_that_is_all_wrong_mirrors_the_perfect_one() -> None:
    right, wrong = (
        bootstrap_intervals(make_predictions([answer] * 60), resamples=20)
        for answer in (True, False)
    )
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auc", "f1:NORMAL"):
        assert wrong[name].value == wrong[name].low == 0, name
        assert wrong[name].high == pytest.approx(1 - right[name].low), name
    assert wrong["mcc"].low == -1
    assert wrong["mcc"].high == pytest.approx(-right["mcc"].low)


def test_one_label_for_all_images_leaves_doubt_and_no_coefficient() -> None:
    answers = [index % 2 == 0 for index in range(80)]
    found = bootstrap_intervals(make_predictions(answers), resamples=50)
    least, most = (wilson_interval(hits, 40, confidence_level=0.95) for hits in (40, 0))
    assert found["balanced_accuracy"].low == pytest.approx(least.low / 2)
    assert found["balanced_accuracy"].high == pytest.approx((1 + most.high) / 2)
    assert found["auc"].low < 0.5 < found["auc"].high
    assert found["mcc"].value == 0
    assert math.isnan(found["mcc"].low)


@pytest.mark.parametrize("chance", [0.8, 0.9, 0.97])
def test_bounds_of_perfect_figures_exclude_the_truth_seldom(chance: float) -> None:
    """Where every image is answered right with this chance, both labels alike."""
    truth = {"balanced_accuracy": chance, "mcc": 2 * chance - 1, "macro_f1": chance}
    excluded = set()
    for patients in range(6, 126, 12):
        found = bootstrap_intervals(make_predictions([True] * patients), resamples=2)
        excluded |= {name for name, value in truth.items() if found[name].low > value}
        assert chance**patients < 0.025 or not excluded
    assert excluded or chance > 0.9


def simulated(temperature: float, *, seed: int, n_images: int = 500) -> Predictions:
    """Answers of two labels that are calibrated at temperature 1, one patient each."""
    random = np.random.default_rng(seed)
    score = random.normal(0, 2, n_images)
    truth = (random.random(n_images) < 1 / (1 + np.exp(-score))).astype(np.int64)
    sure = 1 / (1 + np.exp(-score * temperature))
    probabilities = np.stack([1 - sure, sure], axis=1)
    return replace(
        make_predictions([True] * n_images), truth=truth, logits=np.log(probabilities),
        probabilities=probabilities,
    )  # fmt: skip


def test_calibration_error_is_not_taken_for_chance_nor_chance_for_it() -> None:
    """In 40 models that are calibrated, 500 images each, and in as many that are not."""
    held: dict[float, list[bool]] = {1.0: [], 1.5: [], 3.0: []}
    colours: dict[float, list[str]] = {1.0: [], 1.5: [], 3.0: []}
    errors = {1.0: 0.0, 1.5: 0.058, 3.0: 0.133}  # the last two from 5 million images
    for temperature, true_error in errors.items():
        for seed in range(40):
            predictions = simulated(temperature, seed=seed)
            found = bootstrap_intervals(predictions, metrics=["ece"], resamples=200, seed=seed)
            ece = found["ece"]
            assert ece.low <= ece.value <= ece.high
            held[temperature].append(ece.low <= true_error <= ece.high)
            entry = {"value": ece.value, "low": ece.low, "high": ece.high}
            colours[temperature].append(calibration({"ece": entry}, {}).colour)
    assert min(np.mean(each) for each in held.values()) > 0.8
    assert colours[1.0].count("green") >= 36
    assert colours[1.5].count("green") < 24
    assert not {"green", "grey"} & set(colours[3.0])


def test_adaptive_error_has_an_interval_that_knows_chance() -> None:
    options: dict[str, Any] = {"resamples": 200, "confidence_level": 0.95, "seed": 0}
    lows = [adaptive_error_bounds(simulated(1, seed=seed), **options)[0] for seed in range(20)]
    assert sum(low > 0 for low in lows) <= 2
    low, high = adaptive_error_bounds(simulated(3, seed=0), **options)
    assert 0.05 < low < 0.12 < high < 0.2
    alone = replace(simulated(3, seed=0), clusters=np.zeros(500, dtype=np.int64))
    assert math.isnan(adaptive_error_bounds(alone, **options)[0])


def test_less_error_than_chance_gives_is_no_proof() -> None:
    """Gaps of 0 in resamples of 100 coins: as many as half of all calibrated models have less."""
    drawn = np.random.default_rng(0).normal(0, 0.05, size=(2000, 1))
    low, high = calibration_error_bounds(np.zeros(1), drawn, confidence_level=0.95)
    assert low == 0
    assert high == pytest.approx(0.05 * (0.674 + 1.96), rel=0.1)
    assert calibration_error_bounds(np.zeros(1), drawn * 0, confidence_level=0.95) == (0, 0)
    low, high = calibration_error_bounds(np.array([0.4]), 0.4 + drawn, confidence_level=0.95)
    assert (low, high) == pytest.approx((0.4 - 0.098, 0.4 + 0.098), abs=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resamples": 0}, "resamples=0"),
        ({"confidence_level": 1.0}, "confidence_level=1.0"),
        ({"confidence_level": 95}, "confidence_level=95"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        bootstrap_intervals(make_predictions([True, False]), **options)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_equals_published_values(
    successes: int, trials: int, low: float, high: float
) -> None:
    found = wilson_interval(successes, trials, confidence_level=0.95)
    assert found.value == successes / trials
    assert [found.low, found.high] == pytest.approx([low, high], abs=6e-5)


def test_wilson_ends_are_exact() -> None:
    for trials in range(1, 300):
        assert wilson_interval(0, trials, confidence_level=0.95).low == 0
        assert wilson_interval(trials, trials, confidence_level=0.95).high == 1


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0.5, 0.999))
def test_wilson_holds_the_proportion_and_mirrors(
    successes: int, failures: int, confidence_level: float
) -> None:
    trials = successes + failures
    found = wilson_interval(successes, trials, confidence_level=confidence_level)
    mirror = wilson_interval(failures, trials, confidence_level=confidence_level)
    if not trials:
        assert all(math.isnan(number) for number in (found.value, found.low, found.high))
        return
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low == pytest.approx(1 - mirror.high, abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (0, -1)])
def test_wilson_refuses_impossible_counts(successes: int, trials: int) -> None:
    with pytest.raises(PredictionsError, match="successes in"):
        wilson_interval(successes, trials, confidence_level=0.95)
