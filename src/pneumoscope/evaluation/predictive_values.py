"""What an answer is worth where the label is rarer or more frequent than in the test split."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.operating_point import OperatingPoint, Outcome, check_prevalence
from pneumoscope.evaluation.resampling import Rate, finite, normal_quantile


@dataclass(frozen=True)
class PredictiveValues:
    """How often a positive and a negative answer are right, at a prevalence; nan where undefined.

    Attributes:
        prevalence: of the label, in (0, 1).
        ppv: positive predictive value.
        npv: negative predictive value.
        confidence_level: of the intervals.
    """

    prevalence: float
    ppv: Interval
    npv: Interval
    confidence_level: float

    def to_json(self) -> dict[str, object]:
        """Plain values, None where a number is not finite."""
        parts = {"ppv": self.ppv, "npv": self.npv}
        values = {
            name: {bound: finite(getattr(one, bound)) for bound in ("value", "low", "high")}
            for name, one in parts.items()
        }
        return {
            "prevalence": self.prevalence, **values, "confidence_level": self.confidence_level,
        }  # fmt: skip


def at_prevalence(
    measured: OperatingPoint | Outcome, prevalence: float, *, confidence_level: float = 0.95
) -> PredictiveValues:
    """Predictive values by Bayes' rule from sensitivity and specificity, for a known prevalence.

    Intervals are the logit intervals of Mercaldo, Lau and Zhou (2007), eq. 8 to 11, adjusted (by
    half the squared normal quantile) where an image count is 0, with the effective number of
    images in the place of images. They take the prevalence as exact, and sensitivity and
    specificity of the model as the same there.

    Args:
        measured: an operating point as promised, or its outcome on other images.
        prevalence: of the label, in (0, 1).
        confidence_level: in (0, 1).

    Raises:
        PredictionsError: prevalence or level out of range.
    """
    check_prevalence(prevalence)
    z = normal_quantile(confidence_level)
    found, silent = measured.sensitivity, measured.specificity
    points = _values(found.value, silent.value, prevalence)
    if not (found.effective and silent.effective):
        ppv, npv = map(_unbounded, points)
        return PredictiveValues(prevalence, ppv, npv, confidence_level)
    more = 0.0 if 0 < found.value < 1 and 0 < silent.value < 1 else z**2
    (sensitivity, n_found), (specificity, n_silent) = (
        _adjusted(found, more),
        _adjusted(silent, more),
    )
    # The logit of a predictive value is that of the prevalence plus a log likelihood ratio.
    positive = _odds_spread(1 - sensitivity, n_found) + _odds_spread(specificity, n_silent)
    negative = _odds_spread(sensitivity, n_found) + _odds_spread(1 - specificity, n_silent)
    centers = _values(sensitivity, specificity, prevalence)
    ppv = _interval(points[0], centers[0], z * math.sqrt(positive))
    npv = _interval(points[1], centers[1], z * math.sqrt(negative))
    return PredictiveValues(prevalence, ppv, npv, confidence_level)


def _adjusted(rate: Rate, more: float) -> tuple[float, float]:
    """The rate and its number of images, `more` of them added, half of these successes."""
    images = rate.effective + more
    return (rate.value * rate.effective + more / 2) / images, images


def _odds_spread(rate: float, images: float) -> float:
    return rate / (1 - rate) / images


def _values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    found, missed = sensitivity * prevalence, (1 - sensitivity) * prevalence
    silent, raised = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    return _part(found, raised), _part(silent, missed)


def _part(share: float, rest: float) -> float:
    return share / (share + rest) if share + rest else math.nan


def _unbounded(point: float) -> Interval:
    return Interval(point, math.nan, math.nan)


def _interval(point: float, center: float, half: float) -> Interval:
    if math.isnan(point):
        return _unbounded(point)
    logit = math.log(center / (1 - center))
    low, high = (1 / (1 + math.exp(-value)) for value in (logit - half, logit + half))
    return Interval(point, min(low, point), max(high, point))
