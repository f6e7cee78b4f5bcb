from __future__ import annotations

import http.server
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe, override
from pneumoscope.tracking import tracked_run
from pneumoscope.workflows.results import TrainResult

mlflow = pytest.importorskip("mlflow")


def client_of(trained: TrainResult) -> object:
    return mlflow.MlflowClient(tracking_uri=trained.tracking_uri)


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
    epochs = client.get_metric_history(trained.run_id, "validation_loss")
    assert [metric.step for metric in epochs] == list(range(1, len(epochs) + 1))
    names = {item.path for item in client.list_artifacts(trained.run_id)}
    assert {"report.html", "bundle", "figures", "metrics.json", "recipe.yaml"} <= names


def test_a_failed_training_is_a_failed_run(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        tracked_run(Recipe(), store=tmp_path, tags={}, reporter=Silent()) as run,
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


def test_a_store_lost_on_the_way_costs_one_warning(tmp_path: Path) -> None:
    reporter = Silent()
    with tracked_run(Recipe(), store=tmp_path, tags={}, reporter=reporter) as run:
        run._client.set_terminated(run.run_id)
        run._client.delete_run(run.run_id)
        run.log_metrics({"a": 1.0})
        run.log_metrics({"a": 2.0})
    assert len([line for line in reporter.warnings if "tracking stopped" in line]) == 1


def test_the_environment_is_left_as_it_was(tmp_path: Path) -> None:
    before = dict(os.environ)
    with tracked_run(Recipe(), store=tmp_path, tags={}, reporter=Silent()):
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    changed = {k for k in os.environ if os.environ[k] != before.get(k)} - {"PYTEST_CURRENT_TEST"}
    assert not {name for name in changed if name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")}
