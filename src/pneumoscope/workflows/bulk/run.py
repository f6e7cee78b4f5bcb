"""Answer any number of images into a folder of Parquet parts, with bounded memory."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import StorageError
from pneumoscope.core.files import storage_errors, write_text
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.evaluation.familiarity import Shift
from pneumoscope.workflows.bulk.scoring import scoring, shards
from pneumoscope.workflows.bulk.sources import list_items
from pneumoscope.workflows.prediction import shift_of, tell_shift

SHARD = 2000
SUMMARY = "summary.json"


@dataclass(frozen=True)
class BulkResult:
    """What was answered.

    Attributes:
        folder: Holds the parts and `summary.json`.
        parts: Files of answers, in the order of the inputs.
        decisions: Images by decision.
        images: All of them.
        skipped: Images whose answers were there already.
        seconds: Without those.
        shift: What the familiarity of all of them says; None for few images, or without a gate.
    """

    folder: Path
    parts: tuple[Path, ...]
    decisions: dict[str, int]
    images: int
    skipped: int
    seconds: float
    shift: Shift | None

    def to_json(self) -> dict[str, object]:
        """Plain Python that `json.dumps` takes."""
        done = self.images - self.skipped
        return {
            "images": self.images, "skipped": self.skipped, "decisions": self.decisions,
            "seconds": round(self.seconds, 2),
            "images_per_second": round(done / self.seconds, 1) if self.seconds else None,
            "shift": None if self.shift is None else self.shift.to_json(),
            "parts": [part.name for part in self.parts],
        }  # fmt: skip


def predict_in_parts(
    predictor: Predictor,
    paths: Sequence[Path],
    folder: Path,
    *,
    shard_size: int = SHARD,
    reporter: Reporter | None = None,
) -> BulkResult:
    """Answer every image below the paths; shards that were answered before are kept.

    Args:
        predictor: Answers.
        paths: Files, folders, `.csv` lists with a column `path`, uncompressed `.tar` archives.
        folder: For the parts; made where it is missing.
        shard_size: Images per part.
        reporter: Shown the progress, and told what the images' familiarity says of all of them.

    Raises:
        InputError: see `list_items`.
        StorageError: the folder cannot be written; finished parts stay.
    """
    shown, start = reporter or Silent(), time.perf_counter()
    items = list_items(paths)
    _make(folder)
    todo = list(shards(items, shard_size))
    there = [shard for shard in todo if (folder / shard.part(predictor.model_id)).is_file()]
    skipped = sum(len(shard.items) for shard in there)
    if skipped:
        shown.say(f"{skipped} of {len(items)} images were answered before; going on.")
    answers = (answer for shard in todo for answer in scoring(predictor, shard, folder))
    deque(shown.track(answers, f"Answering {len(items)} images", len(items)), maxlen=0)
    parts = [folder / shard.part(predictor.model_id) for shard in todo]
    _warn_of_others(folder, parts, shown)
    counts = pl.scan_parquet(parts).group_by("decision").agg(pl.len().alias("n")).collect()
    decisions = dict(sorted(counts.select("decision", "n").iter_rows()))
    shift = shift_of(predictor, np.concatenate([_unfamiliar(predictor, part) for part in parts]))
    tell_shift(shift, shown)
    seconds = time.perf_counter() - start
    result = BulkResult(folder, tuple(parts), decisions, len(items), skipped, seconds, shift)
    facts = {"model_id": predictor.model_id, "runtime": predictor.runtime, **result.to_json()}
    write_text(folder / SUMMARY, json.dumps(facts, indent=2) + "\n")
    return result


def _make(folder: Path) -> None:
    if folder.is_file():
        raise StorageError(f"{folder}: is a file. Choose a folder for the parts.")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _unfamiliar(predictor: Predictor, part: Path) -> NDArray[np.bool_]:
    """`[image]`: whether each that was looked at is, from the answers of a part."""
    if predictor.gate is None:
        return np.zeros(0, np.bool_)
    probabilities = [f"probability:{label}" for label in predictor.labels]
    table = pl.read_parquet(part, columns=["familiarity", *probabilities]).drop_nulls("familiarity")
    answers = table.select(probabilities).to_numpy().argmax(axis=1)
    return predictor.gate.unfamiliar(table["familiarity"].to_numpy(), answers)


def _warn_of_others(folder: Path, parts: Sequence[Path], reporter: Reporter) -> None:
    """Parts of other inputs or another model would be read along by whoever reads the folder."""
    others = sorted(set(folder.glob("part-*.parquet")) - set(parts))
    if others:
        reporter.warn(
            f"{folder}: {len(others)} parts, such as {others[0].name}, are of other images or "
            f"another model. Delete them, or read the parts that {SUMMARY} lists."
        )
