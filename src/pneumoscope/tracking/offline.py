"""Telling a store later what it missed, or all of it anew from the run folders on disk."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.tracking.contents import find_runs, record_of
from pneumoscope.tracking.record import Record
from pneumoscope.tracking.stores import Store, asking, choose_store, store_at
from pneumoscope.tracking.telling import Synced, tell_run
from pneumoscope.tracking.writing import is_run

__all__ = ["Synced", "store_of", "sync"]

_DEPTH = 2
"""Folders from a training or trial up to the benchmark or study that it is part of."""


def sync(
    folder: Path, *, uri: str | None = None, reporter: Reporter | None = None
) -> tuple[Synced, ...]:
    """What became of every run folder at and below `folder`; doing it again changes nothing.

    The store is `uri`, else `MLFLOW_TRACKING_URI`, else the one the run was begun in, else the
    SQLite store beside the run folder (of a benchmark's or study's runs, beside that), as `train`
    would use it.

    Raises:
        InputError: there is no run, or one that cannot be read.
        StorageError: the store cannot be reached or refuses.
        DependencyError: MLflow is missing.
    """
    shown = reporter or Silent()
    by_store: dict[Store, list[tuple[Path, Record]]] = defaultdict(list)
    found = find_runs(folder)
    for path in found:
        record = record_of(path)
        outermost = next(other for other in found if path.is_relative_to(other))
        by_store[_store_of(outermost, record, uri)].append((path, record))
    done: list[Synced] = []
    for store, runs in by_store.items():
        # Parents first: their children name them.
        runs.sort(key=lambda item: item[1].parent is not None)
        with asking(store) as client:
            for path, record in shown.track(runs, f"Telling {store.shown}", len(runs)):
                done.append(tell_run(client, store, path, record))
    return tuple(done)


def store_of(run: Path, uri: str | None = None) -> Store:
    """The store that `sync` would tell of this run folder.

    Raises:
        InputError: its record is damaged, or it is no run.
    """
    above = run.resolve().parents[:_DEPTH]
    outermost = next((folder for folder in reversed(above) if is_run(folder)), run)
    return _store_of(outermost, record_of(run), uri)


def _store_of(outermost: Path, record: Record, uri: str | None) -> Store:
    beside = choose_store(uri, outermost.parent)
    if beside.folder != outermost.parent or uri or record.uri is None:
        return beside
    begun = store_at(record.uri)
    return begun if begun.folder is None or begun.folder.is_dir() else beside
