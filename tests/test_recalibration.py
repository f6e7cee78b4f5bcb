"""Calibrators: temperature, vector scaling, isotonic regression, and the choice among them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from pneumoscope.core.errors import BundleError, PredictionsError
from pneumoscope.evaluation.calibration import fit_temperature
from pneumoscope.evaluation.calibration_error import adaptive_calibration_error, equal_mass_bins
from pneumoscope.evaluation.calibrator import Calibrator, Method, temperature_calibrator
from pneumoscope.evaluation.recalibration import choose_calibrator, fit_calibrator

Logits = NDArray[np.float64]
Truth = NDArray[np.int64]


def draw_labels(logits: Logits, *, seed: int) -> Truth:
    """Labels that follow the softmax of the logits."""
    noise = np.random.default_rng(seed).gumbel(size=logits.shape)
    labels: Truth = (logits + noise).argmax(axis=1)
    return labels


def simulate(n_images: int, n_labels: int, *, scale: float, seed: int) -> tuple[Logits, Truth]:
    """Logits `scale` times too large for the labels drawn from them."""
    logits = np.random.default_rng(seed).normal(size=(n_images, n_labels)) * 2
    return logits * scale, draw_labels(logits, seed=seed + 1)


def log_loss(calibrator: Calibrator, logits: Logits, truth: Truth) -> float:
    return float(-np.log(calibrator.apply(logits)[np.arange(len(truth)), truth]).mean())


CALIBRATORS = st.one_of(
    st.floats(0.05, 20).map(temperature_calibrator),
    st.lists(st.tuples(st.floats(0.05, 20), st.floats(-20, 20)), min_size=2, max_size=2).map(
        lambda pairs: Calibrator(
            "vector",
            {
                "weights": tuple(weight for weight, _ in pairs),
                "biases": tuple(bias for _, bias in pairs),
            },
        )
    ),
    st.lists(st.tuples(st.floats(-50, 50), st.floats(0, 1)), min_size=1, unique_by=lambda p: p[0])
    .map(
        lambda pairs: (
            tuple(sorted(place for place, _ in pairs)),
            tuple(sorted(value for _, value in pairs)),
        )
    )
    .map(lambda knots: Calibrator("isotonic", {"log_odds": knots[0], "probabilities": knots[1]})),
)
TWO_LOGITS = st.lists(st.tuples(st.floats(-80, 80), st.floats(-80, 80)), min_size=1, max_size=8)


@given(CALIBRATORS, TWO_LOGITS)
def test_probabilities_are_probabilities(
    calibrator: Calibrator, rows: list[tuple[float, float]]
) -> None:
    probabilities = calibrator.apply(np.array(rows))
    assert probabilities.shape == (len(rows), 2)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)


@given(CALIBRATORS, TWO_LOGITS, st.floats(-10, 10))
def test_a_constant_on_all_logits_changes_nothing(
    calibrator: Calibrator, rows: list[tuple[float, float]], constant: float
) -> None:
    logits = np.array(rows)
    if calibrator.method == "isotonic":
        steepest = np.diff(calibrator.parameters["log_odds"]).min(initial=np.inf)
        if steepest < 1e-3:  # a cliff: rounding may fall on either side of it
            return
    np.testing.assert_allclose(
        calibrator.apply(logits + constant), calibrator.apply(logits), atol=1e-8
    )


@given(CALIBRATORS)
def test_json_brings_back_the_same(calibrator: Calibrator) -> None:
    text = json.dumps(calibrator.to_json(), allow_nan=False)
    assert Calibrator.from_json(json.loads(text)) == calibrator


@given(CALIBRATORS, TWO_LOGITS)
def test_two_labels_keep_their_order_of_images(
    calibrator: Calibrator, rows: list[tuple[float, float]]
) -> None:
    logits = np.array(rows)
    order = np.argsort(logits[:, 1] - logits[:, 0], kind="stable")
    assert (np.diff(calibrator.apply(logits)[order, 1]) >= -1e-12).all()


@pytest.mark.parametrize(("n_labels", "scale"), [(2, 2.5), (3, 0.4)])
def test_a_known_temperature_is_recovered(n_labels: int, scale: float) -> None:
    logits, truth = simulate(40_000, n_labels, scale=scale, seed=n_labels)
    calibrator = fit_calibrator(logits, truth, method="temperature")
    assert calibrator.parameters["temperature"][0] == pytest.approx(scale, rel=0.02)
    expected = special.softmax(logits / fit_temperature(logits, truth).temperature, axis=1)
    np.testing.assert_allclose(calibrator.apply(logits), expected, atol=1e-14)


def test_known_weights_and_biases_are_recovered() -> None:
    logits = np.random.default_rng(0).normal(size=(40_000, 3)) * 4
    weights, biases = np.array([0.5, 0.8, 0.3]), np.array([0.7, -0.9, 0.2])
    centered = logits - logits.mean(axis=1, keepdims=True)
    truth = draw_labels(centered * weights + biases, seed=1)
    found = fit_calibrator(logits, truth, method="vector").parameters
    np.testing.assert_allclose(found["weights"], weights, rtol=0.04)
    np.testing.assert_allclose(found["biases"], biases, atol=0.04)
    assert sum(found["biases"]) == pytest.approx(0, abs=1e-12)


def test_vector_scaling_of_two_labels_is_logistic_regression() -> None:
    logits, truth = simulate(400, 2, scale=3.0, seed=5)
    logits[:, 1] += 1.5
    odds = logits[:, 1] - logits[:, 0]
    reference = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(odds[:, None], truth)
    found = fit_calibrator(logits, truth, method="vector")
    expected = reference.predict_proba(odds[:, None])
    np.testing.assert_allclose(found.apply(logits), expected, atol=1e-5)


def test_vector_scaling_is_the_minimum() -> None:
    logits, truth = simulate(300, 3, scale=2.0, seed=6)
    found = fit_calibrator(logits, truth, method="vector")
    least = log_loss(found, logits, truth)
    for name in ("weights", "biases"):
        for index in range(3):
            for step in (-0.02, 0.02):
                moved = {key: list(values) for key, values in found.parameters.items()}
                moved[name][index] += step
                other = Calibrator("vector", {key: tuple(moved[key]) for key in moved})
                assert log_loss(other, logits, truth) > least


def test_isotonic_is_that_of_scikit_learn() -> None:
    logits, truth = simulate(500, 2, scale=2.0, seed=7)
    odds, margin = logits[:, 1] - logits[:, 0], 1 / 502
    reference = IsotonicRegression(y_min=margin, y_max=1 - margin, out_of_bounds="clip")
    reference.fit(odds, truth)
    new = np.random.default_rng(8).normal(size=(1000, 2)) * 6
    found = fit_calibrator(logits, truth, method="isotonic")
    expected = reference.predict(new[:, 1] - new[:, 0])
    np.testing.assert_allclose(found.apply(new)[:, 1], expected, atol=1e-12)
    assert 0 < expected.min() < expected.max() < 1


def test_the_temperature_wins_where_it_is_right() -> None:
    logits, truth = simulate(600, 2, scale=2.0, seed=9)
    choice = choose_calibrator(logits, truth)
    assert choice.calibrator == fit_calibrator(logits, truth, method="temperature")
    assert set(choice.log_losses) == {"temperature", "vector", "isotonic"}
    assert "cross-validated log loss" in choice.reason
    assert choice == choose_calibrator(logits, truth)


def test_a_gain_within_chance_is_no_reason() -> None:
    choices = [
        choose_calibrator(*simulate(200, 3, scale=1.5, seed=seed)) for seed in range(100, 140)
    ]
    least = [min(one.log_losses, key=one.log_losses.__getitem__) for one in choices]
    chosen = [one.calibrator.method for one in choices]
    assert least.count("vector") >= 5
    assert chosen.count("vector") < least.count("vector") / 2
    told = [one.reason for one, best in zip(choices, least, strict=True) if best == "vector"]
    assert any("vector gains only" in reason for reason in told)


def test_vector_scaling_wins_where_labels_are_biased() -> None:
    logits, truth = simulate(600, 3, scale=1.0, seed=10)
    logits[:, 0] += 2
    choice = choose_calibrator(logits, truth)
    assert choice.calibrator.method == "vector"
    assert set(choice.log_losses) == {"temperature", "vector"}
    assert choice.log_losses["vector"] < choice.log_losses["temperature"]
    assert "better than the temperature by" in choice.reason


def test_isotonic_wins_where_the_curve_bends() -> None:
    random = np.random.default_rng(11)
    odds = random.normal(size=3000) * 4
    truth = (random.random(3000) < np.where(np.abs(odds) < 4, 0.5, odds > 0)).astype(np.int64)
    choice = choose_calibrator(np.stack([-odds / 2, odds / 2], axis=1), truth)
    assert choice.calibrator.method == "isotonic"


def test_images_of_a_patient_are_held_out_together() -> None:
    logits, truth = simulate(60, 2, scale=1.0, seed=12)
    logits, truth = np.repeat(logits, 20, axis=0), np.repeat(truth, 20)
    clusters = np.repeat(np.arange(60), 20)
    apart = choose_calibrator(logits, truth)
    together = choose_calibrator(logits, truth, clusters=clusters)
    # Copies on both sides of a fold let isotonic regression look up the answer.
    assert apart.log_losses["isotonic"] < together.log_losses["isotonic"] - 0.02
    assert together.calibrator.method == "temperature"


@pytest.mark.parametrize("case", ["few", "all correct"])
def test_only_the_temperature_where_images_cannot_tell(case: str) -> None:
    logits, truth = simulate(40 if case == "few" else 400, 2, scale=1.0, seed=13)
    if case == "few":
        truth[:] = 0
        truth[:5] = 1
    else:
        truth = logits.argmax(axis=1)
    choice = choose_calibrator(logits, truth)
    assert choice.calibrator.method == "temperature"
    assert choice.log_losses == {}
    assert "the only method" in choice.reason
    methods: tuple[Method, ...] = ("vector", "isotonic")
    assert {fit_calibrator(logits, truth, method=one).method for one in methods} == {"temperature"}


@pytest.mark.parametrize(
    ("method", "parameters", "message"),
    [
        ("platt", {}, "method 'platt'; allowed: temperature, vector, isotonic"),
        ("temperature", {"weights": (1.0,)}, "allowed: temperature"),
        ("temperature", {"temperature": (1.0, 2.0)}, "allowed: 1 to 1"),
        ("temperature", {"temperature": (0.0,)}, r"temperature 0; allowed: 0.05 to 20"),
        ("temperature", {"temperature": (math.nan,)}, "temperature nan"),
        ("vector", {"weights": (1.0, 1.0), "biases": (0.0,)}, "as many of each"),
        ("vector", {"weights": (1.0, -1.0), "biases": (0.0, 0.0)}, "weights -1"),
        ("isotonic", {"log_odds": (), "probabilities": ()}, "allowed: 1 to"),
        ("isotonic", {"log_odds": (0.0, 1.0), "probabilities": (0.6, 0.5)}, "values fall"),
        ("isotonic", {"log_odds": (0.0, 0.0), "probabilities": (0.5, 0.6)}, "values fall"),
    ],
)
def test_a_calibrator_is_valid_once_built(
    method: Method, parameters: dict[str, tuple[float, ...]], message: str
) -> None:
    with pytest.raises(PredictionsError, match=message):
        Calibrator(method, parameters)
    content = {
        "method": method,
        "parameters": {name: list(values) for name, values in parameters.items()},
    }
    with pytest.raises(BundleError, match=message):
        Calibrator.from_json(content)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"method": "temperature", "parameters": [1.0]},
        {"method": "temperature", "parameters": {"temperature": 1.0}},
        {"method": "temperature", "parameters": {"temperature": ["1"]}},
        {"method": "temperature", "parameters": {"temperature": [True]}},
        {"method": "temperature", "parameters": {"temperature": [10**400]}},
        {"method": ["temperature"], "parameters": {"temperature": [1.0]}},
        {"method": "temperature", "parameters": {"temperature": [1.0]}, "more": 1},
    ],
)
def test_strange_json_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(BundleError, match="calibrator"):
        Calibrator.from_json(content)


def test_arguments_are_refused() -> None:
    logits, truth = simulate(50, 3, scale=1.0, seed=14)
    with pytest.raises(PredictionsError, match="isotonic regression with 3 labels"):
        fit_calibrator(logits, truth, method="isotonic")
    with pytest.raises(PredictionsError, match="folds=1"):
        choose_calibrator(logits, truth, folds=1)
    with pytest.raises(PredictionsError, match=r"clusters \[3\]"):
        choose_calibrator(logits, truth, clusters=np.arange(3))
    vector = Calibrator("vector", {"weights": (1.0, 1.0), "biases": (0.0, 0.0)})
    with pytest.raises(PredictionsError, match=r"logits \[50, 3\]; allowed: \[..., 2\]"):
        vector.apply(logits)


def slow_ace(probabilities: Logits, truth: Truth, bins: int) -> float:
    """Nixon et al. 2019: sort, cut into equal pieces, average the gaps."""
    gaps = []
    for label in range(probabilities.shape[1]):
        order = sorted(range(len(truth)), key=lambda image: probabilities[image, label])
        size = len(truth) // bins
        for start in range(0, len(truth), size):
            piece = order[start : start + size]
            accuracy = sum(truth[image] == label for image in piece) / size
            confidence = sum(probabilities[image, label] for image in piece) / size
            gaps.append(abs(accuracy - confidence))
    return float(sum(gaps) / len(gaps))


@pytest.mark.parametrize(("n_labels", "bins"), [(2, 15), (3, 10), (4, 1)])
def test_adaptive_calibration_error_is_its_definition(n_labels: int, bins: int) -> None:
    logits, truth = simulate(20 * bins, n_labels, scale=2.0, seed=bins)
    probabilities = special.softmax(logits, axis=1)
    found = adaptive_calibration_error(probabilities, truth, bins=bins)
    assert found.shape == (1,)
    assert found[0] == pytest.approx(slow_ace(probabilities, truth, bins), abs=1e-12)


def test_adaptive_calibration_error_agrees_with_scikit_learn() -> None:
    logits, truth = simulate(600, 2, scale=2.0, seed=3)
    probabilities = special.softmax(logits, axis=1)
    frequency, mean = calibration_curve(truth, probabilities[:, 1], n_bins=15, strategy="quantile")
    found = adaptive_calibration_error(probabilities, truth)
    assert found[0] == pytest.approx(np.abs(frequency - mean).mean(), abs=1e-12)


def test_weights_count_images() -> None:
    logits, truth = simulate(200, 3, scale=2.0, seed=4)
    probabilities = special.softmax(logits, axis=1)
    weights = np.stack([np.ones(200), np.full(200, 3.0)])
    found = adaptive_calibration_error(probabilities, truth, weights=weights)
    assert found.tolist() == pytest.approx(
        [adaptive_calibration_error(probabilities, truth)[0]] * 2, abs=1e-12
    )
    with pytest.raises(PredictionsError, match="bins=0"):
        adaptive_calibration_error(probabilities, truth, bins=0)
    with pytest.raises(PredictionsError, match=r"weights \[1, 3\]"):
        adaptive_calibration_error(probabilities, truth, weights=np.ones((1, 3)))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 8))
def test_equal_values_share_a_bin_in_any_order(values: list[int], bins: int) -> None:
    places = equal_mass_bins(np.array(values), bins=bins)
    assert places.min() == 0
    assert places.max() < bins
    by_value = dict(zip(values, places.tolist(), strict=True))
    assert [by_value[value] for value in values] == places.tolist()
    assert equal_mass_bins(np.array(values[::-1]), bins=bins).tolist() == places.tolist()[::-1]
