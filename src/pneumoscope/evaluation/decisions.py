"""What is served for an image: one label, several, or none; the same rule measured and deployed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.types import FloatArray
from pneumoscope.evaluation.abstention import Decision, decide
from pneumoscope.evaluation.conformal import Conformal
from pneumoscope.evaluation.selective_threshold import SelectiveThreshold


@dataclass(frozen=True, eq=False)
class Decided:
    """Decisions about images.

    Attributes:
        decisions: Per image.
        answers: `[image]`, index of the label answered; -1 where none is.
        label_sets: `[image, label]`, what cannot be excluded; None where no label sets are made.
        reasons: Per image, why it is not answered, in words; None where it is.
    """

    decisions: tuple[Decision, ...]
    answers: NDArray[np.int64]
    label_sets: NDArray[np.bool_] | None
    reasons: tuple[str | None, ...]


def decided(
    probabilities: FloatArray,
    *,
    conformal: Conformal | None = None,
    selective: SelectiveThreshold | None = None,
) -> Decided:
    """What is answered for each image with these probabilities, `[image, label]`.

    A label is answered where the label set holds it alone, it is the most probable, and it is
    surer than the threshold that keeps wrong answers seldom. A threshold that would answer no
    image (1) could not be found, and decides nothing.

    Args:
        probabilities: Calibrated.
        conformal: Makes label sets.
        selective: The confidence above which answers are wrong seldom enough.

    Raises:
        PredictionsError: the label sets are made for other labels.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    sets = None if conformal is None else conformal.label_sets(values)
    best, confidence = values.argmax(axis=1), values.max(axis=1)
    decisions: list[Decision] = ["answer"] * len(values) if sets is None else [*decide(sets)]
    reasons = [None if sets is None else _why(row) for row in (sets if sets is not None else best)]
    least = selective.threshold if selective is not None and selective.threshold < 1 else -1.0
    for row, decision in enumerate(decisions):
        if decision != "answer":
            continue
        if sets is not None and not sets[row, best[row]]:
            reasons[row] = "the most probable label is unusual for such an image"
        elif confidence[row] <= least:
            reasons[row] = f"confidence {confidence[row]:.3f} is not above {least:.3f}"
        else:
            continue
        decisions[row] = "abstain"
    answers = np.where(np.array(decisions) == "answer", best, -1)
    return Decided(tuple(decisions), answers.astype(np.int64), sets, tuple(reasons))


def _why(label_set: NDArray[np.bool_]) -> str | None:
    held = int(label_set.sum())
    if held == 1:
        return None
    if held == 0:
        return "no label is usual for such an image"
    return "no label can be excluded" if held == len(label_set) else "several labels are possible"
