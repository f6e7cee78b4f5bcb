"""What a run folder says by itself: its record, drawn from its files where there is none."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from polars.exceptions import PolarsError

from pneumoscope.core.errors import InputError
from pneumoscope.core.files import sha256, sha256_file
from pneumoscope.tracking.inputs import inputs_of
from pneumoscope.tracking.naming import (
    CONTENT_TAG,
    epoch_metrics,
    flatten,
    named_precisions,
    provenance_tags,
    result_metrics,
)
from pneumoscope.tracking.record import DataInput, Point, Record, load_record
from pneumoscope.tracking.writing import is_run

_IDENTITY = (
    "recipe.yaml", "metrics.json", "history.csv", "split.parquet", "predictions.parquet",
    "bundle/bundle.json", "leaderboard.csv", "trials.csv",
)  # fmt: skip
_ARTEFACTS = "mlartifacts"
_CATALOGUE = "catalogue.parquet"


def find_runs(folder: Path) -> list[Path]:
    """The run folders at and below `folder`, those that contain others first.

    Raises:
        InputError: there is none.
    """
    found = sorted(_walk(folder), key=lambda path: (len(path.parts), path))
    if not found:
        raise InputError(
            f"{folder}: holds no run. Give a folder that train, benchmark or tune wrote, or one "
            "with such folders in it."
        )
    return found


def _walk(folder: Path) -> Iterator[Path]:
    if is_run(folder):
        yield folder
    try:
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError:
        return
    for entry in inside:
        # A local store's artefacts are copies of run folders.
        if entry.is_dir() and not entry.name.startswith(".") and entry.name != _ARTEFACTS:
            yield from _walk(entry)


def record_of(folder: Path) -> Record:
    """The record of a run folder.

    Raises:
        InputError: a file of it is damaged.
    """
    return load_record(folder) or _drawn(folder)


def content_key(folder: Path) -> str:
    """32 hexadecimal digits fixed by the files that make a run what it is; empty without any."""
    hashes = [f"{n}:{sha256_file(folder / n)}" for n in _IDENTITY if (folder / n).is_file()]
    return sha256("\n".join(hashes).encode())[:32] if hashes else ""


def _drawn(folder: Path) -> Record:
    try:
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf8"))
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf8"))
        spec = _bundle_spec(folder)
        ended = _created(folder, spec)
        name, _, digest = str(metrics["data"]).rpartition("@")
        prefix = recipe.get("tracking", {}).get("experiment", "pneumoscope")
        return Record(
            name=str(recipe.get("name", folder.name)),
            experiment=f"{prefix}/{name}@{digest}"[:500],
            key=content_key(folder),
            status="FINISHED",
            started=ended,
            ended=ended,
            params=flatten(recipe),
            tags={
                **provenance_tags(spec.get("provenance", {})),
                **_precisions(recipe),
                "data": digest,
                "pneumoscope.imported": "true",
                CONTENT_TAG: content_key(folder),
            },
            inputs=_inputs(folder, name) or [DataInput(name, digest, "data", _counts(spec))],
            metrics=list(_points(folder, metrics, ended)),
        )
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError, PolarsError
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())
        raise InputError(
            f"{folder}: cannot be read as a run ({reason}). Restore the folder that train wrote."
        ) from error


def _bundle_spec(folder: Path) -> Mapping[str, Any]:
    file = folder / "bundle" / "bundle.json"
    found = json.loads(file.read_text(encoding="utf8")) if file.is_file() else {}
    return found if isinstance(found, dict) else {}


def _created(folder: Path, spec: Mapping[str, Any]) -> int:
    created = spec.get("provenance", {}).get("created")
    if created:
        return int(datetime.fromisoformat(created).timestamp() * 1000)
    return int((folder / "metrics.json").stat().st_mtime * 1000)


def _precisions(recipe: Mapping[str, Any]) -> dict[str, str]:
    """As `train` tells them: the recipe in a run folder says what was chosen on the machine."""
    compute = recipe.get("compute", {})
    frozen, engine = compute.get("precision", "auto"), compute.get("engine", "auto")
    if "auto" in (frozen, engine):
        return {}
    phases = [phase["precision"] for phase in recipe.get("phases", ()) if "precision" in phase]
    return named_precisions(phases, frozen=frozen, engine=engine)


def _inputs(folder: Path, name: str) -> list[DataInput]:
    """The data and each split of them; none where the folder holds no catalogue."""
    file = folder / _CATALOGUE
    return list(inputs_of(name, pl.read_parquet(file))) if file.is_file() else []


def _counts(spec: Mapping[str, Any]) -> dict[str, Any]:
    images = spec.get("training", {}).get("images", {})
    return {f"images:{split}": count for split, count in images.items()}


def _points(folder: Path, metrics: Mapping[str, Any], time: int) -> Iterator[Point]:
    history = folder / "history.csv"
    if history.is_file():
        with history.open(encoding="utf8", newline="") as file:
            for row in csv.DictReader(file):
                values = {k: _number(v) for k, v in row.items() if k != "phase"}
                for name, value in epoch_metrics({"phase": row["phase"], **values}).items():
                    yield Point(name, value, time, int(row["epoch"]))
    for name, value in result_metrics(metrics).items():
        yield Point(name, value, time, 0)


def _number(text: str | None) -> float | None:
    if not text:
        return None
    return float(text.lower() == "true") if text.lower() in ("true", "false") else float(text)
