from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
import yaml

from pneumoscope.core.addresses import shown
from pneumoscope.core.errors import InputError, StorageError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.tracking import Identity, TrackedRun, sync, tracked_run
from pneumoscope.tracking.record import Record, load_record
from pneumoscope.tracking.stores import Store, local_store, reason
from pneumoscope.workflows.results import TrainResult
from pneumoscope.workflows.tuning.storage import resolve_storage

mlflow = pytest.importorskip("mlflow")


def everything_below(client: Any, run_id: str, path: str = "") -> set[str]:
    found: set[str] = set()
    for item in client.list_artifacts(run_id, path or None):
        found |= everything_below(client, run_id, item.path) if item.is_dir else {item.path}
    return found


def test_a_training_is_a_run_with_everything(trained: TrainResult) -> None:
    client = mlflow.MlflowClient(tracking_uri=trained.tracking_uri)
    run = client.get_run(trained.run_id)
    assert run.info.status == "FINISHED"
    assert str(trained.tracking_uri).startswith(f"sqlite:///{trained.output.parent}")
    assert run.data.params["model.backbone"] == "tf_efficientnet_lite0"
    assert run.data.params["phases.0.epochs"] == "12"
    auc = trained.metrics["auc"]
    assert isinstance(auc, dict)
    assert run.data.metrics["test/auc"] == pytest.approx(auc["value"])
    epochs = client.get_metric_history(trained.run_id, "probe/validation_loss")
    assert [metric.step for metric in epochs] == list(range(1, len(epochs) + 1))
    assert len(epochs) > 1
    names = everything_below(client, str(trained.run_id))
    assert {"report.html", "metrics.json", "recipe.yaml", "predictions.parquet"} <= names
    assert {"model_card.md", "figures/roc.png"} <= names
    assert "tracking.json" not in names
    assert run.data.tags["pneumoscope.complete"] == "true"
    assert run.data.tags["pneumoscope.precision"] == "float32"
    assert {"pneumoscope.code", "pneumoscope.machine"} <= set(run.data.tags)
    assert run.data.tags["mlflow.note.content"].startswith("# ")


def test_an_experiment_is_the_data_and_splits_are_inputs(trained: TrainResult) -> None:
    client = mlflow.MlflowClient(tracking_uri=trained.tracking_uri)
    run = client.get_run(trained.run_id)
    data = trained.metrics["data"]
    assert client.get_experiment(run.info.experiment_id).name == f"pneumoscope/{data}"
    told = {item.tags[0].value: item.dataset for item in run.inputs.dataset_inputs}
    assert set(told) == {"data", "train", "validation", "calibration", "test"}
    assert f"{told['data'].name}@{told['data'].digest}" == data
    assert len({dataset.digest for dataset in told.values()}) == 5
    assert json.loads(told["test"].profile)["images"] == trained.metrics["n_images"]


def test_the_machine_is_watched(trained: TrainResult) -> None:
    pytest.importorskip("psutil")
    client = mlflow.MlflowClient(tracking_uri=trained.tracking_uri)
    found = client.get_metric_history(trained.run_id, "system/system_memory_usage_megabytes")
    assert len(found) >= 2
    assert all(metric.value > 10 for metric in found)


def test_the_model_is_kept_without_pickle(trained: TrainResult) -> None:
    client = mlflow.MlflowClient(tracking_uri=trained.tracking_uri)
    (model,) = [output.model_id for output in client.get_run(trained.run_id).outputs.model_outputs]
    place = Path(unquote(urlparse(client.get_logged_model(model).artifact_location).path))
    names = {file.name for file in place.rglob("*")}
    assert {"MLmodel", "model.onnx", "input_example.json", "requirements.txt"} <= names
    every = [file for file in trained.output.parent.rglob("*") if file.is_file()]
    assert not [file for file in every if file.suffix in (".pkl", ".pickle", ".pt", ".joblib")]
    assert not [file for file in every if file.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05")]
    signature = yaml.safe_load((place / "MLmodel").read_text())["signature"]
    assert {column["name"] for column in json.loads(signature["inputs"])} == {"image", "path"}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local store for the whole module: its tables take seconds to make."""
    return tmp_path_factory.mktemp("store")


def test_a_failed_training_is_a_failed_run(local: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        tracked_run(Recipe(), store=local, tags={}, reporter=Silent()) as run,
    ):
        raise RuntimeError
    client = mlflow.MlflowClient(tracking_uri=run.uri)
    assert client.get_run(run.run_id).info.status == "FAILED"


def test_tracking_can_be_off(tmp_path: Path) -> None:
    recipe = override(Recipe(), {"tracking.enabled": False})
    with tracked_run(recipe, store=tmp_path, tags={}, reporter=Silent()) as run:
        run.log_metrics({"a": 1.0})
    assert run.run_id is None
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def dying_server() -> Iterator[str]:
    """A server that answers every request with an error."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_store_that_refuses_costs_a_warning(
    tmp_path: Path, dying_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dying_server)
    reporter = Silent()
    start = time.monotonic()
    with tracked_run(Recipe(), store=tmp_path, tags={}, reporter=reporter) as run:
        run.log_metrics({"a": 1.0})
        run.log_folder(tmp_path)
    assert run.run_id is None
    assert [line for line in reporter.warnings if "not tracked" in line and dying_server in line]
    assert time.monotonic() - start < 60


def test_a_store_lost_on_the_way_costs_one_warning(local: Path) -> None:
    reporter = Silent()
    with tracked_run(Recipe(), store=local, tags={}, reporter=reporter) as run:
        assert run._line is not None
        run._line.client.set_terminated(run.run_id)
        run._line.client.delete_run(run.run_id)
        run.log_metrics({"a": 1.0})
        run.log_metrics({"a": 2.0})
    assert len([line for line in reporter.warnings if "tracking stopped" in line]) == 1


def begun(
    store: Path, told: Silent, identity: Identity, **options: Any
) -> AbstractContextManager[TrackedRun]:
    return tracked_run(Recipe(), store=store, tags={}, reporter=told, identity=identity, **options)


def tracked_in(
    store: Path, run: Path, *, spoil: Callable[[], object] = lambda: None
) -> tuple[str | None, list[str]]:
    """The id of a run tracked in the store, and what the user is told."""
    reporter = Silent()
    recipe = override(Recipe(), {"tracking.experiment": run.parent.name})
    with tracked_run(recipe, store=store, tags={}, reporter=reporter) as tracked:
        tracked.log_metrics({"a": 1.0})
        spoil()
        tracked.log_folder(run)
    record = load_record(run)
    assert record is not None
    assert (record.status, record.complete) == ("FINISHED", False)
    assert record.lost
    assert [(point.name, point.value) for point in record.metrics if point.name == "a"] == [
        ("a", 1.0)
    ]
    return tracked.run_id, reporter.warnings


@pytest.fixture
def copied(local: Path, tmp_path: Path) -> Path:
    """A store of its own, ready made."""
    with begun(local, Silent(), Identity()):
        pass
    folder = tmp_path / "store"
    folder.mkdir()
    shutil.copy(local / "mlflow.db", folder)
    return folder


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("ffffffffffff", r"schema, ffffffffffff, is unknown to MLflow .*, so a newer one wrote it"),
        ("c48cb773bb87", r"schema is that of an older MLflow, c48cb773bb87; .*mlflow db upgrade"),
    ],
)
def test_a_store_of_another_mlflow_is_said_and_nothing_is_lost(
    copied: Path, tmp_path: Path, version: str, reason: str
) -> None:
    with sqlite3.connect(copied / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = ?", (version,))
    database.close()
    run = tmp_path / "run"
    run.mkdir()
    run_id, (warning,) = tracked_in(copied, run)
    assert run_id is None
    assert re.search(reason, warning)
    assert "pneumoscope sync" in warning
    with pytest.raises(StorageError, match=reason) as caught:
        sync(run, uri=local_store(copied).uri)
    assert "\n" not in str(caught.value)


def test_an_unusable_store_is_said_at_once_and_told_later(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    (tmp_path / "folder" / "mlflow.db").mkdir(parents=True)
    run.mkdir()
    start = time.monotonic()
    assert "Is a directory" in tracked_in(tmp_path / "folder", run)[1][0]
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "mlflow.db").write_text("this is no database" * 99)
    assert "is not a database" in tracked_in(tmp_path / "text", run)[1][0]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////dev/null/x/mlflow.db")
    assert "Not a directory" in tracked_in(tmp_path, run)[1][0]
    with pytest.raises(StorageError, match="Not a directory"):
        sync(run)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert time.monotonic() - start < 20
    told = [sync(run, uri=local_store(local).uri)[0].state for _ in range(2)]
    assert told == ["imported", "there"]


def test_artefacts_that_cannot_be_written_cost_one_warning(copied: Path, tmp_path: Path) -> None:
    artefacts = copied / "mlartifacts"

    def spoil() -> None:
        artefacts.rename(copied / "aside")
        artefacts.write_text("in the way")

    run = tmp_path / "run"
    run.mkdir()
    (run / "report.html").write_text("a report")
    (run / "metrics.json").write_text("{}")
    run_id, warnings = tracked_in(copied, run, spoil=spoil)
    assert run_id is not None
    assert len(warnings) == 1
    assert "tracking stopped" in warnings[0]
    artefacts.unlink()
    (copied / "aside").rename(artefacts)
    (done,) = sync(run, uri=local_store(copied).uri)
    assert (done.run_id, done.state) == (run_id, "completed")
    client = mlflow.MlflowClient(tracking_uri=local_store(copied).uri)
    assert everything_below(client, run_id) == {"recipe.yaml", "report.html", "metrics.json"}
    assert client.get_run(run_id).data.metrics["a"] == 1.0


@pytest.mark.parametrize("shared", [True, False])
def test_what_tells_of_images_stays_where_the_recipe_says_so(
    local: Path, tmp_path: Path, shared: bool
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    of_images = {"report.html", "catalogue.parquet", "predictions.parquet", "split.parquet"}
    plain = {"metrics.json", "model_card.md", "recipe.yaml"}
    for name in of_images | plain:
        (run / name).write_text("{}", encoding="utf8")
    told = Silent()
    recipe = override(Recipe(), {"tracking.images": shared})
    with tracked_run(recipe, store=local, tags={}, reporter=told) as tracked:
        tracked.log_folder(run)
    client = mlflow.MlflowClient(tracking_uri=tracked.uri)
    sent = everything_below(client, str(tracked.run_id))
    assert sent == plain | of_images if shared else sent == plain
    (again,) = sync(run, uri=f"sqlite:///{tmp_path}/other.db", reporter=told)
    client = mlflow.MlflowClient(tracking_uri=again.uri)
    assert everything_below(client, again.run_id) == sent
    assert not told.warnings


def test_children_name_their_parent(local: Path) -> None:
    told = Silent()
    with begun(local, told, Identity(kind="benchmark")) as top:
        elsewhere = local / "runs"
        for name in ("one", "one", "two"):
            with begun(elsewhere, told, Identity(name=name, parent=top.parent)) as child:
                child.log_metrics({"a": 1.0})
    client = mlflow.MlflowClient(tracking_uri=child.uri)
    assert client.get_run(child.run_id).data.tags["mlflow.parentRunId"] == top.run_id
    assert client.get_run(top.run_id).data.tags["pneumoscope.kind"] == "benchmark"
    below = client.search_runs(
        [client.get_run(top.run_id).info.experiment_id],
        f"tags.`mlflow.parentRunId` = '{top.run_id}'",
    )
    assert sorted(run.info.run_name for run in below) == ["one", "two"], "begun again, the same"
    assert not elsewhere.exists(), "a child goes where its parent is"
    assert not told.warnings


def test_a_run_that_was_killed_goes_on_as_the_same(local: Path, tmp_path: Path) -> None:
    ids = []
    for number in range(2):
        try:
            with tracked_run(
                Recipe(), store=local, tags={}, reporter=Silent(), memory=tmp_path
            ) as run:
                ids.append(run.run_id)
                run.log_metrics({"a": 1.0}, step=number)
                if not number:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
    assert ids[0] == ids[1]
    client = mlflow.MlflowClient(tracking_uri=run.uri)
    assert client.get_run(ids[0]).info.status == "FINISHED"
    assert {m.step for m in client.get_metric_history(ids[0], "a")} == {0, 1}
    record = load_record(tmp_path)
    assert record is not None
    assert {p.step for p in record.metrics if p.name == "a"} == {0, 1}


def test_a_record_of_another_key_is_no_run_to_go_on_with(local: Path, tmp_path: Path) -> None:
    ids = []
    for key in ("one", "other", "other"):
        with begun(local, Silent(), Identity("study", "tune", key=key), memory=tmp_path) as run:
            ids.append(run.run_id)
    assert ids[0] != ids[1] == ids[2]


def test_more_parameters_than_one_request_takes(local: Path) -> None:
    many = {f"p{number}": "x" * (7000 if number == 3 else 3) for number in range(250)}
    reporter = Silent()
    with tracked_run(Recipe(), store=local, tags={}, reporter=reporter) as run:
        run.log_params(many)
        run.log_metrics({"odd (name)": 1.0, "nan": float("nan")})
    assert not reporter.warnings
    found = mlflow.MlflowClient(tracking_uri=run.uri).get_run(run.run_id).data
    assert set(many) <= set(found.params)
    assert len(found.params["p3"]) == 6000
    assert found.metrics["odd _name_"] == 1.0
    assert "nan" not in found.metrics


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://ada:secret@host:5000/x", "http://host:5000/x"),
        ("http://ada:se@cret@host:5000", "http://host:5000"),
        ("http://host:5000/x@y", "http://host:5000/x@y"),
        ("https://[::1]:5000/x?token=secret&y", "https://[::1]:5000/x?token=***&***"),
        ("postgresql://me:se@cret@host/db", "postgresql://host/db"),
        ("postgresql://me:se/cret@host/db", "postgresql://host/db"),
        ("postgresql://me:123/secret@host/db", "postgresql://host/db"),
        ("postgresql://me:se?cret@host/db", "postgresql://host/db"),
        ("postgresql://h/db?user=u&password=a@b&c", "postgresql://h/db?user=***&password=***&***"),
        ("sqlite:////tmp/a@b/mlflow.db?timeout=5", "sqlite:////tmp/a@b/mlflow.db?timeout=5"),
        ("/a/b@c/study.journal", "/a/b@c/study.journal"),
    ],
)
def test_addresses_are_shown_without_passwords(address: str, expected: str) -> None:
    assert shown(address) == expected
    assert Store(address).shown == expected
    assert f"refused by {expected} as" in reason(OSError(f"refused by {address} as"))


def test_the_tuning_storage_is_refused_without_its_password() -> None:
    with pytest.raises(InputError, match=r"--storage mysql://host/db\?password=\*\*\*: allowed"):
        resolve_storage("mysql://ada:p@ss@host/db?password=secret", Path("study"), workers=1)


def test_benchmarks_that_were_stopped_are_two_and_unfinished(copied: Path, tmp_path: Path) -> None:
    folder, store = tmp_path / "runs", local_store(copied)
    for name, status in (("first", "RUNNING"), ("second", "KILLED"), ("study", "KILLED")):
        (folder / name).mkdir(parents=True)
        (folder / name / "split.parquet").write_bytes(b"the same")
        kind = "tune" if name == "study" else "benchmark"
        Record(name, "pneumoscope/stopped@1", kind=kind, status=status).save(folder / name)
    client = mlflow.MlflowClient(tracking_uri=store.uri)
    for _ in range(2):
        done = {one.folder.name: one for one in sync(folder, uri=store.uri)}
        assert {one.state for one in done.values()} == {"unfinished"}
        found = {name: client.get_run(one.run_id) for name, one in done.items()}
        assert {name: run.info.status for name, run in found.items()} == {
            "first": "RUNNING", "second": "KILLED", "study": "KILLED",
        }  # fmt: skip
        assert len(client.search_runs([found["first"].info.experiment_id])) == 3
        assert all(run.data.tags["pneumoscope.complete"] == "false" for run in found.values())
        records = [load_record(folder / name) for name in found]
        assert not any(record is None or record.complete for record in records)
    (folder / "first" / "leaderboard.csv").write_text("candidate")
    told = [sync(folder / "first", uri=store.uri)[0].state for _ in range(2)]
    assert told == ["completed", "there"]
    run = client.get_run(done["first"].run_id)
    assert (run.info.status, run.data.tags["pneumoscope.complete"]) == ("FINISHED", "true")


def test_the_environment_is_left_as_it_was(local: Path) -> None:
    before = dict(os.environ)
    with tracked_run(Recipe(), store=local, tags={}, reporter=Silent()):
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    changed = {k for k in os.environ if os.environ[k] != before.get(k)} - {"PYTEST_CURRENT_TEST"}
    assert not {name for name in changed if name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")}
