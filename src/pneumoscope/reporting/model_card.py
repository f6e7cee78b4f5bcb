"""The card of one model: Markdown with the front matter that model hubs read.

Whatever is unknown says so; nothing is guessed. The front matter follows the Hugging Face model
card specification (metadata block and `model-index`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import yaml

from pneumoscope.reporting.gate_words import gate_words
from pneumoscope.reporting.pages import fill_markdown
from pneumoscope.reporting.prevalence_words import prevalence_lines
from pneumoscope.reporting.sections import verdict_view
from pneumoscope.reporting.sentences import (
    calibration_lines,
    gate_lines,
    label_set_lines,
    shift_lines,
    source_lines,
)
from pneumoscope.reporting.tables import count_table, label_table, other_facts, overall_rows
from pneumoscope.reporting.trust.sections import listed
from pneumoscope.reporting.trust.shortcut_tables import (
    condition_label_table,
    condition_table,
    source_table,
)
from pneumoscope.reporting.trust.tables import (
    calibration_table,
    coverage_tables,
    predictive_table,
    promise_table,
)
from pneumoscope.reporting.words import (
    NOTICE,
    OVERALL,
    UNRECORDED,
    describe,
    format_level,
    images_of_patients,
    number,
    resampled_units,
    spell,
)

_HUB_METRICS = {"auc": "roc_auc", "macro_f1": "f1", "mcc": "matthews_correlation"}
"""Names on the hub where they differ from ours."""


@dataclass(frozen=True, kw_only=True)
class ModelCardInput:
    """All that a model card says.

    Attributes:
        name: of the model.
        labels: the label set, in order.
        backbone: name in the zoo.
        weights: what the backbone started from.
        preprocess: how a radiograph becomes the network's input.
        temperature: that logits are divided by before softmax.
        metrics: the content of `metrics.json`, None where nothing was evaluated.
        counts: columns split, label, images, patients; None where not counted.
        data_name: of the training data.
        data_licence: of the training data.
        seed: of the run.
        provenance: where the model came from, nested at will.
        data_citation: whom to name for the training data.
        licence: of the model, as a hub spells it (`apache-2.0`, `cc-by-4.0`).
        assessment: the content of `assessment.json`, None where nothing was assessed.
        test_views: fixed views of an image whose logits the bundle averages.
        gate: the `gate` of `bundle.json`, None where the bundle has none.
        population: whom the training images show.
        known_limits: what the model is known to do badly, a sentence each.
        tried: what else was tried before it was chosen, a sentence each.
    """

    name: str
    labels: Sequence[str]
    backbone: str
    weights: str
    preprocess: Mapping[str, object]
    temperature: float
    metrics: Mapping[str, object] | None
    counts: pl.DataFrame | None
    data_name: str | None
    data_licence: str | None
    seed: int
    provenance: Mapping[str, object]
    data_citation: str | None = None
    licence: str | None = None
    assessment: Mapping[str, object] | None = None
    test_views: int = 1
    gate: Mapping[str, object] | None = None
    population: str | None = None
    known_limits: Sequence[str] = ()
    tried: Sequence[str] = ()


def render_model_card(card: ModelCardInput) -> str:
    """The model card as Markdown; the same input gives the same bytes."""
    metrics = card.metrics
    level = format_level(metrics or {})
    origin = {**(other_facts(metrics) if metrics else {}), **card.provenance}
    return fill_markdown(
        "model_card.md.j2",
        front_matter=_front_matter(card),
        notice=NOTICE,
        unrecorded=UNRECORDED,
        card=card,
        preprocess={_heading(key): spell(value) for key, value in card.preprocess.items()},
        temperature=f"{card.temperature:.4g}",
        data=count_table(card.counts),
        evaluated=_evaluated(metrics) if metrics else None,
        value_name=f"value ({level} interval)" if level else "value",
        overall=overall_rows(metrics) if metrics else [],
        per_label=label_table(metrics) if metrics else None,
        calibration=describe(metrics, "ece") if metrics else UNRECORDED,
        **_assessed(card.assessment or {}),
        gate=gate_words(card.gate),
        provenance={_heading(key): spell(value) for key, value in origin.items()},
    )


def _assessed(assessment: Mapping[str, object]) -> dict[str, object]:
    """What the assessment adds; each is None or empty where it was not recorded."""
    coverage = [table for table in coverage_tables(assessment) if not table.folded]
    limits = [row for row in listed(assessment, "verdict") if row.get("colour") != "green"]
    return {
        "verdict": verdict_view(assessment),
        "limits": limits,
        "calibrated": calibration_lines(assessment),
        "errors": calibration_table(assessment),
        "promises": promise_table(assessment),
        "predictive": predictive_table(assessment),
        "prevalence": prevalence_lines(assessment),
        "sets": coverage[0] if coverage else None,
        "set_lines": label_set_lines(assessment),
        "conditions": condition_table(assessment),
        "condition_labels": condition_label_table(assessment),
        "source_lines": source_lines(assessment),
        "left_out": source_table(assessment),
        "shift": shift_lines(assessment),
        "gate_lines": gate_lines(assessment),
    }


def _front_matter(card: ModelCardInput) -> str:
    content: dict[str, object] = {
        "license": card.licence or "unknown",
        "library_name": "pneumoscope",
        "pipeline_tag": "image-classification",
        "tags": ["pneumoscope", "chest-radiograph", "medical-imaging", "research-only"],
    }
    if card.metrics and (results := _results(card, card.metrics)):
        content["model-index"] = [{"name": card.name, "results": [results]}]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000).rstrip()


def _results(card: ModelCardInput, metrics: Mapping[str, object]) -> dict[str, object]:
    values = {key: number(metrics.get(key)) for key in OVERALL}
    found = [
        {"type": _HUB_METRICS.get(key, key), "name": OVERALL[key].name, "value": round(value, 4)}
        for key, value in values.items()
        if value is not None
    ]
    if not found:
        return {}
    data = str(metrics.get("data") or card.data_name or UNRECORDED)
    dataset = {"type": _slug(data), "name": data, "split": str(metrics.get("split", UNRECORDED))}
    task = {"type": "image-classification", "name": "Chest radiograph classification"}
    return {"task": task, "dataset": dataset, "metrics": found}


def _evaluated(metrics: Mapping[str, object]) -> dict[str, str]:
    return {
        "data": spell(metrics.get("data")),
        "split": spell(metrics.get("split")),
        "images": images_of_patients(
            *(metrics.get(name) for name in ("n_images", "n_patients", "n_unknown_patients"))
        ),
        "resampled": resampled_units(metrics),
    }


def _heading(key: str) -> str:
    words = key.replace("_", " ")
    return words[:1].upper() + words[1:]


def _slug(name: str) -> str:
    """Letters, digits, dots and hyphens, as a hub's names are made."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "dataset"
