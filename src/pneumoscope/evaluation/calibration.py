"""From logits to probabilities that mean what they say: temperature scaling.

`calibrator` and `recalibration` have what goes beyond a temperature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray, IntArray

TEMPERATURE_RANGE = (0.05, 20.0)
_FEWEST_IMAGES = 10


@dataclass(frozen=True)
class TemperatureFit:
    """A temperature, and the mean log loss (nats) of the images that chose it.

    `log_loss_before` is at temperature 1, `log_loss_after` at `temperature`.
    """

    temperature: float
    log_loss_before: float
    log_loss_after: float
    n_images: int


def softmax(logits: FloatArray, *, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities in [0, 1] that sum to 1 over the last axis, for logits of any size.

    Raises:
        PredictionsError: the temperature is not a positive, finite number.
    """
    return np.exp(_log_softmax(logits, temperature=temperature))


def fit_temperature(logits: FloatArray, truth: IntArray) -> TemperatureFit:
    """The temperature in [0.05, 20] of least log loss on these images (Guo et al. 2017, eq. 9).

    The temperature stays 1 where the images cannot determine it: fewer than 10 of them, fewer
    than two labels among them, or every one answered correctly (the loss then falls for ever as
    the temperature falls, whatever the confidence deserved).

    Args:
        logits: `[image, label]`, before softmax.
        truth: `[image]`, index of the true label.

    Raises:
        PredictionsError: shapes disagree, a logit is not finite, or an index has no label.
    """
    logits = np.asarray(logits, dtype=np.float64)
    truth = np.asarray(truth)
    check_logits(logits, truth)
    before = _mean_log_loss(logits, truth, temperature=1.0)
    temperature = _search(logits, truth) if is_determined(logits, truth) else 1.0
    after = _mean_log_loss(logits, truth, temperature=temperature)
    return TemperatureFit(temperature, before, after, len(truth))


def is_determined(logits: FloatArray, truth: IntArray) -> bool:
    """Whether the images can tell how sure the network may be; arguments as `fit_temperature`.

    Not with fewer than 10 of them, fewer than two labels among them, or every one answered right.
    """
    if len(truth) < _FEWEST_IMAGES or len(np.unique(truth)) < 2:
        return False
    rows = np.arange(len(truth))
    others = logits.copy()
    others[rows, truth] = -np.inf
    return bool((logits[rows, truth] <= others.max(axis=1)).any())


def check_logits(logits: FloatArray, truth: IntArray) -> None:
    """Refuse logits `[image, label]` and true labels `[image]` that do not belong together.

    Raises:
        PredictionsError: shapes disagree, a logit is not finite, or an index has no label.
    """
    if logits.ndim != 2 or truth.shape != logits.shape[:1] or not truth.size:
        shapes = f"logits {list(logits.shape)}, truth {list(truth.shape)}"
        message = f"{shapes}; allowed: [image, label] and [image]. Give one row per image."
        raise PredictionsError(message)
    if not np.isfinite(logits).all():
        row = int(np.argwhere(~np.isfinite(logits))[0, 0])
        message = f"logits of row {row} are not finite. Find the input that broke the network."
        raise PredictionsError(message)
    if truth.min() < 0 or truth.max() >= logits.shape[1]:
        worst = int(truth.min() if truth.min() < 0 else truth.max())
        message = f"truth={worst}; allowed: 0 to {logits.shape[1] - 1}. Use one label set for both."
        raise PredictionsError(message)


def _log_softmax(logits: FloatArray, *, temperature: float) -> NDArray[np.float64]:
    if not (math.isfinite(temperature) and temperature > 0):
        message = f"temperature={temperature}; allowed: finite numbers above 0. Use 1 for none."
        raise PredictionsError(message)
    scaled = np.asarray(logits, dtype=np.float64)
    scaled = (scaled - scaled.max(axis=-1, keepdims=True)) / temperature
    normaliser = np.log(np.exp(scaled).sum(axis=-1, keepdims=True))
    normalised: NDArray[np.float64] = scaled - normaliser
    return normalised


def _mean_log_loss(logits: FloatArray, truth: IntArray, *, temperature: float) -> float:
    log_probabilities = _log_softmax(logits, temperature=temperature)
    return float(-log_probabilities[np.arange(len(truth)), truth].mean())


def _search(logits: FloatArray, truth: IntArray) -> float:
    from scipy.optimize import minimize_scalar

    # The loss is convex in 1/T, hence has one minimum in log T: a bounded search cannot miss it.
    found = minimize_scalar(
        lambda log_temperature: _mean_log_loss(
            logits, truth, temperature=math.exp(log_temperature)
        ),
        bounds=tuple(math.log(bound) for bound in TEMPERATURE_RANGE),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return math.exp(float(found.x))
