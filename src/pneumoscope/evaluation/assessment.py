"""The assessment: what else is to be known of one evaluation, computed from its tables alone.

`assess` needs nothing but tables and rules that were fixed before, so that anybody can repeat it;
`pneumoscope recompute FOLDER` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pneumoscope.core.files import write_text
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
from pneumoscope.evaluation.conditions import summarise_conditions
from pneumoscope.evaluation.familiarity import summarise_gate
from pneumoscope.evaluation.predictions import read_table
from pneumoscope.evaluation.rules import Rules
from pneumoscope.evaluation.saliency_scores import summarise_saliency
from pneumoscope.evaluation.sources import summarise_sources
from pneumoscope.evaluation.verdict.judge import judge


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The tables of a run or evaluation folder.

    Attributes:
        predictions: of the evaluated images.
        calibration: of the calibration split, on which the rules were fixed; None: not at hand.
        conditions: of the same images changed on purpose, see `evaluation.conditions`.
        sources: how the images' sources are told apart, see `evaluation.sources`.
        saliency: scores of saliency maps, see `evaluation.saliency_scores`.
        gate: what the bundle's gate says of the images, see `evaluation.familiarity`.
    """

    predictions: pl.DataFrame
    calibration: pl.DataFrame | None = None
    conditions: pl.DataFrame | None = None
    sources: pl.DataFrame | None = None
    saliency: pl.DataFrame | None = None
    gate: pl.DataFrame | None = None


def assess(tables: Tables, metrics: Mapping[str, object], rules: Rules) -> dict[str, object]:
    """The content of `assessment.json`; the order of rows does not matter.

    Args:
        tables: what was measured.
        metrics: the content of `metrics.json`, from the same predictions.
        rules: fixed before.

    Raises:
        PredictionsError: a table breaks its contract.
    """
    predictions = read_table(tables.predictions)
    calibration = None if tables.calibration is None else read_table(tables.calibration)
    groups = group_values(tables.predictions, rules)
    drawing: dict[str, Any] = {
        "resamples": rules.resamples,
        "confidence_level": rules.confidence_level,
        "seed": rules.seed,
    }
    conditions: list[dict[str, object]] = []
    corruptions: list[dict[str, object]] = []
    if tables.conditions is not None:
        conditions, corruptions = summarise_conditions(
            tables.predictions, tables.conditions, **drawing
        )
    sources, saliency = tables.sources, tables.saliency
    sections: dict[str, object] = {
        "rules": rules.to_json(),
        "calibration": calibration_section(predictions, rules),
        "operating_points": point_sections(predictions, rules),
        "label_sets": label_set_section(predictions, groups, rules),
        "selective": selective_section(predictions, rules),
        "subgroups": subgroup_section(predictions, groups, rules),
        "decision_curves": decision_section(predictions, rules),
        "shift": shift_section(calibration, predictions, rules),
        "conditions": conditions,
        "corruptions": corruptions,
        "sources": None
        if sources is None
        else summarise_sources(sources, confidence_level=rules.confidence_level),
        "saliency": None if saliency is None else summarise_saliency(saliency, **drawing),
        "gate": None
        if tables.gate is None
        else summarise_gate(tables.gate, confidence_level=rules.confidence_level),
    }
    return {**sections, "verdict": judge(metrics, sections)}


def save_assessment(assessment: Mapping[str, object], path: Path) -> None:
    """Write the assessment as JSON, whole or not at all.

    Raises:
        StorageError: the place cannot be written.
        ValueError: a value is not finite.
    """
    write_text(path, json.dumps(assessment, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
