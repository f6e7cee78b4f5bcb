"""An assessment follows from tables and rules alone, and everything shown follows from it."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pneumoscope.core.errors import InputError
from pneumoscope.core.recipe import EvaluateRecipe
from pneumoscope.evaluation.assessment import Tables, assess
from pneumoscope.evaluation.fixing import fix_rules
from pneumoscope.evaluation.predictions import predictions_table, read_table
from pneumoscope.evaluation.summary import evaluate_predictions
from pneumoscope.workflows.recomputing import recompute
from pneumoscope.workflows.results import TrainResult

SECTIONS = {
    "rules", "calibration", "operating_points", "label_sets", "selective", "subgroups",
    "decision_curves", "shift", "conditions", "corruptions", "sources", "saliency", "gate",
    "verdict",
}  # fmt: skip


def drawn(count: int, *, seed: int, temperature: float = 1.0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    margins = random.normal(0, 2, count)
    sick = random.random(count) < 1 / (1 + np.exp(-margins))
    logits = temperature * np.stack([-margins / 2, margins / 2], axis=1).astype(np.float32)
    ids = [f"{seed}-{row:05}" for row in range(count)]
    return predictions_table(
        image_ids=ids,
        patient_ids=[f"{seed}-p{row // 2}" for row in range(count)],
        truth=["PNEUMONIA" if one else "NORMAL" for one in sick],
        logits=dict(zip(ids, logits, strict=True)),
        labels=("NORMAL", "PNEUMONIA"),
        groups={
            "sex": ["F" if row % 3 else "M" for row in range(count)],
            "age": [str(20 + row % 60) for row in range(count)],
            "source": ["one"] * count,
        },
    )


def measured(predictions: pl.DataFrame, calibration: pl.DataFrame) -> dict[str, object]:
    recipe = EvaluateRecipe(resamples=200, permutations=99, prevalence=0.05)
    rules = fix_rules(read_table(calibration), recipe, seed=0)
    metrics = evaluate_predictions(
        predictions, resamples=200, confidence_level=0.95, seed=0, split="test", bundle="b",
        data="d",
    )  # fmt: skip
    return assess(Tables(predictions=predictions, calibration=calibration), metrics, rules)


def test_the_order_of_rows_does_not_matter() -> None:
    calibration, predictions = drawn(200, seed=1), drawn(300, seed=2)
    one = measured(predictions, calibration)
    other = measured(predictions.sample(fraction=1, shuffle=True, seed=3), calibration.reverse())
    assert json.dumps(one) == json.dumps(other)


def test_every_section_is_there_and_is_json() -> None:
    found = measured(drawn(300, seed=2), drawn(200, seed=1))
    assert set(found) == SECTIONS
    json.dumps(found, allow_nan=False)
    groups = {(part["column"], part["group"]) for part in found["subgroups"]}  # type: ignore[attr-defined]
    assert {column for column, _ in groups} == {"sex", "age"}, "one source tells nothing apart"
    assert ("age", "18-39") in groups


def test_images_of_unknown_patients_are_counted_in_every_part() -> None:
    alone = pl.col("image_id") < "2-00040"
    table = drawn(300, seed=2).with_columns(
        patient_id=pl.when(alone).then(None).otherwise("patient_id")
    )
    found = measured(table, drawn(200, seed=1))
    expected = table.filter(pl.col("patient_id").is_null())
    for part in found["label_sets"]["coverage"]:  # type: ignore[index]
        column, value = part["group"], part["value"]
        own = expected if column == "all" else expected.filter(pl.col(column) == value)
        if column != "age":
            assert part["n_unknown_patients"] == own.height
    parts = {(one["column"], one["group"]): one for one in found["subgroups"]}  # type: ignore[attr-defined]
    for sex in ("F", "M"):
        own = expected.filter(pl.col("sex") == sex)
        assert parts["sex", sex]["n_unknown_patients"] == own.height


def test_a_known_miscalibration_is_seen_before_and_gone_after() -> None:
    calibration = drawn(6000, seed=1, temperature=3.0)
    rules = fix_rules(read_table(calibration), EvaluateRecipe(), seed=0)
    plain = drawn(4000, seed=2, temperature=3.0)
    predictions = predictions_table(
        image_ids=plain["image_id"].to_list(),
        patient_ids=plain["patient_id"].to_list(),
        truth=plain["label"].to_list(),
        logits={
            row["image_id"]: np.array([row["logit:NORMAL"], row["logit:PNEUMONIA"]])
            for row in plain.iter_rows(named=True)
        },
        labels=("NORMAL", "PNEUMONIA"),
        calibrator=rules.calibrator,
    )
    section = measured(predictions, calibration)["calibration"]
    assert isinstance(section, dict)
    before, after = section["before"], section["after"]
    assert before["ece"]["low"] > 0.05
    assert after["ece"]["value"] < 0.03
    assert after["log_loss"]["high"] < before["log_loss"]["low"]
    assert after["ace"]["value"] < before["ace"]["value"]


@pytest.fixture(scope="module")
def run(trained: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recompute") / "run"
    shutil.copytree(trained.output, folder)
    return folder


def test_a_run_can_be_computed_again_from_its_tables(run: Path) -> None:
    found = recompute(run)
    assert found.differences == ()
    assert found.assessment["conditions"]
    assert found.assessment["corruptions"]
    assert found.assessment["shift"]
    assert found.assessment["saliency"]


def test_a_number_changed_by_hand_is_found(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["auc"]["value"] = 0.999
    path.write_text(json.dumps(metrics))
    (line,) = recompute(tmp_path / "run").differences
    assert line.startswith("metrics.auc.value: stored 0.999, computed")


def test_a_row_changed_in_a_table_is_found(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "conditions.parquet"
    table = pl.read_parquet(path)
    name = "noise:1"
    other = pl.when(pl.col("condition") == name).then(0.0).otherwise(pl.col("logit:NORMAL"))
    half = pl.when(pl.col("condition") == name).then(0.5)
    table.with_columns(
        other.alias("logit:NORMAL"),
        *(half.otherwise(pl.col(c)).alias(c) for c in table.columns if c.startswith("prob")),
    ).write_parquet(path)
    found = recompute(tmp_path / "run").differences
    assert any(line.startswith("assessment.corruptions.") for line in found)


@pytest.mark.parametrize("missing", ["metrics.json", "assessment.json", "predictions.parquet"])
def test_a_folder_without_its_files_is_refused(run: Path, tmp_path: Path, missing: str) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / missing).unlink()
    with pytest.raises(Exception, match=missing.partition(".")[0]) as caught:
        recompute(tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_what_is_no_parquet_is_refused(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "sources.parquet").write_bytes(b"not a table")
    with pytest.raises(InputError, match="no readable Parquet"):
        recompute(tmp_path / "run")


def numbers(content: object) -> set[float]:
    """Every number in JSON content."""
    if isinstance(content, dict):
        return set().union(*(numbers(value) for value in content.values()), set())
    if isinstance(content, list):
        return set().union(*(numbers(value) for value in content), set())
    if isinstance(content, (int, float)) and not isinstance(content, bool):
        return {float(content)}
    if isinstance(content, str):
        return {
            float(one.replace("\u2212", "-")) for one in re.findall(r"[\u2212-]?\d+\.\d+", content)
        }
    return set()


@pytest.mark.parametrize("name", ["report.html", "model_card.md"])
def test_every_decimal_shown_is_in_the_json_files(run: Path, name: str) -> None:
    """Report and card have no number of their own: each is one of the files', rounded.

    Errors to look at carry their probability, as the predictions have it. Drawings are left out
    (their numbers are places on paper), and so are the recipe and the provenance, which are copied
    as text.
    """
    stored = set[float]()
    for file in ("metrics.json", "assessment.json"):
        stored |= numbers(json.loads((run / file).read_text()))
    history = pl.read_csv(run / "history.csv").select(pl.selectors.numeric())
    stored |= {float(value) for column in history for value in column.drop_nulls()}
    answers = pl.read_parquet(run / "predictions.parquet").select("^probability:.*$")
    stored |= {float(value) for column in answers for value in column}
    text = (run / name).read_text()
    text = re.sub(r"<(style|svg|pre|head)\b.*?</\1>", " ", text, flags=re.DOTALL)
    text = unescape(re.sub(r"<[^>]+>", " ", text))
    shown = re.findall(r"(?<![\w.])[\u2212-]?\d+\.\d{3}(?![\d.])", text)
    assert len(shown) > 20
    known = {f"{value:.3f}" for value in stored} | {f"{100 * value:.3f}" for value in stored}
    strange = {one for one in shown if one.replace("\u2212", "-") not in known | {"-0.000"}}
    assert not strange
