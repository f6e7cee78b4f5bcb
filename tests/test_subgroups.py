"""Metrics per group: the same as those of the group's images alone, with a word where few."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation.intervals import bootstrap_intervals, wilson_interval
from pneumoscope.evaluation.predictions import Predictions, predictions_table, read_table
from pneumoscope.evaluation.subgroups import (
    Subgroup,
    age_bands,
    column_values,
    select_images,
    subgroups,
)

LABELS = ("NORMAL", "PNEUMONIA")


def make_table(n_images: int = 160, *, seed: int = 0, per_patient: int = 2) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    truth = random.integers(2, size=n_images)
    logits = random.normal(size=(n_images, 2))
    logits[np.arange(n_images), truth] += 1
    image_ids = [f"image{index:05d}" for index in range(n_images)]
    sexes = np.array(["F", "M", "M", None], dtype=object)
    return predictions_table(
        image_ids=image_ids,
        patient_ids=[f"p{index // per_patient}" for index in range(n_images)],
        truth=[LABELS[index] for index in truth],
        logits=dict(zip(image_ids, logits, strict=True)),
        temperature=1.0,
        labels=LABELS,
        groups={
            "sex": [sexes[index // per_patient % 4] for index in range(n_images)],
            "age": [str(float(index % 90)) for index in range(n_images)],
        },
    )


def find(found: list[Subgroup], group: str) -> Subgroup:
    return next(one for one in found if one.group == group)


def by_sex(table: pl.DataFrame, **options: object) -> list[Subgroup]:
    columns = column_values(table, ["sex"])
    return subgroups(read_table(table), columns, resamples=100, **options)  # type: ignore[arg-type]


def test_each_group_is_what_its_images_alone_give() -> None:
    table = make_table()
    found = by_sex(table, metrics=("accuracy", "auc", "sensitivity:NORMAL"), seed=3)
    assert [(one.column, one.group) for one in found] == [
        ("sex", "F"), ("sex", "M"), ("sex", "unknown"),
    ]  # fmt: skip
    assert [one.n_images for one in found] == [40, 80, 40]
    assert [one.n_patients for one in found] == [20, 40, 20]
    for one in found:
        sex = None if one.group == "unknown" else one.group
        part = read_table(table.filter(pl.col("sex").eq_missing(pl.lit(sex))))
        expected = bootstrap_intervals(part, resamples=100, seed=3)
        assert one.metrics == {name: expected[name] for name in one.metrics}
        assert one.metrics["accuracy"].value == accuracy_score(part.truth, part.predicted)
        assert one.metrics["auc"].value == pytest.approx(
            roc_auc_score(part.truth, part.probabilities[:, 1])
        )
        recalls = recall_score(part.truth, part.predicted, average=None)
        errors = [rate.value for rate in one.error_rates.values()]
        assert errors == pytest.approx((1 - recalls).tolist())


def test_error_rates_are_wilsons_where_patients_have_one_image() -> None:
    for one in by_sex(make_table(per_patient=1)):
        for rate in one.error_rates.values():
            expected = wilson_interval(rate.successes, rate.trials, confidence_level=0.95)
            assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high))


def test_the_only_group_is_everything() -> None:
    table = make_table()
    predictions = read_table(table)
    (one,) = subgroups(
        predictions, {"source": dict.fromkeys(predictions.image_ids, "a")}, resamples=100
    )
    whole = bootstrap_intervals(predictions, resamples=100)
    assert one.metrics == {name: whole[name] for name in one.metrics}
    assert one.warnings == ()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16))
def test_the_order_of_images_does_not_matter(seed: int) -> None:
    table = make_table(40, seed=seed)
    shuffled = table.sample(fraction=1, shuffle=True, seed=seed)
    assert [one.to_json() for one in by_sex(table)] == [one.to_json() for one in by_sex(shuffled)]


def test_groups_add_up_to_everything() -> None:
    table = make_table(150, seed=4)
    predictions = read_table(table)
    bands = age_bands(column_values(table, ["age"])["age"])
    found = subgroups(predictions, {"age": bands}, resamples=20)
    assert [one.group for one in found] == ["0-17", "18-39", "40-64", "65+"]
    assert sum(one.n_images for one in found) == 150
    wrong = sum(rate.successes for one in found for rate in one.error_rates.values())
    assert wrong == (predictions.predicted != predictions.truth).sum()


def test_few_images_or_patients_are_said() -> None:
    n_images = 62
    truth = np.arange(n_images) % 2
    predictions = Predictions(
        labels=LABELS,
        image_ids=tuple(f"image{index:05d}" for index in range(n_images)),
        truth=truth,
        logits=np.zeros((n_images, 2)),
        probabilities=np.full((n_images, 2), 0.5),
        clusters=np.minimum(np.arange(n_images), 45),
    )
    # Two images of two patients; forty of forty; twenty of four, ten images per label.
    values = dict.fromkeys(predictions.image_ids[:2], "few")
    values |= dict.fromkeys(predictions.image_ids[2:42], "enough")
    found = subgroups(predictions, {"view": values}, resamples=20)
    assert [one.group for one in found] == ["enough", "few", "unknown"]
    assert find(found, "enough").warnings == ()
    ending = "below 20 images or 10 patients of a label, figures say little."
    assert find(found, "few").warnings == (
        f"view few: 1 image of 1 patient of NORMAL; {ending}",
        f"view few: 1 image of 1 patient of PNEUMONIA; {ending}",
    )
    assert find(found, "unknown").warnings == (
        f"view unknown: 10 images of 3 patients of NORMAL; {ending}",
        f"view unknown: 10 images of 2 patients of PNEUMONIA; {ending}",
    )
    assert find(found, "few").to_row()["warning"] == " ".join(find(found, "few").warnings)


@pytest.mark.parametrize(("images", "patients", "warned"), [(20, 10, 0), (19, 10, 2), (20, 9, 2)])
def test_the_limits_themselves_are_enough(images: int, patients: int, warned: int) -> None:
    truth = np.arange(2 * images) % 2
    clusters = np.minimum(np.arange(2 * images) // 2, patients - 1)
    predictions = Predictions(
        labels=LABELS,
        image_ids=tuple(f"image{index:05d}" for index in range(2 * images)),
        truth=truth,
        logits=np.zeros((2 * images, 2)),
        probabilities=np.full((2 * images, 2), 0.5),
        clusters=clusters,
    )
    columns = {"source": dict.fromkeys(predictions.image_ids, "a")}
    (one,) = subgroups(predictions, columns, resamples=20)
    assert len(one.warnings) == warned


def test_a_missing_label_leaves_figures_undefined_and_rows_plain() -> None:
    table = make_table(40).with_columns(pl.lit("a").alias("source"))
    predictions = read_table(table)
    only = {
        image_id: "none" if label else "all"
        for image_id, label in zip(predictions.image_ids, predictions.truth, strict=True)
    }
    found = subgroups(predictions, {"split": only}, resamples=20)
    group = find(found, "none")
    assert math.isnan(group.metrics["auc"].value)
    assert group.error_rates["NORMAL"].trials == 0
    assert any("0 images of 0 patients of NORMAL" in warning for warning in group.warnings)
    row = group.to_row()
    assert list(row)[:4] == ["column", "group", "n_images", "n_patients"]
    assert (row["auc"], row["auc_low"], row["error:NORMAL"]) == (None, None, None)
    assert row["error:PNEUMONIA_low"] == group.error_rates["PNEUMONIA"].low
    assert pl.DataFrame([one.to_row() for one in found]).height == 2
    content = json.loads(json.dumps(group.to_json(), allow_nan=False))
    assert content["metrics"]["auc"] == {"value": None, "low": None, "high": None}
    assert content["error_rates"]["PNEUMONIA"]["successes"] >= 0


def test_selected_images_keep_what_they_are() -> None:
    predictions = read_table(make_table(40))
    chosen = np.arange(40) % 3 == 0
    part = select_images(predictions, chosen)
    assert part.image_ids == predictions.image_ids[::3]
    assert np.array_equal(part.truth, predictions.truth[::3])
    assert np.array_equal(part.probabilities, predictions.probabilities[::3])
    assert part.n_patients == len(set(predictions.clusters[::3].tolist()))


def test_age_bands() -> None:
    ages: dict[str, str | float | None] = {
        "a": "0", "b": 17.9, "c": "18.0", "d": 64, "e": "65", "f": 102.0, "g": None, "h": "old",
        "i": -1, "j": "nan",
    }  # fmt: skip
    assert age_bands(ages) == {
        "a": "0-17", "b": "0-17", "c": "18-39", "d": "40-64", "e": "65+", "f": "65+", "g": None,
        "h": None, "i": None, "j": None,
    }  # fmt: skip
    assert age_bands({"a": 4, "b": 5}, edges=(5,)) == {"a": "0-4", "b": "5+"}
    for edges in ((), (0, 5), (10, 5), (5, 5)):
        with pytest.raises(PredictionsError, match="ascending years above 0"):
            age_bands(ages, edges=edges)


def test_bands_are_listed_by_age() -> None:
    predictions = read_table(make_table(40))
    ages = {image_id: float(index) for index, image_id in enumerate(predictions.image_ids)}
    bands = age_bands(ages, edges=(5, 18))
    found = subgroups(predictions, {"age": bands}, resamples=20)
    assert [one.group for one in found] == ["0-4", "5-17", "18+"]


def test_what_cannot_be_grouped_is_refused() -> None:
    table = make_table(40)
    predictions = read_table(table)
    with pytest.raises(PredictionsError, match="column 'view'; allowed: image_id"):
        column_values(table, ["view"])
    with pytest.raises(PredictionsError, match="has a value for none of the 40 images"):
        subgroups(predictions, {"view": {"elsewhere": "PA"}})
    with pytest.raises(PredictionsError, match="metric 'auroc'"):
        by_sex(table, metrics=("auroc",))
