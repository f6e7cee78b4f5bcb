"""Operating points: thresholds chosen on the calibration split, and what they give elsewhere.

An image counts as positive when its probability of the label is the threshold or above, so images
of equal probability fall on one side together, and only probabilities that occur can tell
thresholds apart. The threshold is put half way to the next lower probability that occurs (to 0
below the lowest), so that no answer hangs on a last digit. A rule that only answering "negative"
always can keep has the threshold infinity, which JSON writes as null.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import BundleError, PredictionsError
from pneumoscope.core.types import FloatArray
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.resampling import Rate, check_level, finite, number, proportion

_ROUNDING = 1e-9
_OWN = "of the images"
_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]\d+)?"
"""What `:g` writes of a positive number."""


@dataclass(frozen=True)
class Youden:
    """The greatest sensitivity + specificity (Youden 1950); of equals, the more sensitive."""

    def __str__(self) -> str:
        return "youden"


@dataclass(frozen=True)
class AtLeast:
    """A rate kept at `value`, in [0, 1], or above, and the other as great as that allows.

    Of thresholds with the same other rate, the one with the greater kept rate.
    """

    rate: Literal["sensitivity", "specificity"]
    value: float

    def __str__(self) -> str:
        return f"{self.rate} >= {self.value:g}"


@dataclass(frozen=True)
class Cost:
    """The least expected cost (Metz 1978); of equals, the more sensitive.

    Attributes:
        ratio: what missing the label costs, in false alarms; above 0.
        prevalence: of the label where the model will be used, in (0, 1); without, as in the images.
    """

    ratio: float
    prevalence: float | None = None

    def __str__(self) -> str:
        where = _OWN if self.prevalence is None else f"{self.prevalence:g}"
        return f"cost ratio {self.ratio:g}, prevalence {where}"

    @classmethod
    def from_words(cls, words: str) -> Cost | None:
        """The rule that `str` puts into these words; None for words of another rule.

        >>> Cost.from_words("cost ratio 5, prevalence 0.02")
        Cost(ratio=5.0, prevalence=0.02)
        >>> Cost.from_words("cost ratio low, prevalence 0.02")
        """
        found = re.fullmatch(rf"cost ratio ({_NUMBER}), prevalence ({_NUMBER}|{_OWN})", words)
        if found is None:
            return None
        ratio, where = found.groups()
        return cls(float(ratio), None if where == _OWN else float(where))


Rule: TypeAlias = Youden | AtLeast | Cost


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold for a label against the rest, and what it was chosen for.

    Attributes:
        name: what to call it.
        label: the label of interest, whose images are the positives.
        threshold: probability of the label from which an image is positive; infinity for never.
        rule: how it was chosen, in words.
        sensitivity: promised, as measured on the images that chose the threshold.
        specificity: promised likewise.
        confidence_level: of both intervals.
    """

    name: str
    label: str
    threshold: float
    rule: str
    sensitivity: Rate
    specificity: Rate
    confidence_level: float

    def answers(self, probabilities: FloatArray) -> NDArray[np.bool_]:
        """Which of the images, by their probability of the label, `[image]`, are positive."""
        positive: NDArray[np.bool_] = np.asarray(probabilities) >= self.threshold
        return positive

    def to_json(self) -> dict[str, object]:
        """Plain values for the bundle; a threshold of infinity is None."""
        return {
            "name": self.name,
            "label": self.label,
            "threshold": finite(self.threshold),
            "rule": self.rule,
            "sensitivity": self.sensitivity.to_json(),
            "specificity": self.specificity.to_json(),
            "confidence_level": self.confidence_level,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> OperatingPoint:
        """The operating point that `to_json` wrote.

        Raises:
            BundleError: a field is missing or impossible.
        """
        try:
            threshold = content["threshold"]
            point = cls(
                name=str(content["name"]),
                label=str(content["label"]),
                threshold=math.inf if threshold is None else number(threshold),
                rule=str(content["rule"]),
                sensitivity=Rate.from_json(content["sensitivity"]),
                specificity=Rate.from_json(content["specificity"]),
                confidence_level=number(content["confidence_level"]),
            )
            check_level(point.confidence_level)
            if not point.threshold >= 0:
                raise ValueError(f"threshold {threshold} is below 0")
        except (KeyError, TypeError, ValueError, PredictionsError) as error:
            message = f"operating point: {error}; allowed: what train writes. Export again."
            raise BundleError(message) from error
        return point


@dataclass(frozen=True)
class Outcome:
    """What an operating point gives on other images.

    Attributes:
        name: of the operating point.
        label: of interest.
        threshold: as the point has it.
        sensitivity: of the images with the label, those found.
        specificity: of the images without it, those left alone.
        ppv: positive predictive value: of the positive answers, those right, at the prevalence
            that these images have (see `at_prevalence`).
        npv: negative predictive value likewise.
        prevalence: images with the label.
        confidence_level: of the intervals.
    """

    name: str
    label: str
    threshold: float
    sensitivity: Rate
    specificity: Rate
    ppv: Rate
    npv: Rate
    prevalence: Rate
    confidence_level: float

    def to_json(self) -> dict[str, object]:
        """Plain values, None where a number is not finite."""
        return {
            "name": self.name,
            "label": self.label,
            "threshold": finite(self.threshold),
            "sensitivity": self.sensitivity.to_json(),
            "specificity": self.specificity.to_json(),
            "ppv": self.ppv.to_json(),
            "npv": self.npv.to_json(),
            "prevalence": self.prevalence.to_json(),
            "confidence_level": self.confidence_level,
        }


def choose_point(
    predictions: Predictions,
    *,
    label: str,
    rule: Rule,
    name: str = "",
    confidence_level: float = 0.95,
) -> OperatingPoint:
    """The operating point that the rule chooses on these images, the calibration split.

    Args:
        predictions: of images that the model was not trained on and is not tested with.
        label: of interest.
        rule: how to choose.
        name: what to call it; without, the rule in words.
        confidence_level: of the promised rates' intervals, in (0, 1).

    Raises:
        PredictionsError: an unknown label, no image with it or without it, or a rule or level out
            of range.
    """
    _check_rule(rule)
    positive, scores = one_against_rest(predictions, label)
    for wanted, words in ((positive, "with"), (~positive, "without")):
        if not wanted.any():
            message = f"no image {words} label '{label}'; allowed: one or more."
            raise PredictionsError(f"{message} Enlarge the calibration split.")
    threshold = _threshold(positive, scores, rule)
    rates = _rates(positive, scores >= threshold, predictions.clusters, confidence_level)
    return OperatingPoint(name or str(rule), label, threshold, str(rule), *rates, confidence_level)


def outcome(
    point: OperatingPoint, predictions: Predictions, *, confidence_level: float = 0.95
) -> Outcome:
    """What the operating point gives on these images, with intervals.

    Rates that no image counts in are nan.

    Raises:
        PredictionsError: the label is not in the label set, or the level is out of range.
    """
    positive, scores = one_against_rest(predictions, point.label)
    answered, clusters = point.answers(scores), predictions.clusters
    sensitivity, specificity = _rates(positive, answered, clusters, confidence_level)
    right_alarm, right_silence = (
        proportion(positive[chosen] == alarm, clusters[chosen], confidence_level=confidence_level)
        for alarm, chosen in ((True, answered), (False, ~answered))
    )
    return Outcome(
        name=point.name,
        label=point.label,
        threshold=point.threshold,
        sensitivity=sensitivity,
        specificity=specificity,
        ppv=right_alarm,
        npv=right_silence,
        prevalence=proportion(positive, clusters, confidence_level=confidence_level),
        confidence_level=confidence_level,
    )


def one_against_rest(
    predictions: Predictions, label: str
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether each image has the label, and its probability of it; `[image]` each.

    Raises:
        PredictionsError: the label is not in the label set.
    """
    if label not in predictions.labels:
        message = f"label '{label}'; allowed: {', '.join(predictions.labels)}."
        raise PredictionsError(f"{message} Name one of these.")
    index = predictions.labels.index(label)
    return predictions.truth == index, predictions.probabilities[:, index]


def _threshold(positive: NDArray[np.bool_], scores: NDArray[np.float64], rule: Rule) -> float:
    values, place = np.unique(scores, return_inverse=True)
    found, raised = (
        np.append(0, np.cumsum(np.bincount(place[which], minlength=len(values))[::-1]))
        for which in (positive, ~positive)
    )
    chosen = _choose(found.astype(np.float64), raised.astype(np.float64), rule)
    if chosen == 0:
        return math.inf
    least = float(values[len(values) - chosen])
    below = float(values[len(values) - chosen - 1]) if chosen < len(values) else 0.0
    middle = (least + below) / 2
    return middle if middle > below else least


def _choose(found: NDArray[np.float64], raised: NDArray[np.float64], rule: Rule) -> int:
    """How many of the distinct probabilities, from the highest, are positive.

    Args:
        found: `[count]`, positives among so many.
        raised: `[count]`, negatives among them.
        rule: how to choose.
    """
    positives, negatives = found[-1], raised[-1]
    if isinstance(rule, AtLeast):
        kept = found / positives if rule.rate == "sensitivity" else 1 - raised / negatives
        allowed = np.flatnonzero(kept >= rule.value - _ROUNDING)
        order = (found, -raised) if rule.rate == "sensitivity" else (-raised, found)
        return int(allowed[np.lexsort([key[allowed] for key in order])[-1]])
    worth = 1.0
    if isinstance(rule, Cost):
        prevalence = rule.prevalence or positives / (positives + negatives)
        worth = rule.ratio * prevalence / (1 - prevalence)
    gain = found * negatives * worth - raised * positives
    best = np.flatnonzero(gain >= gain.max() - _ROUNDING * positives * negatives * max(worth, 1))
    return int(best[np.lexsort([-raised[best], found[best]])[-1]])


def _rates(
    positive: NDArray[np.bool_],
    answered: NDArray[np.bool_],
    clusters: NDArray[np.int64],
    confidence_level: float,
) -> tuple[Rate, Rate]:
    """Sensitivity and specificity."""
    found = proportion(answered[positive], clusters[positive], confidence_level=confidence_level)
    silent = proportion(
        ~answered[~positive], clusters[~positive], confidence_level=confidence_level
    )
    return found, silent


def _check_rule(rule: Rule) -> None:
    if isinstance(rule, AtLeast) and not 0 <= rule.value <= 1:
        message = f"{rule.rate}={rule.value}; allowed: 0 to 1. 0.95 is usual."
        raise PredictionsError(message)
    if isinstance(rule, Cost):
        if not (math.isfinite(rule.ratio) and rule.ratio > 0):
            message = f"cost ratio {rule.ratio}; allowed: finite numbers above 0."
            raise PredictionsError(f"{message} Say how many false alarms one miss is worth.")
        if rule.prevalence is not None:
            check_prevalence(rule.prevalence)


def check_prevalence(prevalence: float) -> None:
    """Refuse a prevalence that is not between 0 and 1.

    Raises:
        PredictionsError: it is not.
    """
    if not 0 < prevalence < 1:
        message = f"prevalence={prevalence}; allowed: between 0 and 1."
        raise PredictionsError(f"{message} Give the fraction of images that have the label.")
