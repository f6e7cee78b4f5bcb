"""What a run has to say, kept beside the run folder's files so that any store can be told again.

`tracking.json` in the run folder is this record. Where it is missing, the same is drawn from
`recipe.yaml`, `metrics.json`, `history.csv` and the bundle: the run folder is complete by itself.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from pneumoscope.core.errors import InputError
from pneumoscope.core.files import sha256, write_text

RECORD: Final = "tracking.json"
"""The record's file in a run folder."""

_SCHEMA_VERSION = 1


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Point(NamedTuple):
    """A metric at a step.

    Attributes:
        time: Milliseconds since 1970.
    """

    name: str
    value: float
    time: int
    step: int


@dataclass(frozen=True)
class DataInput:
    """Data that went into a run.

    Attributes:
        name: Of the data set, never a path.
        digest: A hash of its content, at most 36 characters.
        context: What it was used for: `data`, `train`, `validation`, `calibration` or `test`.
        profile: Counts, such as images and patients.
    """

    name: str
    digest: str
    context: str
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Parent:
    """The run that a run belongs to.

    Attributes:
        key: The same in every store.
        run_id: In the store it was begun in, None where there was none.
        name: As shown.
        experiment: Its name; children are in the same one.
        uri: The address of that store without credentials.
    """

    key: str
    run_id: str | None
    name: str
    experiment: str = ""
    uri: str | None = None

    def key_of(self, name: str) -> str:
        """The key of the child of this name: begun again, it is the same run."""
        return sha256(f"{self.key}/{name}".encode())[:32]


@dataclass(frozen=True)
class Identity:
    """Which run it is.

    Attributes:
        name: As shown; None takes the recipe's.
        kind: `train`, `benchmark`, `tune` or `trial`.
        parent: The run it belongs to.
        key: The same in every store; None is the parent's child of this name, else a new run.
    """

    name: str | None = None
    kind: str = "train"
    parent: Parent | None = None
    key: str | None = None


@dataclass
class Record:
    """Everything about one run but its files.

    Attributes:
        key: Identifies the run in every store.
        name: As shown.
        kind: `train`, `benchmark`, `tune` or `trial`.
        experiment: Its name.
        status: `RUNNING`, `FINISHED`, `FAILED` or `KILLED`.
        started: Milliseconds since 1970.
        ended: The same, None while it runs.
        params: By dotted name.
        tags: By name.
        inputs: What data went in.
        metrics: In the order they were logged.
        parent: None at the top.
        uri: The store's address without credentials.
        run_id: In that store, None where it was never begun there.
        complete: Whether the store has all of it.
        lost: Why it has not.
    """

    name: str
    experiment: str
    kind: str = "train"
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: str = "RUNNING"
    started: int = field(default_factory=now)
    ended: int | None = None
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    inputs: list[DataInput] = field(default_factory=list)
    metrics: list[Point] = field(default_factory=list)
    parent: Parent | None = None
    uri: str | None = None
    run_id: str | None = None
    complete: bool = False
    lost: str | None = None

    @property
    def digest(self) -> str:
        """32 hexadecimal digits fixed by which run it is, and by what it says."""
        points = sorted((point.name, point.step, point.value) for point in self.metrics)
        said = [self.key, self.status, sorted(self.params.items()), points]
        return sha256(json.dumps(said).encode())[:32]

    def save(self, folder: Path) -> None:
        """Write `tracking.json` into a folder."""
        content = {"schema_version": _SCHEMA_VERSION, **asdict(self)}
        write_text(folder / RECORD, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def load_record(folder: Path) -> Record | None:
    """The record in a folder, None where there is no `tracking.json`.

    Raises:
        InputError: the file is damaged or of another version.
    """
    file = folder / RECORD
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf8"))
        if content.pop("schema_version") != _SCHEMA_VERSION:
            raise ValueError("of another version")
        parent = content.pop("parent")
        inputs = [DataInput(**item) for item in content.pop("inputs")]
        metrics = [Point(*item) for item in content.pop("metrics")]
        return Record(
            **content, inputs=inputs, metrics=metrics, parent=Parent(**parent) if parent else None
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{file}: is no record of a run ({error}). Remove it: the rest of the folder says all "
            "but the system's metrics."
        ) from error
