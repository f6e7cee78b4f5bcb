"""What workflows return: where things are, and the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EvaluateResult:
    """An evaluation on disk.

    Attributes:
        output: The folder written.
        report: Its HTML report.
        metrics: The content of `metrics.json`.
    """

    output: Path
    report: Path
    metrics: Mapping[str, object]


@dataclass(frozen=True)
class TrainResult(EvaluateResult):
    """A training on disk.

    Attributes:
        bundle: The exported model.
        run_id: The MLflow run, None where tracking is off.
        tracking_uri: Its store.
        seconds: From start to end.
    """

    bundle: Path
    run_id: str | None
    tracking_uri: str | None
    seconds: float
