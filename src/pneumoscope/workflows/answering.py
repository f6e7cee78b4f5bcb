"""Answers for cached images: logits and embeddings by image id, and the predictions table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.progress import Reporter
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.cache import PixelCache
from pneumoscope.evaluation.predictions import predictions_table

BATCH = 32
GROUPS = ("source", "view", "sex", "age")
"""Catalogue columns that go along with the predictions, where anything is known."""

Change = Callable[[PixelBatch, Sequence[str]], PixelBatch]
"""Canvases and their image ids to other canvases of the same shape."""


@dataclass(frozen=True)
class Answered:
    """What a bundle makes of some images.

    Attributes:
        table: The predictions table.
        embeddings: `[features]` by image id.
    """

    table: pl.DataFrame
    embeddings: dict[str, NDArray[np.float32]]


def predict_rows(
    predictor: Predictor,
    pixels: PixelCache,
    rows: pl.DataFrame,
    *,
    reporter: Reporter,
    change: Change | None = None,
    what: str = "Answering",
) -> Answered:
    """The answers for these catalogue rows.

    Args:
        predictor: Answers.
        pixels: Holds the canvases.
        rows: Of a catalogue, with labels.
        reporter: Shown how far it is.
        change: What is done to canvases before; None leaves them.
        what: Said of the work, before the number of images.
    """
    ids = rows["image_id"].to_list()
    logits, embeddings = infer(predictor, pixels, ids, reporter=reporter, change=change, what=what)
    return Answered(answers_table(rows, logits, predictor), embeddings)


def infer(
    predictor: Predictor,
    pixels: PixelCache,
    image_ids: Sequence[str],
    *,
    reporter: Reporter,
    change: Change | None = None,
    what: str = "Answering",
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Logits `[label]` and embeddings `[features]` by image id; see `predict_rows`."""
    logits: dict[str, NDArray[np.float32]] = {}
    embeddings: dict[str, NDArray[np.float32]] = {}
    work, batches = pixels.batches(image_ids, BATCH), -(-len(image_ids) // BATCH)
    for ids, canvases in reporter.track(work, f"{what} {len(image_ids)} images", batches):
        found = predictor.infer(change(canvases, ids) if change else canvases)
        logits |= dict(zip(ids, found.logits, strict=True))
        embeddings |= dict(zip(ids, found.embedding, strict=True))
    return logits, embeddings


def answers_table(
    rows: pl.DataFrame, logits: dict[str, NDArray[np.float32]], predictor: Predictor
) -> pl.DataFrame:
    """The predictions table of catalogue rows whose logits are known by image id."""
    known = [name for name in GROUPS if rows[name].null_count() < rows.height]
    return predictions_table(
        image_ids=rows["image_id"].to_list(),
        patient_ids=rows["patient_id"].to_list(),
        truth=rows["label"].to_list(),
        logits=logits,
        labels=predictor.labels,
        calibrator=predictor.calibrator,
        groups={name: rows[name].cast(pl.String).to_list() for name in known},
    )
