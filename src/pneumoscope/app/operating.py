"""What a threshold gives at a prevalence: the numbers of `evaluation`, ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pneumoscope.app.language import Language, decimal, spoken
from pneumoscope.app.words.evaluation import POINT_NAMES
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.operating_point import OperatingPoint, outcome
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.predictive_values import at_prevalence
from pneumoscope.evaluation.resampling import Rate, finite

Entry = Mapping[str, object]

THRESHOLDS = tuple(round(step * 0.005, 3) for step in range(201))
"""What the slider of thresholds can show."""
PREVALENCES = tuple(round(step * 0.001, 3) for step in range(1, 1000))
"""What that of prevalences can; at 0 or 1 there would be nothing to tell apart."""


@dataclass(frozen=True)
class Moved:
    """A threshold at a prevalence; each rate with `value`, `low` and `high` in [0, 1].

    Attributes:
        threshold: Probability from which an image is positive.
        sensitivity: Of the images with the label, those found.
        specificity: Of those without it, those left alone.
        ppv: Of positive answers, those right.
        npv: Of negative answers, those right.
        of_thousand: Images called `positive`, those called so `right`ly, and those `missed`.
    """

    threshold: float
    sensitivity: Entry
    specificity: Entry
    ppv: Entry
    npv: Entry
    of_thousand: Mapping[str, float]


def point_name(name: str, language: Language) -> str:
    """An operating point's name for people.

    >>> point_name("sensitivity >= 0.95", "fr") == "Sensibilité ≥ 0,95"
    True
    """
    rate, _, value = name.partition(" >= ")
    text = POINT_NAMES.get(rate)
    if text is None:
        return name
    return spoken(text, language, value=decimal(float(value), language, digits=2) if value else "")


def moved(predictions: Predictions, label: str, threshold: float, prevalence: float) -> Moved:
    """What this threshold gives on these images, and where the label has this prevalence.

    Args:
        predictions: Of the evaluated images.
        label: Of interest.
        threshold: In [0, 1].
        prevalence: In (0, 1).

    Raises:
        PredictionsError: the label is unknown, or the prevalence out of range.
    """
    nothing = Rate(float("nan"), float("nan"), float("nan"), 0, 0, 0, 0.0)
    point = OperatingPoint("", label, threshold, "chosen by hand", nothing, nothing, 0.95)
    found = outcome(point, predictions)
    values = at_prevalence(found, prevalence)
    sensitivity, specificity = found.sensitivity.value, found.specificity.value
    right = 1000 * prevalence * sensitivity
    return Moved(
        threshold=threshold,
        sensitivity=_entry(found.sensitivity),
        specificity=_entry(found.specificity),
        ppv=_entry(values.ppv),
        npv=_entry(values.npv),
        of_thousand={
            "positive": right + 1000 * (1 - prevalence) * (1 - specificity),
            "right": right,
            "missed": 1000 * prevalence * (1 - sensitivity),
        },
    )


def point_value(threshold: float) -> float:
    """A threshold as the slider can show it, in steps of 0.005.

    >>> point_value(0.7498)
    0.75
    """
    return round(round(min(max(threshold, 0.0), 1.0) / 0.005) * 0.005, 3)


def _entry(rate: Rate | Interval) -> Entry:
    return {name: finite(getattr(rate, name)) for name in ("value", "low", "high")}
