"""Fixing the rules on the calibration split: calibrator, operating points, label sets, abstention.

Nothing here may see the test split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.recipe import EvaluateRecipe, PointRecipe
from pneumoscope.evaluation.calibrator import Calibrator
from pneumoscope.evaluation.clinic import points_for_clinic
from pneumoscope.evaluation.conformal import Conformal, conformalize
from pneumoscope.evaluation.operating_point import (
    AtLeast,
    Cost,
    OperatingPoint,
    Rule,
    Youden,
    choose_point,
)
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.recalibration import choose_calibrator, fit_calibrator
from pneumoscope.evaluation.rules import Rules, asked
from pneumoscope.evaluation.selective_threshold import SelectiveThreshold, threshold_for_risk

_NORMAL = frozenset({
    "normal", "no finding", "no findings", "healthy", "negative", "control", "none",
})  # fmt: skip
"""What labels of radiographs without disease are called."""


def fix_rules(predictions: Predictions, recipe: EvaluateRecipe, *, seed: int) -> Rules:
    """The rules that these predictions of the calibration split determine.

    Args:
        predictions: their logits count; probabilities are made anew.
        recipe: what is wanted.
        seed: of all that is drawn.

    Raises:
        PredictionsError: the label of interest is unknown, or a calibrator does not fit the label
            set.
    """
    labels = interesting_labels(predictions.labels, recipe.label_of_interest)
    calibrator, reason = _calibrator(predictions, recipe, seed)
    calibrated = replace(predictions, probabilities=calibrator.apply(predictions.logits))
    return Rules(
        calibrator=calibrator,
        calibrator_reason=reason,
        operating_points=_points(calibrated, labels, recipe),
        conformal=_conformal(calibrated, recipe),
        selective=_selective(calibrated, recipe, seed),
        **asked(recipe, seed=seed),
    )


def interesting_labels(labels: Sequence[str], wanted: str | None = None) -> tuple[str, ...]:
    """The labels that operating points are for: the one wanted, else all but the normal one.

    Of two labels neither of which is called normal, the second.

    >>> interesting_labels(["NORMAL", "PNEUMONIA"])
    ('PNEUMONIA',)

    Raises:
        PredictionsError: the wanted label is not in the set.
    """
    if wanted is not None:
        if wanted not in labels:
            raise PredictionsError(
                f"evaluate.label_of_interest: '{wanted}'; allowed: {', '.join(labels)}. "
                "Name one of these."
            )
        return (wanted,)
    diseased = tuple(label for label in labels if _plain(label) not in _NORMAL)
    if len(labels) == 2 and len(diseased) != 1:
        return (labels[1],)
    return diseased or tuple(labels)


def _plain(label: str) -> str:
    return " ".join(label.casefold().replace("_", " ").replace("-", " ").split())


def _calibrator(
    predictions: Predictions, recipe: EvaluateRecipe, seed: int
) -> tuple[Calibrator, str]:
    logits, truth = predictions.logits, predictions.truth
    if recipe.calibrator == "auto":
        choice = choose_calibrator(logits, truth, clusters=predictions.clusters, seed=seed)
        return choice.calibrator, choice.reason
    fitted = fit_calibrator(logits, truth, method=recipe.calibrator)
    return fitted, f"{recipe.calibrator}, as the recipe says"


def _points(
    predictions: Predictions, labels: Sequence[str], recipe: EvaluateRecipe
) -> tuple[OperatingPoint, ...]:
    """Every rule for every label that the calibration split has images with and without.

    With a prevalence, thresholds of least cost are for it, and there is one for each cost ratio.
    """
    chosen = []
    for label in labels:
        has = predictions.truth == predictions.labels.index(label)
        if has.all() or not has.any():
            continue
        chosen += [
            choose_point(
                predictions,
                label=label,
                rule=_rule(point, recipe.prevalence),
                confidence_level=recipe.confidence_level,
            )
            for point in recipe.operating_points
        ]
    if recipe.prevalence is None:
        return tuple(chosen)
    return points_for_clinic(
        chosen,
        predictions,
        prevalence=recipe.prevalence,
        cost_ratios=recipe.cost_ratios,
        confidence_level=recipe.confidence_level,
    )


def _rule(point: PointRecipe, prevalence: float | None) -> Rule:
    value = point.value or 0.0
    if point.rule == "youden":
        return Youden()
    if point.rule == "cost":
        return Cost(value, prevalence)
    return AtLeast(point.rule, value)


def _conformal(predictions: Predictions, recipe: EvaluateRecipe) -> Conformal | None:
    wanted = recipe.label_sets
    if wanted is None:
        return None
    return conformalize(
        predictions.probabilities,
        predictions.truth,
        labels=predictions.labels,
        confidence_level=wanted.confidence_level,
        score=wanted.score,
        conditional=wanted.conditional,
        assurance=wanted.assurance,
        clusters=predictions.clusters,
    )


def _selective(
    predictions: Predictions, recipe: EvaluateRecipe, seed: int
) -> SelectiveThreshold | None:
    if recipe.wanted_risk is None:
        return None
    return threshold_for_risk(
        predictions.probabilities.max(axis=1),
        predictions.predicted != predictions.truth,
        wanted_risk=recipe.wanted_risk,
        confidence_level=recipe.confidence_level,
        clusters=predictions.clusters,
        seed=seed,
    )
