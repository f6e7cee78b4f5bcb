"""A made-up evaluation with all that an assessment can hold; no test lies in here.

900 images of two labels from three hospitals, one of which sends pneumonia only: the network is
good, calibrated and promises little too much, and most of it is the hospital.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from pneumoscope.core.recipe import EvaluateRecipe
from pneumoscope.evaluation.assessed import (
    calibration_section,
    decision_section,
    group_values,
    label_set_section,
    point_sections,
    selective_section,
    shift_section,
    subgroup_section,
)
from pneumoscope.evaluation.fixing import fix_rules
from pneumoscope.evaluation.predictions import predictions_table, read_table
from pneumoscope.evaluation.summary import evaluate_predictions
from pneumoscope.evaluation.verdict.judge import judge

LABELS = ("normal", "pneumonia")
_HOSPITALS = ("Guangzhou", "Madrid", "Bethesda")


@dataclass(frozen=True)
class Example:
    """Predictions, and the content of `metrics.json` and `assessment.json`."""

    predictions: pl.DataFrame
    metrics: dict[str, Any]
    assessment: dict[str, Any]


def entry(
    value: float | None, low: float | None = None, high: float | None = None
) -> dict[str, Any]:
    """An entry of metrics or assessment; without bounds, 0.02 to either side."""
    if value is not None:
        low, high = (value - 0.02 if low is None else low), (value + 0.02 if high is None else high)
    return {"value": value, "low": low, "high": high, "unit": "area"}


def condition(
    name: str, auc: tuple[float, float, float], around: tuple[float, float, float] | None = None
) -> dict[str, Any]:
    """A row of `conditions`: AUC with its bounds, and that for the surroundings' label."""
    value, low, high = auc
    return {
        "condition": name, "n_images": 900, "n_patients": 700, "auc": entry(*auc),
        "balanced_accuracy": entry(value - 0.08), "full_auc": entry(0.968, 0.958, 0.977),
        "drop": entry(0.968 - value, 0.96 - high, 0.976 - low),
        "surroundings_auc": entry(*around) if around else None,
    }  # fmt: skip


def of_labels(row: dict[str, Any], **areas: tuple[float, float, float]) -> dict[str, Any]:
    """The row of a condition with the area of each label; ends that hold for all, 0.02 further."""
    for label, (value, low, high) in areas.items():
        around = row["surroundings_auc"] and entry(1 - value, 1 - high, 1 - low)
        entries = {
            "auc": entry(value, low, high), "full_auc": entry(0.97), "surroundings_auc": around,
            "drop": entry(0.97 - value, 0.97 - high, 0.97 - low),
        }  # fmt: skip
        for key, one in entries.items():
            if one:
                far = {"joint_low": one["low"] - 0.02, "joint_high": one["high"] + 0.02}
                row = {**row, f"{key}:{label}": {**one, **far}}
    return row


def corruption(kind: str, severity: int, drop: float) -> dict[str, Any]:
    """A row of `corruptions` that costs so much AUC, give or take 0.02."""
    return {
        "kind": kind, "severity": severity, "n_images": 200, "auc": entry(0.968 - drop),
        "balanced_accuracy": entry(0.9 - drop), "drop": entry(drop),
    }  # fmt: skip


@cache
def example() -> Example:
    """The evaluation; do not change what it holds, copy it."""
    recipe = EvaluateRecipe(resamples=100, prevalence=0.1, permutations=99)
    rules = fix_rules(read_table(_table(900, seed=1, split="cal")), recipe, seed=0)
    table = _table(900, seed=2, split="test", calibrator=rules.calibrator)
    predictions, calibration = read_table(table), read_table(_table(900, seed=1, split="cal"))
    metrics = evaluate_predictions(
        table, resamples=100, confidence_level=0.95, seed=0, split="test",
        bundle="pneumonia-lite0-1f3a", data="radiography@9d41c7",
    )  # fmt: skip
    groups = group_values(table, rules)
    sections: dict[str, Any] = {
        "rules": rules.to_json(),
        "calibration": calibration_section(predictions, rules),
        "operating_points": point_sections(predictions, rules),
        "label_sets": label_set_section(predictions, groups, rules),
        "selective": selective_section(predictions, rules),
        "subgroups": subgroup_section(predictions, groups, rules),
        "decision_curves": decision_section(predictions, rules),
        "shift": shift_section(calibration, predictions, rules),
        **_changed(),
        "sources": sources(tie=0.71, oracle=(0.84, 0.81, 0.86)),
        "saliency": _saliency(),
    }
    return Example(table, metrics, {**sections, "verdict": judge(metrics, sections)})


def sources(*, tie: float, oracle: tuple[float, float, float]) -> dict[str, Any]:
    """The `sources` section, with a source left out that could not be tested."""
    return {
        "sources": list(_HOSPITALS),
        "told": entry(0.988, 0.981, 0.993),
        "tie": tie,
        "oracle": {"accuracy": entry(*oracle), "share_of_most_frequent_label": 0.55},
        "left_out": [
            {"source": "Madrid", "n_images": 310, "auc": entry(0.78, 0.73, 0.83),
             "inside_auc": entry(0.94, 0.91, 0.96), "reason": None},
            {"source": "Bethesda", "n_images": 280, "auc": entry(0.86, 0.82, 0.90),
             "inside_auc": entry(0.92, 0.89, 0.95), "reason": None},
            {"source": "Guangzhou", "n_images": 310, "auc": entry(None),
             "inside_auc": entry(None), "reason": "its images have one label only"},
        ],
    }  # fmt: skip


def _changed() -> dict[str, Any]:
    kinds = {
        "noise": 0.02, "blur": 0.01, "jpeg": 0.004, "gamma": 0.01, "rotation": 0.012, "marker": 0.0,
        "crop": 0.03, "resolution": 0.025,
    }  # fmt: skip
    return {
        "conditions": [
            condition("lungs_only", (0.842, 0.815, 0.867)),
            condition("lungs_removed", (0.921, 0.902, 0.938)),
            condition("lungs_swapped", (0.312, 0.278, 0.348), (0.688, 0.652, 0.722)),
            condition("metadata_only", (0.874, 0.851, 0.896)),
            condition("border_only", (0.701, 0.668, 0.733)),
        ],
        "corruptions": [
            corruption(kind, severity, drop * severity**1.5)
            for kind, drop in kinds.items()
            for severity in (1, 2, 3)
        ] + [corruption("inversion", 1, 0.31)],
    }  # fmt: skip


def _saliency() -> dict[str, Any]:
    return {
        "method": "gradcam",
        "labels": {
            label: {
                "n_images": 50, "energy_in_lungs": entry(energy, energy - 0.03, energy + 0.03),
                "lung_area": entry(0.262, 0.255, 0.270),
                "hit_rate": {"value": 0.54, "low": 0.40, "high": 0.67, "successes": 27,
                             "trials": 50, "patients": 48, "effective": 49.0},
                "deletion": entry(0.41), "insertion": entry(0.73),
            }
            for label, energy in (("normal", 0.24), ("pneumonia", 0.331))
        },
        "randomised_similarity": entry(0.18, 0.11, 0.25),
    }  # fmt: skip


def _table(n_images: int, *, seed: int, split: str, calibrator: Any = None) -> pl.DataFrame:
    """Predictions that follow the hospital as much as the label."""
    generator = np.random.default_rng(seed)
    ids = [f"{split}-{index:04d}" for index in range(n_images)]
    hospital = generator.integers(0, 3, n_images)
    chance = np.array([0.97, 0.42, 0.28])[hospital]
    truth = (generator.random(n_images) < chance).astype(int)
    lean = np.array([2.2, 0.0, -0.6])[hospital]
    score = 3.4 * (2 * truth - 1) + lean + generator.normal(0, 2.6, n_images)
    ages = generator.integers(20, 90, n_images)
    return predictions_table(
        image_ids=ids,
        patient_ids=[f"{split}-patient-{index * 7 // 9}" for index in range(n_images)],
        truth=[LABELS[index] for index in truth],
        logits={
            image_id: np.array([-value / 2, value / 2])
            for image_id, value in zip(ids, score, strict=True)
        },
        labels=LABELS,
        calibrator=calibrator,
        groups={
            "source": [_HOSPITALS[index] for index in hospital],
            "view": [("PA", "AP")[index] for index in generator.integers(0, 2, n_images)],
            "age": [str(age) for age in ages],
        },
    )
