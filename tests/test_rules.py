"""Rules are fixed on the calibration split, kept as JSON, and decide an assessment."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pneumoscope.core.errors import BundleError, PredictionsError
from pneumoscope.core.recipe import EvaluateRecipe, LabelSetRecipe, PointRecipe
from pneumoscope.evaluation.calibrator import Calibrator
from pneumoscope.evaluation.fixing import fix_rules, interesting_labels
from pneumoscope.evaluation.predictions import Predictions, predictions_table, read_table
from pneumoscope.evaluation.rules import Rules


def drawn(count: int, *, seed: int, temperature: float = 2.0) -> Predictions:
    """Logits whose calibrated probabilities are the softmax of logits / temperature."""
    random = np.random.default_rng(seed)
    margins = random.normal(0, 3, count)
    sick = random.random(count) < 1 / (1 + np.exp(-margins))
    logits = temperature * np.stack([-margins / 2, margins / 2], axis=1)
    ids = [f"i{row:05}" for row in range(count)]
    return read_table(
        predictions_table(
            image_ids=ids,
            patient_ids=[f"p{row // 2}" for row in range(count)],
            truth=["PNEUMONIA" if one else "NORMAL" for one in sick],
            logits=dict(zip(ids, logits.astype(np.float32), strict=True)),
            labels=("NORMAL", "PNEUMONIA"),
        )
    )


def test_all_rules_come_back_from_json_as_they_were() -> None:
    rules = fix_rules(drawn(400, seed=0), EvaluateRecipe(prevalence=0.1), seed=3)
    assert rules.conformal is not None
    assert rules.selective is not None
    assert len(rules.operating_points) == 5, "two are of least cost at the prevalence"
    assert Rules.from_json(json.loads(json.dumps(rules.to_json(), allow_nan=False))) == rules


def test_a_rule_that_cannot_be_kept_comes_back_too() -> None:
    """Few images: quantiles are infinite, no threshold is safe."""
    recipe = EvaluateRecipe(wanted_risk=0.01, label_sets=LabelSetRecipe(confidence_level=0.99))
    rules = fix_rules(drawn(12, seed=0), recipe, seed=0)
    again = Rules.from_json(json.loads(json.dumps(rules.to_json(), allow_nan=False)))
    assert json.dumps(again.to_json()) == json.dumps(rules.to_json())


def test_the_known_temperature_is_found() -> None:
    rules = fix_rules(drawn(20_000, seed=1), EvaluateRecipe(calibrator="temperature"), seed=0)
    assert rules.calibrator.parameters["temperature"][0] == pytest.approx(2.0, rel=0.02)


def test_probabilities_given_along_do_not_matter() -> None:
    predictions = drawn(300, seed=2)
    other = replace(predictions, probabilities=np.full((300, 2), 0.5))
    recipe = EvaluateRecipe()
    assert fix_rules(predictions, recipe, seed=0) == fix_rules(other, recipe, seed=0)


def test_what_the_recipe_leaves_out_is_left_out() -> None:
    recipe = EvaluateRecipe(
        label_sets=None, wanted_risk=None, operating_points=(PointRecipe(rule="cost", value=5),)
    )
    rules = fix_rules(drawn(200, seed=0), recipe, seed=0)
    assert rules.conformal is None
    assert rules.selective is None
    assert [point.rule for point in rules.operating_points] == [
        "cost ratio 5, prevalence of the images"
    ]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("NORMAL", "PNEUMONIA"), ("PNEUMONIA",)),
        (("COVID", "No_findings"), ("COVID",)),
        (("A", "B"), ("B",)),
        (("COVID", "Normal", "Viral Pneumonia"), ("COVID", "Viral Pneumonia")),
        (("brain", "chest", "other"), ("brain", "chest", "other")),
    ],
)
def test_labels_of_interest_are_those_that_are_not_normal(
    labels: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert interesting_labels(labels) == expected


def test_a_label_of_interest_that_is_not_there_is_named() -> None:
    with pytest.raises(PredictionsError, match="'TB'; allowed: NORMAL, PNEUMONIA"):
        fix_rules(drawn(50, seed=0), EvaluateRecipe(label_of_interest="TB"), seed=0)


@pytest.mark.parametrize("change", [{"seed": None}, {"more": 1}])
def test_rules_with_too_little_or_too_much_are_refused(change: dict[str, object]) -> None:
    content = Rules(calibrator=Calibrator("temperature", {"temperature": (1.5,)})).to_json()
    content = {k: v for k, v in (content | change).items() if v is not None or k != "seed"}
    with pytest.raises(BundleError, match="Evaluate again"):
        Rules.from_json(content)


@pytest.mark.parametrize(
    "wrong", [{"rule": "youden", "value": 0.9}, {"rule": "sensitivity"}, {"rule": "cost"},
              {"rule": "sensitivity", "value": 1.0}]
)  # fmt: skip
def test_a_point_needs_the_value_of_its_rule(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="value"):
        PointRecipe.model_validate(wrong)
