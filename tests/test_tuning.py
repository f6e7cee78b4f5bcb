from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import polars as pl
import pytest
import yaml

from pneumoscope.core.errors import InputError, PneumoscopeError, RecipeError, StorageError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe, load_recipe, override
from pneumoscope.core.recipe.space import Space, parse_space
from pneumoscope.tracking import Record
from pneumoscope.training.trainer import train_classifier
from pneumoscope.workflows.tuning import worker as tuning_worker
from pneumoscope.workflows.tuning.accounts import records
from pneumoscope.workflows.tuning.crew import crew
from pneumoscope.workflows.tuning.plan import Search, StudyPlan, read_material
from pneumoscope.workflows.tuning.run import TuneResult, tune
from pneumoscope.workflows.tuning.storage import resolve_storage
from pneumoscope.workflows.tuning.study import OpenStudy, open_study
from pneumoscope.workflows.tuning.tracked import key_of
from pneumoscope.workflows.tuning.worker import Worker

SPACE: dict[str, Any] = {
    "optimizer.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "model.head": [[{"dropout": 0.2}], [{"dense": 16}, {"dropout": 0.3}]],
}


@pytest.fixture(scope="session")
def recipe(small_recipe: Recipe) -> Recipe:
    changes = {
        "name": "tuned",
        "model": {"backbone": "lenet5", "weights": "none"},
        "phases": [
            {
                "kind": "fine_tune",
                "last": "all",
                "epochs": 4,
                "learning_rate": None,
                "precision": "float32",
            }
        ],
        "tracking.enabled": False,
    }
    return override(small_recipe, changes)


@pytest.fixture(scope="session")
def space(recipe: Recipe) -> Space:
    return parse_space(SPACE, recipe)


@pytest.fixture(scope="session")
def study(recipe: Recipe, space: Space, tmp_path_factory: pytest.TempPathFactory) -> TuneResult:
    output = tmp_path_factory.mktemp("tuned") / "study"
    return tune(recipe, space, output=output, search=Search(trials=4), seeds=2)


def plan_for(recipe: Recipe, space: Space, folder: Path, **changes: Any) -> StudyPlan:
    facts = {"storage": str(folder / "study.journal"), "study": "tuned", "trials": 4, **changes}
    return StudyPlan(recipe=recipe, space=space, **facts)


def opened(plan: StudyPlan) -> OpenStudy:
    return open_study(plan, data=read_material(plan.recipe, Silent()).fingerprint)


def test_a_study_ends_in_a_folder_with_everything(study: TuneResult, recipe: Recipe) -> None:
    written = {path.name for path in study.output.iterdir()}
    assert {"study.json", "trials.csv", "best.yaml", "tune.html", "final"} <= written
    content = json.loads((study.output / "study.json").read_text())
    assert content == study.study
    trials = pl.read_csv(study.output / "trials.csv")
    assert trials["number"].to_list() == [0, 1, 2, 3]
    done = trials.filter(pl.col("state") == "complete")
    assert content["best"]["value"] == pytest.approx(done["value"].max())
    assert study.best is not None
    best = load_recipe(study.best)
    assert best.optimizer.learning_rate == content["best"]["params"]["optimizer.learning_rate"]
    assert best.split == recipe.split, "the recipe repeats the study's split by itself"


def test_the_first_trial_is_the_recipe_itself(study: TuneResult, recipe: Recipe) -> None:
    first = pl.read_csv(study.output / "trials.csv").row(0, named=True)
    assert float(first["optimizer.learning_rate"]) == recipe.optimizer.learning_rate
    assert json.loads(first["model.head"]) == [{"dropout": 0.2}]


def test_the_final_figure_is_of_retraining_on_the_sealed_test_split(
    study: TuneResult, recipe: Recipe
) -> None:
    final = study.study["final"]
    expected = {"winner"} if final["same_as_start"] else {"winner", "starting recipe"}
    assert {run["who"] for run in final["runs"]} == expected
    seeds = {run["seed"] for run in final["runs"]}
    assert seeds == {recipe.seed + 1, recipe.seed + 2}, "the trials' own seed is no retraining"
    split = pl.read_parquet(study.output / "split.parquet")
    test = set(split.filter(pl.col("split") == "test")["image_id"])
    for run in final["runs"]:
        table = pl.read_parquet(study.output / "final" / run["folder"] / "predictions.parquet")
        assert set(table["image_id"]) == test, "every seed is measured on the same test split"
    winners = [run["test"]["auc"] for run in final["runs"] if run["who"] == "winner"]
    over = study.study["best"]["value"] - sum(winners) / 2
    assert final["optimism"]["over_test"] == pytest.approx(over)


def test_trials_are_not_even_given_the_test_split(
    recipe: Recipe, space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    original = train_classifier

    def watching(first: Recipe, catalogue: pl.DataFrame, *rest: Any, **options: Any) -> Any:
        seen.update(catalogue["split"].unique())
        return original(first, catalogue, *rest, **options)

    monkeypatch.setattr(tuning_worker, "train_classifier", watching)
    tune(recipe, space, output=tmp_path / "s", search=Search(trials=1), seeds=0)
    assert seen == {"train", "validation"}


def test_the_report_shows_search_and_winner(study: TuneResult) -> None:
    assert study.report is not None
    page = study.report.read_text(encoding="utf8")
    assert study.study["final"]["words"].split(",")[0].replace("'", "&#39;") in page
    for words in (
        "tuning_history",
        "tuning_slice_0",
        "tuning_slice_1",
        "Optimism",
        "not a medical",
    ):
        assert words.lower() in page.lower()
    assert "<script" not in page


def test_the_same_command_again_repeats_nothing_and_may_add_trials(
    study: TuneResult, recipe: Recipe, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pl.read_csv(study.output / "trials.csv").drop("seconds")
    told: list[tuple[int, str]] = []
    again = tune(
        recipe, space, output=study.output, search=Search(trials=5), seeds=0,
        on_trial=lambda number, _params, _value, state: told.append((number, state)),
    )  # fmt: skip
    assert [number for number, _ in told] == [4]
    after = pl.read_csv(again.output / "trials.csv").drop("seconds")
    assert after.head(4).equals(before)


def test_all_who_go_on_with_a_study_tell_the_same_run(
    recipe: Recipe, space: Space, tmp_path: Path
) -> None:
    first, second = (opened(plan_for(recipe, space, tmp_path)) for _ in range(2))
    (tmp_path / "other").mkdir()
    other = opened(plan_for(recipe, space, tmp_path / "other"))
    assert key_of(first) == key_of(second) != key_of(other)


def test_an_interrupted_study_goes_on_to_the_same_trials(
    recipe: Recipe, space: Space, study: TuneResult, tmp_path: Path
) -> None:
    def interrupt(number: int, *_: object) -> None:
        if number == 1:
            raise KeyboardInterrupt

    search, output = Search(trials=4), tmp_path / "s"
    with pytest.raises(KeyboardInterrupt):
        tune(recipe, space, output=output, search=search, seeds=0, on_trial=interrupt)
    tune(recipe, space, output=output, search=search, seeds=0)
    columns = ["number", "value", *SPACE]
    whole = pl.read_csv(study.output / "trials.csv").select(columns).head(4)
    assert pl.read_csv(output / "trials.csv").select(columns).equals(whole)


def test_an_interrupt_within_a_trial_begins_it_again(
    recipe: Recipe, space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(recipe, space, tmp_path, trials=2)
    study, material = opened(plan), read_material(recipe, Silent())
    original = train_classifier
    calls: list[Recipe] = []

    def interrupted(first: Recipe, *rest: Any, **options: Any) -> Any:
        calls.append(first)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(first, *rest, **options)

    monkeypatch.setattr(tuning_worker, "train_classifier", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Worker(study, material, Silent()).work()
    Worker(study, material, Silent()).work()
    found = records(study.trials())
    assert [(r.number, r.state, r.attempts) for r in found] == [
        (0, "complete", 1), (1, "complete", 2),
    ]  # fmt: skip
    assert calls[2] == calls[1], "the same values are tried again"


def test_a_trial_that_cannot_train_fails_alone(recipe: Recipe, tmp_path: Path) -> None:
    space = parse_space({"loss.name": ["cross_entropy", "logit_adjusted"]}, recipe)
    search = Search(trials=2, sampler="grid")
    tune(recipe, space, output=tmp_path / "s", search=search, seeds=0)
    table = pl.read_csv(tmp_path / "s" / "trials.csv")
    assert sorted(table["state"]) == ["complete", "failed"]
    assert "both correct" in str(table.filter(pl.col("state") == "failed")["reason"].item())


def test_a_study_of_which_every_trial_fails_stops_with_the_reason(
    recipe: Recipe, tmp_path: Path
) -> None:
    broken = override(recipe, {"model.weights": "file:/nowhere/weights.safetensors"})
    space = parse_space({"augment.zoom": {"low": 0, "high": 0.5}}, broken)
    with pytest.raises(PneumoscopeError, match=r"first trials .* all failed: .*nowhere"):
        tune(broken, space, output=tmp_path / "s", search=Search(trials=9), seeds=0)


@pytest.mark.parametrize(
    ("sampler", "pruner"), [("random", "hyperband"), ("grid", "none"), ("tpe", "hyperband")]
)
def test_samplers_and_pruners_go_together(
    recipe: Recipe, tmp_path: Path, sampler: Any, pruner: Any
) -> None:
    space = parse_space({"optimizer.learning_rate": [1e-4, 1e-3, 1e-2]}, recipe)
    search = Search(trials=4, sampler=sampler, pruner=pruner)
    found = tune(recipe, space, output=tmp_path / "s", search=search, seeds=0)
    table = pl.read_csv(tmp_path / "s" / "trials.csv")
    if sampler == "grid":
        assert sorted(table["optimizer.learning_rate"]) == [1e-4, 1e-3, 1e-2]
    assert sum(found.study["trials"].values()) == (3 if sampler == "grid" else 4)


def test_a_trial_far_behind_is_stopped_early(recipe: Recipe, tmp_path: Path) -> None:
    long = override(recipe, {"phases.0.epochs": 8, "phases.0.patience": 8})
    space = parse_space({"optimizer.learning_rate": [1e-2, 1e-9]}, long)
    study = opened(plan_for(long, space, tmp_path, trials=9, sampler="random"))
    for step_values in ([0.5, 0.9, 0.95, 0.97, 0.98, 0.99],) * 5:
        trial = study.study.ask()
        trial.suggest_categorical("optimizer.learning_rate", [1e-2, 1e-9])
        for step, value in enumerate(step_values, 1):
            trial.report(value, step)
        study.study.tell(trial, 0.99)
    Worker(study, read_material(long, Silent()), Silent()).work()
    pruned = [r for r in records(study.trials()) if r.state == "pruned"]
    assert pruned
    assert all(r.epochs < 8 and "behind the others" in r.reason for r in pruned)


def test_the_time_limit_ends_a_study_and_the_result_is_written(
    recipe: Recipe, space: Space, tmp_path: Path
) -> None:
    result = tune(
        recipe, space, output=tmp_path / "s", search=Search(trials=500, minutes=0.05), seeds=0
    )
    assert 1 <= sum(result.study["trials"].values()) < 500


def test_two_workers_share_a_journal_and_a_killed_one_loses_nothing(
    recipe: Recipe, space: Space, tmp_path: Path
) -> None:
    plan, reporter = plan_for(recipe, space, tmp_path, trials=6), Silent()
    study = opened(plan)
    kill_one_of_two(plan, study, reporter)
    assert any("A worker died (status -9" in warning for warning in reporter.warnings)
    require_whole(study, 6)


def kill_one_of_two(plan: StudyPlan, study: OpenStudy, reporter: Silent) -> None:
    """Two processes work on the study; the first is killed within a trial."""
    killed: list[int] = []
    with crew(plan, 2, reporter) as hired:

        def look() -> None:
            if not killed and running(study):
                killed.append(hired.pids[0])
                os.kill(hired.pids[0], signal.SIGKILL)

        hired.watch(look)
    assert killed


def running(study: OpenStudy) -> list[Any]:
    states = (optuna.trial.TrialState.RUNNING,)
    return [t for t in study.study.get_trials(states=states) if t.intermediate_values]


def require_whole(study: OpenStudy, trials: int) -> None:
    found = records(study.trials())
    assert len(found) == trials
    assert {r.state for r in found} <= {"complete", "pruned"}
    points = [tuple(sorted(r.params.items())) for r in found]
    assert len(set(points)) == trials, "no two workers draw the same"


def test_a_worker_ends_when_its_command_is_killed(
    recipe: Recipe, space: Space, tmp_path: Path
) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-m", "pneumoscope.workflows.tuning.worker"],
        stdin=subprocess.PIPE,
        env={**os.environ, "PNEUMOSCOPE_TUNE_PARENT": "1"},
    )
    worker.communicate(plan_for(recipe, space, tmp_path).model_dump_json().encode(), timeout=60)
    assert worker.returncode == 130


def test_a_worker_says_why_it_cannot_work(recipe: Recipe, space: Space, tmp_path: Path) -> None:
    other = parse_space({"augment.zoom": [0.0, 0.1]}, recipe)
    opened(plan_for(recipe, other, tmp_path))
    with (
        crew(plan_for(recipe, space, tmp_path), 1, Silent()) as hired,
        pytest.raises(InputError, match=r"begun with another space"),
    ):
        hired.watch(lambda: None)


def test_another_space_recipe_or_data_is_another_study(
    recipe: Recipe, space: Space, tmp_path: Path
) -> None:
    opened(plan_for(recipe, space, tmp_path))
    other = parse_space({**SPACE, "augment.zoom": [0.0, 0.1]}, recipe)
    with pytest.raises(InputError, match=r"begun with another space .*augment.zoom"):
        opened(plan_for(recipe, other, tmp_path))
    with pytest.raises(InputError, match=r"begun with another recipe .*rotation"):
        opened(plan_for(override(recipe, {"augment.rotation": 3}), space, tmp_path))
    with pytest.raises(InputError, match=r"begun with another data"):
        open_study(plan_for(recipe, space, tmp_path), data="other")


def test_a_folder_that_holds_another_study_is_refused_and_kept(
    study: TuneResult, recipe: Recipe, space: Space, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in study.output.rglob("*")}
    with pytest.raises(InputError, match=r"holds study 'tuned', not 'other'.*--study tuned"):
        tune(recipe, space, output=study.output, study="other")
    opened(plan_for(recipe, space, tmp_path))  # of the same name, and none of the trials
    for journal, why in (("study.journal", "another study of this name"), ("new", "not exist")):
        with pytest.raises(InputError, match=rf"trials are not in .*{journal}, which .*{why}"):
            tune(recipe, space, output=study.output, storage=str(tmp_path / journal))
    assert {path: path.stat().st_mtime_ns for path in study.output.rglob("*")} == before


@pytest.mark.parametrize("file", ["study.json", "tracking.json"])
def test_a_folder_begun_before_it_said_so_is_known_by_what_it_holds(
    file: str, recipe: Recipe, space: Space, tmp_path: Path
) -> None:
    (tmp_path / "study.lock").touch()
    Record("tuned", "pneumoscope", kind="tune").save(tmp_path)
    if file == "study.json":
        (tmp_path / "tracking.json").unlink()
        (tmp_path / file).write_text('{"study": "tuned"}')
    with pytest.raises(InputError, match=r"holds study 'tuned', not 'other'"):
        tune(recipe, space, output=tmp_path, study="other")


def test_a_second_command_in_the_folder_joins_and_leaves_the_result_to_the_first(
    recipe: Recipe, space: Space, tmp_path: Path
) -> None:
    found: list[TuneResult] = []

    def join(number: int, *_: object) -> None:
        if number == 0:
            program = (
                "import sys; from pathlib import Path; from pneumoscope.core.recipe import *;"
                "from pneumoscope.core.recipe.space import Space;"
                "from pneumoscope.workflows.tuning.run import tune;"
                "from pneumoscope.workflows.tuning.plan import Search;"
                "recipe, space = [p.read_text() for p in map(Path, sys.argv[1:3])];"
                "r = tune(Recipe.model_validate_json(recipe), Space.model_validate_json(space),"
                "output=Path(sys.argv[3]), search=Search(trials=2), seeds=0); print(r.report)"
            )
            for name, content in (("r.json", recipe), ("s.json", space)):
                (tmp_path / name).write_text(content.model_dump_json())
            places = [tmp_path / "r.json", tmp_path / "s.json", tmp_path / "s"]
            done = subprocess.run(
                [sys.executable, "-c", program, *map(str, places)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert done.stdout.strip() == "None"

    found.append(
        tune(recipe, space, output=tmp_path / "s", search=Search(trials=2), seeds=0, on_trial=join)
    )
    assert found[0].study["trials"] == {"complete": 2}


@pytest.mark.parametrize(
    ("said", "workers", "reason"),
    [
        ("sqlite:///study.db", 2, "SQLite does not bear several workers"),
        ("mysql://user:secret@host/db", 1, "allowed: postgresql://"),
    ],
)
def test_storages_that_do_not_serve_are_refused(said: str, workers: int, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        resolve_storage(said, Path(), workers=workers)
    assert "secret" not in str(caught.value)


def test_sqlite_serves_one_worker(recipe: Recipe, space: Space, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    result = tune(
        recipe, space, output=tmp_path / "s", search=Search(trials=1), seeds=0, storage=storage
    )
    assert result.study["trials"] == {"complete": 1}


def test_a_storage_that_cannot_be_reached_is_one_line(
    recipe: Recipe, space: Space, tmp_path: Path
) -> None:
    pytest.importorskip("pg8000")
    storage = f"postgresql://someone:secret@127.0.0.1:{free_port()}/studies"
    with pytest.raises(StorageError, match="does not answer") as caught:
        tune(recipe, space, output=tmp_path / "s", seeds=0, storage=storage)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_cannot_be_tuned_is_refused_before_any_work(
    recipe: Recipe, space: Space, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"optimizer.learning_rate is continuous"):
        tune(recipe, space, output=tmp_path / "a", search=Search(sampler="grid"))
    losses = parse_space({"loss.gamma": [1.0, 2.0]}, recipe)
    with pytest.raises(RecipeError, match=r"differs in meaning where loss.gamma"):
        tune(recipe, losses, output=tmp_path / "a", search=Search(metric="validation_loss"))
    with pytest.raises(RecipeError, match=r"data.path: is not set"):
        tune(override(recipe, {"data.path": None}), space, output=tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "split.parquet").touch()  # as the folder of a training has
    with pytest.raises(StorageError, match="holds something else"):
        tune(recipe, space, output=tmp_path / "b")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs, newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), reverse=True)
    named = shutil.which("pg_ctl")
    folders = [path.parent for path in found] + ([Path(named).resolve().parent] if named else [])
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """The address of a server of our own; it refuses to run as root, and is then `postgres`'s."""
    programs = postgres_programs()
    if programs is None:
        message = "no PostgreSQL here (initdb, pg_ctl): nothing to try two machines' storage with"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        import pwd

        entry = pwd.getpwnam("postgres")
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    data, port = folder / "data", free_port()
    password = folder / "password"
    password.write_text("secret")
    password.chmod(0o644)

    def run(program: str, *options: str) -> None:
        subprocess.run(
            [str(programs / program), *options], check=True, cwd=folder, env={"LC_ALL": "C"},
            stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, timeout=60, **user,
        )  # fmt: skip

    run("initdb", "-D", str(data), "-U", "tuner", "--auth=scram-sha-256", f"--pwfile={password}",
        "--no-sync")  # fmt: skip
    server = f"-h 127.0.0.1 -p {port} -k {folder} -F"
    run("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", server, "start")
    try:
        yield f"postgresql://tuner:secret@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


@pytest.fixture
def postgres() -> Iterator[str]:
    """A PostgreSQL server; its folder lies where another user may reach it."""
    import tempfile

    if not os.environ.get("CI"):
        pytest.importorskip("pg8000")
    folder = Path(tempfile.mkdtemp(prefix="pneumoscope-postgres-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with postgres_server(folder) as address:
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_two_workers_on_postgresql_and_one_of_them_killed(
    recipe: Recipe, space: Space, tmp_path: Path, postgres: str
) -> None:
    storage = resolve_storage(postgres, tmp_path, workers=2)
    plan = plan_for(recipe, space, tmp_path, trials=6, storage=storage, heartbeat=1)
    with opened(plan) as study:
        kill_one_of_two(plan, study, Silent())
        require_whole(study, 6)
    result = tune(
        recipe, space, output=tmp_path / "s", search=Search(trials=6, heartbeat=1), seeds=0,
        storage=postgres, workers=2,
    )  # fmt: skip
    assert sum(result.study["trials"].values()) == 6
    assert "secret" not in (tmp_path / "s" / "study.json").read_text()


def test_space_files_of_the_manual_are_spaces(recipe: Recipe) -> None:
    from pneumoscope.core.recipe import space as module

    text = str(module.__doc__).split("```yaml")[1].split("```")[0]
    both = override(recipe, {"phases": [{"kind": "probe"}, {"kind": "fine_tune"}]})
    assert len(parse_space(yaml.safe_load(text), both).fields) == 4
