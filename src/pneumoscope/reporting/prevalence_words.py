"""At which prevalence figures hold, and what acting on the model is worth there, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from pneumoscope.evaluation.operating_point import Cost
from pneumoscope.reporting.trust.sections import Assessment, listed, section
from pneumoscope.reporting.words import format_number, number


def decision_lines(assessment: Assessment) -> list[str]:
    """From which probabilities acting on the model is worth more than on all images or on none."""
    return [_decision_line(curve) for curve in listed(assessment, "decision_curves")]


def _decision_line(curve: Mapping[str, Any]) -> str:
    thresholds, useful = curve.get("thresholds") or [], curve.get("useful") or []
    spans = _spans([at for at, better in zip(thresholds, useful, strict=False) if better],
                   thresholds)  # fmt: skip
    label, given = curve.get("label"), number(curve, "given")
    worth = "acting on all images or on none"
    there = "" if given is None else f" where its prevalence is {format_number(given)}"
    if not spans:
        return f"For {label}{there}, the model is at no threshold surely worth more than {worth}."
    words = " and ".join(_span(*span) for span in spans)
    line = (
        f"Acting on the probability of {label}{there} is surely worth more than {worth} for "
        f"thresholds of {words}"
    )
    served, own = curve.get("served") or [], number(curve, "calibrated_at")
    if given is None or own is None or len(served) != len(thresholds):
        return f"{line}."
    asked = dict(zip(thresholds, served, strict=True))
    there = " and ".join(_span(asked[low], asked[high], digits=3) for low, high in spans)
    return (
        f"{line}. The probabilities that are served hold at a prevalence of {format_number(own)}, "
        f"that of the calibration split, and stay so: those thresholds are {there} of them."
    )


def _span(low: float, high: float, *, digits: int = 2) -> str:
    return f"{low:.{digits}f}" if low == high else f"{low:.{digits}f} to {high:.{digits}f}"


def prevalence_lines(assessment: Assessment) -> list[str]:
    """Which figures depend on how frequent a label is, and at which prevalence they hold."""
    points = listed(assessment, "operating_points")
    if not points:
        return []
    here = {
        str(point.get("label")): number(section(section(point, "seen"), "prevalence"))
        for point in points
    }
    shares = ", ".join(f"{label} {format_number(share)}" for label, share in here.items())
    first = (
        "Sensitivity, specificity and AUC do not depend on how frequent a label is, nor do "
        "thresholds by Youden's rule, for a given sensitivity or for a given specificity. "
        "Accuracy, calibration errors, F1 and coverage over all images hold at the prevalence of "
        f"these images: {shares}."
    )
    given = {
        str(point.get("label")): number(section(point, "at_prevalence"), "prevalence")
        for point in points
    }
    asked = {label: share for label, share in given.items() if share is not None}
    return [first, *_asked_lines(points, asked)] if asked else [first]


def _asked_lines(points: Sequence[Mapping[str, Any]], asked: Mapping[str, float]) -> list[str]:
    """What was done for the prevalence that was asked for, and what was not."""
    labels = " and ".join(asked)
    share = format_number(next(iter(asked.values())))
    apart = ", each by itself" if len(asked) > 1 else ""
    rules = {
        str(point.get("rule")): Cost.from_words(str(point.get("rule")))
        for point in points
        if point.get("label") in asked
    }
    costs = {words: rule for words, rule in rules.items() if rule is not None}
    left = [words for words, rule in costs.items() if rule.prevalence not in asked.values()]
    moved = "Thresholds of least cost and predictive" if len(costs) > len(left) else "Predictive"
    first = (
        f"{moved} values are also given for a prevalence of {share} of {labels}{apart}, if images "
        "of a label look there as they do here."
    )
    if costs and not left:
        return [first]
    which = f" ({'; '.join(left)})" if left else ""
    second = (
        f"No threshold of least cost{which} could be chosen for that prevalence: the bundle does "
        "not remember its calibration split, or no cost ratio was asked for."
    )
    return [first, second]


def _spans(chosen: list[float], grid: list[float]) -> list[tuple[float, float]]:
    """First and last of each run of neighbours on the grid."""
    places = [grid.index(at) for at in chosen]
    breaks = [at + 1 for at, (one, other) in enumerate(pairwise(places)) if other != one + 1]
    ends = [0, *breaks, len(chosen)]
    return [(chosen[low], chosen[high - 1]) for low, high in pairwise(ends)] if chosen else []
