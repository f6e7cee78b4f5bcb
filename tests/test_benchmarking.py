from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from filelock import FileLock

from pneumoscope.core.errors import RecipeError, StorageError, TrainingError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.evaluation.paired import bootstrap_difference, difference_of_draws
from pneumoscope.evaluation.predictions import (
    Predictions,
    load_predictions,
    predictions_table,
    read_table,
)
from pneumoscope.evaluation.ranking import enough_resamples, rank, ranking_words
from pneumoscope.evaluation.resampling import resampled_metrics
from pneumoscope.models import hub
from pneumoscope.reporting.benchmark_figures import pareto_front
from pneumoscope.training.views import Views
from pneumoscope.workflows.benchmark import process as benchmark_process
from pneumoscope.workflows.benchmark import run as benchmark_run
from pneumoscope.workflows.benchmark.process import run_apart
from pneumoscope.workflows.benchmark.protocol import SUITES, begin, choose_candidates
from pneumoscope.workflows.benchmark.record import Job, Record
from pneumoscope.workflows.benchmark.run import BenchmarkResult, benchmark, children

# Six halvings leave nothing of a canvas of 40, so cnn6 fails; DenseNet121 has no weights here.
NAMES = ("LeNet-5", "cnn6", "densenet121", "cnn3")
SMALL = {
    "preprocess.size": 40,
    "phases.0.epochs": 2,
    "phases.0.views": 1,
    "compute.precision": "float32",
    "evaluate.resamples": 200,
    "evaluate.audit.enabled": False,
    "gate.enabled": False,
    "tracking.enabled": False,
}
TIMINGS = {"p50_ms", "images_per_second", "train_seconds", "seconds"}


class Killed(BaseException):
    """What stands for the end of the process."""


@pytest.fixture(scope="module")
def base(phantoms: Path) -> Recipe:
    return override(Recipe(), SMALL | {"data.path": str(phantoms)})


@pytest.fixture(scope="module", autouse=True)
def no_hub() -> object:
    """As where no weights can be fetched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "_answers", lambda endpoint: False)
        yield


def run(
    recipe: Recipe, output: Path, seeds: int = 1, names: Sequence[str] = NAMES
) -> BenchmarkResult:
    return benchmark(None, names, recipe=recipe, seeds=seeds, output=output, isolate=False)


@pytest.fixture(scope="module")
def done(base: Recipe, tmp_path_factory: pytest.TempPathFactory) -> BenchmarkResult:
    return run(base, tmp_path_factory.mktemp("benchmark") / "done")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is trained, as it begins."""
    began: list[str] = []
    run_job = Job.run

    def noted(job: Job) -> Record:
        began.append(job.output.name)
        return run_job(job)

    monkeypatch.setattr(Job, "run", noted)
    return began


def by_name(result: BenchmarkResult) -> dict[str, dict[str, object]]:
    return {row["candidate"]: row for row in result.leaderboard["candidates"]}


def without_timings(board: dict[str, object]) -> str:
    """The leaderboard as text, without what was measured by a clock and the words about it."""
    rows = [
        {key: value for key, value in row.items() if key not in TIMINGS}
        for row in board["candidates"]  # type: ignore[attr-defined]
    ]
    words = [line for line in board["words"] if "quickest" not in line]  # type: ignore[attr-defined]
    return json.dumps({**board, "candidates": rows, "words": words})


def test_the_leaderboard_tells_figures_costs_and_what_kept_others_out(
    done: BenchmarkResult,
) -> None:
    rows = by_name(done)
    assert {name: row["status"] for name, row in rows.items()} == {
        "LeNet-5": "finished", "cnn3": "finished", "cnn6": "failed", "DenseNet121": "skipped",
    }  # fmt: skip
    assert "on a canvas of 40 x 40" in str(rows["cnn6"]["reason"])
    assert "no ImageNet weights of densenet121" in str(rows["DenseNet121"]["reason"])
    order = [row["candidate"] for row in done.leaderboard["candidates"]]
    values = [rows[name]["metrics"]["auc"]["value"] for name in order[:2]]  # type: ignore[index]
    assert values == sorted(values, reverse=True)
    assert set(order[2:]) == {"cnn6", "DenseNet121"}
    for name in order[:2]:
        row = rows[name]
        assert all(row[cost] > 0 for cost in (*TIMINGS - {"seconds"}, "bundle_bytes"))  # type: ignore[operator]
        folder = done.output / row["runs"][0]  # type: ignore[index]
        metrics = json.loads((folder / "metrics.json").read_text())
        for metric, entry in row["metrics"].items():  # type: ignore[attr-defined]
            assert entry["value"] == pytest.approx(metrics[metric]["value"], abs=1e-12)
            assert entry["low"] == pytest.approx(metrics[metric]["low"], abs=1e-12)
            assert entry["high"] == pytest.approx(metrics[metric]["high"], abs=1e-12)
    # Convolutions of LeCun et al. 1998, then dense layers on 16 maps of 5 x 5.
    sizes = (6 * 26, 16 * 151, 120 * 401, 84 * 121, 2 * 85)
    assert rows["LeNet-5"]["parameters"] == sum(sizes)


def test_ties_and_p_values_are_those_of_the_paired_test(done: BenchmarkResult) -> None:
    rows = by_name(done)
    first, second = (row["candidate"] for row in done.leaderboard["candidates"][:2])
    other, best = (
        read_table(load_predictions(done.output / rows[name]["runs"][0] / "predictions.parquet"))  # type: ignore[index]
        for name in (second, first)
    )
    wanted = bootstrap_difference(other, best, "auc", resamples=200, seed=0)
    gap = rows[second]["difference"]
    assert gap == {
        "value": wanted.interval.value, "low": wanted.interval.low, "high": wanted.interval.high,
        "p_value": wanted.p_value, "adjusted_p_value": wanted.p_value,
    }  # fmt: skip
    assert rows[first]["difference"] is None
    tied = wanted.p_value >= 0.05
    assert len(done.leaderboard["groups"]) == (1 if tied else 2)
    assert ("tie" in done.leaderboard["words"][0]) == tied


def test_the_page_and_the_table_hold_everybody(done: BenchmarkResult) -> None:
    page = done.report.read_text()
    table = pl.read_csv(done.output / "leaderboard.csv")
    assert table["candidate"].to_list() == list(by_name(done))
    assert table["auc"].null_count() == 2
    for name, row in by_name(done).items():
        assert name in page
        assert str(row["reason"] or "").replace("'", "&#39;") in page
    for figure in ("quality", "pareto", "roc", "training", "confusion-lenet5", "confusion-cnn3"):
        assert f'id="figure-{figure}"' in page
        assert (done.output / "figures" / f"{figure}.png").is_file()
    assert page.count('role="img" aria-label="') == 6
    assert "not a medical device" in page.lower()
    assert children(done.output) == sorted(done.runs)


def test_all_runs_share_split_and_draws(done: BenchmarkResult) -> None:
    tables = [pl.read_parquet(folder / "split.parquet") for folder in done.runs]
    frozen = pl.read_parquet(done.output / "split.parquet")
    assert all(table.equals(frozen) for table in tables)


def test_a_restart_after_a_kill_does_what_is_missing_and_ends_the_same(
    base: Recipe,
    done: BenchmarkResult,
    trained: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noted: Callable[[Job], Record] = Job.run

    def killed_at_the_last(job: Job) -> Record:
        if job.output.name == "cnn3-seed0":
            raise Killed
        return noted(job)

    monkeypatch.setattr(Job, "run", killed_at_the_last)
    with pytest.raises(Killed):
        run(base, tmp_path / "b")
    monkeypatch.setattr(Job, "run", noted)
    assert trained == ["lenet5-seed0", "cnn6-seed0"]
    assert not (tmp_path / "b" / "leaderboard.json").exists()
    trained.clear()
    again = run(base, tmp_path / "b")
    assert trained == ["cnn6-seed0", "cnn3-seed0"], "what failed is tried again"
    assert without_timings(again.leaderboard) == without_timings(done.leaderboard)
    trained.clear()
    written = (tmp_path / "b" / "leaderboard.json").read_bytes()
    page = again.report.read_bytes()
    run(base, tmp_path / "b")
    assert trained == ["cnn6-seed0"]
    assert (tmp_path / "b" / "leaderboard.json").read_bytes() == written, "timings are kept too"
    assert again.report.read_bytes() == page


def test_another_seed_is_added_on_the_same_split_and_draws(
    base: Recipe, done: BenchmarkResult, trained: list[str]
) -> None:
    more = run(base, done.output, seeds=2, names=["lenet5"])
    assert trained == ["lenet5-seed1"]
    entry = more.leaderboard["candidates"][0]["metrics"]["auc"]
    assert entry["value"] == pytest.approx(np.mean(entry["values"]))
    assert entry["spread"] == pytest.approx(np.std(entry["values"], ddof=1))
    assert len(set(entry["values"])) == 2


def test_another_protocol_in_the_folder_is_refused(base: Recipe, done: BenchmarkResult) -> None:
    with pytest.raises(RecipeError, match=r"another protocol was begun here .*zoom"):
        run(override(base, {"augment.zoom": 0.2}), done.output)


def test_two_at_once_are_refused_and_an_old_lock_is_no_hindrance(
    base: Recipe, tmp_path: Path
) -> None:
    output = tmp_path / "b"
    output.mkdir()
    with (
        FileLock(output / ".lock"),
        pytest.raises(StorageError, match="another benchmark is at work here"),
    ):
        run(base, output)
    (output / ".lock").touch()
    with pytest.raises(TrainingError, match=r"no candidate finished; .*densenet121"):
        run(base, output, names=["densenet121"])
    board = json.loads((output / "leaderboard.json").read_text())
    assert board["candidates"][0]["status"] == "skipped"
    assert "skipped" in (output / "benchmark.html").read_text()


def test_unknown_names_are_refused_before_anything_is_made(base: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'densnet121' is no backbone; did you mean DenseNet121"):
        run(base, tmp_path / "b", names=["lenet5", "densnet121"])
    with pytest.raises(RecipeError, match="no candidate"):
        run(base, tmp_path / "b", names=[" "])
    assert not (tmp_path / "b").exists()


def test_random_weights_are_by_wish_and_marked(base: Recipe) -> None:
    names = ["vgg16", "VGG-16", "EfficientNet-Lite0", "lenet5"]
    without, wished = (
        choose_candidates(names, base, random_weights=wish, quick=False, reporter=Silent())
        for wish in (False, True)
    )
    assert [one.name for one in without] == ["VGG16", "EfficientNet-Lite0", "LeNet-5"]
    assert without[0].skipped
    assert [one.name for one in wished] == ["VGG16 (random)", "EfficientNet-Lite0", "LeNet-5"]
    assert (wished[0].weights, wished[0].random, wished[0].skipped) == ("none", True, None)
    assert [phase["last"] for phase in wished[0].changes["phases"]] == ["all"]
    assert wished[1].changes == {}


def test_every_suite_is_known() -> None:
    for names in SUITES.values():
        quick = choose_candidates(
            names, Recipe(), random_weights=True, quick=True, reporter=Silent()
        )
        assert len(quick) == len(names)
        assert all(p["epochs"] <= 20 for one in quick for p in one.changes.get("phases", []))


def test_runs_differ_in_the_seed_alone(base: Recipe, tmp_path: Path) -> None:
    protocol = begin(base, tmp_path / "b", seeds=2, quick=False, reporter=Silent())
    (one,) = choose_candidates(["cnn3"], base, random_weights=False, quick=False, reporter=Silent())
    first, second = (run.recipe for run in protocol.runs(one))
    assert override(second, {"seed": 0, "name": first.name}) == first
    protocol = replace(protocol, base=override(base, {"evaluate.audit.enabled": True}))
    asked = [run.recipe.evaluate.audit.enabled for run in protocol.runs(one)]
    assert asked == [True, False], "seeds share what a network looks at"
    assert Views(first).facts(1) == Views(second).facts(1)


@pytest.mark.parametrize(
    ("recipe", "images"), [(None, (400, 100, 50)), (Recipe(), (1000, 200, 100))]
)
def test_without_a_recipe_half_as_many_images_are_asked(
    recipe: Recipe | None, images: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Recipe] = []

    def noted(base: Recipe, folder: Path, **others: object) -> None:
        begun.append(base)
        raise TrainingError("that is enough")

    monkeypatch.setattr(benchmark_run, "begin", noted)
    with pytest.raises(TrainingError, match="enough"):
        benchmark(tmp_path, ["cnn3"], recipe=recipe, output=tmp_path / "b")
    audit = begun[0].evaluate.audit
    assert audit.enabled
    assert (audit.conditions, audit.corruptions, audit.saliency) == images


def test_a_killed_process_is_a_failed_candidate(
    base: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import os, signal, sys\nsys.stdin.readline()\nos.kill(os.getpid(), signal.SIGKILL)\n"
    (tmp_path / "killed_child.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(benchmark_process, "_CHILD", "killed_child")
    jobs = [
        Job(base, tmp_path / name, tmp_path / f"{name}.json", tmp_path / "log")
        for name in ("a", "b")
    ]
    (record,) = run_apart(jobs)
    assert (record.status, record.hopeless) == ("failed", True)
    assert signal.SIGKILL.name in str(record.reason)
    assert Record.load(jobs[0].record) == record


def test_a_process_of_its_own_records_what_failed(
    base: Recipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = Job(
        override(base, {"data.path": str(tmp_path / "nowhere")}),
        tmp_path / "a",
        tmp_path / "a.json",
        tmp_path / "log",
    )
    (record,) = run_apart([job])
    assert record.status == "failed"
    assert "nowhere" in str(record.reason)
    assert "Traceback" in (tmp_path / "log").read_text()
    assert capfd.readouterr().out == ""


def answers(skill: float, *, seed: int, patients: int = 80, images: int = 2) -> Predictions:
    """Predictions of a model that tells two labels apart by `skill` standard deviations."""
    truth = np.arange(patients * images) // images % 2
    noise = np.random.default_rng(seed).normal(size=len(truth))
    scores = skill * truth + noise
    ids = [f"{at:04}" for at in range(len(truth))]
    return read_table(
        predictions_table(
            image_ids=ids,
            patient_ids=[f"p{at // images}" for at in range(len(truth))],
            truth=["AB"[one] for one in truth],
            logits={name: np.array([0.0, score]) for name, score in zip(ids, scores, strict=True)},
            temperature=1.0,
            labels=["A", "B"],
        )
    )


def test_means_over_seeds_are_resampled_together() -> None:
    models = {"x": [answers(2, seed=1), answers(2, seed=2)], "y": [answers(1.8, seed=3)]}
    standings = rank(models, metrics=["auc", "log_loss"], resamples=300, seed=5)
    runs = [*models["x"], *models["y"]]
    draws = resampled_metrics(runs, ["auc"], resamples=300, seed=5)
    best, other = standings
    assert best.name == "x"
    assert best.difference is None
    mean = (draws[0]["auc"] + draws[1]["auc"]) / 2
    low, high = np.quantile(mean, (0.025, 0.975))
    assert best.means["auc"].interval.low == pytest.approx(low)
    assert best.means["auc"].interval.high == pytest.approx(high)
    gap = other.means["auc"].interval.value - best.means["auc"].interval.value
    wanted = difference_of_draws(gap, draws[2]["auc"] - mean, confidence_level=0.95)
    assert other.difference is not None
    assert other.difference.p_value == pytest.approx(wanted.p_value)
    assert other.difference.interval.low == pytest.approx(wanted.interval.low)


def test_groups_are_ties_with_their_best() -> None:
    skills = {"a": 3.0, "b": 2.9, "c": 1.0, "d": 0.95, "e": -1.0}
    models = {name: [answers(skill, seed=4)] for name, skill in skills.items()}
    standings = rank(models, metrics=["auc"], resamples=500)
    groups = {standing.name: standing.group for standing in standings}
    assert groups["a"] == 1
    assert groups["c"] > 1
    assert groups["e"] == max(groups.values()) > groups["c"]
    words = " ".join(ranking_words(standings, by="auc", metric_name="AUC"))
    assert words.count("comes next") == max(groups.values()) - 1
    lower = rank(models, metrics=["log_loss"], by="log_loss", resamples=500)
    values = [standing.means["log_loss"].interval.value for standing in lower]
    assert values == sorted(values)


def test_many_candidates_get_resamples_enough_to_be_told_apart() -> None:
    models = {str(place): [answers(4 if place == 0 else 0, seed=place)] for place in range(15)}
    few = rank(models, metrics=["auc"], resamples=500)
    assert {standing.group for standing in few} == {1}, "no p-value can pass Holm's correction"
    enough = enough_resamples(15, confidence_level=0.95)
    groups = [standing.group for standing in rank(models, metrics=["auc"], resamples=enough)]
    assert groups.count(1) == 1
    assert enough_resamples(2, confidence_level=0.95) == 100


def test_the_front_is_what_none_beats_in_both() -> None:
    costs, values = [1.0, 2.0, 2.0, 3.0, 4.0], [0.7, 0.9, 0.8, 0.9, 0.95]
    front = pareto_front(costs, values)
    assert front == [0, 1, 4]
