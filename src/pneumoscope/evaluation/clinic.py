"""Thresholds and probabilities for a clinic with another prevalence than the calibration split.

What changes is the labels' shares alone; images of one label are taken to look the same there.
Sensitivity and specificity of a threshold then stay, and with them the thresholds that are chosen
for either, or for their sum (Youden). The threshold of least cost moves: it is chosen anew on the
calibration split, whose images count by label as often as they would come there (Metz 1978).

The probabilities that are served stay those of the calibration split, and so do all thresholds
that they are compared with: a probability that were moved as well would be moved twice. Only who
says from which probability *there* they would act needs `moved_prior`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.types import FloatArray
from pneumoscope.evaluation.operating_point import (
    Cost,
    OperatingPoint,
    check_prevalence,
    choose_point,
)
from pneumoscope.evaluation.predictions import Predictions


def points_for_clinic(
    points: Sequence[OperatingPoint],
    calibration: Predictions,
    *,
    prevalence: float,
    cost_ratios: Sequence[float],
    label: str | None = None,
    confidence_level: float = 0.95,
) -> tuple[OperatingPoint, ...]:
    """The operating points, those of least cost chosen for the prevalence, each in its place.

    After those of a label come thresholds of least cost for `cost_ratios` that it had none for.

    Args:
        points: as the bundle has them.
        calibration: the images that they were chosen on, with the probabilities that are served.
        prevalence: where the model will be used, in (0, 1).
        cost_ratios: what missing the label may cost, in false alarms; above 0.
        label: that has this prevalence; None: each that has points, by itself.
        confidence_level: of the intervals of points that are chosen here.

    Raises:
        PredictionsError: the prevalence or a cost ratio is out of range, a label is unknown to the
            calibration split, or has no image there.
    """
    check_prevalence(prevalence)
    found: list[OperatingPoint] = []
    for name in dict.fromkeys(point.label for point in points):
        own = [point for point in points if point.label == name]
        wanted = _wanted(own, prevalence, cost_ratios) if label in {None, name} else own
        found += [
            one
            if isinstance(one, OperatingPoint)
            else choose_point(calibration, label=name, rule=one, confidence_level=confidence_level)
            for one in wanted
        ]
    return tuple(found)


def _wanted(
    points: Sequence[OperatingPoint], prevalence: float, cost_ratios: Sequence[float]
) -> Sequence[OperatingPoint | Cost]:
    """Points that stay, and rules to choose others by; one chosen for this prevalence stays too."""
    found: list[OperatingPoint | Cost] = []
    had = set[str]()
    for point in points:
        rule = Cost.from_words(point.rule)
        moved = None if rule is None else Cost(rule.ratio, prevalence)
        if moved is None or str(moved) == point.rule:
            found.append(point)
        elif str(moved) not in had:
            found.append(moved)
        had.add(point.rule if moved is None else str(moved))
    more = (Cost(ratio, prevalence) for ratio in dict.fromkeys(cost_ratios))
    return [*found, *(rule for rule in more if str(rule) not in had)]


def calibrated_at(points: Sequence[OperatingPoint], label: str) -> float | None:
    """The label's share of the calibration split, at which served probabilities hold.

    None where no operating point of the label says how many images chose it.
    """
    for point in points:
        positives, negatives = point.sensitivity.trials, point.specificity.trials
        if point.label == label and positives and negatives:
            return positives / (positives + negatives)
    return None


def moved_prior(probabilities: FloatArray, *, of: float, to: float) -> NDArray[np.float64]:
    """Probabilities of a label where its prevalence is `to`, from those where it is `of`.

    Saerens, Latinne and Decaestecker (2002), eq. 2.4, for one label against the rest: the odds are
    multiplied by the ratio of the prevalences' odds. Taking `of` and `to` the other way round
    gives the first back.

    Args:
        probabilities: in [0, 1], of any shape.
        of: prevalence at which they hold, in (0, 1).
        to: prevalence at which they are wanted, in (0, 1).

    >>> moved_prior(np.array([0.0, 0.5, 1.0]), of=0.5, to=0.1).tolist()
    [0.0, 0.1, 1.0]

    Raises:
        PredictionsError: a prevalence is out of range.
    """
    check_prevalence(of)
    check_prevalence(to)
    values = np.asarray(probabilities, dtype=np.float64)
    with_label, without = values * (to / of), (1 - values) * ((1 - to) / (1 - of))
    moved: NDArray[np.float64] = with_label / (with_label + without)
    return moved


def moved_predictions(predictions: Predictions, label: str, *, of: float, to: float) -> Predictions:
    """The predictions with the label's probability moved, those of other labels in proportion."""
    index = predictions.labels.index(label)
    own = predictions.probabilities[:, index]
    moved = moved_prior(own, of=of, to=to)
    left = np.divide(1 - moved, 1 - own, out=np.zeros_like(moved), where=own < 1)
    probabilities = predictions.probabilities * left[:, None]
    probabilities[:, index] = moved
    return replace(predictions, probabilities=probabilities)
