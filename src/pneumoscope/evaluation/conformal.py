"""Label set prediction: the labels that cannot be excluded at a confidence level.

Split conformal prediction (Vovk et al. 2005; Angelopoulos and Bates 2023). The guarantee: for a
new image exchangeable with those of the calibration split the set holds the true label with at
least the confidence level, on average over calibration splits; per label only where
`conditional`. An `assurance` promises more: with that probability over calibration splits, the sets
of this one calibration split hold the label that often (Vovk 2012, proposition 2a), where about
half of all splits fall short of what holds on average. Nothing is promised about other sites or
groups; `set_coverage` measures, and `shift` tests exchangeability.

Several images of a patient resemble each other and are not exchangeable with those of a new one.
Given `clusters`, every patient counts once, each image for its part (Lee, Barber and Willett 2023,
hierarchical conformal prediction), and the guarantee is for a random image of a new patient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import BundleError, PredictionsError
from pneumoscope.core.types import FloatArray, IntArray
from pneumoscope.evaluation.calibrator import is_number

Score: TypeAlias = Literal["lac", "aps"]
SCORES: tuple[Score, ...] = get_args(Score)
_FIELDS = (
    "labels", "score", "conditional", "randomised", "confidence_level", "assurance", "quantiles",
    "support",
)  # fmt: skip
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Conformal:
    """What excludes labels: a quantile of nonconformity scores for each, valid once built.

    Attributes:
        labels: the label set, in the order of the probabilities.
        score: how strange a label is for an image, see `nonconformity_scores`.
        conditional: each label has its own quantile and guarantee (Mondrian); else one for all.
        randomised: the score has a random part that the caller draws.
        confidence_level: wanted share of sets with the true label, in (0, 1).
        quantiles: per label; infinite, so never excluded, where too few images determined it.
        support: per label, patients (images, if fitted without clusters) behind its quantile.
        assurance: probability, over calibration splits, of reaching the share; None: on average.

    Raises:
        PredictionsError: lengths differ, a value is out of range.
    """

    labels: tuple[str, ...]
    score: Score
    conditional: bool
    randomised: bool
    confidence_level: float
    quantiles: tuple[float, ...]
    support: tuple[int, ...]
    assurance: float | None = None

    def __post_init__(self) -> None:
        _check_level(self.confidence_level, self.assurance)
        _check_score(self.score, randomised=self.randomised)
        sizes = {len(self.labels), len(self.quantiles), len(self.support), len(set(self.labels))}
        if len(sizes) != 1 or len(self.labels) < 2:
            message = f"conformal: {sorted(sizes)} labels, quantiles and support; allowed: as many"
            raise PredictionsError(f"{message} of each, 2 or more. Conformalize again.")
        if not all(quantile >= 0 for quantile in self.quantiles) or min(self.support) < 0:
            message = f"conformal: quantiles {self.quantiles}, support {self.support}; allowed: 0"
            raise PredictionsError(f"{message} or more. Conformalize again.")

    def label_sets(
        self, probabilities: FloatArray, *, uniforms: FloatArray | None = None
    ) -> NDArray[np.bool_]:
        """Which labels cannot be excluded, `[image, label]`.

        Args:
            probabilities: `[image, label]`, calibrated as those it was fitted on.
            uniforms: `[image]`, drawn from [0, 1), if and only if randomised.
                `core.randomness.unit_hash` of the image's id gives the same image the same set.

        Raises:
            PredictionsError: shapes disagree, or uniforms are missing or not wanted.
        """
        _check_uniforms(uniforms, randomised=self.randomised)
        scores = nonconformity_scores(probabilities, score=self.score, uniforms=uniforms)
        if scores.shape[1] != len(self.labels):
            message = f"probabilities of {scores.shape[1]} labels; allowed: {len(self.labels)}."
            raise PredictionsError(f"{message} Use the label set it was fitted on.")
        return scores <= np.array(self.quantiles)

    def to_json(self) -> dict[str, object]:
        """Plain Python that `json.dumps` takes and `from_json` reads back without a change."""
        finite = [quantile if math.isfinite(quantile) else None for quantile in self.quantiles]
        return {
            "labels": list(self.labels),
            "score": self.score,
            "conditional": self.conditional,
            "randomised": self.randomised,
            "confidence_level": self.confidence_level,
            "assurance": self.assurance,
            "quantiles": dict(zip(self.labels, finite, strict=True)),
            "support": dict(zip(self.labels, self.support, strict=True)),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Conformal:
        """The conformal predictor that `to_json` wrote.

        Raises:
            BundleError: something is missing, unknown or out of range.
        """
        values = _checked(content)
        labels = tuple(values.pop("labels"))
        quantiles, support = values.pop("quantiles"), values.pop("support")
        infinite = {
            label: math.inf if quantile is None else float(quantile)
            for label, quantile in quantiles.items()
        }
        try:
            return cls(
                labels=labels,
                quantiles=tuple(infinite[label] for label in labels),
                support=tuple(support[label] for label in labels),
                **values,
            )
        except PredictionsError as error:
            raise BundleError(str(error)) from error


def conformalize(
    probabilities: FloatArray,
    truth: IntArray,
    *,
    labels: Sequence[str],
    confidence_level: float = 0.9,
    score: Score = "lac",
    conditional: bool = False,
    assurance: float | None = None,
    clusters: IntArray | None = None,
    uniforms: FloatArray | None = None,
) -> Conformal:
    """The conformal predictor that these images, of the calibration split, determine.

    Args:
        probabilities: `[image, label]`, calibrated.
        truth: `[image]`, index of the true label.
        labels: the label set, in the order of the probabilities.
        confidence_level: in (0, 1).
        score: `lac` (smallest sets) or `aps` (sets that grow with the image's difficulty).
        conditional: hold the confidence level for every label, with larger sets.
        assurance: probability, in (0, 1), that sets hold it given these very images; None: on
            average over such sets of images.
        clusters: `[image]`, patient of each image; None where every image is its own patient.
        uniforms: `[image]`, drawn from [0, 1), makes `aps` randomised: exact where the
            deterministic score covers more than asked, at the price of sets that depend on chance,
            and may be empty.

    Raises:
        PredictionsError: arrays or labels do not belong together, an option is out of range.
    """
    randomised = uniforms is not None
    _check_level(confidence_level, assurance)
    _check_score(score, randomised=randomised)
    truth = np.asarray(truth)
    scores = nonconformity_scores(probabilities, score=score, uniforms=uniforms)
    patients = None if clusters is None else np.asarray(clusters)
    _check_truth(scores, truth, patients, labels)
    own = scores[np.arange(len(truth)), truth]
    pools = [truth == index if conditional else truth >= 0 for index in range(len(labels))]
    members = [None if patients is None else patients[pool] for pool in pools]
    quantiles = [
        conformal_quantile(
            own[pool], confidence_level=confidence_level, assurance=assurance, clusters=member
        )
        for pool, member in zip(pools, members, strict=True)
    ]
    support = [
        int(pool.sum()) if member is None else len(np.unique(member))
        for pool, member in zip(pools, members, strict=True)
    ]
    return Conformal(
        tuple(labels), score, conditional, randomised, confidence_level, tuple(quantiles),
        tuple(support), assurance,
    )  # fmt: skip


def nonconformity_scores(
    probabilities: FloatArray, *, score: Score, uniforms: FloatArray | None = None
) -> NDArray[np.float64]:
    """How strange each label would be, `[image, label]`, from 0 (not at all) to 1.

    - `lac`: 1 - its probability (Sadinle et al. 2019).
    - `aps`: the sum of all larger probabilities, and of its own the part `uniforms` (Romano et al.
      2020, eq. 7). Deterministically none of its own: the most probable label has score 0 and is
      never excluded. (Counting all of it, the other deterministic way, makes the set of a sure
      image empty unless a rule puts its first label back; with that rule sets are never smaller.)

    Args:
        probabilities: `[image, label]`.
        score: which.
        uniforms: `[image]`, in [0, 1), for `aps`; None: deterministic.

    Raises:
        PredictionsError: shapes disagree, or `lac` with uniforms.
    """
    _check_score(score, randomised=uniforms is not None)
    values = np.asarray(probabilities, dtype=np.float64)
    if values.ndim != 2 or (uniforms is not None and np.shape(uniforms) != values.shape[:1]):
        message = f"probabilities {list(values.shape)}; allowed: [image, label], and a uniform"
        raise PredictionsError(f"{message} number per image. Give one row per image.")
    if score == "lac":
        return 1 - values
    larger = _larger_mass(values)
    return larger if uniforms is None else larger + np.asarray(uniforms)[:, None] * values


def conformal_quantile(
    scores: FloatArray,
    *,
    confidence_level: float,
    assurance: float | None = None,
    clusters: IntArray | None = None,
) -> float:
    """The score that a new one exceeds with probability 1 - confidence level at most.

    The ceil((n + 1) * confidence_level)-th smallest of n scores, infinite where that is more than
    n. With clusters the smallest score at or below which lies (K + 1) * confidence_level of the K
    patients, whose images share one patient's weight; with one image each that is the same.

    Args:
        scores: `[image]`.
        confidence_level: in (0, 1), as the decimal number it prints as.
        assurance: see `conformalize`; the rank is then that of `assured_rank`.
        clusters: `[image]`, patient of each image; None: each its own.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    if clusters is None:
        rank = math.ceil(_rank(len(ordered), confidence_level, assurance))
        return float(ordered[rank - 1]) if rank <= len(ordered) else math.inf
    _, patient, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(1 / counts[patient][order])
    wanted = float(_rank(len(counts), confidence_level, assurance))
    place = int(np.searchsorted(reached, wanted - _ROUNDING))
    return float(ordered[place]) if place < len(ordered) else math.inf


def assured_rank(count: int, *, confidence_level: float, assurance: float) -> int:
    """The least r whose r-th smallest of `count` scores is exceeded seldom enough, surely enough.

    The share of new scores at or below it has the distribution Beta(r, count + 1 - r) over such
    scores (Vovk 2012, proposition 2a; Wilks 1941): it reaches the confidence level with probability
    `assurance` at least. count + 1 where none does.

    >>> assured_rank(100, confidence_level=0.9, assurance=0.9)
    95
    """
    from scipy.special import betaincc

    ranks = np.arange(1, count + 1)
    sure = betaincc(ranks, count + 1 - ranks, confidence_level) >= assurance
    return int(ranks[sure][0]) if sure.any() else count + 1


def _rank(count: int, confidence_level: float, assurance: float | None) -> Fraction:
    if assurance is not None:
        rank = assured_rank(count, confidence_level=confidence_level, assurance=assurance)
        return Fraction(rank)
    # 0.07 * 100 exceeds 7 in binary, and the ceiling would be 8.
    return (count + 1) * Fraction(str(float(confidence_level)))


def _larger_mass(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the probabilities larger than each, `[image, label]`; equals do not count."""
    order = np.argsort(-values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    before = np.zeros_like(ordered)
    np.cumsum(ordered[:, :-1], axis=1, out=before[:, 1:])
    before[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = 0  # the first of equals tells for all
    before = np.maximum.accumulate(before, axis=1)
    larger = np.empty_like(before)
    np.put_along_axis(larger, order, before, axis=1)
    return larger


def _check_level(confidence_level: float, assurance: float | None) -> None:
    for name, value in (("confidence_level", confidence_level), ("assurance", assurance)):
        if value is not None and not 0 < value < 1:
            message = f"{name}={value}; allowed: between 0 and 1. 0.9 is usual."
            raise PredictionsError(message)


def _check_score(score: str, *, randomised: bool) -> None:
    if score not in SCORES:
        raise PredictionsError(f"score={score!r}; allowed: {', '.join(SCORES)}. Choose one.")
    if randomised and score != "aps":
        raise PredictionsError(f"score={score!r} with uniforms; allowed: aps. Leave them out.")


def _check_uniforms(uniforms: FloatArray | None, *, randomised: bool) -> None:
    if randomised != (uniforms is not None):
        message = "missing" if randomised else "given to a deterministic score"
        raise PredictionsError(f"uniforms are {message}; allowed: as at the fit. Match it.")


def _check_truth(
    scores: FloatArray, truth: IntArray, patients: IntArray | None, labels: Sequence[str]
) -> None:
    belongs = truth.shape == scores.shape[:1] and scores.shape[1] == len(labels)
    if not belongs or (patients is not None and patients.shape != truth.shape) or not truth.size:
        message = f"probabilities {list(scores.shape)}, truth {list(truth.shape)}, {len(labels)}"
        raise PredictionsError(f"{message} labels; allowed: one row per image. Give them so.")
    if truth.min() < 0 or truth.max() >= len(labels) or not np.isfinite(scores).all():
        message = f"truth {truth.min()} to {truth.max()}; allowed: 0 to {len(labels) - 1}, and"
        raise PredictionsError(f"{message} finite probabilities. Use one label set for both.")


def _checked(content: Mapping[str, object]) -> dict[str, Any]:
    """The content with every value of its type."""
    values: dict[str, Any] = {"assurance": None, **content}  # bundles of before have none
    if set(values) != set(_FIELDS):
        message = f"conformal with {sorted(map(str, values))}; allowed: {', '.join(_FIELDS)}."
        raise BundleError(f"{message} Export the bundle again.")
    labels, maps = values["labels"], [values["quantiles"], values["support"]]
    sound = (
        isinstance(labels, list)
        and all(isinstance(label, str) for label in labels)
        and all(isinstance(part, dict) and set(part) == set(labels) for part in maps)
        and all(value is None or is_number(value) for value in maps[0].values())
        and all(type(value) is int for value in maps[1].values())
        and all(type(values[name]) is bool for name in ("conditional", "randomised"))
        and is_number(values["confidence_level"])
        and (values["assurance"] is None or is_number(values["assurance"]))
    )
    if not sound:
        message = "conformal: a value is not of its type; allowed: what an export writes."
        raise BundleError(f"{message} Export the bundle again.")
    return values
