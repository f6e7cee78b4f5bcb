"""When to answer: decisions from label sets, and what answering only the surest would cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.types import FloatArray, IntArray
from pneumoscope.evaluation.draws import bootstrap_weights
from pneumoscope.evaluation.intervals import Interval
from pneumoscope.evaluation.no_width import NO_WIDTH
from pneumoscope.evaluation.resampling import score_bounds

Decision: TypeAlias = Literal["answer", "set", "abstain"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
GRID_POINTS = 100


@dataclass(frozen=True, eq=False)
class SelectiveRisk:
    """Share of wrong answers when only the surest images are answered.

    Attributes:
        coverage: `[point]`, share of images answered, rising to 1.
        risk: `[point]`, share of the answers that are wrong. low, high: `[point]`, its band,
            pointwise, over resampled patients; nan with fewer than two.
        area: under the curve (AURC), 0 at best.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    area: Interval


def decide(label_sets: NDArray[np.bool_]) -> tuple[Decision, ...]:
    """The decision for each image's label set, `[image, label]`.

    One label: `answer` it. Several, but not all: `set`, they are the answer. None or all:
    `abstain`, for nothing was told apart: no label is usual for this image, or every one is. With
    two labels there is no `set`. The one label need not be the most probable, if conditional.

    >>> decide(np.array([[True, False], [True, True], [False, False]]))
    ('answer', 'abstain', 'abstain')
    """
    sizes = np.asarray(label_sets, dtype=bool).sum(axis=1)
    some: NDArray[np.bool_] = (sizes > 0) & (sizes < label_sets.shape[1])
    return tuple(
        "abstain" if not told else "answer" if size == 1 else "set"
        for size, told in zip(sizes.tolist(), some.tolist(), strict=True)
    )


def selective_risk(
    confidence: FloatArray,
    wrong: NDArray[np.bool_],
    *,
    clusters: IntArray,
    resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> SelectiveRisk:
    """The risk-coverage curve, its area, and how sure both are (patient bootstrap, percentiles).

    Images of equal confidence are answered in random order: the figures are the expected ones.
    Where no resample has another risk, as among answers without an error, the band is Wilson's for
    the patients answered; where that is so at every coverage, the area's bounds are those of the
    band (see `no_width`).

    Args:
        confidence: `[image]`, higher is surer, such as the largest probability.
        wrong: `[image]`, whether its answer is wrong.
        clusters: `[image]`, patient of each image, 0 to n_patients - 1.
        resamples: bootstrap resamples of patients.
        confidence_level: of the band and the interval, in (0, 1).
        seed: of the bootstrap.

    Raises:
        PredictionsError: shapes disagree, no images, or an option is out of range.
    """
    confidence, wrong, clusters = np.asarray(confidence), np.asarray(wrong), np.asarray(clusters)
    _check(confidence, wrong, clusters, confidence_level)
    coverage = np.linspace(1 / GRID_POINTS, 1, GRID_POINTS)
    answered, errors = _running(confidence, wrong, np.ones((1, len(wrong))))
    risk, area = _risks(answered, errors, coverage)[0], float(_areas(answered, errors)[0])
    if clusters.max() < 1:
        nothing = np.full(GRID_POINTS, np.nan)
        return SelectiveRisk(coverage, risk, nothing, nothing, Interval(area, np.nan, np.nan))
    risks, areas = [], []
    for weights in bootstrap_weights(clusters, resamples=resamples, seed=seed):
        answered, errors = _running(confidence, wrong, weights)
        risks.append(_risks(answered, errors, coverage))
        areas.append(_areas(answered, errors))
    tails = ((1 - confidence_level) / 2, (1 + confidence_level) / 2)
    low, high = np.quantile(np.concatenate(risks), tails, axis=0)
    least, most = np.quantile(np.concatenate(areas), tails)
    patients = _patients(confidence, clusters, coverage)
    for point in np.flatnonzero(high - low < NO_WIDTH):
        low[point], high[point] = score_bounds(
            float(risk[point]), int(patients[point]), confidence_level=confidence_level
        )
    if most - least < NO_WIDTH:
        least, most = low.mean(), high.mean()
    interval = Interval(area, min(float(least), area), max(float(most), area))
    return SelectiveRisk(coverage, risk, np.minimum(low, risk), np.maximum(high, risk), interval)


def aurc(confidence: FloatArray, wrong: NDArray[np.bool_]) -> float:
    """Area under the risk-coverage curve: the mean, over n, of the risk of the n surest images.

    Geifman et al. 2019, eq. 2; equal confidences as in `selective_risk`.

    >>> aurc(np.array([0.9, 0.8]), np.array([False, True]))
    0.25
    """
    confidence, wrong = np.asarray(confidence), np.asarray(wrong)
    _check(confidence, wrong, np.arange(len(wrong)), 0.5)
    return float(_areas(*_running(confidence, wrong, np.ones((1, len(wrong)))))[0])


def _running(
    confidence: FloatArray, wrong: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Images and errors at or above each distinct confidence, `[resample, 1 + distinct]` from 0."""
    order = np.argsort(-confidence, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(confidence[order])), len(order) - 1)
    ordered = weights[:, order]
    sums = np.zeros((2, len(weights), len(last_of_ties) + 1))
    for total, values in zip(sums, (ordered, ordered * wrong[order]), strict=True):
        total[:, 1:] = np.cumsum(values, axis=1)[:, last_of_ties]
    return sums[0], sums[1]


def _patients(
    confidence: FloatArray, clusters: IntArray, coverage: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Patients among the surest images, at each coverage, `[point]`."""
    order = np.argsort(-confidence, kind="stable")
    known = np.zeros(len(order), dtype=np.int64)
    known[np.unique(clusters[order], return_index=True)[1]] = 1
    answered = np.maximum(1, np.floor(coverage * len(order) + NO_WIDTH).astype(np.int64))
    patients: NDArray[np.int64] = known.cumsum()[answered - 1]
    return patients


def _risks(
    answered: NDArray[np.float64], errors: NDArray[np.float64], coverage: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Expected risk at each coverage, `[resample, point]`."""
    rows = zip(answered, errors, strict=True)
    found = [
        np.interp(coverage * row[-1], row, wrong) / (coverage * row[-1]) for row, wrong in rows
    ]
    return np.stack(found)


def _areas(answered: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """AURC, `[resample]`, for whole weights: among ties the errors rise along a line."""
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, answered.max() + 1))])
    more, wrong = np.diff(answered, axis=1), np.diff(errors, axis=1)
    slope = np.divide(wrong, more, out=np.zeros_like(wrong), where=more > 0)
    offset = errors[:, :-1] - slope * answered[:, :-1]
    places = answered.astype(np.int64)
    inverse = harmonic[places[:, 1:]] - harmonic[places[:, :-1]]
    area: NDArray[np.float64] = (offset * inverse + wrong).sum(axis=1) / answered[:, -1]
    return area


def _check(
    confidence: FloatArray, wrong: NDArray[np.bool_], clusters: IntArray, confidence_level: float
) -> None:
    shapes = [list(values.shape) for values in (confidence, wrong, clusters)]
    if wrong.ndim != 1 or shapes != shapes[:1] * 3 or not wrong.size:
        message = f"confidence, wrong and clusters {shapes}; allowed: [image] each. Give them so."
        raise PredictionsError(message)
    if not np.isfinite(confidence).all() or not 0 < confidence_level < 1:
        message = f"confidence_level={confidence_level}, or a confidence that is not finite;"
        raise PredictionsError(f"{message} allowed: between 0 and 1. 0.95 is usual.")
