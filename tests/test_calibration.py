"""Softmax and temperature scaling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation.calibration import TemperatureFit, fit_temperature, softmax


def simulate(
    n_images: int, n_labels: int, *, scale: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits `scale` times too large for the labels drawn from them."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n_images, n_labels)) * 2
    noise = random.gumbel(size=logits.shape)
    return logits * scale, (logits + noise).argmax(axis=1)


@given(
    st.lists(st.floats(-50, 50), min_size=2, max_size=5),
    st.floats(0.05, 20),
)
def test_softmax_equals_scipy(row: list[float], temperature: float) -> None:
    logits = np.array([row])
    expected = special.softmax(logits / temperature, axis=-1)
    np.testing.assert_allclose(softmax(logits, temperature=temperature), expected, atol=1e-14)


def test_softmax_bears_any_finite_logits() -> None:
    assert softmax(np.array([1e300, 0.0, -1e300])).tolist() == [1, 0, 0]
    assert softmax(np.array([[1e4, 1e4], [-1e4, -1e4]])).tolist() == [[0.5, 0.5]] * 2
    assert softmax(np.array([1, 1], dtype=np.float32)).dtype == np.float64


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_softmax_refuses_a_temperature(temperature: float) -> None:
    with pytest.raises(PredictionsError, match=r"temperature=.*; allowed"):
        softmax(np.zeros(2), temperature=temperature)


@pytest.mark.parametrize(("n_labels", "scale"), [(2, 2.5), (3, 0.4), (4, 1.0)])
def test_temperature_is_recovered(n_labels: int, scale: float) -> None:
    logits, truth = simulate(40_000, n_labels, scale=scale, seed=n_labels)
    fit = fit_temperature(logits, truth)
    assert fit.temperature == pytest.approx(scale, rel=0.02)
    assert fit.n_images == 40_000
    assert fit.log_loss_after <= fit.log_loss_before + 1e-12


def test_temperature_is_the_minimum() -> None:
    logits, truth = simulate(300, 3, scale=3.0, seed=0)
    fit = fit_temperature(logits, truth)
    assert fit.log_loss_after == pytest.approx(log_loss(logits, truth, fit.temperature), abs=1e-12)
    assert fit.log_loss_before == pytest.approx(log_loss(logits, truth, 1.0), abs=1e-12)
    for factor in (0.98, 1.02):
        assert log_loss(logits, truth, fit.temperature * factor) > fit.log_loss_after


def log_loss(logits: NDArray[np.float64], truth: NDArray[np.int64], temperature: float) -> float:
    log_probabilities = special.log_softmax(logits / temperature, axis=1)
    return float(-log_probabilities[np.arange(len(truth)), truth].mean())


def test_temperature_of_float32_logits_is_the_same() -> None:
    logits, truth = simulate(300, 2, scale=2.0, seed=1)
    single = logits.astype(np.float32)
    assert fit_temperature(single, truth).temperature == pytest.approx(
        fit_temperature(single.astype(np.float64), truth).temperature, rel=1e-12
    )


@pytest.mark.parametrize(("sign", "bound"), [(-1.0, 20.0), (1e-3, 0.05)])
def test_temperature_stays_in_its_range(sign: float, bound: float) -> None:
    logits, truth = simulate(500, 2, scale=1.0, seed=2)
    assert fit_temperature(sign * logits, truth).temperature == pytest.approx(bound, rel=1e-4)


@pytest.mark.parametrize("case", ["few images", "one label", "all correct"])
def test_temperature_stays_one_where_images_cannot_tell(case: str) -> None:
    logits, truth = simulate(9 if case == "few images" else 50, 2, scale=5.0, seed=3)
    if case == "one label":
        truth = np.zeros_like(truth)
    if case == "all correct":
        truth = logits.argmax(axis=1)
    fit = fit_temperature(logits, truth)
    assert isinstance(fit, TemperatureFit)
    assert fit.temperature == 1.0
    assert fit.log_loss_before == fit.log_loss_after
    assert fit.n_images == len(truth)


def test_logits_are_left_alone() -> None:
    logits, truth = simulate(50, 2, scale=2.0, seed=4)
    before = logits.copy()
    fit_temperature(logits, truth)
    assert np.array_equal(logits, before)


@pytest.mark.parametrize(
    ("logits", "truth", "message"),
    [
        (np.zeros((3, 2)), [0, 1], "Give one row per image"),
        (np.zeros((0, 2)), [], "Give one row per image"),
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), [0, 1], "row 1 are not finite"),
        (np.zeros((2, 2)), [0, 2], "truth=2; allowed: 0 to 1"),
        (np.zeros((2, 2)), [0, -1], "truth=-1; allowed: 0 to 1"),
    ],
)
def test_fit_refuses(logits: NDArray[np.float64], truth: list[int], message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        fit_temperature(logits, np.array(truth, dtype=np.int64))
