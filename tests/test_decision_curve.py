"""Net benefit, against counting threshold by threshold."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation.decision_curve import DecisionCurve, decision_curve
from pneumoscope.evaluation.draws import bootstrap_weights
from pneumoscope.evaluation.predictions import Predictions

LABELS = ("NORMAL", "PNEUMONIA")
Floats = NDArray[np.float64]


def make_predictions(
    n_images: int, *, seed: int = 0, per_patient: int = 1, ties: bool = False
) -> Predictions:
    """Calibrated: an image has the label as often as its probability says."""
    random = np.random.default_rng(seed)
    scores = random.beta(0.8, 1.6, size=n_images)
    scores = scores.round(1) if ties else scores
    truth = (random.random(n_images) < scores).astype(np.int64)
    return Predictions(
        labels=LABELS,
        image_ids=tuple(f"image{index:06d}" for index in range(n_images)),
        truth=truth,
        logits=np.zeros((n_images, 2)),
        probabilities=np.stack([1 - scores, scores], axis=1),
        clusters=np.arange(n_images) // per_patient,
    )


def curve(predictions: Predictions, resamples: int = 50, **options: object) -> DecisionCurve:
    return decision_curve(predictions, label="PNEUMONIA", resamples=resamples, **options)  # type: ignore[arg-type]


def counted(
    predictions: Predictions, threshold: float, weights: Floats, prevalence: float | None = None
) -> tuple[float, float]:
    """Vickers and Elkin's formula with scikit-learn's counts: of the model, of treating all."""
    answered = predictions.probabilities[:, 1] >= threshold
    benefits = []
    for policy in (answered, np.ones_like(answered)):
        (tn, fp), (fn, tp) = confusion_matrix(
            predictions.truth, policy, labels=[0, 1], sample_weight=weights
        )
        true, false = tp / weights.sum(), fp / weights.sum()
        if prevalence is not None:
            true, false = prevalence * tp / (tp + fn), (1 - prevalence) * fp / (fp + tn)
        benefits.append(float(true - false * threshold / (1 - threshold)))
    return benefits[0], benefits[1]


@pytest.mark.parametrize("prevalence", [None, 0.05])
@pytest.mark.parametrize("ties", [False, True])
def test_net_benefit_is_the_published_formula(ties: bool, prevalence: float | None) -> None:
    predictions = make_predictions(200, ties=ties)
    found = curve(predictions, prevalence=prevalence)
    assert found.thresholds == pytest.approx(np.arange(1, 100) / 100)
    for place, threshold in enumerate(found.thresholds):
        model, treat_all = counted(predictions, threshold, np.ones(200), prevalence)
        assert found.model.value[place] == pytest.approx(model, abs=1e-12)
        assert found.treat_all.value[place] == pytest.approx(treat_all, abs=1e-12)
        advantage = model - max(treat_all, 0)
        assert found.advantage.value[place] == pytest.approx(advantage, abs=1e-12)
    assert not found.treat_none.value.any()


@pytest.mark.parametrize("prevalence", [None, 0.3])
def test_bands_are_percentiles_of_resampled_patients(prevalence: float | None) -> None:
    predictions = make_predictions(120, per_patient=3)
    found = curve(
        predictions, resamples=80, seed=3, confidence_level=0.8, prevalence=prevalence,
        thresholds=np.array([0.2, 0.5]),
    )  # fmt: skip
    weights = np.concatenate(list(bootstrap_weights(predictions.clusters, resamples=80, seed=3)))
    for place, threshold in enumerate((0.2, 0.5)):
        drawn = np.array([counted(predictions, threshold, row, prevalence) for row in weights])
        advantage = drawn[:, 0] - np.maximum(drawn[:, 1], 0)
        bands = (found.model, found.treat_all, found.advantage)
        for band, values in zip(bands, (*drawn.T, advantage), strict=True):
            low, high = np.quantile(values, [0.1, 0.9])
            assert band.low[place] == pytest.approx(low, abs=1e-12)
            assert band.high[place] == pytest.approx(high, abs=1e-12)


def test_a_probability_on_the_threshold_counts() -> None:
    predictions = make_predictions(2)
    predictions = replace(
        predictions, probabilities=np.array([[0.6, 0.4], [0.7, 0.3]]), truth=np.array([1, 0])
    )
    at = np.array([0.3, np.nextafter(0.3, 1), 0.4, np.nextafter(0.4, 1)])
    found = curve(predictions, thresholds=at)
    assert found.model.value == pytest.approx([0.5 - 0.5 * 3 / 7, 0.5, 0.5, 0], abs=1e-12)


def test_treating_all_is_worth_nothing_where_the_prevalence_is_the_threshold() -> None:
    predictions = make_predictions(500)
    prevalence = float(predictions.truth.mean())
    found = curve(predictions, thresholds=np.array([prevalence]))
    assert found.treat_all.value[0] == pytest.approx(0, abs=1e-12)
    assert found.prevalence == prevalence


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.02, 0.98))
def test_the_order_of_images_does_not_matter(seed: int, threshold: float) -> None:
    predictions = make_predictions(40, seed=seed, ties=True)
    order = np.random.default_rng(seed).permutation(40)
    shuffled = replace(
        predictions,
        truth=predictions.truth[order],
        probabilities=predictions.probabilities[order],
    )
    at = np.array([threshold])
    one, other = (curve(part, resamples=20, thresholds=at) for part in (predictions, shuffled))
    assert one.model.value == pytest.approx(other.model.value, abs=1e-12)
    best = max(one.prevalence, 0)
    assert one.model.value[0] <= best + 1e-12
    assert one.model.low[0] <= one.model.value[0] <= one.model.high[0]


def test_band_covers_the_benefit() -> None:
    at = np.array([0.1, 0.3, 0.6])
    true = curve(make_predictions(300_000, seed=1), resamples=1, thresholds=at).model.value
    covered, runs = np.zeros(3), 200
    for run in range(runs):
        predictions = make_predictions(300, seed=10 + run)
        found = curve(predictions, resamples=200, thresholds=at, confidence_level=0.9).model
        covered += (found.low <= true) & (true <= found.high)
    assert (covered / runs >= 0.84).all()
    assert (covered / runs <= 0.96).all()


def test_a_calibrated_model_is_useful_and_a_constant_one_is_not() -> None:
    predictions = make_predictions(2000)
    found = curve(predictions, resamples=300)
    assert found.useful[10:60].all()
    constant = replace(predictions, probabilities=np.full((2000, 2), 0.5))
    assert not curve(constant, resamples=100).useful.any()


def test_images_of_a_patient_widen_the_band() -> None:
    predictions = make_predictions(300)
    repeated = Predictions(
        labels=LABELS,
        image_ids=tuple(f"image{index:06d}" for index in range(1200)),
        truth=predictions.truth.repeat(4),
        logits=predictions.logits.repeat(4, axis=0),
        probabilities=predictions.probabilities.repeat(4, axis=0),
        clusters=np.arange(300).repeat(4),
    )
    at = np.array([0.3])
    alone, together, apart = (
        curve(part, resamples=400, thresholds=at).model
        for part in (predictions, repeated, replace(repeated, clusters=np.arange(1200)))
    )
    assert together.high - together.low == pytest.approx(alone.high - alone.low)
    assert (apart.high - apart.low)[0] < 0.65 * (alone.high - alone.low)[0]


def test_curves_without_bands_or_positives() -> None:
    predictions = make_predictions(30)
    single = curve(replace(predictions, clusters=np.zeros(30, dtype=np.int64)))
    assert np.isnan(single.model.low).all()
    assert not np.isnan(single.model.value).any()
    assert not single.useful.any()
    negative = replace(predictions, truth=np.zeros(30, dtype=np.int64))
    assert (curve(negative).model.value <= 0).all()
    undefined = curve(negative, prevalence=0.1)
    assert np.isnan(undefined.model.value).all()
    content = json.loads(json.dumps(undefined.to_json(), allow_nan=False))
    assert content["model"]["value"] == [None] * 99
    assert (content["n_images"], content["prevalence"]) == (30, 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": np.array([0.0, 0.5])}, "allowed: between 0 and 1, ascending"),
        ({"thresholds": np.array([0.5, 1.0])}, "allowed: between 0 and 1, ascending"),
        ({"thresholds": np.array([0.5, 0.4])}, "allowed: between 0 and 1, ascending"),
        ({"thresholds": np.zeros(0)}, "allowed: between 0 and 1, ascending"),
        ({"prevalence": 0.0}, "prevalence=0"),
        ({"resamples": 0}, "resamples=0"),
        ({"confidence_level": 95}, "confidence_level=95"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        curve(make_predictions(20), **options)  # type: ignore[arg-type]
    with pytest.raises(PredictionsError, match="label 'TB'"):
        decision_curve(make_predictions(20), label="TB")


def test_ten_thousand_images_take_little() -> None:
    predictions = make_predictions(10_000, per_patient=2)
    start = time.process_time()
    curve(predictions, resamples=2000)
    assert time.process_time() - start < 2
