"""What a store is told; telling it twice changes nothing. MLflow's client makes the batches."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pneumoscope.tracking.naming import (
    COMPLETE_TAG,
    CONTENT_TAG,
    MODEL_TAG,
    NOTE_TAG,
    PARENT_TAG,
    RUN_TAG,
    legal_tags,
)
from pneumoscope.tracking.record import RECORD, DataInput, Point, Record

BUNDLE = "bundle"
_CARD = "model_card.md"
_LEFT_OUT = {RECORD, BUNDLE, "tensorboard", "mlartifacts", "mlflow.db"}


def find_run(client: Any, experiment_id: str, key: str, content: str = "") -> str | None:
    """The id of the run of this key, else of this content."""
    wanted = {RUN_TAG: key} | ({CONTENT_TAG: content} if content else {})
    for name, value in wanted.items():
        found = client.search_runs([experiment_id], f"tags.`{name}` = '{value}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
    return None


def begin(client: Any, experiment_id: str, record: Record, *, parent: str | None) -> str:
    """The id of a new run with the record's name, start, tags and parent."""
    tags = {"pneumoscope.kind": record.kind, **record.tags, RUN_TAG: record.key}
    if parent is not None:
        tags[PARENT_TAG] = parent
    run = client.create_run(
        experiment_id, start_time=record.started, run_name=record.name, tags=legal_tags(tags)
    )
    return str(run.info.run_id)


def send_params(client: Any, run_id: str, params: Mapping[str, str]) -> None:
    """Tell the parameters."""
    from mlflow.entities import Param

    client.log_batch(run_id, params=[Param(name, value) for name, value in params.items()])


def send_tags(client: Any, run_id: str, tags: Mapping[str, object]) -> None:
    """Tell the tags; what is there under the same name is replaced."""
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(k, v) for k, v in legal_tags(tags).items()])


def send_metrics(client: Any, run_id: str, points: Iterable[Point]) -> None:
    """Tell the metrics."""
    from mlflow.entities import Metric

    metrics = [Metric(p.name, p.value, p.time, p.step) for p in points]
    client.log_batch(run_id, metrics=metrics)


def send_inputs(client: Any, run_id: str, inputs: Sequence[DataInput]) -> None:
    """Tell which data went in."""
    import json

    from mlflow.entities import Dataset, DatasetInput, InputTag

    if not inputs:
        return
    told = [
        DatasetInput(
            Dataset(
                name=item.name,
                digest=item.digest,
                source_type="pneumoscope",
                source=json.dumps({"data": item.name}),
                profile=json.dumps(dict(item.profile)),
            ),
            tags=[InputTag("mlflow.data.context", item.context)],
        )
        for item in inputs
    ]
    client.log_inputs(run_id, datasets=told)


def catch_up(client: Any, run_id: str, record: Record) -> None:
    """Tell what a run of the store does not know yet of its record."""
    send_params(client, run_id, record.params)
    send_tags(client, run_id, record.tags)
    send_inputs(client, run_id, record.inputs)
    send_metrics(client, run_id, _missing(client, run_id, record.metrics))


def _missing(client: Any, run_id: str, points: Sequence[Point]) -> list[Point]:
    """The points at steps that the store does not know of their metric."""
    names = {point.name for point in points}
    known = {
        (name, metric.step) for name in names for metric in client.get_metric_history(run_id, name)
    }
    return [point for point in points if (point.name, point.step) not in known]


def send_folder(client: Any, run_id: str, folder: Path, record: Record) -> None:
    """Send every file of a run folder but its bundle, its record and the runs within it.

    The bundle goes as the run's model (`send_model`), where MLflow lists it as `bundle`. Event
    files stay out: MLflow has no page for them, and TensorBoard would show a local store's copies
    as further runs. What tells of single images stays out where `tracking.images` is false.
    """
    private = record.params.get("tracking.images") == "False"
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name in _LEFT_OUT or is_run(entry):
            continue
        if entry.suffix == ".lock" or (private and _tells_of_images(entry)):
            continue
        if entry.is_dir():
            if not any(is_run(inside) for inside in entry.iterdir()):
                client.log_artifacts(run_id, str(entry), entry.name)
        else:
            client.log_artifact(run_id, str(entry))
    card = folder / _CARD
    if card.is_file():
        send_tags(client, run_id, {NOTE_TAG: _without_header(card.read_text(encoding="utf8"))})


def _tells_of_images(file: Path) -> bool:
    return file.suffix == ".parquet" or file.name in {"report.html", "audit.html"}


def _without_header(card: str) -> str:
    """A model card without the YAML before its text."""
    parts = card.split("\n---\n", maxsplit=1)
    return parts[1].lstrip() if card.startswith("---\n") and len(parts) == 2 else card


def is_run(folder: Path) -> bool:
    """Whether a folder is one that a run wrote."""
    if not folder.is_dir():
        return False
    written = all((folder / name).is_file() for name in ("recipe.yaml", "metrics.json"))
    return written or (folder / RECORD).is_file()


def send_model(client: Any, run_id: str, bundle: Path) -> str:
    """The id of the run's model, sent as an MLflow model around the bundle unless it is there."""
    from mlflow.entities import LoggedModelOutput

    from pneumoscope.tracking.models import save_model

    run = client.get_run(run_id)
    if known := run.data.tags.get(MODEL_TAG):
        return str(known)
    model = client.create_logged_model(
        run.info.experiment_id, name=BUNDLE, source_run_id=run_id, model_type="pneumoscope"
    )
    stage = Path(tempfile.mkdtemp(prefix="pneumoscope-model-"))
    try:
        save_model(bundle, stage / "model", run_id=run_id, model_id=model.model_id)
        client.log_model_artifacts(model.model_id, str(stage / "model"))
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    client.set_tag(run_id, MODEL_TAG, model.model_id)
    return str(model.model_id)


def finish(client: Any, run_id: str, record: Record, *, whole: bool) -> None:
    """Close the run; `whole` says that the store has everything."""
    if whole:
        client.set_tag(run_id, COMPLETE_TAG, "true")
    client.set_terminated(run_id, record.status, end_time=record.ended)
