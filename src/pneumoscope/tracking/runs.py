"""One training, one MLflow run: parameters, live metrics, and the finished run folder.

Tracking is a witness, never a reason to fail: what the store refuses becomes one warning, and the
run folder on disk stays complete by itself.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import util
from pathlib import Path
from typing import Any

from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import Recipe

_QUIET = ("mlflow", "alembic")
_SILENCE = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_LOGGING_LEVEL": "ERROR",
}  # fmt: skip
# A server that does not answer must not hold up training for minutes.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


class TrackedRun:
    """A run in an MLflow store, or nothing where tracking is off; every call is safe.

    Args:
        client: An MLflow client, or None where tracking is off.
        run_id: The run.
        uri: The store.
        reporter: Told once if the store refuses.
    """

    def __init__(
        self, client: Any, run_id: str | None, uri: str | None, reporter: Reporter
    ) -> None:
        self._client = client
        self.run_id = run_id
        self.uri = uri
        self._reporter = reporter

    def log_params(self, recipe: Recipe) -> None:
        """Every field of the recipe, flattened to dotted names."""
        from mlflow.entities import Param

        flat = dict(_flatten(recipe.model_dump(mode="json")))
        params = [Param(name, str(value)) for name, value in flat.items()]
        self._safely(lambda: self._client.log_batch(self.run_id, params=params))

    def log_metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Numbers at a step; what is not finite is left out."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(_metric_name(name), float(value), now, step)
            for name, value in values.items()
            if math.isfinite(value)
        ]
        self._safely(lambda: self._client.log_batch(self.run_id, metrics=metrics))

    def log_folder(self, folder: Path) -> None:
        """Every file of a folder as artefacts."""
        self._safely(lambda: self._client.log_artifacts(self.run_id, str(folder)))

    def end(self, status: str) -> None:
        """Close the run as `FINISHED`, `FAILED` or `KILLED`."""
        self._safely(lambda: self._client.set_terminated(self.run_id, status))

    def _safely(self, act: Callable[[], object]) -> None:
        if self._client is None:
            return
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever the store does, training goes on
            self._client = None
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            self._reporter.warn(f"tracking stopped ({reason}); the run folder is complete.")


class _Off(TrackedRun):
    """Where tracking is off."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(None, None, None, reporter)

    def log_params(self, recipe: Recipe) -> None:
        """Do nothing."""

    def log_metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Do nothing."""


@contextmanager
def tracked_run(
    recipe: Recipe, *, store: Path, tags: Mapping[str, str], reporter: Reporter
) -> Iterator[TrackedRun]:
    """A run that ends as `FINISHED`, or as `FAILED` / `KILLED` when the block is left by an error.

    Args:
        recipe: Its parameters and experiment.
        store: Folder of the local SQLite store, used unless `MLFLOW_TRACKING_URI` is set.
        tags: Names and values kept with the run.
        reporter: Told where the run is kept, or why it is not.
    """
    with _quiet():
        run = _start(recipe, store, tags, reporter)
        try:
            run.log_params(recipe)
            yield run
        except BaseException as error:
            run.end("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        run.end("FINISHED")


def _start(recipe: Recipe, store: Path, tags: Mapping[str, str], reporter: Reporter) -> TrackedRun:
    if not recipe.tracking.enabled:
        return _Off(reporter)
    if util.find_spec("mlflow") is None:
        reporter.warn(
            "the run is not tracked: MLflow is missing (pip install pneumoscope[tracking])."
        )
        return _Off(reporter)
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        return _open(recipe, uri, store, tags, reporter)
    except Exception as error:  # noqa: BLE001 - whatever the store does, training goes on
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reporter.warn(f"the run is not tracked: {uri or store} refuses ({reason}).")
        return _Off(reporter)


def _open(
    recipe: Recipe, uri: str | None, store: Path, tags: Mapping[str, str], reporter: Reporter
) -> TrackedRun:
    from filelock import FileLock
    from mlflow import MlflowClient

    location = None
    if not uri:
        store.mkdir(parents=True, exist_ok=True)
        if "?" in str(store.resolve()):
            raise ValueError("a '?' in the folder's name cannot be part of a SQLite address")
        uri = f"sqlite:///{(store / 'mlflow.db').resolve()}"
        location = (store / "mlartifacts").resolve().as_uri()
    client = MlflowClient(tracking_uri=uri)
    # Two runs that make one new store at once would both create its tables.
    with FileLock(store / ".mlflow.lock", timeout=60) if location else nullcontext():
        experiment = client.get_experiment_by_name(recipe.tracking.experiment)
        experiment_id = (
            experiment.experiment_id
            if experiment
            else client.create_experiment(recipe.tracking.experiment, artifact_location=location)
        )
    run = client.create_run(experiment_id, run_name=recipe.name, tags=dict(tags))
    return TrackedRun(client, run.info.run_id, uri, reporter)


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow without usage telemetry, chatter or endless retries; restored afterwards."""
    levels = {name: logging.getLogger(name).level for name in _QUIET}
    settings = _SILENCE | {k: v for k, v in _PATIENCE.items() if k not in os.environ}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _flatten(content: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(content, dict) and content:
        for name, value in content.items():
            yield from _flatten(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(content, list) and content:
        for index, value in enumerate(content):
            yield from _flatten(value, f"{prefix}.{index}")
    else:
        yield prefix, content


def _metric_name(name: str) -> str:
    """MLflow allows letters and digits of any script and `_-. :/`; the rest becomes underscores."""
    return "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in name)
