"""What `train` and `evaluate` left in a folder, read back to be compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import yaml

from pneumoscope.core.errors import InputError
from pneumoscope.core.files import is_there
from pneumoscope.core.progress import Reporter
from pneumoscope.evaluation.predictions import Predictions, load_predictions, read_table

_HISTORY = {
    "phase": pl.String, "epoch": pl.Int64, "validation_loss": pl.Float64,
    "validation_auc": pl.Float64, "best": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class RunFolder:
    """A run or evaluation on disk.

    Attributes:
        name: Of the folder, with as many of its parents as tell it from the others.
        predictions: The images it answered.
        metrics: The content of `metrics.json`; empty where there is none.
        recipe: The content of `recipe.yaml`, None where there is none.
        history: `history.csv`, None where there is none.
        paths: Where each image lies in its data folder, by image id; empty without a catalogue.
    """

    name: str
    predictions: Predictions
    metrics: Mapping[str, object]
    recipe: Mapping[str, object] | None
    history: pl.DataFrame | None
    paths: Mapping[str, str]


def read_runs(folders: Sequence[Path], *, reporter: Reporter) -> dict[str, RunFolder]:
    """The runs by name, in the order given.

    A file beside the predictions that cannot be read is left out, and said.

    Raises:
        InputError: fewer than two folders, one that is not there or is given twice.
        PredictionsError: a predictions table cannot be read or breaks its contract.
    """
    if len(folders) < 2:
        message = f"{len(folders)} run given; allowed: two or more."
        raise InputError(f"{message} Name the folder of another run or evaluation.")
    for folder in folders:
        _check(folder)
    names = run_names(folders)
    return {
        name: _read(folder, name, reporter) for folder, name in zip(folders, names, strict=True)
    }


def run_names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many last parts as tell all of them apart.

    >>> run_names([Path("runs/one"), Path("runs/two")])
    ['one', 'two']
    >>> run_names([Path("/monday/one"), Path("/tuesday/one"), Path("/tuesday/two")])
    ['monday/one', 'tuesday/one', 'two']

    Raises:
        InputError: a folder is given twice.
    """
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        twice = next(folder for folder, own in zip(folders, parts, strict=True)
                     if parts.count(own) > 1)  # fmt: skip
        raise InputError(f"{twice}: is given twice. Give each run once.")
    return ["/".join(_telling(own, parts)) for own in parts]


def recipe_differences(
    recipes: Mapping[str, Mapping[str, object] | None],
) -> dict[str, dict[str, object]]:
    """The fields in which recipes differ, by dotted name: the value of each run that has it.

    Runs without a recipe are left out; with fewer than two recipes nothing differs.
    """
    known = {name: dict(_leaves(recipe)) for name, recipe in recipes.items() if recipe is not None}
    fields = dict.fromkeys(field for recipe in known.values() for field in recipe)
    found = {
        field: {name: recipe[field] for name, recipe in known.items() if field in recipe}
        for field in fields
    }
    return {
        field: values
        for field, values in found.items()
        if len(values) < len(known) or len({repr(one) for one in values.values()}) > 1
    }


def _telling(own: tuple[str, ...], parts: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    for length in range(1, len(own) + 1):
        if sum(other[-length:] == own[-length:] for other in parts) == 1:
            return own[-length:]
    return own


def _check(folder: Path) -> None:
    if not is_there(folder):
        raise InputError(f"{folder}: does not exist. Give the folder of a run or evaluation.")
    if not (folder / "predictions.parquet").is_file():
        message = f"{folder}: has no predictions.parquet."
        raise InputError(f"{message} Give a folder that train or evaluate wrote.")


def _read(folder: Path, name: str, reporter: Reporter) -> RunFolder:
    return RunFolder(
        name=name,
        predictions=read_table(load_predictions(folder / "predictions.parquet")),
        metrics=_mapping(folder / "metrics.json", reporter) or {},
        recipe=_mapping(folder / "recipe.yaml", reporter),
        history=_history(folder / "history.csv", reporter),
        paths=_paths(folder / "catalogue.parquet", reporter),
    )


def _mapping(file: Path, reporter: Reporter) -> Mapping[str, object] | None:
    """The content of a JSON or YAML file; not as a recipe, for older ones have other fields."""
    if not file.is_file():
        return None
    try:
        text = file.read_text(encoding="utf8")
        content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        _leave_out(file, reporter, error)
        return None
    if isinstance(content, Mapping):
        return content
    _leave_out(file, reporter, "it holds no fields")
    return None


def _history(file: Path, reporter: Reporter) -> pl.DataFrame | None:
    if not file.is_file():
        return None
    try:
        table = pl.read_csv(file)
        history = table.select(pl.col(name).cast(dtype) for name, dtype in _HISTORY.items())
    except (OSError, pl.exceptions.PolarsError) as error:
        _leave_out(file, reporter, error)
        return None
    return None if history.is_empty() else history


def _paths(file: Path, reporter: Reporter) -> Mapping[str, str]:
    if not file.is_file():
        return {}
    try:
        rows = pl.read_parquet(file, columns=["image_id", "path"], hive_partitioning=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        _leave_out(file, reporter, error)
        return {}
    return dict(rows.iter_rows())


def _leave_out(file: Path, reporter: Reporter, reason: object) -> None:
    line = " ".join(str(reason).split())[:120]
    reporter.warn(f"{file}: cannot be read and is left out ({line}).")


def _leaves(content: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted name and value of everything that holds nothing further."""
    inner: Iterable[tuple[object, object]] = ()
    if isinstance(content, Mapping):
        inner = content.items()
    elif isinstance(content, list):
        inner = enumerate(content)
    if not content or not inner:
        simple = content is None or isinstance(content, (bool, int, str))
        finite = isinstance(content, float) and math.isfinite(content)
        yield prefix, content if simple or finite else str(content)
        return
    for key, value in inner:
        yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
