from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from pneumoscope.bundle.archive import open_bundle
from pneumoscope.core.errors import StorageError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe, load_recipe, override
from pneumoscope.core.recipe.space import parse_space
from pneumoscope.evaluation.verdict.judge import ITEMS
from pneumoscope.tracking import DataInput, Identity, Parent, TrackedRun, sync, tracked_run
from pneumoscope.tracking.models import resolve
from pneumoscope.tracking.record import load_record
from pneumoscope.workflows.benchmark.run import benchmark
from pneumoscope.workflows.bundles import bundle_at
from pneumoscope.workflows.promoting import promote
from pneumoscope.workflows.results import TrainResult
from pneumoscope.workflows.tuning.plan import Search
from pneumoscope.workflows.tuning.run import tune

mlflow = pytest.importorskip("mlflow")
pytest.importorskip("flask_wtf")

USER, PASSWORD = "admin", "correct-horse-battery"
DATA = DataInput("phantoms", "0123456789abcdef", "data", {"images": 3})


@dataclass
class Server:
    """A real `mlflow server` with basic auth on loopback, which can be killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        settings = self.folder / "auth.ini"
        settings.write_text(
            f"[mlflow]\ndefault_permission = READ\nadmin_username = {USER}\n"
            f"admin_password = {PASSWORD}\nauth_cache_ttl_seconds = 60\n"
            f"database_uri = sqlite:///{self.folder / 'auth.db'}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        environment = {
            **os.environ,
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-a-test",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth",
                    "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
                    "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}",
                    "--artifacts-destination", str(self.folder / "artefacts"),
                ],
                env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        assert self.process is not None
        for _ in range(1200):
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        pytest.fail((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = Server(tmp_path_factory.mktemp("server"), port)
    try:
        found.start()
        yield found
    finally:
        found.kill()


@pytest.fixture(scope="module")
def logged_in(server: Server, trained: TrainResult) -> Iterator[Any]:
    """A client of the server; `trained` was tracked in its own store before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", server.uri)
        patch.setenv("MLFLOW_TRACKING_USERNAME", USER)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        yield mlflow.MlflowClient(tracking_uri=server.uri)


def test_a_wrong_password_is_refused_before_anything_begins(
    server: Server,
    logged_in: Any,
    small_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with (
        pytest.raises(StorageError, match="refuses the login") as error,
        tracked_run(Recipe(), store=tmp_path, tags={}, reporter=Silent()),
    ):
        pytest.fail("begun")
    assert "MLFLOW_TRACKING_PASSWORD" in str(error.value)
    assert "wrong" not in str(error.value)
    with pytest.raises(StorageError, match="refuses the login"):
        bundle_at("models:/chest@champion")
    recipe, output = override(small_recipe, QUICKEST), tmp_path / "bench"
    with pytest.raises(StorageError, match="refuses the login"):
        benchmark(None, ["lenet5"], recipe=recipe, seeds=1, output=output)
    assert not (output / "runs").exists()
    shutil.rmtree(output)
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Lost:
    """A run whose server was killed on the way.

    Attributes:
        folder: Of the run.
        run_id: In the server.
        parent_id: Of its parent, which was there too.
        warnings: What the user was told.
        seconds: That the killed server cost.
    """

    folder: Path
    run_id: str | None
    parent_id: str | None
    warnings: list[str]
    seconds: float


@pytest.fixture(scope="module")
def lost(
    server: Server, logged_in: Any, trained: TrainResult, tmp_path_factory: pytest.TempPathFactory
) -> Lost:
    folder, told = tmp_path_factory.mktemp("lost") / "run", Silent()
    shutil.copytree(trained.output, folder)
    (folder / "tracking.json").unlink()
    with (
        _begin("top", folder.parent, told, None) as top,
        _begin("low", folder.parent, told, top.parent) as run,
    ):
        run.log_metrics({"live": 1.0}, step=1)
        assert logged_in.get_run(run.run_id).data.metrics["live"] == 1.0
        server.kill()
        start = time.monotonic()
        run.log_metrics({"live": 2.0}, step=2)
        run.log_metrics({"live": 3.0}, step=3)
        run.log_results(trained.metrics)
        run.log_folder(folder)
        seconds = time.monotonic() - start
    return Lost(folder, run.run_id, top.run_id, told.warnings, seconds)


def _begin(
    name: str, store: Path, told: Silent, parent: Parent | None
) -> AbstractContextManager[TrackedRun]:
    recipe = Recipe(name=name)
    child = Identity(parent=parent)
    return tracked_run(recipe, store=store, tags={}, reporter=told, inputs=[DATA], identity=child)


def test_a_server_killed_on_the_way_is_told_later(
    server: Server, logged_in: Any, lost: Lost, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(lost.warnings) == 2  # one of each run
    assert lost.seconds < 30
    record = load_record(lost.folder)
    assert record is not None
    assert (record.complete, record.status, record.run_id) == (False, "FINISHED", lost.run_id)
    assert record.lost
    assert PASSWORD not in (lost.folder / "tracking.json").read_text()
    with pytest.raises(StorageError, match="tracking store refuses"):
        sync(lost.folder)
    server.start()
    done = [sync(lost.folder.parent)[0] for _ in range(2)]
    assert [one.state for one in done] == ["completed", "there"]
    assert capfd.readouterr().out == ""
    _require_whole(logged_in, lost)


def _require_whole(client: Any, lost: Lost) -> None:
    found = client.get_run(lost.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["mlflow.parentRunId"] == lost.parent_id
    live = client.get_metric_history(lost.run_id, "live")
    assert [(metric.step, metric.value) for metric in live] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert "test/auc" in found.data.metrics
    names = {item.path for item in client.list_artifacts(lost.run_id)}
    assert {"report.html", "figures", "predictions.parquet"} <= names
    assert len(found.outputs.model_outputs) == 1
    assert len(client.search_runs([found.info.experiment_id])) == 2


def test_the_champion_of_a_server_is_fetched(
    server: Server, logged_in: Any, lost: Lost, fresh_cache: Path
) -> None:
    if server.process is None:
        server.start()
    verdict = [{"item": item, "colour": "green"} for item in ITEMS]
    (lost.folder / "assessment.json").write_text(json.dumps({"verdict": verdict}))
    done = promote(lost.folder, name="chest")
    assert (done.version, done.uri) == (1, server.uri)
    found = resolve("models:/chest@champion")
    assert open_bundle(found).model_id == open_bundle(lost.folder / "bundle").model_id


class Page:
    """MLflow's REST interface, as its pages in a browser ask it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        self.headers = {"Authorization": f"Basic {word}", "Content-Type": "application/json"}

    def ask(self, place: str, body: dict[str, Any] | None = None, **query: str) -> Any:
        """The content of the answer; a body makes it a POST."""
        address = f"{self.server.uri}/ajax-api/2.0/mlflow/{place}?{urlencode(query)}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(address, data=data, headers=self.headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def text(self, place: str, **query: str) -> str:
        """An answer that is no JSON."""
        address = f"{self.server.uri}/{place}?{urlencode(query)}"
        request = urllib.request.Request(address, headers=self.headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(answer.read().decode("utf8", "replace"))

    def runs(self, name: str) -> dict[str, Any]:
        """The runs of an experiment by name."""
        known = self.ask("experiments/get-by-name", experiment_name=name)["experiment"]
        wanted = {"experiment_ids": [known["experiment_id"]], "max_results": 100}
        found = self.ask("runs/search", wanted)["runs"]
        by_name = {run["info"]["run_name"]: run for run in found}
        assert len(by_name) == len(found), "nothing is there twice"
        return by_name


def pairs(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in entries}


def children(runs: dict[str, Any], parent: str) -> set[str]:
    key = runs[parent]["info"]["run_id"]
    tags = {name: pairs(run["data"]["tags"]) for name, run in runs.items()}
    return {name for name, found in tags.items() if found.get("mlflow.parentRunId") == key}


def inputs_of(run: dict[str, Any]) -> dict[str, str]:
    """Name and hash of each input by what it was used for."""
    told = run["inputs"]["dataset_inputs"]
    return {
        item["tags"][0]["value"]: f"{item['dataset']['name']}@{item['dataset']['digest']}"
        for item in told
    }


QUICKEST = {
    "name": "found",
    "preprocess.size": 40,
    "model": {"backbone": "lenet5", "weights": "none"},
    "phases": [{"kind": "fine_tune", "last": "all", "epochs": 2, "precision": "float32"}],
    "evaluate.resamples": 100,
    "tracking.experiment": "found",
}


@pytest.fixture(scope="module")
def found(
    server: Server, logged_in: Any, small_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A benchmark begun twice, a study begun twice, a champion; the runs that the pages show."""
    if server.process is None:
        server.start()
    folder, recipe = tmp_path_factory.mktemp("found"), override(small_recipe, QUICKEST)
    for _ in range(2):
        board = benchmark(
            None, ["lenet5", "cnn6"], recipe=recipe, seeds=1, output=folder / "bench", isolate=False
        )
    space = parse_space({"loss.name": ["cross_entropy", "logit_adjusted"]}, recipe)
    search = Search(trials=2, sampler="grid")
    for _ in range(2):
        tune(recipe, space, output=folder / "study", search=search, seeds=1)
    promote(board.runs[0], name="found", override="a test", who="Ada")
    data = json.loads((board.runs[0] / "metrics.json").read_text())["data"]
    return folder, Page(server).runs(f"found/{data}")


def test_the_pages_show_a_benchmark_over_its_trainings(
    server: Server, found: tuple[Path, dict[str, Any]]
) -> None:
    folder, runs = found
    page, parent = Page(server), runs["bench"]
    assert "<title>MLflow</title>" in page.text("")
    assert children(runs, "bench") == {"lenet5-seed0", "cnn6-seed0"}
    assert [runs[name]["info"]["status"] for name in ("bench", "lenet5-seed0", "cnn6-seed0")] == [
        "FINISHED", "FINISHED", "FAILED",
    ]  # fmt: skip
    board = json.loads((folder / "bench" / "leaderboard.json").read_text())
    metrics = pairs(parent["data"]["metrics"])
    assert metrics["auc/lenet5"] == pytest.approx(board["candidates"][0]["metrics"]["auc"]["value"])
    assert (metrics["trainings/finished"], metrics["trainings/failed"]) == (1, 1)
    tags = pairs(parent["data"]["tags"])
    assert tags["pneumoscope.best"] == "LeNet-5"
    assert "| 1 | LeNet-5 |" in tags["mlflow.note.content"]
    assert "cnn6 failed" in tags["mlflow.note.content"]
    key = parent["info"]["run_id"]
    top = page.ask("artifacts/list", run_id=key)["files"]
    assert {"benchmark.html", "leaderboard.csv", "protocol.yaml", "figures"} <= {
        file["path"] for file in top
    }
    assert "runs" not in {file["path"] for file in top}, "children show their own files"
    figures = page.ask("artifacts/list", run_id=key, path="figures")["files"]
    assert "figures/pareto.png" in {file["path"] for file in figures}
    table = page.text("get-artifact", path="leaderboard.csv", run_uuid=key)
    assert "LeNet-5" in table
    inputs = inputs_of(parent)
    assert set(inputs) == {"data", "train", "validation", "calibration", "test"}
    assert inputs["data"] == board["data"]


def test_the_pages_show_a_study_over_its_trials(
    server: Server, found: tuple[Path, dict[str, Any]]
) -> None:
    folder, runs = found
    content = json.loads((folder / "study" / "study.json").read_text())
    final = {run["folder"] for run in content["final"]["runs"]}
    below = children(runs, "found")
    assert below == {"trial-1", "trial-0 (failed)", *final}
    trial, failed = runs["trial-1"], runs["trial-0 (failed)"]
    assert (trial["info"]["status"], failed["info"]["status"]) == ("FINISHED", "FAILED")
    params, tags = pairs(trial["data"]["params"]), pairs(trial["data"]["tags"])
    wanted = {"loss.name": "cross_entropy", "model.backbone": "lenet5", "phases.0.epochs": "2"}
    assert wanted.items() <= params.items(), "the whole recipe, flattened"
    assert pairs(failed["data"]["params"]) == {"loss.name": "logit_adjusted"}, "no recipe takes it"
    assert tags["pneumoscope.precision"] == "float32"
    for name in ("pneumoscope.code", "pneumoscope.machine", "pneumoscope.versions"):
        assert tags[name] == pairs(failed["data"]["tags"])[name] != ""
    given, whole = inputs_of(trial), inputs_of(runs["found"])
    assert given == {name: whole[name] for name in ("data", "train", "validation")}
    files = Page(server).ask("artifacts/list", run_id=trial["info"]["run_id"])["files"]
    assert [file["path"] for file in files] == ["trial.yaml"]
    said = load_recipe(folder / "study" / "trials" / "1" / "trial.yaml")
    assert (said.loss.name, said.model.backbone) == ("cross_entropy", "lenet5")
    assert "both correct" in pairs(failed["data"]["tags"])["pneumoscope.trial.reason"]
    value = pairs(trial["data"]["metrics"])["trial/validation_auc"]
    assert value == pytest.approx(content["best"]["value"])
    metrics = pairs(runs["found"]["data"]["metrics"])
    assert metrics["best/validation_auc"] == pytest.approx(value)
    assert metrics["final/winner/auc"] == pytest.approx(content["final"]["runs"][0]["test"]["auc"])
    top = Page(server).ask("artifacts/list", run_id=runs["found"]["info"]["run_id"])["files"]
    assert {"tune.html", "trials.csv", "best.yaml"} <= {file["path"] for file in top}


def test_the_pages_show_the_champion(server: Server, found: tuple[Path, dict[str, Any]]) -> None:
    _, runs = found
    page = Page(server)
    model = page.ask("registered-models/get", name="found")["registered_model"]
    assert model["aliases"] == [{"alias": "champion", "version": "1"}]
    assert "Network `lenet5`" in model["description"]
    assert "Not a medical device" in model["description"]
    version = page.ask("registered-models/alias", name="found", alias="champion")["model_version"]
    assert version["run_id"] == runs["lenet5-seed0"]["info"]["run_id"]
    assert "Promoted by Ada" in version["description"]


def test_another_store_is_told_of_a_whole_benchmark_and_study(
    found: tuple[Path, dict[str, Any]], trained: TrainResult, tmp_path: Path
) -> None:
    """Everything that the folders say, and nothing twice."""
    folder, runs = found
    shutil.copy(trained.output.parent / "mlflow.db", tmp_path)  # its tables take seconds to make
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    first, again = (sync(folder, uri=uri) for _ in range(2))
    assert {one.state for one in first} == {"imported"}
    assert {one.state for one in again} == {"there"}
    client = mlflow.MlflowClient(tracking_uri=uri)
    (experiment,) = {client.get_run(one.run_id).info.experiment_id for one in first}
    told = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert set(told) == set(runs) - {"cnn6-seed0"}, "what failed has no folder"
    top = told["found"].info.run_id
    assert told["trial-1"].data.tags["mlflow.parentRunId"] == top
