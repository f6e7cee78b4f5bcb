"""The confidence above which answers are wrong seldom enough, with a guarantee.

The bound is that of SGR (Geifman and El-Yaniv 2017): Clopper and Pearson's upper bound of the share
of wrong answers. Where SGR searches by halves, so that each step depends on what the steps before
saw, the bounds here are of numbers of answers fixed beforehand, and hold all at once (Bonferroni).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.randomness import generator
from pneumoscope.core.types import FloatArray, IntArray

_MOST_TRIES = 16


@dataclass(frozen=True)
class SelectiveThreshold:
    """Answer an image when its confidence exceeds `threshold`.

    Attributes:
        threshold: in [0, 1]; 0 answers every image, 1 none.
        coverage: share of the calibration images (one per patient) that it answers.
        risk: share of those answers that are wrong; nan where none is answered.
        risk_bound: upper bound of the risk of new images, `wanted_risk` at most; nan likewise.
        wanted_risk: as asked. confidence_level: as asked.
        n_images: images used, one per patient.
    """

    threshold: float
    coverage: float
    risk: float
    risk_bound: float
    wanted_risk: float
    confidence_level: float
    n_images: int


def threshold_for_risk(
    confidence: FloatArray,
    wrong: NDArray[np.bool_],
    *,
    wanted_risk: float,
    confidence_level: float = 0.95,
    clusters: IntArray | None = None,
    seed: int = 0,
) -> SelectiveThreshold:
    """The threshold that answers most, among those whose risk is sure to be `wanted_risk` at most.

    With probability `confidence_level` over calibration splits, at most that share of the answers
    to new images like these (of a random image of a new patient) will be wrong.

    Args:
        confidence: `[image]`, in [0, 1], such as the largest calibrated probability.
        wrong: `[image]`, whether its answer is wrong.
        wanted_risk: in (0, 1).
        confidence_level: in (0, 1).
        clusters: `[image]`, patient of each image: one image of each is drawn, since the bound
            needs independent ones; None: each is its own.
        seed: of that drawing.

    Raises:
        PredictionsError: shapes disagree, a confidence or an option is out of range.
    """
    confidence, wrong = np.asarray(confidence, dtype=np.float64), np.asarray(wrong, dtype=bool)
    _check(confidence, wrong, wanted_risk, confidence_level)
    if clusters is not None:
        drawn = one_image_per_patient(np.asarray(clusters), seed=seed)
        confidence, wrong = confidence[drawn], wrong[drawn]
    ordered = np.append(np.sort(confidence)[::-1], 0.0)
    best = SelectiveThreshold(
        1.0, 0.0, math.nan, math.nan, wanted_risk, confidence_level, len(wrong)
    )
    tries = _numbers_of_answers(len(wrong), wanted_risk, 1 - confidence_level)
    for number in tries:
        # Given the confidence of the next image, those strictly above it are as independent as
        # they were, and so many of them wrong as in draws from all images above it.
        answered = confidence > ordered[number]
        answers, errors = int(answered.sum()), int(wrong[answered].sum())
        bound = risk_upper_bound(errors, answers, error_level=(1 - confidence_level) / len(tries))
        if answers and bound <= wanted_risk:
            best = replace(
                best,
                threshold=float(ordered[number]),
                coverage=answers / len(wrong),
                risk=errors / answers,
                risk_bound=bound,
            )
    return best


def risk_upper_bound(errors: int, answers: int, *, error_level: float) -> float:
    """Clopper and Pearson's (1934) upper bound of a share, exceeded with `error_level` at most."""
    from scipy.special import betaincinv

    if errors >= answers:
        return 1.0
    return float(betaincinv(errors + 1, answers - errors, 1 - error_level))


def one_image_per_patient(clusters: IntArray, *, seed: int) -> NDArray[np.int64]:
    """Indices of one image of every patient, drawn evenly among its images, `[patient]`, rising."""
    shuffled = generator(seed, "one_image_per_patient").permutation(len(clusters))
    _, first = np.unique(np.asarray(clusters)[shuffled], return_index=True)
    drawn: NDArray[np.int64] = np.sort(shuffled[first])
    return drawn


def _numbers_of_answers(n_images: int, wanted_risk: float, error_level: float) -> list[int]:
    """Numbers of answers to try, rising to all, fixed before anything is seen.

    As many as still leave a number of faultless answers that would do.
    """
    tries = _MOST_TRIES
    while tries:
        fewest = math.ceil(math.log(error_level / tries) / math.log1p(-wanted_risk))
        if fewest <= n_images:
            falling = np.linspace(n_images, fewest, tries).tolist()  # one try: answer all
            return [round(number) for number in reversed(falling)]
        tries //= 2
    return []


def _check(
    confidence: FloatArray,
    wrong: NDArray[np.bool_],
    wanted_risk: float,
    confidence_level: float,
) -> None:
    if confidence.ndim != 1 or confidence.shape != wrong.shape or not wrong.size:
        shapes = f"confidence {list(confidence.shape)}, wrong {list(wrong.shape)}"
        raise PredictionsError(f"{shapes}; allowed: [image] each, 1 or more. Give them so.")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise PredictionsError("a confidence is outside 0 to 1. Give probabilities.")
    if not (0 < wanted_risk < 1 and 0 < confidence_level < 1):
        message = f"wanted_risk={wanted_risk}, confidence_level={confidence_level}; allowed:"
        raise PredictionsError(f"{message} between 0 and 1. 0.05 and 0.95 are usual.")
