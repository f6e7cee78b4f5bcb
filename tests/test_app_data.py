"""The app's readers, without a page: runs, audits, thresholds, pairs of runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from pneumoscope.app.board import board_rows, compared, kept_in, tracked_link
from pneumoscope.app.data import (
    champion,
    counts,
    find_runs,
    label_of_interest,
    leaderboards,
    read_audit,
    suspects,
)
from pneumoscope.app.operating import cost_points, moved, point_name, point_value, there
from pneumoscope.app.settings import Settings
from pneumoscope.core.errors import InputError
from pneumoscope.evaluation.clinic import points_for_clinic
from pneumoscope.evaluation.operating_point import Youden, choose_point, one_against_rest

if TYPE_CHECKING:
    from pneumoscope.workflows.results import TrainResult


@pytest.fixture
def audited(tmp_path: Path) -> Path:
    """An audit folder written by hand: four images, two of them doubted."""
    rows = [("a", "N/a.png", "N", None), ("b", "N/b.png", "N", None),
            ("c", "P/c.png", "P", None), ("d", "P/d.png", "P", "unreadable: damaged")]  # fmt: skip
    schema = ["image_id", "path", "label", "excluded"]
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(tmp_path / "catalogue.parquet")
    issues = [
        {"check": "label_suspects", "severity": "warning", "title": "t", "message": "m",
         "paths": ["P/c.png", "N/a.png"], "facts": {"P/c.png": 0.97, "images": 2}},
        {"check": "named_label", "severity": "error", "title": "t", "message": "m",
         "paths": ["N/a.png", "gone.png"], "facts": {}},
    ]  # fmt: skip
    (tmp_path / "audit.json").write_text(json.dumps({"data": ["x"], "issues": issues}))
    return tmp_path


def test_runs_are_found_with_their_role(trained: TrainResult) -> None:
    model_id = str(trained.metrics["bundle"])
    (run,) = find_runs(trained.output.parent, champion=model_id)
    assert (run.name, run.role) == ("small", "champion")
    assert run.assessment["verdict"]
    assert run.predictions().n_images == run.metrics["n_images"]
    assert run.history() is not None
    assert run.catalogue() is not None
    assert find_runs(trained.output)[0].role == "run"


def test_the_run_that_made_the_bundle_comes_before_its_evaluations(
    trained: TrainResult, tmp_path: Path
) -> None:
    for name in ("a-evaluation", "b-training"):
        shutil.copytree(trained.output, tmp_path / name, ignore=shutil.ignore_patterns("bundle"))
    (tmp_path / "a-evaluation" / "recipe.yaml").unlink()
    many = find_runs(tmp_path, champion=str(trained.metrics["bundle"]))
    assert [run.role for run in many] == ["champion", "champion"]
    found = champion(many)
    assert found is not None
    assert found.name == "b-training"
    assert found.remembered() is not None
    assert champion(many[:1]) is many[0]
    assert champion([]) is None


def test_runs_below_a_benchmark_are_candidates_and_damaged_ones_left_out(
    trained: TrainResult, tmp_path: Path
) -> None:
    for name in ("metrics.json", "predictions.parquet"):
        for place in ("bench/runs/one", "broken", ".hidden"):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            shutil.copy(trained.output / name, tmp_path / place / name)
    (tmp_path / "bench" / "leaderboard.json").write_text("{}")
    (tmp_path / "broken" / "metrics.json").write_text("no JSON")
    for place, labels in (("none", []), ("odd", [1, 2])):
        shutil.copytree(tmp_path / "broken", tmp_path / place)
        (tmp_path / place / "metrics.json").write_text(json.dumps({"labels": labels}))
    odd = {"verdict": ["x", {"item": "calibration", "colour": "pink"}]}
    (tmp_path / "bench" / "runs" / "one" / "assessment.json").write_text(json.dumps(odd))
    (run,) = find_runs(tmp_path)
    assert (run.name, run.role, run.assessment, run.history()) == (
        "bench/runs/one",
        "candidate",
        {"verdict": []},
        None,
    )
    assert list(leaderboards(tmp_path)) == ["bench"]


def test_suspects_come_once_the_most_suspect_first(audited: Path) -> None:
    found = suspects(read_audit(audited))
    assert [(one.image_id, one.label, one.check, one.share) for one in found] == [
        ("c", "P", "label_suspects", 0.97), ("a", "N", "label_suspects", None),
    ]  # fmt: skip


def test_identical_copies_are_one_suspect_with_both_labels(audited: Path) -> None:
    file = audited / "catalogue.parquet"
    table = pl.read_parquet(file)
    copy = table.filter(pl.col("image_id") == "a").with_columns(path=pl.lit("P/a.png"),
                                                                label=pl.lit("P"))  # fmt: skip
    pl.concat([table, copy]).write_parquet(file)
    content = json.loads((audited / "audit.json").read_text())
    content["issues"] = [{"check": "duplicates_across_labels", "paths": ["N/a.png", "P/a.png"]}]
    (audited / "audit.json").write_text(json.dumps(content))
    (one,) = suspects(read_audit(audited))
    assert (one.image_id, one.label, one.labels) == ("a", "N", ("N", "P"))


def test_counts_leave_out_what_is_excluded(audited: Path) -> None:
    table = read_audit(audited).catalogue.with_columns(pl.lit("train").alias("split"))
    assert counts(table, "split").rows() == [("train", "N", 2), ("train", "P", 1)]


def test_a_folder_without_an_audit_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pneumoscope audit DATA"):
        read_audit(tmp_path)


def test_a_threshold_gives_what_counting_gives(trained: TrainResult) -> None:
    (run,) = find_runs(trained.output)
    predictions = run.predictions()
    label = label_of_interest(predictions.labels)
    positive, scores = one_against_rest(predictions, label)
    threshold, prevalence = float(np.median(scores)), 0.2
    found = moved(predictions, label, threshold, prevalence)
    sensitivity = (scores[positive] >= threshold).mean()
    specificity = (scores[~positive] < threshold).mean()
    assert found.sensitivity["value"] == pytest.approx(sensitivity)
    assert found.specificity["value"] == pytest.approx(specificity)
    right, alarms = prevalence * sensitivity, (1 - prevalence) * (1 - specificity)
    assert found.ppv["value"] == pytest.approx(right / (right + alarms))
    assert found.of_thousand["positive"] == pytest.approx(1000 * (right + alarms))
    assert found.of_thousand["missed"] == pytest.approx(1000 * prevalence * (1 - sensitivity))


def test_thresholds_of_least_cost_follow_the_prevalence_as_an_evaluation_would(
    trained: TrainResult, tmp_path: Path
) -> None:
    (run,) = find_runs(trained.output)
    calibration = run.calibration()
    assert calibration is not None
    label = label_of_interest(calibration.labels)
    found = cost_points(calibration, label, ["youden", "cost ratio 3, prevalence 0.5"],
                        prevalence=0.02)  # fmt: skip
    rules = [f"cost ratio {ratio}, prevalence 0.02" for ratio in (3, 5, 20)]
    assert list(found) == rules
    given = [choose_point(calibration, label=label, rule=Youden())]
    for name, point in zip(rules, points_for_clinic(
        given, calibration, prevalence=0.02, cost_ratios=(3, 5, 20)
    )[1:], strict=True):  # fmt: skip
        assert (point.name, point.threshold) == (name, found[name])
    own = float((calibration.truth == calibration.labels.index(label)).mean())
    told = there(calibration, label, 0.5, prevalence=0.02)
    assert told == pytest.approx((own, 0.02 / own / (0.02 / own + 0.98 / (1 - own))))
    assert point_name(rules[0], "fr") == "Un oubli vaut 3 fausses alertes, à 2,0\u202f%"
    assert point_name("cost ratio 1, prevalence of the images", "en") == (
        "A miss worth 1 false alarm"
    )
    assert cost_points(None, label, [], prevalence=0.02) == {}
    assert there(None, label, 0.5, prevalence=0.02) is None
    (bare,) = find_runs(shutil.copytree(run.folder, tmp_path / "bare", ignore=(
        shutil.ignore_patterns("calibration.parquet", "bundle", "mlartifacts"))))  # fmt: skip
    assert bare.calibration() is None


def test_two_runs_are_tested_on_the_images_both_answered(
    trained: TrainResult, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        shutil.copytree(trained.output, tmp_path / name, ignore=shutil.ignore_patterns("bundle"))
    one, two = find_runs(tmp_path)
    found = compared(one, two)
    assert [difference.verdict for difference in found] == ["tie"] * 3
    assert {difference.difference for difference in found} == {0.0}
    assert [run.name for run, _ in board_rows([two, one])] == ["one", "two"]


def test_a_run_is_linked_only_where_a_server_shows_it(trained: TrainResult, tmp_path: Path) -> None:
    (run,) = find_runs(trained.output)
    assert tracked_link(run) is None
    assert str(kept_in(run)).startswith("sqlite")
    shutil.copytree(trained.output, tmp_path / "run", ignore=shutil.ignore_patterns("bundle"))
    record = {"uri": "https://mlflow.example.org/", "run_id": "7"}
    (tmp_path / "run" / "tracking.json").write_text(json.dumps(record))
    (run,) = find_runs(tmp_path / "run")
    assert tracked_link(run) == "https://mlflow.example.org/#/runs/7"


def test_settings_survive_the_command_line() -> None:
    settings = Settings(Path("a b/bundle"), "sqlite:///x=y.db", Path("audit"))
    assert Settings.from_arguments(settings.to_arguments()) == settings
    assert Settings.from_arguments(["--port=3"]) == Settings()
    assert (point_value(0.7498), point_value(float("inf"))) == (0.75, 1.0)
