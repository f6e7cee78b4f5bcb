"""Where runs are kept: a SQLite file beside the run folders, or a server; opened quietly."""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from pneumoscope.core.addresses import shown, shown_in
from pneumoscope.core.errors import DependencyError, PneumoscopeError, StorageError

ARTEFACTS = "mlartifacts"
"""Folder of a local store's artefacts."""

_DATABASE = "mlflow.db"
_SCHEMA = re.compile(r"out-of-date database schema \(found version (\w+), but expected (\w+)\)")
_SQLITE = "sqlite:///"
_QUIET = ("mlflow", "alembic", "urllib3")
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}
# What MLflow's pages of an experiment show: trainings, not conversations.
_EXPERIMENT = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": "Everything that Pneumoscope did on the data of this name and "
    "fingerprint: trainings, benchmarks over their trainings, studies over their trials. For "
    "research use. Not a medical device.",
}
# A server that does not answer must not hold up training for minutes.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


@dataclass(frozen=True)
class Store:
    """An MLflow store.

    Attributes:
        uri: Its address, credentials included where they were given in it.
        folder: Of a local store, else None.
    """

    uri: str
    folder: Path | None = None

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return shown(self.uri)

    def exists(self) -> bool:
        """Whether a local store has been made; of a server, only asking it tells."""
        file = Path(self.uri.removeprefix(_SQLITE).partition("?")[0])
        return self.folder is None or file.is_file()

    def client(self) -> Any:
        """An MLflow client of this store alone, whatever the environment says.

        Raises:
            OSError: a local store's place cannot be used.
        """
        from mlflow import MlflowClient

        self._require_openable()
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def _require_openable(self) -> None:
        """Say at once what MLflow would try again and again for minutes."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        file = Path(self.uri.removeprefix(_SQLITE).partition("?")[0])
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
        place, need = (file, os.R_OK) if file.exists() else (self.folder, os.W_OK)
        if not os.access(place, need):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))

    def experiment(self, client: Any, name: str) -> str:
        """The id of the experiment of this name, made or brought back where need be."""
        with self._alone():
            found = client.get_experiment_by_name(name)
            if found is None:
                return self._create(client, name)
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _create(self, client: Any, name: str) -> str:
        from mlflow.exceptions import MlflowException

        place = (self.folder / ARTEFACTS).resolve().as_uri() if self.folder else None
        try:
            return str(client.create_experiment(name, place, _EXPERIMENT))
        except MlflowException:  # another client may have made it just now
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _alone(self) -> Any:
        """Two runs that make one new store at once would both create its tables."""
        if self.folder is None:
            return nullcontext()
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".mlflow.lock", timeout=60)


def local_store(folder: Path) -> Store:
    """The SQLite store in a folder.

    Raises:
        StorageError: the folder's name cannot be part of a SQLite address.
    """
    file = (folder / _DATABASE).resolve()
    if "?" in str(file):
        raise StorageError(f"{folder}: a '?' cannot be part of a SQLite address. Rename it.")
    return Store(f"{_SQLITE}{file}", folder)


def store_at(uri: str) -> Store:
    """The store at an address; artefacts of a SQLite file are kept beside it."""
    path = uri.removeprefix(_SQLITE).partition("?")[0]
    return Store(uri, Path(path).parent if uri.startswith(_SQLITE) else None)


def choose_store(uri: str | None, folder: Path) -> Store:
    """The store at `uri`, else at `MLFLOW_TRACKING_URI`, else the SQLite store in `folder`."""
    named = uri or os.environ.get("MLFLOW_TRACKING_URI")
    return store_at(named) if named else local_store(folder)


def has_mlflow() -> bool:
    """Whether MLflow is installed."""
    return util.find_spec("mlflow") is not None


@contextmanager
def asking(store: Store) -> Iterator[Any]:
    """A client; what the store refuses is one error of this program.

    Raises:
        DependencyError: MLflow is missing.
        StorageError: the store cannot be reached, refuses the login, or the request.
    """
    if not has_mlflow():
        raise DependencyError("MLflow is missing. Install it: pip install pneumoscope[tracking].")
    with quiet():
        try:
            yield store.client()
        except (PneumoscopeError, KeyboardInterrupt):
            raise
        except Exception as error:
            if not _of_store(error):
                raise
            raise refusal(store, error) from error


def refusal(store: Store, error: Exception) -> StorageError:
    """What to tell the user of a store that refuses."""
    if refuses_login(error):
        return StorageError(
            f"{store.shown}: the tracking server refuses the login. Set MLFLOW_TRACKING_USERNAME "
            "and MLFLOW_TRACKING_PASSWORD to those of a user it knows."
        )
    if _SCHEMA.search(str(error)):
        return StorageError(f"{store.shown}: the tracking store refuses ({reason(error)}).")
    return StorageError(
        f"{store.shown}: the tracking store refuses ({reason(error)}). Check its address "
        "(MLFLOW_TRACKING_URI, --uri) and that it runs."
    )


def refuses_login(error: Exception) -> bool:
    """Whether a server does not accept user and password (HTTP 401)."""
    status = getattr(error, "get_http_status_code", lambda: None)()
    return status == 401 or "error code 401" in str(error) or "401 Client Error" in str(error)


def reason(error: Exception) -> str:
    """The first line of what went wrong, shortened, without credentials."""
    if found := _SCHEMA.search(str(error)):
        return _of_other_version(*found.groups())
    line = (str(error).splitlines() or [""])[0].strip() or type(error).__name__
    line = shown_in(line)  # before it is cut, which may cut an address
    return line if len(line) <= 300 else f"{line[:300]} ..."


def _of_other_version(found: str, expected: str) -> str:
    """What to do about a database that another MLflow wrote."""
    import mlflow

    version = mlflow.__version__
    known = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if any(known.glob(f"{found}_*.py")):
        return (
            f"its schema is that of an older MLflow, {found}; MLflow {version} has {expected}. "
            "Copy it, then: mlflow db upgrade ADDRESS"
        )
    return (
        f"its schema, {found}, is unknown to MLflow {version}, so a newer one wrote it. Use that "
        "one, or another store (MLFLOW_TRACKING_URI)"
    )


def _of_store(error: Exception) -> bool:
    module = type(error).__module__.partition(".")[0]
    return module in ("mlflow", "requests", "urllib3", "sqlalchemy") or isinstance(error, OSError)


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow without telemetry, chatter, pickles or endless retries; restored afterwards."""
    levels = {name: logging.getLogger(name).level for name in _QUIET}
    settings = _SETTINGS | {k: v for k, v in _PATIENCE.items() if k not in os.environ}
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
