"""Where a study is kept: a journal file, or a database that many machines reach.

A worker that dies is found out: with a journal by the lock it held, which the operating system
lets go; with a database by signs of life that stop.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from pneumoscope.core.addresses import shown, shown_in
from pneumoscope.core.errors import DependencyError, InputError, StorageError
from pneumoscope.core.files import storage_errors

__all__ = [
    "WorkerLock", "answering", "is_dead", "leading", "open_storage", "require_optuna",
    "resolve_storage", "shown",
]  # fmt: skip

_MISSED = 4
"""Signs of life that may fail to come."""
_DRIVER = "pg8000"
_INSTALL = "Install it: pip install 'pneumoscope[tune]'."


def require_optuna() -> None:
    """Say what to install where Optuna is missing.

    Raises:
        DependencyError: it is.
    """
    if util.find_spec("optuna") is None:
        raise DependencyError(f"tuning needs Optuna. {_INSTALL}")


def resolve_storage(said: str | None, output: Path, *, workers: int) -> str:
    """The address of the database, or the path of the journal file.

    Raises:
        InputError: another kind of database, or SQLite for several workers.
        DependencyError: the driver is missing.
    """
    if said is None:
        return str(output / "study.journal")
    kind, separator, rest = said.partition("://")
    if not separator:
        return said
    if kind == "sqlite":
        if workers > 1:
            raise InputError(
                f"--storage {said}: SQLite does not bear several workers. Leave --storage out (a "
                "journal file), or give postgresql://USER:PASSWORD@HOST/DATABASE."
            )
        return said
    if kind in ("postgres", "postgresql"):
        if util.find_spec(_DRIVER) is None:
            raise DependencyError(f"PostgreSQL needs the driver {_DRIVER}. {_INSTALL}")
        return f"postgresql+{_DRIVER}://{rest}"
    if kind.startswith("postgresql+"):
        return said
    raise InputError(
        f"--storage {shown(said)}: allowed: postgresql://USER:PASSWORD@HOST/DATABASE, the path of "
        "a journal file, or sqlite:///FILE for one worker."
    )


def open_storage(storage: str, *, heartbeat: int) -> Any:
    """Optuna's storage at this place, made if it is not there.

    Raises:
        StorageError: it cannot be reached or written.
    """
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
    from optuna.storages.journal import JournalFileBackend

    from pneumoscope.workflows.tuning.accounts import RETRIES

    with answering(storage), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if "://" not in storage:
            path = Path(storage)
            with storage_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                return JournalStorage(JournalFileBackend(storage))
        return RDBStorage(
            storage,
            engine_kwargs={"pool_pre_ping": True, "pool_size": 3},
            heartbeat_interval=heartbeat,
            grace_period=_MISSED * heartbeat,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
        )


@contextmanager
def answering(storage: str) -> Iterator[None]:
    """Turn a storage that does not answer into one line; its password is not in it.

    Raises:
        StorageError: it does not.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError, ConnectionError) as error:
        cause = error.__cause__ or error
        first = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        remedy = (
            "Correct the address: postgresql://USER:PASSWORD@HOST/DATABASE."
            if isinstance(error, ArgumentError)
            else "Trials that are done are kept there: the same command goes on once it answers."
        )
        raise StorageError(
            f"{shown(storage)}: does not answer ({shown_in(first)[:160]}). {remedy}"
        ) from error


class WorkerLock:
    """This worker's sign of life beside a journal: a locked file, free again once it dies.

    Attributes:
        token: Names the worker; its trials hold it.
    """

    def __init__(self, storage: str) -> None:
        self.token = uuid4().hex[:12]
        self._folder = None if "://" in storage else _lock_folder(storage)
        self._file: IO[Any] | None = None

    def __enter__(self) -> WorkerLock:
        if self._folder is not None:
            with storage_errors(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = (self._folder / self.token).open("w")
            _lock(self._file)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None and self._folder is not None:
            (self._folder / self.token).unlink(missing_ok=True)
            self._file.close()


def is_dead(storage: str, token: str) -> bool:
    """Whether the worker that held this lock beside the journal has died."""
    try:
        with (_lock_folder(storage) / token).open("r+") as file:
            return _lock(file) is True
    except FileNotFoundError:
        return True


@contextmanager
def leading(file: Path) -> Iterator[bool]:
    """Whether this process is the only one that holds `file`."""
    with storage_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as held:
            yield _lock(held) is not False


def _lock_folder(storage: str) -> Path:
    return Path(f"{storage}.workers")


def _lock(file: IO[Any]) -> bool | None:
    """Whether the lock was free and is ours now; None where there are no such locks."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
