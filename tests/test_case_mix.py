"""Labels in other shares are told from images that look otherwise, where labels are known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from pneumoscope.evaluation.assessed import shift_section
from pneumoscope.evaluation.case_mix import ShiftTests, shift_tests
from pneumoscope.evaluation.conformal import conformalize
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.rules import Rules
from pneumoscope.evaluation.verdict.shift import shift
from pneumoscope.reporting.sentences import shift_lines

LABELS = ("NORMAL", "PNEUMONIA")


def drawn(
    patients: int, *, prevalence: float, seed: int, away: float = 0.0, most: int = 3
) -> Predictions:
    """Patients of one label each, whose images resemble each other; pneumonia `away` as scores go.

    Args:
        patients: number of them.
        prevalence: of pneumonia.
        seed: of the drawing.
        away: how much lower images of pneumonia score.
        most: images of a patient.
    """
    random = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(patients), random.integers(1, most + 1, size=patients))
    truth = (random.random(patients) < prevalence).astype(np.int64)[clusters]
    margins = random.normal(size=patients)[clusters] + 0.3 * random.normal(size=len(clusters))
    margins += 2.0 * truth - 1 - away * truth
    sick = 1 / (1 + np.exp(-margins))
    return Predictions(
        labels=LABELS,
        image_ids=tuple(f"{seed}-{row:05}" for row in range(len(clusters))),
        truth=truth,
        logits=np.stack([-margins / 2, margins / 2], axis=1),
        probabilities=np.stack([1 - sick, sick], axis=1),
        clusters=clusters,
    )


def compared(seed: int, *, prevalence: float, away: float = 0.0) -> ShiftTests:
    calibration = drawn(70, prevalence=0.4, seed=2 * seed)
    test = drawn(90, prevalence=prevalence, seed=2 * seed + 1, away=away)
    return shift_tests(calibration, test, permutations=99, seed=seed)


REPEATS = 120


@cache
def repeated(prevalence: float, away: float) -> tuple[ShiftTests, ...]:
    return tuple(compared(seed, prevalence=prevalence, away=away) for seed in range(REPEATS))


def test_another_case_mix_alone_is_not_taken_for_other_images() -> None:
    """Scores of all images differ then; those of a label are said to in 5 % of tests at most."""
    found = repeated(0.85, 0.0)
    alone = np.mean([one.overall.test.p_value < 0.05 for one in found])
    assert alone > 0.9, "the test without labels rejects, though guarantees per label hold"
    assert np.mean([one.kind == "within_label" for one in found]) < 0.05 + 3 * 0.02
    assert np.mean([one.kind == "label_shift" for one in found]) > 0.85
    for label in LABELS:
        p_values = np.array([one.within[label].test.p_value for one in found])
        assert np.mean(p_values <= 0.05) < 0.05 + 3 * 0.02
        assert np.mean(p_values <= 0.5) == pytest.approx(0.5, abs=3 * 0.046)


def test_false_alarms_of_all_tests_together_keep_the_level() -> None:
    assert np.mean([one.kind != "none" for one in repeated(0.4, 0.0)]) < 0.05 + 3 * 0.02


def test_other_images_of_a_label_are_found_and_the_label_named() -> None:
    for prevalence in (0.4, 0.85):
        found = repeated(prevalence, 1.5)
        assert np.mean([one.kind == "within_label" for one in found]) > 0.9
        wrong = [one.within["NORMAL"].adjusted < 0.05 for one in found]
        assert np.mean(wrong) < 0.05 + 3 * 0.02


def test_sets_for_each_label_hold_under_another_case_mix_and_marginal_ones_do_not() -> None:
    """Why the two are told apart."""

    def answered(prevalence: float, seed: int, away: float) -> Predictions:
        found = drawn(6000, prevalence=prevalence, seed=seed, most=1, away=away)
        sick = 1 / (1 + np.exp(1.4 - 2 * found.logits[:, 1]))
        return replace(found, probabilities=np.stack([1 - sick, sick], axis=1))

    calibration = answered(0.2, 1, 0.0)
    for conditional, away, held in ((True, 0.0, True), (False, 0.0, False), (True, 1.2, False)):
        sets = conformalize(
            calibration.probabilities, calibration.truth, labels=LABELS, confidence_level=0.9,
            conditional=conditional, assurance=None, clusters=calibration.clusters,
        )  # fmt: skip
        there = answered(0.8, 2, away)
        covered = sets.label_sets(there.probabilities)[np.arange(len(there.truth)), there.truth]
        assert (covered[there.truth == 1].mean() > 0.88) == held, (conditional, away)


def section(**options: float) -> dict[str, Any]:
    calibration = drawn(300, prevalence=0.4, seed=1)
    found = shift_section(calibration, drawn(300, seed=2, **options), Rules())  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("options", "kind", "colour", "keys", "words"),
    [
        ({"prevalence": 0.4}, "none", "green", ["distance", "none"], "does not prove"),
        ({"prevalence": 0.8}, "label_shift", "amber", ["mix", "mix_conditional", "mix_lost"],
         "guarantees for each label hold if that is all"),
        ({"prevalence": 0.4, "away": 1.5}, "within_label", "red", ["within", "large"],
         "guarantees are not to be relied upon"),
        ({"prevalence": 0.8, "away": 1.5}, "within_label", "red", ["within", "large", "mix_too"],
         "Images of the same label answer otherwise"),
    ],
)  # fmt: skip
def test_verdict_and_report_say_which(
    options: dict[str, float], kind: str, colour: str, keys: list[str], words: str
) -> None:
    found = section(**options)
    assert found["kind"] == kind
    sets = {"conditional": True}
    finding = shift({}, {"shift": found, "label_sets": sets})
    assert finding.colour == colour
    assert [one.key.removeprefix("shift.") for one in finding.said] == keys
    _, tests, said = shift_lines({"shift": found})
    assert words in said
    assert f"PNEUMONIA {found['within'][1]['statistic']:.3f}" in tests
    if kind == "within_label":
        assert finding.said[0].values["labels"] == ["PNEUMONIA"]
        assert "(PNEUMONIA)" in finding.sentence
    if kind == "label_shift":
        assert "label sets, keeps its guarantee" in finding.sentence
        assert "predictive values do not carry over" in finding.sentence
        marginal = shift({}, {"shift": found, "label_sets": {"conditional": False}})
        assert "over all images only, lose their guarantee" in marginal.sentence


def test_what_cannot_be_told_apart_is_said() -> None:
    calibration = drawn(200, prevalence=0.4, seed=1)
    sick = calibration.truth == 1
    only = [
        replace(
            calibration, truth=calibration.truth[own], logits=calibration.logits[own],
            clusters=np.unique(calibration.clusters[own], return_inverse=True)[1],
            image_ids=tuple(np.array(calibration.image_ids)[own]),
        )
        for own in (sick, ~sick)
    ]  # fmt: skip
    found = shift_section(only[0], only[1], Rules())
    assert found is not None
    assert (found["kind"], found["within"], found["untested"]) == ("untold", [], list(LABELS))
    finding = shift({}, {"shift": found})
    assert "Without images of each label in both splits" in finding.sentence
    assert finding.colour == "red"
    *_, tests, said = shift_lines({"shift": found})
    assert "NORMAL and PNEUMONIA could not be tested" in tests
    assert "cannot be told apart" in said
    one = shift_section(calibration, only[0], Rules())
    assert one is not None
    assert (one["kind"], one["untested"]) == ("label_shift", ["NORMAL"])
    weak = {**one, "kind": "unexplained"}
    assert "Neither within a label" in shift({}, {"shift": weak}).sentence
