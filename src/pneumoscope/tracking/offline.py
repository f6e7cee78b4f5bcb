"""Telling a store later what it missed, or all of it anew from the run folders on disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pneumoscope.core.errors import StorageError
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.tracking import writing
from pneumoscope.tracking.contents import content_key, find_runs, record_of
from pneumoscope.tracking.naming import COMPLETE_TAG, CONTENT_TAG, PARENT_TAG
from pneumoscope.tracking.record import Parent, Point, Record
from pneumoscope.tracking.runs import find_run
from pneumoscope.tracking.stores import Store, asking, choose_store, store_at

State = Literal["there", "completed", "imported"]


@dataclass(frozen=True)
class Synced:
    """A run folder and its run.

    Attributes:
        folder: On disk.
        run_id: In the store.
        uri: The store's address without credentials.
        state: `there` if nothing was missing, `completed`, or `imported` as a new run.
    """

    folder: Path
    run_id: str
    uri: str
    state: State


def sync(
    folder: Path, *, uri: str | None = None, reporter: Reporter | None = None
) -> tuple[Synced, ...]:
    """What became of every run folder at and below `folder`; doing it again changes nothing.

    The store is `uri`, else `MLFLOW_TRACKING_URI`, else the one the run was begun in, else the
    SQLite store beside the run folder, as `train` would use it.

    Raises:
        InputError: there is no run, or one that cannot be read.
        StorageError: the store cannot be reached or refuses.
        DependencyError: MLflow is missing.
    """
    shown = reporter or Silent()
    by_store: dict[Store, list[tuple[Path, Record]]] = defaultdict(list)
    for path in find_runs(folder):
        record = record_of(path)
        by_store[_store_of(path, record, uri)].append((path, record))
    done: list[Synced] = []
    for store, runs in by_store.items():
        # Parents first: their children name them.
        runs.sort(key=lambda item: item[1].parent is not None)
        with asking(store) as client:
            for path, record in shown.track(runs, f"Telling {store.shown}", len(runs)):
                done.append(sync_run(client, store, path, record))
    return tuple(done)


def sync_run(client: Any, store: Store, folder: Path, record: Record) -> Synced:
    """Make one run of the store say what its folder says."""
    experiment = store.experiment(client, record.experiment)
    content = content_key(folder)
    run_id = find_run(client, experiment, record.key, content)
    state: State = "completed"
    if run_id is None:
        parent = _parent_of(client, experiment, record.parent)
        run_id, state = writing.begin(client, experiment, record, parent=parent), "imported"
    elif client.get_run(run_id).data.tags.get(COMPLETE_TAG) == "true":
        return _synced(store, folder, record, run_id, "there")
    else:
        _adopt(client, experiment, run_id, record)
    record.tags[CONTENT_TAG] = content
    if record.status == "RUNNING":  # the run folder is whole, so the run was
        record.status = "FINISHED"
    _tell(client, run_id, folder, record, new=state == "imported")
    return _synced(store, folder, record, run_id, state)


def _tell(client: Any, run_id: str, folder: Path, record: Record, *, new: bool) -> None:
    writing.send_params(client, run_id, record.params)
    writing.send_tags(client, run_id, record.tags)
    writing.send_inputs(client, run_id, record.inputs)
    points = record.metrics if new else _missing(client, run_id, record.metrics)
    writing.send_metrics(client, run_id, points)
    writing.send_folder(client, run_id, folder)
    if (folder / writing.BUNDLE).is_dir():
        writing.send_model(client, run_id, folder / writing.BUNDLE)
    writing.finish(client, run_id, record, whole=True)


def _missing(client: Any, run_id: str, points: Sequence[Point]) -> list[Point]:
    """The points at steps that the store does not know of their metric."""
    names = {point.name for point in points}
    known = {
        (name, metric.step) for name in names for metric in client.get_metric_history(run_id, name)
    }
    return [point for point in points if (point.name, point.step) not in known]


def _adopt(client: Any, experiment: str, run_id: str, record: Record) -> None:
    """A run that was begun without its parent gets it."""
    if record.parent and PARENT_TAG not in client.get_run(run_id).data.tags:
        parent = _parent_of(client, experiment, record.parent)
        writing.send_tags(client, run_id, {PARENT_TAG: parent})


def _parent_of(client: Any, experiment: str, parent: Parent | None) -> str | None:
    """The parent's run in this store; a run to be completed later where it is not there yet."""
    if parent is None:
        return None
    known = find_run(client, experiment, parent.key)
    if known is not None:
        return known
    name = client.get_experiment(experiment).name
    stand_in = Record(name=parent.name, experiment=name, kind="parent", key=parent.key)
    return writing.begin(client, experiment, stand_in, parent=None)


def _store_of(folder: Path, record: Record, uri: str | None) -> Store:
    beside = choose_store(uri, folder.parent)
    if beside.folder != folder.parent or uri or record.uri is None:
        return beside
    begun = store_at(record.uri)
    return begun if begun.folder is None or begun.folder.is_dir() else beside


def _synced(store: Store, folder: Path, record: Record, run_id: str, state: State) -> Synced:
    """Write down in the folder that the store has everything; a folder may be read-only."""
    changed = not record.complete or record.run_id != run_id or record.uri != store.shown
    record.run_id, record.uri, record.complete, record.lost = run_id, store.shown, True, None
    if changed:
        with suppress(StorageError):
            record.save(folder)
    return Synced(folder, run_id, store.shown, state)
