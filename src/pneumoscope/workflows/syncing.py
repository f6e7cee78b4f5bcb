"""Sync: tell a tracking store what it missed, from the run folders on disk."""

from __future__ import annotations

from pathlib import Path

from pneumoscope.core.progress import Reporter
from pneumoscope.tracking import Synced
from pneumoscope.tracking import sync as tell

__all__ = ["Synced", "sync"]


def sync(
    folder: str | Path, *, uri: str | None = None, reporter: Reporter | None = None
) -> tuple[Synced, ...]:
    """What became of every run folder at and below `folder`; doing it again changes nothing.

    Args:
        folder: One that `train`, `benchmark` or `tune` wrote, or one that holds such folders.
        uri: The store; default `MLFLOW_TRACKING_URI`, else where each run was begun, else beside
            each run.
        reporter: Shown how far it is.

    Raises:
        InputError: there is no run, or one that cannot be read.
        StorageError: the store cannot be reached or refuses.

    Example:
        [run.state for run in ps.sync("runs")]
    """
    return tell(Path(folder), uri=uri, reporter=reporter)
