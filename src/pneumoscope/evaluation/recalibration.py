"""Fitting and choosing a calibrator on the calibration split.

The choice compares log losses of images that had no part in the fit, patients held together. The
temperature, which keeps the order of the labels and has one number to get wrong, wins ties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.randomness import generator
from pneumoscope.core.types import FloatArray, IntArray
from pneumoscope.evaluation.calibration import (
    check_logits,
    fit_temperature,
    is_determined,
    softmax,
)
from pneumoscope.evaluation.calibrator import (
    BIAS_LIMIT,
    WEIGHT_RANGE,
    Calibrator,
    Method,
    center,
    temperature_calibrator,
)

FEWEST_IMAGES = 10
"""Of each label, for a method that has parameters of its own for it."""
_SMALLEST = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class CalibratorChoice:
    """The calibrator chosen, and why.

    Attributes:
        calibrator: fitted on all the images.
        log_losses: by method, cross-validated mean log loss, nats; empty if nothing was compared.
        reason: one sentence for the report.
    """

    calibrator: Calibrator
    log_losses: Mapping[Method, float]
    reason: str


def fit_calibrator(logits: FloatArray, truth: IntArray, *, method: Method) -> Calibrator:
    """The calibrator of this kind with the least log loss on these images.

    Where they cannot determine it (see `is_determined`; beyond the temperature every label also
    needs 10 images) it is the temperature, or the identity of that kind.

    Args:
        logits: `[image, label]`, before softmax.
        truth: `[image]`, index of the true label.
        method: `temperature`, `vector`, or for two labels `isotonic`.

    Raises:
        PredictionsError: the arrays do not belong together, or isotonic with other than two labels.
    """
    logits, truth = np.asarray(logits, dtype=np.float64), np.asarray(truth)
    check_logits(logits, truth)
    if method == "isotonic" and logits.shape[1] != 2:
        message = f"isotonic regression with {logits.shape[1]} labels; allowed: 2. Use vector."
        raise PredictionsError(message)
    if method == "temperature" or not is_supported(logits, truth):
        return temperature_calibrator(fit_temperature(logits, truth).temperature)
    return _fit_vector(logits, truth) if method == "vector" else _fit_isotonic(logits, truth)


def choose_calibrator(
    logits: FloatArray,
    truth: IntArray,
    *,
    clusters: IntArray | None = None,
    folds: int = 5,
    seed: int = 0,
) -> CalibratorChoice:
    """The method of least cross-validated log loss, unless the temperature is as good.

    As good means: within one standard error of the difference over patients (the one-standard-error
    rule, Hastie et al. 2009, section 7.10).

    Args:
        logits: `[image, label]`, before softmax.
        truth: `[image]`, index of the true label.
        clusters: `[image]`, patient of each image, 0 to n_patients - 1; None: each its own.
        folds: 2 or more; patients are dealt to them label by label.
        seed: of the dealing.

    Raises:
        PredictionsError: the arrays do not belong together, or too few folds.
    """
    logits, truth = np.asarray(logits, dtype=np.float64), np.asarray(truth)
    check_logits(logits, truth)
    patients = np.arange(len(truth)) if clusters is None else np.asarray(clusters)
    if folds < 2 or patients.shape != truth.shape:
        message = f"folds={folds}, clusters {list(patients.shape)}; allowed: 2 or more, one per"
        raise PredictionsError(f"{message} image. Use 5 folds.")
    place = _deal(truth, patients, folds=folds, seed=seed)
    if not all(is_supported(logits[place != fold], truth[place != fold]) for fold in range(folds)):
        calibrator = fit_calibrator(logits, truth, method="temperature")
        reason = f"{_describe(calibrator)}, the only method that {len(truth)} images can determine:"
        limit = f"the others need {FEWEST_IMAGES} images of each label and some answered wrongly."
        return CalibratorChoice(calibrator, {}, f"{reason} {limit}")
    methods: tuple[Method, ...] = ("temperature", "vector")
    methods += ("isotonic",) if logits.shape[1] == 2 else ()
    losses = {method: _held_out_losses(logits, truth, place, method) for method in methods}
    return _choose(logits, truth, patients, losses)


def is_supported(logits: FloatArray, truth: IntArray) -> bool:
    """Whether every label has 10 images, and not all of them are answered right."""
    counts = np.bincount(truth, minlength=logits.shape[1])
    return bool(counts.min() >= FEWEST_IMAGES) and is_determined(logits, truth)


def _choose(
    logits: FloatArray,
    truth: IntArray,
    patients: IntArray,
    losses: Mapping[Method, NDArray[np.float64]],
) -> CalibratorChoice:
    means = {method: float(loss.mean()) for method, loss in losses.items()}
    best = min(means, key=means.__getitem__)
    gain = losses["temperature"] - losses[best]
    error = _standard_error(gain, patients)
    chosen: Method = best if gain.mean() > error else "temperature"
    calibrator = fit_calibrator(logits, truth, method=chosen)
    figures = ", ".join(f"{method} {mean:.4f}" for method, mean in means.items())
    if chosen != "temperature":
        why = f"better than the temperature by {gain.mean():.4f} (standard error {error:.4f})"
    elif best == "temperature":
        why = "the least"
    else:
        why = f"{best} gains only {gain.mean():.4f} (standard error {error:.4f})"
    reason = f"{_describe(calibrator)}: cross-validated log loss {figures}; {why}."
    return CalibratorChoice(calibrator, means, reason)


def _describe(calibrator: Calibrator) -> str:
    if calibrator.method == "temperature":
        return f"Temperature {calibrator.parameters['temperature'][0]:.3f}"
    return {"vector": "Vector scaling", "isotonic": "Isotonic regression"}[calibrator.method]


def _deal(truth: IntArray, patients: IntArray, *, folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each image, `[image]`: a patient's images in one, labels spread over all."""
    numbers, first = np.unique(patients, return_index=True)
    shuffled = generator(seed, "recalibration").permutation(len(numbers))
    # A stable sort of the shuffled patients by label: each label is dealt out in turn.
    order = shuffled[np.argsort(truth[first][shuffled], kind="stable")]
    fold_of = np.empty(len(numbers), dtype=np.int64)
    fold_of[order] = np.arange(len(numbers)) % folds
    place: NDArray[np.int64] = fold_of[np.searchsorted(numbers, patients)]
    return place


def _held_out_losses(
    logits: FloatArray, truth: IntArray, place: IntArray, method: Method
) -> NDArray[np.float64]:
    losses = np.empty(len(truth))
    for fold in np.unique(place):
        held = place == fold
        calibrator = fit_calibrator(logits[~held], truth[~held], method=method)
        probabilities = calibrator.apply(logits[held])
        own = probabilities[np.arange(len(probabilities)), truth[held]]
        losses[held] = -np.log(np.maximum(own, _SMALLEST))
    return losses


def _standard_error(values: NDArray[np.float64], patients: IntArray) -> float:
    """Of the mean of `values`, `[image]`, when the images of a patient vary together."""
    _, index = np.unique(patients, return_inverse=True)
    sums = np.bincount(index, weights=values - values.mean())
    n_patients = len(sums)
    if n_patients < 2:
        return float("inf")
    return float(np.sqrt(n_patients / (n_patients - 1) * (sums**2).sum()) / len(values))


def _fit_vector(logits: FloatArray, truth: IntArray) -> Calibrator:
    from scipy.optimize import minimize

    n_labels = logits.shape[1]
    start = 1 / fit_temperature(logits, truth).temperature
    # The loss is convex in weights and biases; the temperature is a point on its surface.
    found = minimize(
        _vector_loss,
        np.concatenate([np.full(n_labels, start), np.zeros(n_labels)]),
        args=(center(logits), np.eye(n_labels)[truth]),
        jac=True,
        method="L-BFGS-B",
        bounds=[WEIGHT_RANGE] * n_labels + [(-BIAS_LIMIT, BIAS_LIMIT)] * n_labels,
        options={"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-9},
    )
    weights, biases = found.x[:n_labels], found.x[n_labels:]
    return Calibrator("vector", {"weights": tuple(weights), "biases": tuple(biases)})


def _vector_loss(
    parameters: NDArray[np.float64], centered: NDArray[np.float64], one_hot: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Mean log loss and its gradient."""
    weights, biases = np.split(parameters, 2)
    probabilities = softmax(centered * weights + biases)
    own = np.maximum((probabilities * one_hot).sum(axis=1), _SMALLEST)
    excess = (probabilities - one_hot) / len(one_hot)
    gradient = np.concatenate([(excess * centered).sum(axis=0), excess.sum(axis=0)])
    return float(-np.log(own).mean()), gradient


def _fit_isotonic(logits: FloatArray, truth: IntArray) -> Calibrator:
    from sklearn.isotonic import IsotonicRegression

    # Never 0 nor 1: one image more of either label (Laplace) would contradict them.
    margin = 1 / (len(truth) + 2)
    fit = IsotonicRegression(y_min=margin, y_max=1 - margin, out_of_bounds="clip")
    fit.fit(logits[:, 1] - logits[:, 0], truth)
    knots = {"log_odds": tuple(fit.X_thresholds_), "probabilities": tuple(fit.y_thresholds_)}
    return Calibrator("isotonic", knots)
