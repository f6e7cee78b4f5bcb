from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from pneumoscope.reporting.markdown import escape_markdown, markdown_code
from pneumoscope.reporting.model_card import ModelCardInput, render_model_card

sys.path.append(str(Path(__file__).parent))
from assessment_example import example


def _entry(value: float | None, low: float | None = None, high: float | None = None) -> Any:
    return {"value": value, "low": low, "high": high, "unit": "fraction"}


def _card() -> ModelCardInput:
    counts = pl.DataFrame(
        [("train", "normal", 700, 650), ("calibration", "pneumonia", 90, 80)],
        schema=["split", "label", "images", "patients"],
        orient="row",
    )
    metrics = {
        "accuracy": _entry(0.91, 0.88, 0.94),
        "auc": _entry(0.9631, 0.9412, 0.9803),
        "mcc": _entry(None),
        "ece": _entry(0.021, 0.012, 0.035),
        "sensitivity:normal": _entry(0.871, 0.812, 0.923),
        "sensitivity:pneumonia": _entry(0.934, 0.905, 0.961),
        "labels": ["normal", "pneumonia"],
        "n_images": 300,
        "n_patients": 210,
        "split": "test",
        "bundle": "bundle-1f",
        "data": "Hospital B, 2019",
        "confidence_level": 0.95,
        "resamples": 2000,
    }
    return ModelCardInput(
        name="pneumonia-lite0",
        labels=["normal", "pneumonia"],
        backbone="tf_efficientnet_lite0",
        weights="imagenet",
        preprocess={"size": 224, "pad_value": 0},
        temperature=1.31274,
        metrics=metrics,
        counts=counts,
        data_name="Hospital A",
        data_licence="CC BY 4.0",
        seed=17,
        provenance={"created": "2026-01-01T00:00:00+00:00", "machine": {"cores": 2}},
    )


def _front_matter(card: str) -> dict[str, Any]:
    opening, front_matter, _ = card.split("---\n", 2)
    assert opening == ""
    content = yaml.safe_load(front_matter)
    assert isinstance(content, dict)
    return content


def _section(card: str, title: str) -> str:
    return card.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_front_matter_is_what_model_hubs_read() -> None:
    content = _front_matter(render_model_card(_card()))
    assert content["library_name"] == "pneumoscope"
    assert content["pipeline_tag"] == "image-classification"
    assert content["license"] == "unknown"
    assert "chest-radiograph" in content["tags"]
    (model,) = content["model-index"]
    (result,) = model["results"]
    assert model["name"] == "pneumonia-lite0"
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"] == {
        "type": "hospital-b-2019",
        "name": "Hospital B, 2019",
        "split": "test",
    }
    assert {entry["type"]: entry["value"] for entry in result["metrics"]} == {
        "roc_auc": 0.9631,
        "accuracy": 0.91,
        "ece": 0.021,
    }


def test_who_is_to_be_cited_for_the_images_is_said_or_not_recorded() -> None:
    assert "| To be cited | not recorded |" in render_model_card(_card())
    card = render_model_card(replace(_card(), data_citation="A and B, Cell 1:2 (2018)"))
    assert "| To be cited | A and B, Cell 1:2 (2018) |" in card


def test_how_many_patients_are_known_is_said() -> None:
    card = _card()
    for unknown, told in (
        (0, "300 images of 210 patients. Intervals are from a bootstrap over patients."),
        (41, "300 images of at most 210 patients (those of 41 images are not known, each counts"),
        (300, "300 images whose patients are not known. Intervals are from a bootstrap over im"),
    ):
        metrics = {**(card.metrics or {}), "n_unknown_patients": unknown}
        assert told in render_model_card(replace(card, metrics=metrics))


def test_licence_of_the_model_is_passed_on() -> None:
    card = render_model_card(replace(_card(), licence="apache-2.0"))
    assert _front_matter(card)["license"] == "apache-2.0"
    assert "| Licence of the model | apache-2.0 |" in card


def test_sections_come_in_order_and_the_notice_first() -> None:
    card = render_model_card(_card())
    assert re.findall(r"^## (.+)$", card, re.MULTILINE) == [
        "What it is", "Verdict", "Intended use and limits", "Training data", "How it was trained",
        "Performance", "Calibration", "Operating points", "Label sets and abstention",
        "Shortcuts and sources", "Gate",
        "How to use", "Provenance",
    ]  # fmt: skip
    heading = card.index("# pneumonia-lite0")
    assert card[heading:].startswith(
        "# pneumonia-lite0\n\n**For research use. Not a medical device.**\n"
    )
    assert "For research use. Not a medical device." in _section(card, "Intended use and limits")


def test_facts_are_where_they_belong() -> None:
    card = render_model_card(_card())
    about = _section(card, "What it is")
    assert "1. normal\n2. pneumonia\n" in about
    assert "`tf_efficientnet_lite0`" in about
    assert "`imagenet`" in about
    data = _section(card, "Training data")
    assert "| Data | Hospital A |" in data
    assert "| Licence of the data | CC BY 4.0 |" in data
    assert "| normal | 700 (650 patients) | 0 |" in data
    assert "| all images | 700 | 90 |" in data
    training = _section(card, "How it was trained")
    assert "| Pad value | 0 |" in training
    assert "| Seed | 17 |" in training
    assert "temperature of 1.313, fitted on the calibration split" in card
    assert "pneumoscope predict BUNDLE IMAGE" in _section(card, "How to use")
    assert "| Machine | cores 2 |" in _section(card, "Provenance")
    assert "| Bundle | bundle-1f |" in _section(card, "Provenance")


def test_performance_names_split_amounts_and_intervals() -> None:
    performance = _section(render_model_card(_card()), "Performance")
    assert "the test split of Hospital B, 2019: 300 images of 210 patients" in performance
    assert "| AUC | 0.963 (0.941 to 0.980) |" in performance
    assert "| Matthews correlation | not defined |" in performance
    assert "| pneumonia | 0.934 (0.905 to 0.961) |" in performance
    assert "value (95% interval)" in performance


def test_what_is_unknown_says_not_recorded() -> None:
    unknown = replace(
        _card(), metrics=None, counts=None, data_name=None, data_licence=None, preprocess={},
        provenance={},
    )  # fmt: skip
    card = render_model_card(unknown)
    assert "model-index" not in _front_matter(card)
    for line in (
        "| Data | not recorded |",
        "| Licence of the data | not recorded |",
        "| Licence of the model | not recorded |",
        "Images and patients per split: not recorded.",
        "| Preprocessing | not recorded |",
        "Performance: not recorded.",
        "Expected calibration error: not recorded.",
        "Verdict: not recorded.",
        "Operating points: not recorded.",
        "Label sets: not recorded.",
        "Shortcut tests: not recorded.",
        "Sources: not recorded.",
        "Shift from the calibration split: not recorded.",
        "| Origin | not recorded |",
    ):
        assert line in card
    assert "None" not in card
    assert "fitted on the calibration split" not in card


def test_rows_of_every_table_have_as_many_cells_as_its_heading() -> None:
    hostile = replace(_card(), data_name="a | b", labels=["x | y", "z"])
    width = 0
    for line in render_model_card(hostile).splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not (cells and width) or cells == width
        width = cells


def test_foreign_words_are_harmless() -> None:
    bad = "<script>alert(1)</script>\n# Heading\n---"
    card = _card()
    assert card.metrics is not None
    assert card.counts is not None
    metrics = {**card.metrics, "data": bad, "labels": [bad, "b"], f"f1:{bad}": _entry(0.5)}
    hostile = replace(
        card, name=bad, labels=[bad, "b"], backbone=f"`{bad}`", data_name=bad, data_licence=bad,
        preprocess={bad: bad}, provenance={bad: bad}, metrics=metrics,
        counts=card.counts.with_columns(label=pl.lit(bad)),
    )  # fmt: skip
    text = render_model_card(hostile)
    body = text.split("\n---\n", 1)[1]
    without_code = re.sub(r"``.*``", "", body)
    assert "<script" not in without_code
    assert len(re.findall("^# ", body, re.MULTILINE)) == 1
    (model,) = _front_matter(text)["model-index"]
    assert model["name"] == bad


def test_equal_input_gives_equal_bytes() -> None:
    assert render_model_card(_card()) == render_model_card(_card())


def test_no_blank_line_breaks_a_table_or_piles_up() -> None:
    for card in (_card(), _assessed(), replace(_assessed(), assessment={}, metrics=None)):
        assert "\n\n\n" not in render_model_card(card)


def _assessed(**changes: Any) -> ModelCardInput:
    found = example()
    assessment = {**found.assessment, **changes}
    return replace(_card(), metrics=found.metrics, assessment=assessment, test_views=4)


def test_verdict_and_limits_are_told() -> None:
    card = render_model_card(_assessed())
    verdict = _section(card, "Verdict")
    assert verdict.startswith("\n**Red.** The figures do not stand as they are.")
    limits = _section(card, "Intended use and limits")
    for row in example().assessment["verdict"]:
        assert f"| {row['item'].capitalize()} | {row['colour'].capitalize()} |" in verdict
        assert (row["sentence"] in limits) == (row["colour"] != "green")


def test_calibration_operating_points_and_label_sets_are_told() -> None:
    found = example().assessment
    card = render_model_card(_assessed())
    assert "Probabilities are calibrated by one temperature." in card
    after = found["calibration"]["after"]["log_loss"]["value"]
    assert f"{after:.3f} (" in _section(card, "Calibration").splitlines()[-1]
    points = _section(card, "Operating points")
    for point in found["operating_points"]:
        for rate in ("sensitivity", "specificity"):
            promised, seen = point["promised"][rate]["value"], point["seen"][rate]["value"]
            assert re.search(rf"{promised:.3f} \([^)]*\) \| {seen:.3f} \(", points)
    sets = _section(card, "Label sets and abstention")
    assert "0.900 was promised for every label" in sets
    assert f"| pneumonia | {found['label_sets']['coverage'][2]['coverage']['value']:.3f}" in sets


def test_shortcuts_and_sources_are_told() -> None:
    shortcuts = _section(render_model_card(_assessed()), "Shortcuts and sources")
    assert "| Lungs removed (" in shortcuts
    assert "| 0.921 (0.902 to 0.938) |" in shortcuts
    assert "Cramér's V of 0.710" in shortcuts
    assert "| Madrid (310 images) | 0.780 (0.730 to 0.830) |" in shortcuts
    assert "of 99 shuffles" in shortcuts


def test_parts_of_an_assessment_that_are_null_say_not_recorded() -> None:
    card = render_model_card(_assessed(label_sets=None, sources=None, shift=None, conditions=[]))
    for line in (
        "Label sets: not recorded.", "Shortcut tests: not recorded.", "Sources: not recorded.",
        "Shift from the calibration split: not recorded.",
    ):  # fmt: skip
        assert line in card
    assert "None" not in card


@pytest.mark.parametrize(("views", "words"), [(1, "of one view"), (4, "of 4 fixed views")])
def test_views_that_are_averaged_are_told(views: int, words: str) -> None:
    card = render_model_card(replace(_card(), test_views=views))
    assert words in _section(card, "How it was trained")


def test_tables_of_an_assessed_card_have_as_many_cells_as_their_heading() -> None:
    hostile = "a | b\n# c"
    source = {"source": hostile, "reason": None, "n_images": 3}
    row = {"item": hostile, "colour": "red", "value": hostile, "threshold": hostile,
           "sentence": hostile}  # fmt: skip
    card = render_model_card(
        _assessed(
            verdict=[row], sources={"left_out": [source]}, conditions=[{"condition": hostile}]
        )
    )
    width = 0
    for line in card.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not (cells and width) or cells == width
        width = cells
    assert len(re.findall("^# ", card, re.MULTILINE)) == 1


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("tf_efficientnet_lite0", "tf_efficientnet_lite0"),
        ("_x_", r"\_x\_"),
        ("a*b*", r"a\*b\*"),
        ("[a](b)", r"\[a\](b)"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("1.31", "1.31"),
        ("# head", r"\# head"),
        ("a\nb", "a b"),
        ("2026-01-01", "2026-01-01"),
        ("---", r"\---"),
        ("-", r"\-"),
        ("-5", "-5"),
    ],
)
def test_markdown_is_escaped(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped


@pytest.mark.parametrize(
    ("text", "code"), [("x", "`x`"), ("``", "``` `` ```"), ("a|b", r"`a\|b`"), ("", "` `")]
)
def test_code_spans_hold_anything(text: str, code: str) -> None:
    assert markdown_code(text) == code


def test_the_card_says_what_the_gate_does_and_what_it_cannot() -> None:
    settings = {
        "modality": {"refuse": 0.5, "warn": 0.9},
        "quality": {"lateral": 0.25},
        "familiarity": {"level": 0.015, "unfamiliar": "abstain"},
    }
    text = render_model_card(replace(_card(), gate=settings))
    assert "Refused below a probability of 0.500" in text
    assert "is not answered; so are about 1.5 %" in text
    assert "not other diseases" in text
    assert "this bundle has none" in render_model_card(_card())
    partly = render_model_card(replace(_card(), gate={**settings, "modality": None}))
    assert "Modality: not looked at" in partly.replace("\\", "")


def test_whom_it_is_for_what_it_does_badly_and_what_was_tried_are_said_once() -> None:
    known = replace(
        _card(),
        population="adults, lying",
        known_limits=["Sees no children."],
        tried=["Another backbone - AUC 0.9."],
    )
    use = _section(render_model_card(known), "Intended use and limits")
    assert "meant for: adults, lying" in use
    assert "\n- Sees no children.\n" in use
    assert "Another backbone - AUC 0.9." in _section(render_model_card(known), "What was tried")
    plain = render_model_card(_card())
    assert "meant for: not recorded" in plain
    assert "What was tried" not in plain
