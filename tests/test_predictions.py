"""The predictions table: its contract, its arrays and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pneumoscope.core.errors import PneumoscopeError, PredictionsError
from pneumoscope.core.types import FloatArray
from pneumoscope.evaluation.predictions import (
    load_predictions,
    predictions_table,
    read_table,
    save_predictions,
)
from pneumoscope.evaluation.subgroups import select_images

LABELS = ("NORMAL", "PNEUMONIA")
LOGITS: dict[str, FloatArray] = {
    "c": np.array([0.0, 2.0]),
    "a": np.array([1.0, -1.0]),
    "b": np.array([3.0, 3.0]),
    "unused": np.array([9.0, 9.0]),
}


def make_table() -> pl.DataFrame:
    return predictions_table(
        image_ids=["c", "a", "b"],
        patient_ids=["p2", None, "p2"],
        truth=["PNEUMONIA", "NORMAL", "NORMAL"],
        logits=LOGITS,
        temperature=2.0,
        labels=LABELS,
        groups={"view": ["PA", None, "AP"]},
    )


def test_columns_are_those_of_the_contract() -> None:
    table = make_table()
    assert table.columns == [
        "image_id", "patient_id", "label", "logit:NORMAL", "probability:NORMAL",
        "logit:PNEUMONIA", "probability:PNEUMONIA", "view",
    ]  # fmt: skip
    assert table.schema["logit:NORMAL"] == pl.Float64
    assert table.schema["patient_id"] == pl.String
    assert table["image_id"].to_list() == ["c", "a", "b"]


def test_logits_follow_ids_and_probabilities_follow_temperature() -> None:
    row = make_table().row(by_predicate=pl.col("image_id") == "c", named=True)
    assert (row["logit:NORMAL"], row["logit:PNEUMONIA"]) == (0.0, 2.0)
    assert row["probability:PNEUMONIA"] == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-15)


def test_arrays_are_in_the_order_of_ids() -> None:
    predictions = read_table(make_table())
    assert predictions.labels == LABELS
    assert predictions.image_ids == ("a", "b", "c")
    assert predictions.truth.tolist() == [0, 0, 1]
    assert predictions.logits.tolist() == [[1, -1], [3, 3], [0, 2]]
    assert predictions.predicted.tolist() == [0, 0, 1]
    assert predictions.n_images == 3


def test_an_unknown_patient_stands_alone() -> None:
    table = make_table()
    predictions = read_table(table)
    assert predictions.clusters.tolist() == [0, 1, 1]
    assert predictions.n_patients == 2
    unknown = read_table(table.with_columns(patient_id=pl.lit(None)))
    assert unknown.clusters.tolist() == [0, 1, 2]
    assert (predictions.n_unknown_patients, unknown.n_unknown_patients) == (1, 3)
    some = read_table(table.with_columns(patient_id=pl.Series(["x", None, None])))
    assert some.n_unknown_patients == 2
    known = [select_images(some, np.arange(3) == at).n_unknown_patients for at in range(3)]
    assert sorted(known) == [0, 1, 1]


def test_a_patient_named_like_an_image_is_not_mixed_up_with_it() -> None:
    table = make_table().with_columns(patient_id=pl.Series(["a", None, "b"]))
    assert read_table(table).n_patients == 3


def test_row_order_does_not_matter() -> None:
    table = make_table()
    straight, reverse = read_table(table), read_table(table.reverse())
    assert straight.image_ids == reverse.image_ids
    for name in ("truth", "logits", "probabilities", "clusters"):
        assert np.array_equal(getattr(straight, name), getattr(reverse, name))


def test_file_returns_the_same_table(tmp_path: Path) -> None:
    table = make_table()
    path = tmp_path / "new" / "predictions.parquet"
    save_predictions(table, path)
    assert load_predictions(path).equals(table)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_invalid_table_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    with pytest.raises(PredictionsError):
        save_predictions(make_table().drop("label"), path)
    assert not path.exists()


def test_unreadable_files_are_told_by_name(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.parquet"
    garbage.write_bytes(b"no parquet")
    foreign = tmp_path / "foreign.parquet"
    pl.DataFrame({"x": [1]}).write_parquet(foreign)
    for path in (garbage, foreign, tmp_path / "absent.parquet", tmp_path):
        with pytest.raises(PredictionsError, match=path.name) as caught:
            load_predictions(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_ids": ["c", "a", "d"]}, "image d has no logits"),
        ({"image_ids": ["c", "a", "a"]}, "image a is there more than once"),
        ({"image_ids": ["c", "a"]}, "patient_id has 3 values for 2 images"),
        ({"truth": ["NORMAL", "NORMAL", "TB"]}, "image b: label 'TB'; allowed: NORMAL, PNEUMONIA"),
        ({"labels": ("NORMAL",)}, "two or more"),
        ({"labels": ("NORMAL", "NORMAL")}, "each once"),
        ({"labels": ("A", "B", "C")}, r"logits of shape \[2\]; allowed: \[3\]"),
        ({"logits": {**LOGITS, "a": np.array([np.nan, 0.0])}}, "image a: logits missing or not"),
        ({"logits": {**LOGITS, "a": np.array([np.inf, 0.0])}}, "image a: logits missing or not"),
        ({"temperature": 0.0}, "temperature=0.0; allowed"),
        ({"temperature": float("nan")}, "temperature=nan; allowed"),
        ({"groups": {"label": ["x", "y", "z"]}}, "group 'label' has the name"),
        ({"groups": {"logit:x": ["x", "y", "z"]}}, "group 'logit:x' has the name"),
        ({"groups": {"sex": ["F"]}}, "sex has 1 values for 3 images"),
        ({"image_ids": [], "patient_ids": [], "truth": []}, "has no rows"),
    ],
)
def test_building_refuses(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "image_ids": ["c", "a", "b"],
        "patient_ids": ["p2", None, "p2"],
        "truth": ["PNEUMONIA", "NORMAL", "NORMAL"],
        "logits": LOGITS,
        "temperature": 1.0,
        "labels": LABELS,
    }
    with pytest.raises(PredictionsError, match=message):
        predictions_table(**(arguments | change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop("patient_id"), "column 'patient_id' is missing"),
        (lambda t: t.drop("logit:NORMAL"), "column 'logit:NORMAL' is missing"),
        (lambda t: t.drop("probability:NORMAL"), "column 'probability:NORMAL' is missing"),
        (lambda t: t.select("image_id", "patient_id", "label"), "logits of 0 labels"),
        (lambda t: t.with_columns(image_id=pl.lit(1)), "column 'image_id' is Int"),
        (lambda t: t.with_columns(image_id=pl.lit("a")), "image a is there more than once"),
        (lambda t: t.with_columns(label=pl.lit(None, dtype=pl.String)), "3 missing values"),
        (lambda t: t.with_columns(label=pl.lit("TB")), "label 'TB'"),
        (lambda t: t.with_columns(pl.lit("x").alias("logit:NORMAL")), "is String; allowed: num"),
        (
            lambda t: t.with_columns(pl.lit(None, dtype=pl.Float64).alias("logit:NORMAL")),
            "logit:<label> missing or not finite",
        ),
        (
            lambda t: t.with_columns(pl.lit(np.nan).alias("probability:NORMAL")),
            "probability:<label> missing or not finite",
        ),
        (lambda t: t.with_columns(pl.col("probability:NORMAL") + 2e-6), "allowed: 0 to 1 each"),
        (
            lambda t: t.with_columns(
                pl.lit(-0.5).alias("probability:NORMAL"), pl.lit(1.5).alias("probability:PNEUMONIA")
            ),
            "allowed: 0 to 1 each",
        ),
        (lambda t: t.clear(), "has no rows"),
    ],
)
def test_reading_refuses(change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(PneumoscopeError, match=message) as caught:
        read_table(change(make_table()))
    assert "\n" not in str(caught.value)


def test_rounding_of_probabilities_is_forgiven() -> None:
    table = make_table()
    rounded = table.with_columns(pl.col("probability:NORMAL") * (1 - 5e-7))
    assert read_table(rounded).n_images == table.height
