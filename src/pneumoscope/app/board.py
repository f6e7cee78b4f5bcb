"""Runs in order, where they are kept, and the paired test of two; no Streamlit here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pneumoscope.app.data import Role, Run, read_json
from pneumoscope.evaluation.agreement import shared_images
from pneumoscope.evaluation.comparison import compare
from pneumoscope.evaluation.resampling import finite
from pneumoscope.reporting.words import number

BOARD = ("auc", "balanced_accuracy", "log_loss", "ece")
"""What runs are listed with; the first one orders them."""
TESTED = ("auc", "accuracy", "log_loss")

_ROLES: tuple[Role, ...] = ("champion", "challenger", "candidate", "run")
_RESAMPLES = 1000


@dataclass(frozen=True)
class Difference:
    """Two runs under one metric on the images both answered.

    Attributes:
        metric: Its name in `metrics.json`.
        first: Of the first run.
        second: Of the second run.
        difference: First less second, with its interval from `low` to `high`.
        p_value: After Holm's correction over all that was compared.
        verdict: `better`, `tie` or `undecided`.
        better: Name of the run that is; of the first where none is.
    """

    metric: str
    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    verdict: str
    better: str


def measured_images(run: Run) -> tuple[str, str]:
    """The data with their fingerprint and the split of them that its figures are of."""
    return str(run.metrics.get("data", "")), str(run.metrics.get("split", ""))


def comparable(many: Sequence[Run]) -> bool:
    """Whether the figures of all are of the same images."""
    return len(set(map(measured_images, many))) < 2


def board_rows(many: Sequence[Run]) -> list[tuple[Run, list[object]]]:
    """Each run with its entries of `BOARD`: the champion first, then by the first metric.

    Runs measured on the same images stand together: others are not ranked among them.
    """

    def place(run: Run) -> tuple[bool, tuple[str, str], float, str]:
        value = number(run.metrics.get(BOARD[0]))
        best = -(value if value is not None else -1.0)
        return run.role != _ROLES[0], measured_images(run), best, run.name

    return [(run, [run.metrics.get(key) for key in BOARD]) for run in sorted(many, key=place)]


def kept_in(run: Run) -> str | None:
    """The MLflow store that has the run, without credentials; None where none is recorded."""
    found = _record(run) or {}
    return str(found["uri"]) if found.get("uri") and found.get("run_id") else None


def tracked_link(run: Run) -> str | None:
    """The run's page on an MLflow server; None where its store is none that can be browsed."""
    found = _record(run) or {}
    uri, run_id = found.get("uri"), found.get("run_id")
    if not run_id or not str(uri).startswith(("http://", "https://")):
        return None
    return f"{str(uri).rstrip('/')}/#/runs/{run_id}"


def compared(first: Run, second: Run) -> list[Difference]:
    """The paired test of two runs under `TESTED`, on the images both answered.

    Raises:
        PredictionsError: no image is common, or labels, truths or patients differ.
    """
    return list(_compared(first.folder, second.folder, first, second))


@lru_cache(maxsize=32)
def _compared(one: Path, other: Path, first: Run, second: Run) -> tuple[Difference, ...]:
    del one, other
    if first.folder == second.folder:
        return ()
    both = {run.name: run.predictions() for run in (first, second)}
    shared = shared_images(both)
    return tuple(_differences(shared, first.name, second.name))


def _differences(shared: Any, first: str, second: str) -> Iterator[Difference]:
    for one in compare(shared, metrics=TESTED, resamples=_RESAMPLES, seed=0):
        gap = one.difference
        ahead = (gap.value > 0) == (one.metric not in ("log_loss", "brier", "ece"))
        yield Difference(
            metric=one.metric,
            first=finite(one.first_value),
            second=finite(one.second_value),
            difference=finite(gap.value),
            low=finite(gap.low),
            high=finite(gap.high),
            p_value=finite(one.adjusted_p_value),
            verdict=one.verdict,
            better=first if ahead else second,
        )


def _record(run: Run) -> Any:
    return read_json(run.folder / "tracking.json")
