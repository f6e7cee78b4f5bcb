"""Every metric and curve against scikit-learn, and where scikit-learn has no answer, the rule."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray
from pneumoscope.evaluation.curves import (
    confusion_matrix,
    precision_recall_curve,
    reliability_bins,
    roc_curve,
)
from pneumoscope.evaluation.metrics import METRICS, compute, metric_units
from pneumoscope.evaluation.predictions import Predictions, predictions_table, read_table
from pneumoscope.evaluation.summary import (
    evaluate_predictions,
    format_metric,
    label_metric,
    save_metrics,
)

NAMES = ("NORMAL", "BACTERIA", "VIRUS", "TB")


def make_table(
    logits: FloatArray, truth: list[int], *, patients: list[str | None] | None = None
) -> pl.DataFrame:
    labels = NAMES[: logits.shape[1]]
    image_ids = [f"image{index:05d}" for index in range(len(logits))]
    return predictions_table(
        image_ids=image_ids,
        patient_ids=patients or [None] * len(logits),
        truth=[labels[index] for index in truth],
        logits=dict(zip(image_ids, logits, strict=True)),
        temperature=1.0,
        labels=labels,
    )


def from_probabilities(probabilities: list[list[float]], truth: list[int]) -> Predictions:
    values = np.array(probabilities)
    return Predictions(
        labels=NAMES[: values.shape[1]],
        image_ids=tuple(f"image{index:05d}" for index in range(len(values))),
        truth=np.array(truth),
        logits=np.zeros_like(values),
        probabilities=values,
        clusters=np.arange(len(values)),
    )


def random_predictions(n_images: int, n_labels: int, *, seed: int, ties: bool) -> Predictions:
    random = np.random.default_rng(seed)
    truth = random.integers(n_labels, size=n_images)
    truth[:n_labels] = np.arange(n_labels)
    logits = random.normal(size=(n_images, n_labels)) * 2
    logits[np.arange(n_images), truth] += 1
    return read_table(make_table(logits.round() if ties else logits, truth.tolist()))


def point(predictions: Predictions) -> dict[str, float]:
    results = compute(predictions, np.ones((1, predictions.n_images)))
    return {name: float(values[0]) for name, values in results.items()}


def naive_ece(predictions: Predictions, weights: NDArray[np.int64]) -> float:
    """Guo et al. 2017, equation 3, one bin at a time."""
    confidence = predictions.probabilities.max(axis=1)
    correct = predictions.predicted == predictions.truth
    error = 0.0
    for low, high in zip(np.linspace(0, 1, 16)[:-1], np.linspace(0, 1, 16)[1:], strict=True):
        inside = (confidence > low) & (confidence <= high)
        if weights[inside].sum():
            accuracy = np.average(correct[inside], weights=weights[inside])
            mean = np.average(confidence[inside], weights=weights[inside])
            error += weights[inside].sum() / weights.sum() * abs(accuracy - mean)
    return float(error)


def reference(predictions: Predictions, weights: NDArray[np.int64]) -> dict[str, float]:
    """What scikit-learn says; all labels have to be present and absent somewhere."""
    truth, predicted, p = predictions.truth, predictions.predicted, predictions.probabilities
    labels = list(range(len(predictions.labels)))
    w: dict[str, Any] = {"sample_weight": weights}
    everything: dict[str, Any] = {"labels": labels, "zero_division": np.nan, "average": None, **w}
    one_hot = np.eye(len(labels))[truth]
    expected = {
        "accuracy": sk.accuracy_score(truth, predicted, **w),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, predicted, **w),
        "auc": sk.roc_auc_score(one_hot, p, average="macro", **w),
        "average_precision": sk.average_precision_score(one_hot, p, average="macro", **w),
        "macro_f1": np.nanmean(sk.f1_score(truth, predicted, **everything)),
        "mcc": sk.matthews_corrcoef(truth, predicted, **w),
        "brier": sk.brier_score_loss(truth, p, labels=labels, scale_by_half=True, **w),
        "ece": naive_ece(predictions, weights),
        "log_loss": sk.log_loss(truth, p, labels=labels, **w),
    }
    sensitivity = sk.recall_score(truth, predicted, **everything)
    precision = sk.precision_score(truth, predicted, **everything)
    f1 = sk.f1_score(truth, predicted, **everything)
    for index, label in enumerate(predictions.labels):
        is_label, said_label = truth == index, predicted == index
        specificity = sk.recall_score(is_label, said_label, pos_label=False, **w)
        expected |= {
            f"sensitivity:{label}": sensitivity[index],
            f"specificity:{label}": specificity,
            f"precision:{label}": precision[index],
            f"f1:{label}": f1[index],
            f"auc:{label}": sk.roc_auc_score(is_label, p[:, index], **w),
        }
    return {name: float(value) for name, value in expected.items()}


def assert_same(actual: dict[str, float], expected: dict[str, float]) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("n_labels", [2, 3, 4])
@pytest.mark.parametrize("ties", [False, True])
def test_point_estimates_equal_scikit_learn(n_labels: int, ties: bool) -> None:
    predictions = random_predictions(300, n_labels, seed=n_labels, ties=ties)
    ones = np.ones(300, dtype=np.int64)
    assert_same(point(predictions), reference(predictions, ones))


@pytest.mark.parametrize("n_labels", [2, 3, 4])
@pytest.mark.parametrize("ties", [False, True])
def test_each_row_of_weights_equals_scikit_learn(n_labels: int, ties: bool) -> None:
    predictions = random_predictions(80, n_labels, seed=10 + n_labels, ties=ties)
    weights = np.random.default_rng(0).poisson(1, size=(5, 80))
    weights[:, :n_labels] = 1
    results = compute(predictions, weights)
    for row, row_weights in enumerate(weights):
        actual = {name: float(values[row]) for name, values in results.items()}
        assert_same(actual, reference(predictions, row_weights))


@settings(max_examples=60, deadline=None)
@given(
    n_labels=st.integers(2, 4),
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.integers(-2, 2), min_size=4, max_size=4)),
        min_size=1,
        max_size=12,
    ),
    data=st.data(),
)
def test_a_weight_counts_an_image_that_often(
    n_labels: int, rows: list[tuple[int, list[int]]], data: st.DataObject
) -> None:
    counts = data.draw(
        st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)).filter(any)
    )
    logits = np.array([row[:n_labels] for _, row in rows], dtype=float)
    truth = [index % n_labels for index, _ in rows]
    weighted = compute(read_table(make_table(logits, truth)), np.array([counts]))
    repeated = point(
        read_table(make_table(logits.repeat(counts, axis=0), np.repeat(truth, counts).tolist()))
    )
    assert_same({name: float(values[0]) for name, values in weighted.items()}, repeated)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.integers(-40, 40), min_size=3, max_size=3)),
        min_size=1,
        max_size=12,
    )
)
def test_metrics_stay_in_their_range(rows: list[tuple[int, list[int]]]) -> None:
    predictions = read_table(
        make_table(np.array([row for _, row in rows], dtype=float), [index for index, _ in rows])
    )
    for name, value in point(predictions).items():
        low = -1 - 1e-12 if name == "mcc" else -1e-12
        high = math.inf if name == "log_loss" else 1 + 1e-12
        assert math.isnan(value) or low <= value <= high, name


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=20).filter(
        lambda rows: len({positive for positive, _ in rows}) == 2
    )
)
def test_auc_is_the_chance_of_a_right_order(rows: list[tuple[bool, int]]) -> None:
    scores = [score / 5 for _, score in rows]
    predictions = from_probabilities([[1 - s, s] for s in scores], [int(t) for t, _ in rows])
    wins = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for is_high, high in rows
        if is_high
        for is_low, low in rows
        if not is_low
    ]
    assert point(predictions)["auc:BACTERIA"] == pytest.approx(sum(wins) / len(wins), abs=1e-15)


def test_shuffled_rows_give_identical_metrics() -> None:
    random = np.random.default_rng(3)
    truth = random.integers(3, size=200).tolist()
    patients: list[str | None] = [f"p{index // 3}" for index in range(200)]
    table = make_table(random.normal(size=(200, 3)), truth, patients=patients)
    shuffled = table.sample(fraction=1, shuffle=True, seed=1)
    assert not shuffled.equals(table)
    assert summarise(table) == summarise(shuffled)


def test_an_absent_label_is_left_out_of_means() -> None:
    predictions = from_probabilities(
        [[0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.6, 0.4, 0.0], [0.1, 0.9, 0.0]], [0, 0, 0, 1]
    )
    results = point(predictions)
    for name in ("sensitivity", "precision", "f1", "auc"):
        assert math.isnan(results[f"{name}:VIRUS"]), name
    assert results["specificity:VIRUS"] == 1
    assert results["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert results["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert results["auc"] == 1
    assert results["average_precision"] == 1


def test_a_label_missing_from_a_resample_is_undefined_there_alone() -> None:
    predictions = from_probabilities([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], [0, 1, 0])
    results = compute(predictions, np.array([[1, 1, 1], [2, 0, 1]]))
    for name in ("auc", "auc:NORMAL", "auc:BACTERIA", "sensitivity:BACTERIA", "mcc"):
        assert np.isnan(results[name]).tolist() == [False, True], name
    assert results["accuracy"].tolist() == [1, 1]
    assert results["balanced_accuracy"].tolist() == [1, 1]
    assert results["average_precision"].tolist() == [1, 1]


def test_a_constant_answer_has_no_correlation() -> None:
    results = point(from_probabilities([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], [0, 1, 1]))
    assert results["mcc"] == 0
    assert math.isnan(results["precision:BACTERIA"])
    assert results["f1:BACTERIA"] == 0


def test_one_certain_image() -> None:
    results = point(from_probabilities([[1.0, 0.0]], [0]))
    names = ("accuracy", "ece", "brier", "log_loss")
    assert [results[name] for name in names] == [1, 0, 0, 0]
    assert math.isnan(results["auc"])
    wrong = point(from_probabilities([[1.0, 0.0]], [1]))
    assert (wrong["accuracy"], wrong["ece"], wrong["brier"]) == (0, 1, 1)
    assert wrong["log_loss"] == pytest.approx(-math.log(np.finfo(float).eps))


def test_weights_that_leave_no_image_define_nothing() -> None:
    predictions = random_predictions(20, 3, seed=0, ties=False)
    results = compute(predictions, np.zeros((1, 20)))
    assert all(np.isnan(values).all() for values in results.values())


def test_equals_are_answered_with_the_first_label() -> None:
    predictions = from_probabilities([[0.5, 0.5]], [1])
    assert confusion_matrix(predictions).tolist() == [[0, 0], [1, 0]]


def test_two_labels_share_one_brier_score() -> None:
    predictions = random_predictions(100, 2, seed=5, ties=False)
    expected = sk.brier_score_loss(predictions.truth, predictions.probabilities[:, 1])
    assert point(predictions)["brier"] == pytest.approx(expected, abs=1e-15)


def test_weights_need_a_column_per_image() -> None:
    predictions = random_predictions(20, 2, seed=0, ties=False)
    for weights in (np.ones((1, 19)), np.ones(20)):
        with pytest.raises(PredictionsError, match="Give one weight per image"):
            compute(predictions, weights)


def test_caller_keeps_its_weights() -> None:
    predictions = random_predictions(20, 2, seed=0, ties=True)
    weights = np.random.default_rng(0).poisson(1, size=(4, 20)).astype(np.float64)
    before = weights.copy()
    compute(predictions, weights)
    assert np.array_equal(weights, before)


def test_registry_names_are_unique_and_have_units() -> None:
    keys = [(metric.name, metric.per_label) for metric in METRICS]
    assert len(set(keys)) == len(keys)
    predictions = random_predictions(20, 3, seed=0, ties=True)
    units = metric_units(predictions.labels)
    assert list(units) == list(compute(predictions, np.ones((1, 20))))
    assert all(units.values())


@pytest.mark.parametrize("ties", [False, True])
def test_curves_equal_scikit_learn(ties: bool) -> None:
    predictions = random_predictions(120, 2, seed=7, ties=ties)
    truth, scores = predictions.truth == 1, predictions.probabilities[:, 1]
    roc = roc_curve(truth, scores)
    expected = sk.roc_curve(truth, scores, drop_intermediate=False)
    for actual, wanted in zip(
        (roc.false_positive_rate, roc.true_positive_rate, roc.thresholds), expected, strict=True
    ):
        np.testing.assert_allclose(actual, wanted, rtol=1e-15)
    curve = precision_recall_curve(truth, scores)
    precision, recall, thresholds = sk.precision_recall_curve(truth, scores)
    np.testing.assert_allclose(curve.precision, precision[::-1], rtol=1e-15)
    np.testing.assert_allclose(curve.recall, recall[::-1], rtol=1e-15)
    np.testing.assert_allclose(curve.thresholds[1:], thresholds[::-1], rtol=1e-15)


def test_curves_without_positives_have_no_recall() -> None:
    truth, scores = np.zeros(3, dtype=bool), np.array([0.2, 0.4, 0.4])
    assert np.isnan(roc_curve(truth, scores).true_positive_rate).all()
    assert roc_curve(truth, scores).false_positive_rate.tolist() == [0, 2 / 3, 1]
    assert np.isnan(precision_recall_curve(truth, scores).recall).all()


def test_reliability_bins_are_closed_on_the_right() -> None:
    probabilities = np.array([[0.6, 0.4], [0.61, 0.39], [1.0, 0.0], [0.0, 1.0]])
    bins = reliability_bins(probabilities, np.array([0, 1, 0, 0]), bins=5)
    assert bins.edges.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert bins.count.tolist() == [0, 0, 1, 1, 2]
    assert bins.confidence.tolist() == pytest.approx(
        [math.nan, math.nan, 0.6, 0.61, 1], nan_ok=True
    )
    assert bins.accuracy.tolist() == pytest.approx([math.nan, math.nan, 1, 0, 0.5], nan_ok=True)


def test_a_confidence_on_an_edge_belongs_below_it() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75], [np.nextafter(0.75, 1), 0.25]])
    bins = reliability_bins(probabilities, np.array([0, 0, 0]), bins=4)
    assert bins.count.tolist() == [0, 1, 1, 1]


def test_reliability_bins_agree_with_the_calibration_error() -> None:
    predictions = random_predictions(200, 3, seed=1, ties=False)
    bins = reliability_bins(predictions.probabilities, predictions.truth)
    gaps = np.nan_to_num(np.abs(bins.accuracy - bins.confidence))
    assert point(predictions)["ece"] == pytest.approx((gaps * bins.count).sum() / 200, abs=1e-14)


def test_confusion_matrix_equals_scikit_learn() -> None:
    predictions = random_predictions(100, 4, seed=2, ties=True)
    expected = sk.confusion_matrix(predictions.truth, predictions.predicted)
    assert np.array_equal(confusion_matrix(predictions), expected)


def summarise(table: pl.DataFrame) -> dict[str, object]:
    return evaluate_predictions(
        table,
        resamples=50,
        confidence_level=0.9,
        seed=4,
        split="test",
        bundle="b",
        data="d",
    )


def test_metrics_file_says_what_was_evaluated(tmp_path: Path) -> None:
    logits = np.array([[2.0, 0, -3], [1, 2, -3], [0, 1, -3], [3, 0, -3]])
    metrics = summarise(make_table(logits, [0, 1, 0, 0], patients=["x", "x", None, "y"]))
    path = tmp_path / "metrics.json"
    save_metrics(metrics, path)
    read = json.loads(path.read_text(encoding="utf8"))
    assert read == metrics
    assert list(read)[-10:] == [
        "confusion_matrix", "labels", "n_images", "n_patients", "n_unknown_patients", "split",
        "bundle", "data", "confidence_level", "resamples",
    ]  # fmt: skip
    assert set(read) - set(list(read)[-10:]) == set(metric_units(NAMES[:3]))
    assert read["confusion_matrix"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert (read["n_images"], read["n_patients"], read["n_unknown_patients"]) == (4, 3, 1)
    assert read["accuracy"]["value"] == 0.75
    assert read["accuracy"]["low"] <= 0.75 <= read["accuracy"]["high"]
    assert read["auc:VIRUS"] == {"value": None, "low": None, "high": None, "unit": "area"}
    assert format_metric(read["auc:VIRUS"]) == "not defined"
    by_label = label_metric(read, "sensitivity")
    assert [by_label[label]["value"] for label in by_label] == [pytest.approx(2 / 3), 1.0, None]


def test_metrics_that_json_cannot_say_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        save_metrics({"x": math.nan}, tmp_path / "metrics.json")
    assert not list(tmp_path.iterdir())


def test_one_patient_has_values_and_no_intervals() -> None:
    metrics = summarise(make_table(np.array([[1.0, 0.0]] * 3), [0, 0, 1], patients=["p"] * 3))
    entry: Any = metrics["accuracy"]
    assert (entry["low"], entry["high"]) == (None, None)
    assert format_metric(entry) == "0.667 [no interval]"


def test_the_reference_warns_of_nothing_it_should_not() -> None:
    """The references above hold only if scikit-learn had defined answers everywhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reference(random_predictions(50, 3, seed=9, ties=True), np.ones(50, dtype=np.int64))
