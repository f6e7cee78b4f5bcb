"""Decision curves: what a model is worth to one who acts from some probability on.

Whoever treats from probability t holds one image found worth (1 - t) / t false alarms. Net benefit
(Vickers and Elkin 2006) counts both in units of images found, per image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray
from pneumoscope.evaluation.operating_point import check_prevalence, one_against_rest
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.resampling import (
    check_level,
    finite,
    patient_sums,
    percentile_bounds,
    resampled_sums,
)
from pneumoscope.evaluation.tallies import ratio


@dataclass(frozen=True, eq=False)
class Band:
    """A curve and its pointwise interval, `[threshold]` each; nan where undefined."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def to_json(self) -> dict[str, list[float | None]]:
        """Lists, None where a number is not finite."""
        parts = {"value": self.value, "low": self.low, "high": self.high}
        return {name: [finite(float(x)) for x in part] for name, part in parts.items()}


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit at each threshold probability.

    Attributes:
        label: of interest.
        thresholds: `[threshold]`, probability of the label from which one would act, ascending.
        model: acting where the model says so.
        treat_all: acting on every image.
        treat_none: acting on none: 0.
        advantage: of the model over the better of these two, under the same draws.
        prevalence: of the label, as counted in.
        n_images: number of images.
        n_patients: number of patients.
        confidence_level: of the bands.
    """

    label: str
    thresholds: NDArray[np.float64]
    model: Band
    treat_all: Band
    treat_none: Band
    advantage: Band
    prevalence: float
    n_images: int
    n_patients: int
    confidence_level: float

    @property
    def useful(self) -> NDArray[np.bool_]:
        """`[threshold]`, whether the model is better there than acting on all or on none."""
        better: NDArray[np.bool_] = self.advantage.low > 0
        return better

    def to_json(self) -> dict[str, object]:
        """Plain values, None where a number is not finite."""
        return {
            "label": self.label,
            "thresholds": self.thresholds.tolist(),
            "model": self.model.to_json(),
            "treat_all": self.treat_all.to_json(),
            "treat_none": self.treat_none.to_json(),
            "advantage": self.advantage.to_json(),
            "useful": self.useful.tolist(),
            "prevalence": finite(self.prevalence),
            "n_images": self.n_images,
            "n_patients": self.n_patients,
            "confidence_level": self.confidence_level,
        }


def decision_curve(
    predictions: Predictions,
    *,
    label: str,
    thresholds: FloatArray | None = None,
    prevalence: float | None = None,
    resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> DecisionCurve:
    """Net benefit for one label against the rest, with bands over resampled patients.

    An image counts as positive when its probability is the threshold or above. There are no bands
    (nan) for a single patient.

    Args:
        predictions: of images not trained on.
        label: of interest.
        thresholds: `[threshold]`, in (0, 1), ascending; without, 0.01 to 0.99 by 0.01.
        prevalence: of the label where the model will be used; without, as in the images.
        resamples: of patients.
        confidence_level: of the bands, at each threshold alone.
        seed: of the bootstrap.

    Raises:
        PredictionsError: an unknown label, or an option out of range.
    """
    check_level(confidence_level)
    if prevalence is not None:
        check_prevalence(prevalence)
    at = np.arange(1, 100) / 100 if thresholds is None else np.asarray(thresholds, np.float64)
    _check_thresholds(at)
    positive, scores = one_against_rest(predictions, label)
    sums = patient_sums(_placed(positive, scores, at), predictions.clusters)
    points = _benefits(sums.sum(axis=0, keepdims=True), at, prevalence)
    drawn = _benefits(resampled_sums(sums, resamples=resamples, seed=seed), at, prevalence)
    if predictions.n_patients < 2:
        drawn = tuple(np.full_like(part, np.nan) for part in drawn)
    model, treat_all, advantage = (
        _band(point[0], part, confidence_level) for point, part in zip(points, drawn, strict=True)
    )
    counted = float(positive.mean()) if prevalence is None else prevalence
    none = Band(*(np.zeros(len(at)) for _ in range(3)))
    return DecisionCurve(
        label, at, model, treat_all, none, advantage, counted,
        predictions.n_images, predictions.n_patients, confidence_level,
    )  # fmt: skip


def _band(point: FloatArray, drawn: FloatArray, confidence_level: float) -> Band:
    low, high = percentile_bounds(drawn, point, confidence_level=confidence_level)
    return Band(point.astype(np.float64), low, high)


def _placed(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`[image, 2 * (threshold + 1)]`: with the label, then without; 1 at thresholds passed."""
    passed, width = np.searchsorted(thresholds, scores, side="right"), len(thresholds) + 1
    placed = np.zeros((len(scores), 2 * width))
    placed[np.arange(len(scores)), passed + np.where(positive, 0, width)] = 1
    return placed


def _benefits(
    sums: NDArray[np.float64], thresholds: NDArray[np.float64], prevalence: float | None
) -> tuple[NDArray[np.float64], ...]:
    """Net benefit of the model, of treating all, and of the model over the better policy."""
    width = len(thresholds) + 1
    # How many passed a threshold or more: those at or above it, the first column being all.
    found, raised = (
        np.cumsum(part[:, ::-1], axis=1)[:, ::-1] for part in (sums[:, :width], sums[:, width:])
    )
    odds = thresholds / (1 - thresholds)
    if prevalence is None:
        total = (found[:, 0] + raised[:, 0])[:, None]
        found, raised = ratio(found, total), ratio(raised, total)
    else:
        found = prevalence * ratio(found, found[:, :1])
        raised = (1 - prevalence) * ratio(raised, raised[:, :1])
    model = found[:, 1:] - raised[:, 1:] * odds
    treat_all = found[:, :1] - raised[:, :1] * odds
    return model, treat_all, model - np.maximum(treat_all, 0)


def _check_thresholds(thresholds: NDArray[np.float64]) -> None:
    inside = ((thresholds > 0) & (thresholds < 1)).all()
    if (
        thresholds.ndim != 1
        or not len(thresholds)
        or not inside
        or (np.diff(thresholds) <= 0).any()
    ):
        message = f"thresholds {thresholds.tolist()}; allowed: between 0 and 1, ascending."
        raise PredictionsError(f"{message} Leave them out for 0.01 to 0.99.")
