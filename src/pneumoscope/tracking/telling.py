"""Making one run of a store say what its folder and record say; doing it again changes nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pneumoscope.core.errors import StorageError
from pneumoscope.tracking import writing
from pneumoscope.tracking.contents import content_key
from pneumoscope.tracking.naming import COMPLETE_TAG, CONTENT_TAG, PARENT_TAG, RUN_TAG
from pneumoscope.tracking.record import RECORD, Parent, Record
from pneumoscope.tracking.stores import Store

State = Literal["there", "completed", "imported", "unfinished"]

_RESULT = {"benchmark": "leaderboard.csv", "tune": "study.json"}
"""What a run over others has written once it has a result; its record is there from the start."""


@dataclass(frozen=True)
class Synced:
    """A run folder and its run.

    Attributes:
        folder: On disk.
        run_id: In the store.
        uri: The store's address without credentials.
        state: `there` if nothing was missing, `completed`, `imported` as a new run, or
            `unfinished`: told so far, of a benchmark or study that goes on or was stopped.
    """

    folder: Path
    run_id: str
    uri: str
    state: State


def tell_run(client: Any, store: Store, folder: Path, record: Record) -> Synced:
    """Make one run of the store say what its folder says."""
    experiment = store.experiment(client, record.experiment)
    content = content_key(folder) or record.digest
    whole = _has_result(folder, record)
    run_id = _find(client, experiment, folder, record, content)
    state: State = "completed"
    if run_id is None:
        parent = parent_in(client, experiment, record.parent)
        run_id, state = writing.begin(client, experiment, record, parent=parent), "imported"
    elif whole and _is_told(client.get_run(run_id).data.tags, content):
        return _synced(store, folder, record, run_id, "there")
    else:
        adopt(client, experiment, run_id, record.parent)
    _tell(client, run_id, folder, record, content=content, whole=whole)
    return _synced(store, folder, record, run_id, state if whole else "unfinished")


def _find(client: Any, experiment: str, folder: Path, record: Record, content: str) -> str | None:
    """The store's run of this folder; one that is known by its files gives the record its key.

    Two benchmarks that were stopped may hold the same files: only where there is no record is a
    run known by them.
    """
    if (folder / RECORD).is_file():
        return writing.find_run(client, experiment, record.key)
    found = writing.find_run(client, experiment, record.key, content)
    if found is not None:
        record.key = client.get_run(found).data.tags.get(RUN_TAG, record.key)
    return found


def _has_result(folder: Path, record: Record) -> bool:
    """Whether the run folder is whole; a training's or trial's always is."""
    return record.kind not in _RESULT or (folder / _RESULT[record.kind]).is_file()


def _tell(
    client: Any, run_id: str, folder: Path, record: Record, *, content: str, whole: bool
) -> None:
    record.tags[CONTENT_TAG] = content
    if whole and record.status == "RUNNING":  # killed after its last file
        record.status = "FINISHED"
    writing.catch_up(client, run_id, record)
    writing.send_folder(client, run_id, folder, record)
    if (folder / writing.BUNDLE).is_dir():
        writing.send_model(client, run_id, folder / writing.BUNDLE)
    if record.status == "RUNNING":  # nobody knows whether it still does
        client.update_run(run_id, status="RUNNING")
    else:
        writing.finish(client, run_id, record, whole=whole)
    if not whole:
        writing.send_tags(client, run_id, {COMPLETE_TAG: "false"})


def adopt(client: Any, experiment: str, run_id: str, parent: Parent | None) -> None:
    """Give a run that was begun without its parent that parent."""
    if parent and PARENT_TAG not in client.get_run(run_id).data.tags:
        found = parent_in(client, experiment, parent)
        writing.send_tags(client, run_id, {PARENT_TAG: found})


def parent_in(client: Any, experiment: str, parent: Parent | None) -> str | None:
    """The parent's run in this store; a run to be completed later where it is not there yet."""
    if parent is None:
        return None
    known = writing.find_run(client, experiment, parent.key)
    if known is not None:
        return known
    name = client.get_experiment(experiment).name
    stand_in = Record(name=parent.name, experiment=name, kind="parent", key=parent.key)
    return writing.begin(client, experiment, stand_in, parent=None)


def _is_told(tags: dict[str, str], content: str) -> bool:
    """Whether the store has everything: a benchmark may have gone on since it had."""
    return tags.get(COMPLETE_TAG) == "true" and tags.get(CONTENT_TAG) == content


def _synced(store: Store, folder: Path, record: Record, run_id: str, state: State) -> Synced:
    """Write down in the folder what the store has; a folder may be read-only."""
    whole = state != "unfinished"
    changed = record.complete != whole or record.run_id != run_id or record.uri != store.shown
    record.run_id, record.uri, record.complete, record.lost = run_id, store.shown, whole, None
    if changed:
        with suppress(StorageError):
            record.save(folder)
    return Synced(folder, run_id, store.shown, state)
