"""Thresholds and net benefit where the label is rarer than in the calibration split."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.recipe import EvaluateRecipe, PointRecipe
from pneumoscope.evaluation.assessed import decision_section, point_sections
from pneumoscope.evaluation.clinic import (
    calibrated_at,
    moved_predictions,
    moved_prior,
    points_for_clinic,
)
from pneumoscope.evaluation.decision_curve import decision_curve
from pneumoscope.evaluation.fixing import fix_rules
from pneumoscope.evaluation.operating_point import Cost, Youden, choose_point
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.reporting.prevalence_words import decision_lines, prevalence_lines

LABELS = ("NORMAL", "PNEUMONIA")
LITTLE: Any = {"calibrator": "temperature", "label_sets": None, "wanted_risk": None}


def drawn(count: int, *, prevalence: float, told: float, seed: int) -> Predictions:
    """Images of a population, answered with probabilities that hold where the prevalence is `told`.

    Scores of the labels are normal with variance 2 about -1 and 1: their log likelihood ratio is
    the score.
    """
    random = np.random.default_rng(seed)
    truth = (random.random(count) < prevalence).astype(np.int64)
    margins = random.normal(2.0 * truth - 1, np.sqrt(2)) + np.log(told / (1 - told))
    sick = 1 / (1 + np.exp(-margins))
    return Predictions(
        labels=LABELS,
        image_ids=tuple(f"i{row:06}" for row in range(count)),
        truth=truth,
        logits=np.stack([-margins / 2, margins / 2], axis=1),
        probabilities=np.stack([1 - sick, sick], axis=1),
        clusters=np.arange(count),
    )


@pytest.mark.parametrize(("ratio", "prevalence"), [(5, 0.05), (20, 0.05), (1, 0.9)])
def test_the_threshold_has_the_least_expected_cost_at_the_prevalence(
    ratio: float, prevalence: float
) -> None:
    calibration = drawn(400, prevalence=0.6, told=0.6, seed=1)
    scores, sick = calibration.probabilities[:, 1], calibration.truth == 1

    def cost(threshold: float) -> float:
        missed, raised = (scores[sick] < threshold).mean(), (scores[~sick] >= threshold).mean()
        return float(prevalence * ratio * missed + (1 - prevalence) * raised)

    own = choose_point(calibration, label="PNEUMONIA", rule=Cost(ratio))
    (point,) = points_for_clinic([own], calibration, prevalence=prevalence, cost_ratios=())
    least = min(cost(threshold) for threshold in (*scores, np.inf))
    assert cost(point.threshold) == pytest.approx(least)
    assert cost(own.threshold) > least + 0.01
    assert point.rule == f"cost ratio {ratio}, prevalence {prevalence}"


def test_only_thresholds_of_least_cost_move_and_once() -> None:
    """Served probabilities stay: the threshold is that of the clinic, told in their terms."""
    points = (*EvaluateRecipe().operating_points, PointRecipe(rule="cost", value=5))
    recipe = EvaluateRecipe(operating_points=points, **LITTLE)
    calibration = drawn(40_000, prevalence=0.6, told=0.6, seed=2)
    kept = fix_rules(calibration, recipe, seed=0).operating_points
    given = {"prevalence": 0.05, "cost_ratios": (5.0, 20.0)}
    moved = points_for_clinic(kept, calibration, **given)  # type: ignore[arg-type]
    assert moved[:3] == kept[:3]
    assert [Cost.from_words(point.rule) for point in moved[3:]] == [Cost(5, 0.05), Cost(20, 0.05)]
    for point, ratio in zip(moved[3:], (5, 20), strict=True):
        there = moved_prior(np.array(point.threshold), of=0.6, to=0.05)
        assert there == pytest.approx(1 / (1 + ratio), abs=0.03)
    assert points_for_clinic(moved, calibration, **given) == moved  # type: ignore[arg-type]
    other = points_for_clinic(kept, calibration, label="NORMAL", **given)  # type: ignore[arg-type]
    assert other == kept
    assert calibrated_at(moved, "PNEUMONIA") == pytest.approx(0.6, abs=0.01)
    assert calibrated_at(moved, "NORMAL") is None
    trained = fix_rules(calibration, recipe.model_copy(update={"prevalence": 0.05}), seed=0)
    assert [point.rule for point in trained.operating_points] == [point.rule for point in moved]


def test_net_benefit_is_that_of_a_clinic_of_this_prevalence() -> None:
    """Measured on images of the clinic itself, with probabilities that hold there."""
    calibration = drawn(20_000, prevalence=0.6, told=0.6, seed=3)
    recipe = EvaluateRecipe(prevalence=0.1, resamples=100, **LITTLE)
    rules = fix_rules(calibration, recipe, seed=0)
    test = drawn(12_000, prevalence=0.5, told=0.6, seed=4)
    (found,) = decision_section(test, rules)
    clinic = drawn(100_000, prevalence=0.1, told=0.1, seed=5)
    at = np.asarray(found["thresholds"])
    true = decision_curve(clinic, label="PNEUMONIA", thresholds=at, resamples=1)
    model, treat_all = found["model"], found["treat_all"]
    assert isinstance(model, dict)
    assert isinstance(treat_all, dict)
    assert model["value"][:40] == pytest.approx(true.model.value[:40], abs=0.008)
    assert treat_all["value"][:20] == pytest.approx(true.treat_all.value[:20], abs=0.003)
    naive = decision_curve(test, label="PNEUMONIA", thresholds=at, prevalence=0.1, resamples=1)
    assert naive.model.value[10] < true.model.value[10] - 0.02, "served as if they held there"
    served = np.asarray(found["served"])
    assert moved_prior(served, of=0.6, to=0.1) == pytest.approx(at, abs=0.01)
    (line,) = decision_lines({"decision_curves": [found]})
    first = np.flatnonzero(np.asarray(found["useful"]))[0]
    assert "where its prevalence is 0.100 is surely worth more" in line
    assert f"thresholds are {served[first]:.3f} to " in line


def test_without_a_prevalence_nothing_moves() -> None:
    recipe = EvaluateRecipe(resamples=100, **LITTLE)
    rules = fix_rules(drawn(300, prevalence=0.6, told=0.6, seed=6), recipe, seed=0)
    (found,) = decision_section(drawn(300, prevalence=0.5, told=0.6, seed=7), rules)
    assert (found["given"], found["served"]) == (None, found["thresholds"])


def test_what_holds_at_which_prevalence_is_said() -> None:
    calibration = drawn(400, prevalence=0.6, told=0.6, seed=8)
    test = drawn(400, prevalence=0.5, told=0.6, seed=9)
    rules = fix_rules(calibration, EvaluateRecipe(prevalence=0.05), seed=0)
    points = point_sections(test, rules)
    first, second = prevalence_lines({"operating_points": points})
    assert f"these images: PNEUMONIA {(test.truth == 1).mean():.3f}." in first
    assert second.startswith("Thresholds of least cost and predictive values are also given for a")
    assert "0.050 of PNEUMONIA" in second
    own = choose_point(calibration, label="PNEUMONIA", rule=Cost(5))
    left = point_sections(test, replace(rules, operating_points=(own,)))
    *_, last = prevalence_lines({"operating_points": left})
    assert "cost ratio 5, prevalence of the images) could be chosen" in last
    nothing = replace(rules, label_of_interest="NORMAL")
    assert len(prevalence_lines({"operating_points": point_sections(test, nothing)})) == 1


def test_priors_move_odds_and_labels_keep_their_proportion() -> None:
    shares = np.array([0.0, 0.2, 0.7, 1.0])
    moved = moved_prior(shares, of=0.3, to=0.02)
    assert moved[1] / (1 - moved[1]) == pytest.approx(0.25 * (0.02 / 0.98) / (0.3 / 0.7))
    assert moved_prior(moved, of=0.02, to=0.3) == pytest.approx(shares)
    three = replace(
        drawn(3, prevalence=0.5, told=0.5, seed=0), labels=("A", "B", "C"),
        probabilities=np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    )  # fmt: skip
    found = moved_predictions(three, "B", of=0.5, to=0.1).probabilities
    assert found.sum(axis=1) == pytest.approx(1)
    assert found[0] == pytest.approx([0.36, 0.1, 0.54])
    with pytest.raises(PredictionsError, match="prevalence=1"):
        moved_prior(shares, of=0.5, to=1)
    youden = choose_point(drawn(50, prevalence=0.5, told=0.5, seed=0), label=LABELS[1],
                          rule=Youden())  # fmt: skip
    with pytest.raises(PredictionsError, match="prevalence=0"):
        points_for_clinic([youden], three, prevalence=0, cost_ratios=())
