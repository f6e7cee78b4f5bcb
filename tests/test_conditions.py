from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from pneumoscope.core.errors import PredictionsError
from pneumoscope.evaluation.conditions import CONDITIONS, summarise_conditions
from pneumoscope.evaluation.delong import delong_interval
from pneumoscope.evaluation.paired import bootstrap_difference
from pneumoscope.evaluation.predictions import predictions_table, read_table
from pneumoscope.evaluation.sources import mean_area, summarise_sources
from pneumoscope.evaluation.subgroups import select_images
from pneumoscope.evaluation.summary import evaluate_predictions

LABELS = ("A", "B")
N = 120
TRUTH = np.arange(N) % 2
RESAMPLES = 300


def answers(
    strength: float,
    *,
    at: Sequence[int] = range(N),
    truth: NDArray[np.int64] = TRUTH,
    seed: int = 0,
) -> pl.DataFrame:
    """Answers to images whose scores stand `strength` apart; pairs of images share a patient."""
    logits = {}
    for number in at:
        noise = np.random.default_rng([seed, number]).standard_normal(2)
        logits[f"i{number:03d}"] = noise + strength * np.eye(2)[truth[number]]
    return predictions_table(
        image_ids=list(logits),
        patient_ids=[None if number < 4 else f"p{number // 2}" for number in at],
        truth=[LABELS[truth[number]] for number in at],
        logits=logits,
        labels=LABELS,
    )


def condition(
    name: str, table: pl.DataFrame, surroundings: Sequence[str] | None = None
) -> pl.DataFrame:
    around = pl.Series("surroundings", surroundings or [None] * len(table), dtype=pl.String)
    return table.with_columns(condition=pl.lit(name)).with_columns(around)


def summary(
    full: pl.DataFrame, *tables: pl.DataFrame
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    plain, worse = summarise_conditions(full, pl.concat(tables), resamples=RESAMPLES, seed=1)
    return {str(entry["condition"]): entry for entry in plain}, worse


FULL = answers(2.0)


def test_figures_are_those_of_independent_implementations() -> None:
    changed = answers(0.7, seed=1)
    entry = summary(FULL, condition("lungs_only", changed))[0]["lungs_only"]
    truth, scores = TRUTH == 1, changed["probability:B"].to_numpy()
    assert entry["auc"]["value"] == pytest.approx(roc_auc_score(truth, scores))
    assert entry["balanced_accuracy"]["value"] == pytest.approx(
        balanced_accuracy_score(truth, scores > 0.5)
    )
    assert entry["full_auc"]["value"] == pytest.approx(
        roc_auc_score(truth, FULL["probability:B"].to_numpy())
    )
    assert [entry[f"n_{name}"] for name in ("images", "patients", "unknown_patients")] == [
        120, 62, 4,
    ]  # fmt: skip
    assert entry["surroundings_auc"] is None
    one, other = read_table(FULL), read_table(changed)
    drop = bootstrap_difference(one, other, "auc", resamples=RESAMPLES, seed=1).interval
    expected = {"value": drop.value, "low": drop.low, "high": drop.high, "unit": "area"}
    assert entry["drop"] == pytest.approx(expected)


def test_the_unchanged_figure_is_that_of_the_metrics_file() -> None:
    entry = summary(FULL, condition("border_only", answers(0.1)))[0]["border_only"]
    metrics = evaluate_predictions(
        FULL, resamples=RESAMPLES, confidence_level=0.95, seed=1, split="", bundle="", data=""
    )
    assert entry["full_auc"] == pytest.approx(metrics["auc"])


def test_a_subset_is_compared_with_its_own_images() -> None:
    at = [*range(10, 40), *range(3)]
    changed = condition("lungs_removed", answers(1.0, at=at))
    entry = summary(FULL, changed, condition("metadata_only", answers(0.0)))[0]["lungs_removed"]
    chosen = np.isin(np.arange(N), at)
    truth = TRUTH[chosen] == 1
    full = FULL["probability:B"].to_numpy()[chosen]
    assert (entry["n_images"], entry["n_patients"]) == (33, 18)
    assert entry["n_unknown_patients"] == 3
    assert entry["full_auc"]["value"] == pytest.approx(roc_auc_score(truth, full))
    part = select_images(read_table(FULL), chosen)
    changed_part = read_table(changed)
    drop = bootstrap_difference(part, changed_part, "auc", resamples=RESAMPLES, seed=1).interval
    assert entry["drop"]["low"] == pytest.approx(drop.low)


def test_patients_are_those_of_the_predictions() -> None:
    pair = condition("lungs_removed", answers(1.0, at=(10, 11)))
    changed = pl.concat([condition("lungs_only", answers(1.0)), pair])
    unknown = changed.with_columns(patient_id=pl.lit(None, pl.String))
    assert summary(FULL, unknown) == summary(FULL, changed)


def test_the_same_answers_drop_by_nothing() -> None:
    plain, worse = summary(FULL, condition("lungs_only", FULL), condition("noise:1", FULL))
    for entry in (plain["lungs_only"], *worse):
        assert entry["drop"] == {"value": 0.0, "low": 0.0, "high": 0.0, "unit": "area"}


def test_the_same_answers_drop_by_nothing_where_some_resamples_lack_a_label() -> None:
    few = answers(0.0, at=range(10), truth=np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1]))
    entries, _ = summary(few, condition("lungs_only", few))
    drop = entries["lungs_only"]["drop"]
    assert (drop["low"], drop["value"], drop["high"]) == (0, 0, 0)


def test_perfect_answers_leave_room_for_a_drop() -> None:
    perfect = answers(50.0)
    entries, _ = summary(perfect, condition("lungs_only", answers(60.0, seed=1)))
    entry = entries["lungs_only"]
    patients = 32  # of each label at least: pairs of images share a patient, four have none known
    assert entry["auc"]["value"] == entry["auc"]["high"] == 1.0
    assert 1 - 5 / patients < entry["auc"]["low"] < 1
    assert entry["drop"]["low"] == -entry["drop"]["high"] < -0.05
    assert entry["balanced_accuracy"]["low"] < 0.97


def test_pairing_makes_the_interval_of_a_drop_narrower() -> None:
    entry = summary(
        FULL, condition("near", answers(1.9)), condition("lungs_only", answers(1.9, seed=5))
    )[0]
    width = {name: one["drop"]["high"] - one["drop"]["low"] for name, one in entry.items()}
    assert width["near"] < width["lungs_only"] / 2


def test_swapped_lungs_are_judged_by_both_labels() -> None:
    other = 1 - TRUTH
    swapped = answers(1.5, truth=other, seed=2)
    table = condition("lungs_swapped", swapped, [LABELS[code] for code in TRUTH])
    entry = summary(FULL, table)[0]["lungs_swapped"]
    scores = swapped["probability:B"].to_numpy()
    assert entry["auc"]["value"] == pytest.approx(roc_auc_score(other, scores))
    assert entry["surroundings_auc"]["value"] == pytest.approx(roc_auc_score(TRUTH, scores))
    assert entry["surroundings_auc"]["high"] < 0.5 < entry["auc"]["low"]
    assert entry["full_auc"]["value"] == pytest.approx(
        roc_auc_score(TRUTH, FULL["probability:B"].to_numpy())
    )
    assert entry["drop"]["value"] == pytest.approx(
        entry["full_auc"]["value"] - entry["auc"]["value"]
    )


def test_a_label_that_hides_in_the_mean_has_an_area_of_its_own() -> None:
    """Of four labels, one is told by a border that says nothing of the others."""
    labels, random = ("A", "B", "C", "D"), np.random.default_rng(3)
    truth, ids = random.integers(0, 4, N), [f"i{number:03d}" for number in range(N)]

    def answered(strength: NDArray[np.float64]) -> pl.DataFrame:
        logits = random.standard_normal((N, 4)) + strength * np.eye(4)[truth]
        return predictions_table(
            image_ids=ids, patient_ids=ids, truth=[labels[code] for code in truth],
            logits=dict(zip(ids, logits, strict=True)), labels=labels,
        )  # fmt: skip

    full = answered(np.full(4, 2.0))
    border = answered(np.array([0, 0, 0, 6.0])).with_columns(condition=pl.lit("border_only"))
    swapped = answered(np.full(4, 1.0)).with_columns(
        pl.lit("lungs_swapped").alias("condition"), surroundings="label"
    )
    tables = pl.concat([border, swapped], how="diagonal")
    found: dict[str, dict[str, Any]] = {
        level: {str(row["condition"]): row for row in
                summarise_conditions(full, tables, resamples=300, confidence_level=at)[0]}
        for level, at in (("usual", 0.95), ("joint", 1 - 0.05 / 4))
    }  # fmt: skip
    row, joint = found["usual"]["border_only"], found["joint"]["border_only"]
    assert row["auc:D"]["joint_low"] > 0.95
    assert row["auc"]["value"] < 0.8
    for at, label in enumerate(labels):
        own = [roc_auc_score(truth == at, table[f"probability:{label}"].to_numpy())
               for table in (border, full)]  # fmt: skip
        assert row[f"auc:{label}"]["value"] == pytest.approx(own[0])
        assert row[f"full_auc:{label}"]["value"] == pytest.approx(own[1])
        assert row[f"drop:{label}"]["value"] == pytest.approx(own[1] - own[0])
        for key in ("auc", "drop"):
            entry, wider = row[f"{key}:{label}"], joint[f"{key}:{label}"]
            assert (entry["joint_low"], entry["joint_high"]) == (wider["low"], wider["high"])
            assert entry["joint_low"] < entry["low"] < entry["high"]
    beside = found["usual"]["lungs_swapped"]
    assert beside["surroundings_auc:A"] == beside["auc:A"]
    assert "surroundings_auc:A" not in row


def test_conditions_and_corruptions_come_in_the_contracts_order() -> None:
    names = ["noise:3", "blur:2", "noise:1", "blur:10", "other", "border_only", *CONDITIONS[:2]]
    tables = [condition(name, answers(1.0, at=range(40))) for name in names]
    plain, worse = summary(FULL, *tables)
    assert list(plain) == ["lungs_only", "lungs_removed", "border_only", "other"]
    assert [(one["kind"], one["severity"]) for one in worse] == [
        ("blur", 2), ("blur", 10), ("noise", 1), ("noise", 3),
    ]  # fmt: skip
    assert set(worse[0]) == {"kind", "severity", "n_images", "auc", "balanced_accuracy", "drop"}
    assert set(plain["other"]) == {
        "condition", "n_images", "n_patients", "n_unknown_patients", "auc", "balanced_accuracy",
        "full_auc", "drop", "surroundings_auc", "auc:A", "auc:B", "full_auc:A", "full_auc:B",
        "drop:A", "drop:B",
    }  # fmt: skip
    json.dumps([plain, worse], allow_nan=False)


def test_the_order_of_rows_changes_nothing() -> None:
    tables = [condition(name, answers(1.0, seed=3)) for name in ("lungs_only", "noise:1")]
    table = pl.concat(tables)
    first = summarise_conditions(FULL, table, resamples=50)
    again = summarise_conditions(
        FULL.sample(fraction=1, shuffle=True, seed=0),
        table.sample(fraction=1, shuffle=True, seed=0),
        resamples=50,
    )
    assert first == again


def test_one_label_or_one_patient_has_no_figure_but_no_failure() -> None:
    single = condition("lungs_only", answers(1.0, at=range(0, 40, 2)))
    pair = condition("lungs_removed", answers(1.0, at=(10, 11)))
    plain = summary(FULL, single, pair)[0]
    empty = {"value": None, "low": None, "high": None, "unit": "area"}
    assert plain["lungs_only"]["auc"] == plain["lungs_only"]["drop"] == empty
    assert plain["lungs_only"]["balanced_accuracy"]["value"] is not None
    alone = plain["lungs_removed"]["drop"]
    assert alone["value"] is not None
    assert alone["low"] is alone["high"] is None


def test_without_conditions_there_are_no_entries() -> None:
    assert summarise_conditions(FULL, condition("noise:1", FULL).clear()) == ([], [])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (condition("x", FULL).drop("condition"), "has no 'condition'"),
        (condition("x", pl.concat([FULL[:5], FULL[:1]])), "image i000 is there more"),
        (condition("x", FULL.with_columns(image_id=pl.lit("z") + pl.col("image_id"))),
         "condition 'x': image zi000 was not predicted unchanged"),
        (condition("x", FULL.with_columns(label=pl.lit("A"))), "image i001 is A, not B"),
        (condition("x", FULL, ["A"] * N), "image i001 is A, not B"),
        (condition("x", FULL, ["C"] * N), "surroundings 'C'; allowed: A, B"),
        (condition("x", FULL.rename({"logit:A": "logit:C", "probability:A": "probability:C"})
                   .with_columns(label=pl.lit("B"))), "has the labels C, B; allowed: A, B"),
    ],
)  # fmt: skip
def test_a_broken_table_is_refused(table: pl.DataFrame, message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        summarise_conditions(FULL, table, resamples=50)


def sources(**columns: object) -> pl.DataFrame:
    random = np.random.default_rng(6)
    told = np.clip(0.5 + 0.3 * (TRUTH - 0.5) + 0.2 * random.standard_normal(N), 0, 1)
    site = np.where(np.arange(N) < 60, "one", "two")
    outside = np.clip(0.5 + 0.4 * (TRUTH - 0.5) + 0.2 * random.standard_normal(N), 0, 1)
    columns_ = {
        "image_id": [f"i{number:03d}" for number in range(N)],
        "patient_id": [f"p{number // 2}" for number in range(N)],
        "label": [LABELS[code] for code in TRUTH], "source": site,
        "told:one": told, "told:two": 1 - told,
        "outside:A": 1 - outside, "outside:B": outside, "inside:A": 1 - told, "inside:B": told,
    }  # fmt: skip
    return pl.DataFrame({**columns_, **columns})


def test_source_figures_are_those_of_independent_implementations() -> None:
    table = sources()
    found: dict[str, Any] = summarise_sources(table)
    is_two = (table["source"] == "two").to_numpy()
    clusters = np.arange(N) // 2
    expected = delong_interval(table["told:two"].to_numpy(), is_two, clusters)
    assert found["told"] == pytest.approx(
        {"value": expected.value, "low": expected.low, "high": expected.high, "unit": "area"}
    )
    second = found["left_out"][1]
    assert (second["source"], second["n_images"], second["reason"]) == ("two", 60, None)
    truth = TRUTH[is_two] == 1
    assert second["auc"]["value"] == pytest.approx(
        roc_auc_score(truth, table["outside:B"].to_numpy()[is_two])
    )
    assert second["inside_auc"]["value"] == pytest.approx(
        roc_auc_score(truth, table["inside:B"].to_numpy()[is_two])
    )
    assert found["oracle"]["accuracy"]["value"] == 0.5
    assert found["oracle"]["share_of_most_frequent_label"] == 0.5
    assert found["tie"] == 0.0
    assert summarise_sources(table.sample(fraction=1, shuffle=True, seed=0)) == found
    json.dumps(found, allow_nan=False)


def test_the_oracle_answers_each_sources_most_frequent_label() -> None:
    labels = ["A"] * 50 + ["B"] * 10 + ["B"] * 55 + ["A"] * 5
    found: dict[str, Any] = summarise_sources(sources(label=labels))
    assert found["oracle"]["accuracy"]["value"] == pytest.approx(105 / 120)
    assert found["oracle"]["share_of_most_frequent_label"] == pytest.approx(65 / 120)
    # By hand: phi squared 0.5664 of the table [[50, 10], [5, 55]], corrected as by Bergsma.
    assert found["tie"] == pytest.approx(0.7502, abs=1e-4)


def test_the_oracle_is_not_asked_about_patients_that_it_counted() -> None:
    """Sources of three patients whose labels are drawn: counted with their own, they look tied."""
    sites, random = [f"s{number // 6:02d}" for number in range(N)], np.random.default_rng(0)
    labels = [LABELS[code] for code in np.repeat(random.random(N // 2) < 0.4, 2).astype(int)]
    told = {f"told:{site}": [0.5] * N for site in sites}
    table = sources(label=labels, source=sites).drop("told:one", "told:two")
    found: dict[str, Any] = summarise_sources(table.with_columns(pl.DataFrame(told)))
    oracle = found["oracle"]
    by_hand = 0
    for at, (site, label) in enumerate(zip(sites, labels, strict=True)):
        others = [other for other in range(N) if other // 2 != at // 2]
        at_site = [labels[other] for other in others if sites[other] == site]
        everywhere = [labels[other] for other in others]
        votes = {one: (at_site.count(one), everywhere.count(one)) for one in LABELS}
        by_hand += max(LABELS, key=votes.__getitem__) == label
    assert oracle["accuracy"]["value"] == pytest.approx(by_hand / N)
    assert oracle["accuracy"]["low"] - oracle["share_of_most_frequent_label"] < 0
    seen = [max(LABELS, key=[labels[o] for o in range(N) if sites[o] == s].count) for s in sites]
    counted_on_themselves = np.mean([one == other for one, other in zip(seen, labels, strict=True)])
    assert counted_on_themselves > oracle["share_of_most_frequent_label"] + 0.05


def test_missing_answers_have_their_reason() -> None:
    partly: list[float | None] = [None] * 60 + [0.5] * 60
    empty = {f"{part}:{label}": partly for part in ("outside", "inside") for label in LABELS}
    found: dict[str, Any] = summarise_sources(sources(label=["A"] * 60 + ["A", "B"] * 30, **empty))
    first = found["left_out"][0]
    assert first["reason"] == "All its 60 images are A: there is nothing to tell apart."
    assert first["auc"]["value"] is first["inside_auc"]["value"] is None
    both: dict[str, Any] = summarise_sources(sources(label=["A", "B"] * 30 + ["A"] * 60, **empty))
    reason = both["left_out"][0]["reason"]
    assert reason == "The other sources have A: fewer than two of its labels to learn."


def test_a_perfect_area_still_has_a_lower_bound() -> None:
    right = np.eye(3)[np.arange(30) % 3]
    found = mean_area(right, np.arange(30) % 3, np.arange(30), confidence_level=0.95)
    assert found.value == found.high == 1.0
    assert 0.5 < found.low < 1
    assert np.isnan(mean_area(right, np.zeros(30, int), np.arange(30), confidence_level=0.9).value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (sources().drop("source"), "lacks source"),
        (sources().drop("told:one"), "lacks rows, or columns told"),
        (sources().drop("inside:A"), "lacks inside:A"),
        (sources().clear(), "lacks rows"),
        (sources(source=["three"] * N), r"image i000: source 'three'; allowed: one, two"),
        (sources(label=[None] * N), r"image i000: label None; allowed: A, B"),
        (sources(image_id=["i"] * N), "an image is there twice"),
        (sources(**{"told:one": [None] * N}), "a told: probability is missing"),
    ],
)
def test_a_broken_sources_table_is_refused(table: pl.DataFrame, message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        summarise_sources(table)
