"""`pneumoscope compare`: which runs it takes, what it refuses, what it writes."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from pneumoscope.cli.compare import compare as command
from pneumoscope.core.errors import InputError, PredictionsError
from pneumoscope.core.progress import Silent
from pneumoscope.evaluation.agreement import agreements, disputed_images, shared_images
from pneumoscope.evaluation.comparison import compare
from pneumoscope.evaluation.predictions import (
    Predictions,
    load_predictions,
    predictions_table,
    read_table,
    save_predictions,
)
from pneumoscope.evaluation.summary import evaluate_predictions
from pneumoscope.workflows.comparing import compare_runs
from pneumoscope.workflows.run_folders import read_runs, recipe_differences, run_names

LABELS = ("NORMAL", "PNEUMONIA")
IMAGES = 240
RECIPE = "name: {name}\nseed: {seed}\nmodel:\n  backbone: lenet5\nphases:\n- kind: probe\n"


def write_run(
    folder: Path,
    *,
    strength: float,
    seed: int = 0,
    chosen: Sequence[int] = range(IMAGES),
    labels: tuple[str, ...] = LABELS,
) -> Path:
    """A folder with predictions: the stronger, the better; half of the noise is every run's."""
    random = np.random.default_rng(0)
    truth, shared = random.integers(2, size=IMAGES), random.normal(size=(IMAGES, 2))
    own = np.random.default_rng(seed + 1).normal(size=(IMAGES, 2))
    logits = strength * np.eye(2)[truth] + shared + 0.4 * own
    ids = [f"{image:016x}" for image in range(IMAGES)]
    table = predictions_table(
        image_ids=[ids[image] for image in chosen],
        patient_ids=[f"p{image // 2}" for image in chosen],
        truth=[labels[truth[image]] for image in chosen],
        logits={ids[image]: logits[image] for image in chosen},
        temperature=1.0,
        labels=labels,
    )
    folder.mkdir(parents=True)
    save_predictions(table, folder / "predictions.parquet")
    (folder / "recipe.yaml").write_text(RECIPE.format(name=folder.name, seed=seed))
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    return [
        write_run(tmp_path / "runs" / "weak", strength=1.0),
        write_run(tmp_path / "runs" / "strong", strength=2.5, seed=1),
    ]


def test_the_better_run_is_named_first_and_everything_is_written(
    pair: list[Path], tmp_path: Path
) -> None:
    result = compare_runs(pair, output=tmp_path / "out", resamples=300)
    assert result.verdict[0].startswith("strong is better than weak in AUC by 0.")
    assert result.verdict[0].endswith("after Holm.")
    assert sorted(path.name for path in result.output.iterdir()) == [
        "comparison.csv", "comparison.html", "comparison.json", "disagreements.csv",
    ]  # fmt: skip
    content = json.loads((result.output / "comparison.json").read_text())
    assert content == result.content
    assert content["verdict"][0]["model"] == "strong"
    assert content["verdict"][0]["better_than"] == ["weak"]
    assert content["images"]["shared"] == IMAGES
    assert content["notices"] == []


def test_a_row_per_pair_and_metric_with_the_numbers_of_the_tests(
    pair: list[Path], tmp_path: Path
) -> None:
    third = write_run(tmp_path / "runs" / "third", strength=1.0, seed=2)
    metrics = ("auc", "accuracy", "sensitivity:PNEUMONIA")
    result = compare_runs(
        [*pair, third], output=tmp_path / "out", metrics=metrics, resamples=4000, seed=3
    )
    with (result.output / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["first"], row["second"], row["metric"]) for row in rows] == [
        (first, second, metric)
        for first, second in (("weak", "strong"), ("weak", "third"), ("strong", "third"))
        for metric in metrics
    ]
    tables = {
        run.name: read_table(load_predictions(run / "predictions.parquet"))
        for run in (*pair, third)
    }
    expected = compare(tables, metrics=metrics, resamples=4000, seed=3)
    assert [one.words() for one in expected] == [row["words"] for row in rows]
    assert {row["test"] for row in rows} == {"DeLong", "McNemar", "bootstrap"}
    assert "leads and is better than weak and third" in result.verdict[0]


def test_identical_runs_are_a_statistical_tie(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, strength=1.5) for name in ("one", "other")]
    result = compare_runs(runs, output=tmp_path / "out", resamples=200)
    assert all("statistical tie" in sentence for sentence in result.verdict)
    assert (tmp_path / "out" / "disagreements.csv").read_text().count("\n") == 1


def test_metrics_of_each_run_are_those_of_its_own_metrics_file(
    pair: list[Path], tmp_path: Path
) -> None:
    result = compare_runs(pair, output=tmp_path / "out", resamples=200, seed=7)
    table = load_predictions(pair[0] / "predictions.parquet")
    own = evaluate_predictions(
        table, resamples=200, confidence_level=0.95, seed=7, split="", bundle="", data=""
    )
    runs = result.content["runs"]
    assert isinstance(runs, dict)
    shown = runs["weak"]["metrics"]
    assert {key: own[key] for key in shown} == shown


def test_partly_shared_images_are_compared_and_said(pair: list[Path], tmp_path: Path) -> None:
    part = write_run(tmp_path / "part", strength=2.0, seed=4, chosen=range(60, IMAGES))
    reporter = Silent()
    result = compare_runs(
        [pair[0], part], output=tmp_path / "out", resamples=200, reporter=reporter
    )
    assert len(reporter.warnings) == 1
    assert "weak 240, part 180" in reporter.warnings[0]
    assert "the 180 that all of them answered" in reporter.warnings[0]
    assert reporter.warnings[0] in (result.output / "comparison.html").read_text()
    images = result.content["images"]
    assert isinstance(images, dict)
    assert (images["shared"], images["patients"]) == (180, 90)
    assert images["answered"] == {"weak": 240, "part": 180}
    full = read_table(load_predictions(pair[0] / "predictions.parquet"))
    right = (full.predicted == full.truth)[60:]
    runs = result.content["runs"]
    assert isinstance(runs, dict)
    assert runs["weak"]["metrics"]["accuracy"]["value"] == pytest.approx(right.mean())


def test_other_splits_are_said(pair: list[Path], tmp_path: Path) -> None:
    for run, split in zip(pair, ("test", "all"), strict=True):
        (run / "metrics.json").write_text(json.dumps({"split": split, "bundle": "m@1"}))
    reporter = Silent()
    result = compare_runs(pair, output=tmp_path / "out", resamples=200, reporter=reporter)
    assert "different splits (weak test, strong all)" in reporter.warnings[0]
    runs = result.content["runs"]
    assert isinstance(runs, dict)
    assert (runs["strong"]["split"], runs["strong"]["model"]) == ("all", "m@1")


def test_a_reference_is_compared_with_each_other_run(pair: list[Path], tmp_path: Path) -> None:
    third = write_run(tmp_path / "third", strength=1.0, seed=2)
    for reference in ("weak", str(pair[0])):
        result = compare_runs(
            [*pair, third],
            output=tmp_path / f"out{len(reference)}",
            metrics=["auc"],
            reference=reference,
            resamples=200,
        )
        assert [(one.first, one.second) for one in result.comparisons] == [
            ("strong", "weak"), ("third", "weak"),
        ]  # fmt: skip
        assert result.verdict == (
            "AUC: the reference weak is worse than strong and is a statistical tie with third.",
        )
    with pytest.raises(PredictionsError, match="reference 'absent'; allowed: weak, strong"):
        compare_runs(pair, output=tmp_path / "no", reference="absent")


def test_many_tests_get_the_resamples_that_holm_needs(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / f"run{number}", strength=0.6 + 0.9 * number, seed=number)
        for number in range(4)
    ]
    few = compare_runs(runs[:2], output=tmp_path / "two", metrics=["log_loss"], resamples=100)
    many = compare_runs(runs, output=tmp_path / "four", metrics=["log_loss", "mcc"], resamples=100)
    assert few.content["settings"] == {
        "confidence_level": 0.95, "resamples": 100, "resamples_of_tests": 100, "seed": 0,
    }  # fmt: skip
    settings = many.content["settings"]
    assert isinstance(settings, dict)
    assert settings["resamples_of_tests"] == 960
    extremes = next(one for one in many.comparisons if {one.first, one.second} == {"run0", "run3"})
    assert extremes.better == "run3"


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_runs_are_refused(pair: list[Path], tmp_path: Path, count: int) -> None:
    with pytest.raises(InputError, match=f"{count} run.* given; allowed: two or more"):
        compare_runs(pair[:count], output=tmp_path / "out")


def test_what_is_no_run_is_refused(pair: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused = {
        tmp_path / "absent": "does not exist",
        tmp_path / "empty": "has no predictions.parquet",
        pair[0] / ".." / "weak": "is given twice",
    }
    for folder, reason in refused.items():
        with pytest.raises(InputError, match=reason) as caught:
            compare_runs([pair[0], folder], output=tmp_path / "out")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_other_labels_and_other_images_are_refused(pair: list[Path], tmp_path: Path) -> None:
    renamed = write_run(tmp_path / "renamed", strength=1, labels=("NORMAL", "COVID"))
    message = "weak and renamed: labels NORMAL, PNEUMONIA and NORMAL, COVID; allowed: the same"
    with pytest.raises(PredictionsError, match=message):
        compare_runs([pair[0], renamed], output=tmp_path / "out")
    first = write_run(tmp_path / "first", strength=1, chosen=range(100))
    second = write_run(tmp_path / "second", strength=1, chosen=range(100, 200))
    with pytest.raises(PredictionsError, match=r"no image in common \(images: first 100, second"):
        compare_runs([first, second], output=tmp_path / "out")
    with pytest.raises(PredictionsError, match="metric 'f2'; allowed: accuracy"):
        compare_runs(pair, output=tmp_path / "out", metrics=["f2"])
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_beside_the_predictions_is_left_out_and_said(
    pair: list[Path], tmp_path: Path
) -> None:
    (pair[0] / "recipe.yaml").write_text("a: [1")
    (pair[0] / "metrics.json").write_text("[1]")
    (pair[1] / "history.csv").write_text("phase\nprobe\n")
    (pair[1] / "catalogue.parquet").write_text("no table")
    reporter = Silent()
    result = compare_runs(pair, output=tmp_path / "out", resamples=200, reporter=reporter)
    assert [warning.split(":")[0].rsplit("/")[-1] for warning in reporter.warnings[:4]] == [
        "metrics.json", "recipe.yaml", "history.csv", "catalogue.parquet",
    ]  # fmt: skip
    assert result.content["recipe_differences"] is None


def test_names_are_as_short_as_they_can_be(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a/x/run", "b/x/run", "c/run", "d")]
    assert run_names(folders) == ["a/x/run", "b/x/run", "c/run", "d"]
    with pytest.raises(InputError, match="is given twice"):
        run_names([tmp_path, tmp_path / "a" / ".."])


def test_only_the_recipe_fields_that_differ_are_told(pair: list[Path]) -> None:
    found = {name: run.recipe for name, run in read_runs(pair, reporter=Silent()).items()}
    assert recipe_differences(found) == {
        "name": {"weak": "weak", "strong": "strong"},
        "seed": {"weak": 0, "strong": 1},
    }
    recipes = {
        "a": {"x": {"y": [1, {"z": True}]}, "same": None, "e": {}, "n": float("inf")},
        "b": {"x": {"y": [1, {"z": 1}, 3]}, "same": None, "e": {}, "n": float("inf")},
        "none": None,
    }
    assert recipe_differences(recipes) == {
        "x.y.1.z": {"a": True, "b": 1},
        "x.y.2": {"b": 3},
    }
    assert recipe_differences({"a": {"x": 1}, "none": None}) == {}


def small(logits: list[list[float]], truth: list[int], ids: str = "abcd") -> Predictions:
    table = predictions_table(
        image_ids=list(ids[: len(truth)]),
        patient_ids=[None] * len(truth),
        truth=[LABELS[index] for index in truth],
        logits={name: np.array(row) for name, row in zip(ids, logits, strict=False)},
        temperature=1.0,
        labels=LABELS,
    )
    return read_table(table)


def test_agreement_counts_every_image_once() -> None:
    one = small([[2, 0], [0, 2], [2, 0], [0, 1], [0, 1], [0, 1]], [0, 0, 1, 1, 1, 1], "abcdef")
    other = small([[1, 0], [1, 0], [2, 0], [3, 0], [3, 0], [3, 0]], [0, 0, 1, 1, 1, 1], "abcdef")
    (found,) = agreements({"one": one, "other": other}, [("one", "other")])
    counts = found.counts
    assert (counts.both_right, counts.only_first, counts.only_second, counts.both_wrong) == (
        1, 3, 1, 1,
    )  # fmt: skip
    normal = found.by_label["NORMAL"]
    assert (normal.both_right, normal.only_second, normal.images) == (1, 1, 2)
    assert sum(one.images for one in found.by_label.values()) == counts.images == 6


def test_disputed_images_come_widest_apart_first() -> None:
    one = small([[2, 0], [0, 2], [2, 0], [0, 1]], [0, 0, 1, 1])
    other = small([[1, 0], [1, 0], [2, 0], [3, 0]], [0, 0, 1, 1])
    table = disputed_images({"one": one, "other": other})
    assert table["image_id"].to_list() == ["d", "b"]
    assert table["right"].to_list() == [1, 1]
    row = table.row(0, named=True)
    assert (row["label"], row["answer:one"], row["answer:other"]) == (
        "PNEUMONIA", "PNEUMONIA", "NORMAL",
    )  # fmt: skip
    spread = abs(row["probability:one"] - row["probability:other"])
    assert row["spread"] == pytest.approx(spread)
    assert row["probability:one"] == pytest.approx(1 / (1 + np.exp(-1)))


def test_shared_images_keep_patients_and_values() -> None:
    one = small([[2, 0], [0, 2], [1, 0], [0, 1]], [0, 0, 1, 1])
    other = small([[5, 0], [0, 5]], [0, 1], ids="bd")
    found = shared_images({"one": one, "other": other})
    assert found["one"].image_ids == found["other"].image_ids == ("b", "d")
    assert found["one"].logits.tolist() == [[0, 2], [0, 1]]
    assert found["one"].clusters.tolist() == [0, 1]


def test_the_paths_of_disputed_images_come_from_a_catalogue(
    pair: list[Path], tmp_path: Path
) -> None:
    ids = [f"{image:016x}" for image in range(IMAGES)]
    paths = [f"test/{image}.png" for image in ids]
    catalogue = pl.DataFrame({"image_id": ids, "path": paths})
    catalogue.write_parquet(pair[1] / "catalogue.parquet")
    result = compare_runs(pair, output=tmp_path / "out", resamples=200)
    table = pl.read_csv(
        result.output / "disagreements.csv", schema_overrides={"image_id": pl.String}
    )
    assert table.height > 20
    assert (table["path"] == "test/" + table["image_id"] + ".png").all()
    assert table["path"][0] in (result.output / "comparison.html").read_text()


def app() -> typer.Typer:
    made = typer.Typer(add_completion=False)
    made.command()(command)
    return made


def test_the_command_prints_the_verdict_and_where_the_page_is(
    pair: list[Path], tmp_path: Path
) -> None:
    arguments = [*map(str, pair), "--output", str(tmp_path / "out"), "--metrics", "auc,accuracy"]
    done = CliRunner().invoke(app(), arguments)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("strong is better than weak in AUC")
    assert lines[-1] == f"Report  {tmp_path / 'out' / 'comparison.html'}"


def test_the_command_prints_json_for_programs(pair: list[Path], tmp_path: Path) -> None:
    arguments = [*map(str, pair), "--output", str(tmp_path / "out"), "--json", "--seed", "3"]
    done = CliRunner().invoke(app(), [*arguments, "--metrics", "auc", "--metrics", "mcc"])
    content = json.loads(done.stdout)
    assert [one["metric"] for one in content["comparisons"]] == ["auc", "mcc"]
    assert content["settings"]["seed"] == 3


def test_a_comma_in_a_label_parts_no_metric(tmp_path: Path) -> None:
    labels = ("NORMAL", "edema, mild")
    runs = [
        str(write_run(tmp_path / name, strength=1.5, seed=seed, labels=labels))
        for seed, name in enumerate(("one", "other"))
    ]
    arguments = [*runs, "--output", str(tmp_path / "out"), "--json", "--metrics", "auc,mcc"]
    done = CliRunner().invoke(app(), [*arguments, "--metrics", "auc:edema, mild"])
    metrics = [one["metric"] for one in json.loads(done.stdout)["comparisons"]]
    assert metrics == ["auc", "mcc", "auc:edema, mild"]
