"""Recompute: the numbers of a run or evaluation folder again, from its tables alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pneumoscope.core.errors import InputError
from pneumoscope.evaluation.assessment import Tables
from pneumoscope.evaluation.predictions import load_predictions
from pneumoscope.evaluation.rules import Rules
from pneumoscope.workflows.assess import EXTRA_TABLES, measure

_TOLERANCE = 1e-9
"""Between numbers of other versions of numerical libraries."""
_SHOWN = 60
"""Characters of a value that a difference shows."""


@dataclass(frozen=True)
class Recomputed:
    """What came out, and what the folder says otherwise.

    Attributes:
        metrics: The content of `metrics.json`, computed again.
        assessment: The content of `assessment.json`, computed again.
        differences: Where the stored files say something else.
    """

    metrics: dict[str, object]
    assessment: dict[str, object]
    differences: tuple[str, ...]


def recompute(folder: str | Path) -> Recomputed:
    """Metrics and assessment from the tables in `folder`, compared with what is stored there.

    Raises:
        InputError: a file is missing or cannot be read.
        PredictionsError: a table breaks its contract.
        BundleError: the stored rules cannot be read.

    Example:
        ps.recompute("runs/first").differences
    """
    folder = Path(folder)
    stored = {name: _read_json(folder / f"{name}.json") for name in ("metrics", "assessment")}
    extra = {name: _read_table(folder / f"{name}.parquet") for name in EXTRA_TABLES}
    tables = Tables(predictions=load_predictions(folder / "predictions.parquet"), **extra)
    said = stored["metrics"]
    measured = measure(
        tables,
        Rules.from_json(stored["assessment"].get("rules", {})),
        split=str(said.get("split")),
        model_id=str(said.get("bundle")),
        data=str(said.get("data")),
    )
    computed: dict[str, dict[str, object]] = {
        "metrics": measured.metrics,
        "assessment": measured.assessment,
    }
    differences = [
        line for name in stored for line in _differences(stored[name], computed[name], name)
    ]
    return Recomputed(measured.metrics, measured.assessment, tuple(differences))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}). Give a folder that train or evaluate wrote."
        ) from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: is no JSON object. Give a folder that train or evaluate wrote.")
    return found


def _read_table(path: Path) -> pl.DataFrame | None:
    if not path.exists():
        return None
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path}: is no readable Parquet file. Evaluate again.") from error


def _differences(stored: Any, computed: Any, where: str) -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(computed, dict):
        for name in sorted({*stored, *computed}, key=str):
            yield from _differences(stored.get(name), computed.get(name), f"{where}.{name}")
    elif isinstance(stored, list) and isinstance(computed, list) and len(stored) == len(computed):
        for at, pair in enumerate(zip(stored, computed, strict=True)):
            yield from _differences(*pair, f"{where}.{at}")
    elif not _same(stored, computed):
        yield f"{where}: stored {_short(stored)}, computed {_short(computed)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _same(stored: Any, computed: Any) -> bool:
    if isinstance(stored, float) and isinstance(computed, float):
        return math.isclose(stored, computed, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return bool(stored == computed)
