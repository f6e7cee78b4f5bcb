"""What is served: one label, several or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pneumoscope.evaluation.conformal import Conformal
from pneumoscope.evaluation.decisions import decided
from pneumoscope.evaluation.selective_threshold import SelectiveThreshold

LABELS = ("A", "B", "C")


def conformal(*quantiles: float) -> Conformal:
    return Conformal(
        labels=LABELS, score="lac", conditional=True, randomised=False, confidence_level=0.9,
        quantiles=quantiles, support=(9, 9, 9),
    )  # fmt: skip


def selective(threshold: float) -> SelectiveThreshold:
    return SelectiveThreshold(threshold, 0.9, 0.01, 0.05, 0.05, 0.95, 100)


def one(*probabilities: float, **rules: Any) -> tuple[str, int, str | None]:
    found = decided(np.array([probabilities]), **rules)
    return found.decisions[0], int(found.answers[0]), found.reasons[0]


def test_without_rules_the_most_probable_label_is_answered() -> None:
    assert one(0.2, 0.5, 0.3) == ("answer", 1, None)


@pytest.mark.parametrize(
    ("probabilities", "decision", "answer", "reason"),
    [
        ((0.9, 0.05, 0.05), "answer", 0, None),
        ((0.45, 0.45, 0.1), "set", -1, "several labels are possible"),
        ((0.34, 0.33, 0.33), "abstain", -1, "no label is usual for such an image"),
    ],
)
def test_label_sets_decide(
    probabilities: tuple[float, ...], decision: str, answer: int, reason: str | None
) -> None:
    found = one(*probabilities, conformal=conformal(0.6, 0.6, 0.6))
    assert found == (decision, answer, reason)


def test_a_set_with_every_label_tells_nothing() -> None:
    found = one(0.34, 0.33, 0.33, conformal=conformal(1.0, 1.0, 1.0))
    assert found == ("abstain", -1, "no label can be excluded")


def test_a_label_that_is_not_the_most_probable_is_never_answered_alone() -> None:
    decision, answer, reason = one(0.6, 0.4, 0.0, conformal=conformal(0.1, 0.9, 0.1))
    assert (decision, answer) == ("abstain", -1)
    assert reason is not None
    assert "most probable" in reason


def test_the_threshold_must_be_exceeded() -> None:
    assert one(0.75, 0.25, 0.0, selective=selective(0.75))[0] == "abstain"
    assert one(0.76, 0.24, 0.0, selective=selective(0.75))[0] == "answer"


def test_a_threshold_that_answers_nothing_was_not_found_and_decides_nothing() -> None:
    assert one(0.6, 0.4, 0.0, selective=selective(1.0))[0] == "answer"


@given(arrays(np.float64, (7, 3), elements=st.floats(0.001, 1)), st.floats(0, 0.99))
def test_only_answers_have_a_label_and_only_they_have_no_reason(
    values: np.ndarray[Any, Any], threshold: float
) -> None:
    probabilities = values / values.sum(axis=1, keepdims=True)
    found = decided(
        probabilities, conformal=conformal(0.5, 0.7, 0.9), selective=selective(threshold)
    )
    answered = np.array(found.decisions) == "answer"
    assert ((found.answers >= 0) == answered).all()
    assert [reason is None for reason in found.reasons] == answered.tolist()
    assert found.label_sets is not None
    rows = np.flatnonzero(answered)
    assert found.label_sets[rows, found.answers[rows]].all()
    assert (probabilities[rows].max(axis=1) > threshold).all()
