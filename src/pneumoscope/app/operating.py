"""What a threshold gives at a prevalence: the numbers of `evaluation`, ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pneumoscope.app.language import Language, decimal, percent, spoken
from pneumoscope.app.words.evaluation import COST_NAME, COST_NAME_HERE, POINT_NAMES
from pneumoscope.core.recipe import EvaluateRecipe
from pneumoscope.evaluation.clinic import moved_prior
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.operating_point import (
    Cost,
    OperatingPoint,
    choose_point,
    one_against_rest,
    outcome,
)
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
        prevalence: Of the label.
        sensitivity: Of the images with the label, those found.
        specificity: Of those without it, those left alone.
        ppv: Of positive answers, those right.
        npv: Of negative answers, those right.
        of_thousand: Images called `positive`, those called so `right`ly, and those `missed`.
    """

    threshold: float
    prevalence: float
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
    if (cost := Cost.from_words(name)) is not None:
        return _cost_name(cost, language)
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
        prevalence=prevalence,
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


def cost_points(
    calibration: Predictions | None, label: str, points: Sequence[str], *, prevalence: float
) -> dict[str, float]:
    """Thresholds of least cost at this prevalence, by name, as an evaluation would choose them.

    Args:
        calibration: The images that thresholds are chosen on; None: not at hand.
        label: Of interest.
        points: Names of the run's operating points; their cost ratios are taken, and the usual.
        prevalence: In (0, 1).
    """
    if calibration is None or label not in calibration.labels:
        return {}
    has, _ = one_against_rest(calibration, label)
    if has.all() or not has.any():
        return {}
    own = [rule.ratio for rule in map(Cost.from_words, points) if rule is not None]
    ratios = sorted({*own, *EvaluateRecipe().cost_ratios})
    chosen = [
        choose_point(calibration, label=label, rule=Cost(ratio, prevalence)) for ratio in ratios
    ]
    return {point.name: point.threshold for point in chosen}


def there(
    calibration: Predictions | None, label: str, threshold: float, *, prevalence: float
) -> tuple[float, float] | None:
    """At which prevalence served probabilities hold, and what the threshold is at this one.

    None where the calibration split is not at hand, or has no image with the label or without it.
    """
    if calibration is None or label not in calibration.labels:
        return None
    own = float(one_against_rest(calibration, label)[0].mean())
    if not 0 < own < 1:
        return None
    return own, float(moved_prior(np.array(threshold), of=own, to=prevalence))


def point_value(threshold: float) -> float:
    """A threshold as the slider can show it, in steps of 0.005.

    >>> point_value(0.7498)
    0.75
    """
    return round(round(min(max(threshold, 0.0), 1.0) / 0.005) * 0.005, 3)


def _cost_name(rule: Cost, language: Language) -> str:
    value = f"{rule.ratio:g}".replace(".", "," if language == "fr" else ".")
    if rule.prevalence is None:
        return spoken(COST_NAME_HERE, language, value=value, ratio=rule.ratio)
    share = percent(rule.prevalence, language, digits=1)
    return spoken(COST_NAME, language, value=value, ratio=rule.ratio, share=share)


def _entry(rate: Rate | Interval) -> Entry:
    return {name: finite(getattr(rate, name)) for name in ("value", "low", "high")}
