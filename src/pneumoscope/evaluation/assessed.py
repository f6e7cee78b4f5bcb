"""The sections of an assessment that need nothing but predictions and rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from pneumoscope.evaluation.abstention import DECISIONS, selective_risk
from pneumoscope.evaluation.calibration import softmax
from pneumoscope.evaluation.calibration_error import (
    adaptive_calibration_error,
    adaptive_error_bounds,
)
from pneumoscope.evaluation.case_mix import case_mix_section, shift_tests
from pneumoscope.evaluation.clinic import calibrated_at, moved_predictions, moved_prior
from pneumoscope.evaluation.decision_curve import decision_curve
from pneumoscope.evaluation.decisions import decided
from pneumoscope.evaluation.intervals import Interval, bootstrap_intervals
from pneumoscope.evaluation.operating_point import OperatingPoint, outcome
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.evaluation.predictive_values import at_prevalence
from pneumoscope.evaluation.resampling import proportion
from pneumoscope.evaluation.rules import Rules, selective_json
from pneumoscope.evaluation.set_coverage import SetCoverage, set_coverage
from pneumoscope.evaluation.subgroups import age_bands, column_values, subgroups
from pneumoscope.evaluation.summary import MetricEntry, metric_entry

_CURVE_THRESHOLDS = np.arange(2, 99, 2) / 100
_CALIBRATION_UNITS = {"ece": "fraction", "brier": "score", "log_loss": "nats"}


def calibration_section(predictions: Predictions, rules: Rules) -> dict[str, object]:
    """How far probabilities are from frequencies, before (plain softmax) and after calibration."""
    before = replace(predictions, probabilities=softmax(predictions.logits))
    return {
        "method": rules.calibrator.method,
        "reason": rules.calibrator_reason,
        "before": _calibration_errors(before, rules),
        "after": _calibration_errors(predictions, rules),
    }


def _calibration_errors(predictions: Predictions, rules: Rules) -> dict[str, MetricEntry]:
    drawing: dict[str, Any] = {
        "resamples": rules.resamples,
        "confidence_level": rules.confidence_level,
        "seed": rules.seed,
    }
    intervals = bootstrap_intervals(predictions, metrics=list(_CALIBRATION_UNITS), **drawing)
    found = {name: metric_entry(intervals[name], unit) for name, unit in _CALIBRATION_UNITS.items()}
    ace = adaptive_calibration_error(predictions.probabilities, predictions.truth)[0]
    adaptive = Interval(float(ace), *adaptive_error_bounds(predictions, **drawing))
    return {**found, "ace": metric_entry(adaptive, "fraction")}


def point_sections(predictions: Predictions, rules: Rules) -> list[dict[str, object]]:
    """Every operating point: what it promised on the calibration split, what came of it here."""
    return [_point(point, predictions, rules) for point in rules.operating_points]


def _point(point: OperatingPoint, predictions: Predictions, rules: Rules) -> dict[str, object]:
    seen = outcome(point, predictions, confidence_level=rules.confidence_level)
    promised = point.to_json()
    values = None
    prevalence = rules.prevalence_of(point.label)
    if prevalence is not None and seen.sensitivity.trials and seen.specificity.trials:
        values = at_prevalence(seen, prevalence, confidence_level=rules.confidence_level).to_json()
    return {
        **{name: promised[name] for name in ("name", "label", "rule", "threshold")},
        "confidence_level": promised["confidence_level"],
        "promised": {rate: promised[rate] for rate in ("sensitivity", "specificity")},
        "seen": seen.to_json(),
        "at_prevalence": values,
    }


def label_set_section(
    predictions: Predictions, groups: Mapping[str, Mapping[str, str | None]], rules: Rules
) -> dict[str, object] | None:
    """Coverage and size of label sets, and the decisions they lead to; None without a rule."""
    conformal = rules.conformal
    if conformal is None:
        return None
    rule = decided(predictions.probabilities, conformal=conformal, selective=rules.selective)
    sets = conformal.label_sets(predictions.probabilities)
    values = {
        name: [known.get(image_id) for image_id in predictions.image_ids]
        for name, known in groups.items()
    }
    decisions = np.array(rule.decisions)
    answered = decisions == "answer"
    right = rule.answers == predictions.truth
    covered = set_coverage(
        sets,
        predictions.truth,
        labels=predictions.labels,
        clusters=predictions.clusters,
        groups=values,
        confidence_level=rules.confidence_level,
    )
    accuracy = proportion(
        right[answered], predictions.clusters[answered], confidence_level=rules.confidence_level
    )
    return {
        "confidence_level": conformal.confidence_level,
        "assurance": conformal.assurance,
        "score": conformal.score,
        "conditional": conformal.conditional,
        "coverage": [
            {
                "group": part.group, "value": part.value,
                "n_images": part.n_images, "n_patients": part.n_patients,
                "n_unknown_patients": _unknown_in(part, predictions, values),
                "coverage": _bounds(part.coverage), "size": _bounds(part.size),
                "empty": part.empty, "single": part.single,
            }
            for part in covered
        ],
        "decisions": {name: int((decisions == name).sum()) for name in DECISIONS},
        "answered_accuracy": accuracy.to_json(),
    }  # fmt: skip


def _unknown_in(
    part: SetCoverage, predictions: Predictions, values: Mapping[str, Sequence[str | None]]
) -> int:
    """Images of a part whose patient nobody knows."""
    if predictions.unknown is None or part.group == "all":
        return predictions.n_unknown_patients
    own = values.get(part.group) or [predictions.labels[code] for code in predictions.truth]
    inside = np.array([value == part.value for value in own], dtype=np.bool_)
    return int((predictions.unknown & inside).sum())


def selective_section(predictions: Predictions, rules: Rules) -> dict[str, object]:
    """The risk-coverage curve, and the abstention threshold with what it gives here."""
    confidence = predictions.probabilities.max(axis=1)
    wrong = predictions.predicted != predictions.truth
    curve = selective_risk(
        confidence,
        wrong,
        clusters=predictions.clusters,
        resamples=rules.resamples,
        confidence_level=rules.confidence_level,
        seed=rules.seed,
    )
    arrays = {"coverage": curve.coverage, "risk": curve.risk, "low": curve.low, "high": curve.high}
    seen = None
    if rules.selective is not None:
        answered = confidence > rules.selective.threshold
        level = rules.confidence_level
        clusters = predictions.clusters
        share = proportion(answered, clusters, confidence_level=level)
        risk = proportion(wrong[answered], clusters[answered], confidence_level=level)
        seen = {"coverage": share.to_json(), "risk": risk.to_json()}
    return {
        **{name: _plain(values) for name, values in arrays.items()},
        "area": metric_entry(curve.area, "fraction"),
        "threshold": selective_json(rules.selective),
        "seen": seen,
    }


def group_values(table: pl.DataFrame, rules: Rules) -> dict[str, dict[str, str | None]]:
    """The value by image id of each group column that tells images apart; ages in bands."""
    found = {}
    for name in rules.groups:
        if name not in table.columns:
            continue
        values = column_values(table, [name])[name]
        if name == "age":
            values = age_bands(values, edges=rules.age_edges)
        if len(set(values.values()) - {None}) > 1:
            found[name] = values
    return found


def subgroup_section(
    predictions: Predictions, groups: Mapping[str, Mapping[str, str | None]], rules: Rules
) -> list[dict[str, object]]:
    """The main metrics for every value of every group column."""
    parts = subgroups(
        predictions,
        groups,
        resamples=rules.resamples,
        confidence_level=rules.confidence_level,
        seed=rules.seed,
    )
    return [part.to_json() for part in parts]


def decision_section(predictions: Predictions, rules: Rules) -> list[dict[str, object]]:
    """A decision curve for each label that has an operating point."""
    labels = dict.fromkeys(point.label for point in rules.operating_points)
    return [_decision(predictions, label, rules) for label in labels]


def _decision(predictions: Predictions, label: str, rules: Rules) -> dict[str, object]:
    """The curve; for a prevalence, of who acts on the probability that an image has there.

    `calibrated_at` is the prevalence at which served probabilities hold, `served` the one of them
    that is a threshold probability there; without a prevalence they are the same.
    """
    prevalence, own = rules.prevalence_of(label), calibrated_at(rules.operating_points, label)
    served = _CURVE_THRESHOLDS
    if prevalence is not None and own is not None:
        predictions = moved_predictions(predictions, label, of=own, to=prevalence)
        served = moved_prior(_CURVE_THRESHOLDS, of=prevalence, to=own)
    curve = decision_curve(
        predictions,
        label=label,
        thresholds=_CURVE_THRESHOLDS,
        prevalence=prevalence,
        resamples=rules.resamples,
        confidence_level=rules.confidence_level,
        seed=rules.seed,
    )
    return {**curve.to_json(), "given": prevalence, "calibrated_at": own, "served": served.tolist()}


def shift_section(
    calibration: Predictions | None, predictions: Predictions, rules: Rules
) -> dict[str, object] | None:
    """Whether logits are distributed as on the calibration split, over all and within each label.

    None where it is not at hand.
    """
    if calibration is None or calibration.labels != predictions.labels:
        return None
    tests = shift_tests(calibration, predictions, permutations=rules.permutations, seed=rules.seed)
    test = tests.overall.test
    return {
        "p_value": test.p_value,
        "statistic": test.statistic,
        "permutations": test.permutations,
        "by_label": dict(zip(predictions.labels, test.by_column, strict=True)),
        "n_calibration": calibration.n_images,
        **case_mix_section(tests, labels=predictions.labels),
    }


def _bounds(interval: Interval) -> dict[str, float | None]:
    entry = metric_entry(interval, "fraction")
    return {"value": entry["value"], "low": entry["low"], "high": entry["high"]}


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
