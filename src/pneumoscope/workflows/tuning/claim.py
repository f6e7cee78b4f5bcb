"""Which study a folder holds: a second one in it would overwrite the first and mix their runs.

`begun.json` names the study and the key that its storage keeps. A study of the same name in another
storage, or in a new journal after the first was deleted, has another key and is another study.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from pneumoscope.core.errors import InputError, StorageError
from pneumoscope.core.files import storage_errors, write_text
from pneumoscope.tracking import load_record
from pneumoscope.workflows.tuning.plan import StudyPlan
from pneumoscope.workflows.tuning.storage import shown

BEGUN = "begun.json"
_RESULT, _LOCK = "study.json", "study.lock"


class Held(NamedTuple):
    """The study that a folder holds.

    Attributes:
        study: Its name.
        key: That its storage keeps; None in a folder that does not say.
    """

    study: str
    key: str | None


def lock_of(folder: Path) -> Path:
    """The file that the command which leads the folder's study holds."""
    return folder / _LOCK


def require_room(folder: Path, plan: StudyPlan) -> None:
    """Make the folder, or refuse one that is not for this study, before any work.

    Raises:
        InputError: it holds another study, or the journal of its own is gone.
        StorageError: it holds something else, or cannot be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        names = {item.name for item in folder.iterdir()}
    if names and not names & {BEGUN, _RESULT, _LOCK}:
        raise StorageError(f"{folder}: holds something else. Choose another --output.")
    held = _held(folder)
    if held is None:
        return
    if held.study != plan.study:
        raise InputError(
            f"{folder}: holds study '{held.study}', not '{plan.study}'. Give --study "
            f"{held.study} to go on with it, or another --output."
        )
    if "://" not in plan.storage and not Path(plan.storage).exists():
        raise _lost(folder, plan, "which does not exist")


def claim(folder: Path, plan: StudyPlan, key: str, *, leads: bool) -> None:
    """Write down that the folder holds this study, by the command that leads it.

    Args:
        folder: The study's output.
        plan: The study's.
        key: That its storage keeps.
        leads: Whether this command leads; others only look.

    Raises:
        InputError: the folder holds another study of this name.
    """
    held = _held(folder)
    if held is not None and held.key not in (None, key):
        raise _lost(folder, plan, "which holds another study of this name")
    if leads:
        write_text(folder / BEGUN, json.dumps({"study": plan.study, "key": key}) + "\n")


def _held(folder: Path) -> Held | None:
    begun, result = folder / BEGUN, folder / _RESULT
    if begun.is_file():
        return Held(*(_read(begun, name) for name in Held._fields))
    record = load_record(folder)
    if record is not None and record.kind == "tune":
        return Held(record.name, record.key)
    return Held(_read(result, "study"), None) if result.is_file() else None


def _read(file: Path, name: str) -> str:
    try:
        return str(json.loads(file.read_text(encoding="utf8"))[name])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file}: does not say whose folder it is ({error!r}). Choose another --output."
        ) from error


def _lost(folder: Path, plan: StudyPlan, why: str) -> InputError:
    return InputError(
        f"{folder}: holds study '{plan.study}', whose trials are not in {shown(plan.storage)}, "
        f"{why}. Give the --storage it was begun in, or put its journal back; else another "
        "--output."
    )
