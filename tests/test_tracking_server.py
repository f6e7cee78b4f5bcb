from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pneumoscope.bundle.archive import open_bundle
from pneumoscope.core.errors import StorageError
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe
from pneumoscope.tracking import DataInput, Identity, Parent, TrackedRun, sync, tracked_run
from pneumoscope.tracking.models import resolve
from pneumoscope.tracking.record import load_record
from pneumoscope.workflows.promoting import promote
from pneumoscope.workflows.results import TrainResult

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
    server: Server, logged_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with (
        pytest.raises(StorageError, match="refuses the login") as error,
        tracked_run(Recipe(), store=tmp_path, tags={}, reporter=Silent()),
    ):
        pytest.fail("begun")
    assert "MLFLOW_TRACKING_PASSWORD" in str(error.value)
    assert "wrong" not in str(error.value)
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
    (lost.folder / "assessment.json").write_text('{"verdict": []}')
    done = promote(lost.folder, name="chest")
    assert (done.version, done.uri) == (1, server.uri)
    found = resolve("models:/chest@champion")
    assert open_bundle(found).model_id == open_bundle(lost.folder / "bundle").model_id
