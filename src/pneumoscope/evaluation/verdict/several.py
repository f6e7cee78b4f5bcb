"""Intervals for findings picked among several: corrected for how many were looked at.

Of 40 intervals at 95 % one lies wrong by chance, and it is the one that catches the eye. What is
called sure of the worst of several is therefore judged at the level 1 - (1 - level) / comparisons
(Bonferroni; Dunn 1961): by chance alone anything is called sure in at most 1 - level of all
evaluations. That all are good is judged without a correction, for it is claimed only where each
of them shows it (intersection-union test, Berger 1982).
"""

from __future__ import annotations

import math

from pneumoscope.evaluation.resampling import normal_quantile, score_bounds
from pneumoscope.evaluation.verdict.parts import Content, Estimate, number, part

_USUAL_LEVEL = 0.95


def level_of(content: Content) -> float:
    """The confidence level that an entry of the assessment, or the whole, states."""
    stated = number(content, "confidence_level")
    if stated is None:
        stated = number(part(content, "rules"), "confidence_level")
    return _USUAL_LEVEL if stated is None or not 0 < stated < 1 else stated


def one_of(found: Estimate, comparisons: int, *, level: float) -> Estimate:
    """A proportion's interval at the level that one of several comparisons has to keep.

    It is Wilson's (1927) for as many trials as make his interval as wide as the one given, which
    is his with an effective number of images.

    Args:
        found: a proportion and its interval.
        comparisons: 1 or more.
        level: of that interval, in (0, 1).
    """
    half = (found.high - found.low) / 2
    if comparisons == 1 or half <= 0 or math.isinf(half):
        return found
    if half >= 0.5:
        return Estimate(found.value, min(0.0, found.low), max(1.0, found.high))
    # half**2 * (1 + u)**2 = p * (1 - p) * u + u**2 / 4, where u is z**2 over the number of trials.
    square, linear = 0.25 - half**2, found.value * (1 - found.value) - 2 * half**2
    ratio = (math.sqrt(linear**2 + 4 * square * half**2) - linear) / (2 * square)
    trials = normal_quantile(level) ** 2 / ratio
    low, high = score_bounds(found.value, trials, confidence_level=1 - (1 - level) / comparisons)
    return Estimate(found.value, min(low, found.low), max(high, found.high))


def counted(comparisons: int) -> str:
    """What a sentence adds about them; nothing where there was one.

    >>> counted(12)
    ', corrected for 12 comparisons'
    """
    return f", corrected for {comparisons} comparisons" if comparisons > 1 else ""
