"""A training's TensorBoard event files: scalars while it goes on, everything else at its end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.files import storage_errors
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import Recipe, dump_recipe
from pneumoscope.core.types import IntArray, RgbImage
from pneumoscope.data.cache import PixelCache
from pneumoscope.evaluation.predictions import read_table
from pneumoscope.imaging.decoded import Radiograph
from pneumoscope.imaging.geometry import resample
from pneumoscope.imaging.overlay import overlay
from pneumoscope.tracking.tensorboard import MOST_PROJECTED, EventFiles, event_files
from pneumoscope.training.example_step import example_step
from pneumoscope.training.trainer import Trained
from pneumoscope.training.views import Views
from pneumoscope.workflows.answering import Answered
from pneumoscope.workflows.exporting import rows_of

FOLDER = "tensorboard"
"""In the run folder; while training goes on, in the hidden folder beside it."""

_SHOWN = 8
_VIEWS = 4
_STEPS = 3


@dataclass(frozen=True)
class Ended:
    """A training that has ended, and what its bundle answered.

    Attributes:
        recipe: Of the training.
        trained: The network.
        catalogue: With a split.
        pixels: Canvases of its images.
        predictor: Of the bundle.
        answered: Of the test split.
    """

    recipe: Recipe
    trained: Trained
    catalogue: pl.DataFrame
    pixels: PixelCache
    predictor: Predictor
    answered: Answered


class Board:
    """Writes event files; what cannot be shown is said and left out, and training goes on.

    Args:
        events: Where to.
        folder: Theirs.
        reporter: Told what is left out.
    """

    def __init__(self, events: EventFiles, folder: Path, reporter: Reporter) -> None:
        self._events, self._folder, self._reporter = events, folder, reporter
        self._left_out: set[str] = set()

    def scalar(self, name: str, value: float, step: int) -> None:
        """Take one number at a step; ends of intervals are left to the report."""
        if name.partition("/")[0].endswith((".low", ".high")):
            return
        self._try("scalars", lambda: self._events.scalar(name, value, step))

    def end(self, ended: Ended, stage: Path) -> None:
        """Show what can only be shown at the end, and move all of it into the run folder.

        Raises:
            StorageError: the run folder cannot be written.
        """
        text = "\n".join(f"    {line}" for line in dump_recipe(ended.recipe).splitlines())
        self._try("recipe", lambda: self._events.text("recipe", text))
        shows = self._reporter.track(_SHOWS.items(), "Writing event files", len(_SHOWS))
        for name, show in shows:
            self._try(name, lambda show=show: show(self._events, ended))  # type: ignore[misc]
        self._events.close()
        with storage_errors(stage):
            shutil.move(self._folder, stage / FOLDER)

    def _try(self, name: str, act: Callable[[], object]) -> None:
        if name in self._left_out:
            return
        try:
            act()
        except Exception as error:  # noqa: BLE001 - pictures of a training are no reason to lose it
            self._left_out.add(name)
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self._reporter.warn(f"TensorBoard: {name} is left out ({reason}).")


@contextmanager
def board_in(unfinished: Path, *, wanted: bool, reporter: Reporter) -> Iterator[Board | None]:
    """What takes a training's scalars, if wanted; an unfinished training goes on in its files."""
    if not wanted:
        yield None
        return
    folder = unfinished / FOLDER
    with event_files(folder) as events:
        yield Board(events, folder, reporter)


def _graph(events: EventFiles, ended: Ended) -> None:
    rows = _of_every_label(rows_of(ended.catalogue, "train"), 1)
    pixels = ended.pixels.pixels(rows["image_id"].to_list())
    events.graph(ended.trained.classifier, torch.from_numpy(pixels))


def _augmented(events: EventFiles, ended: Ended) -> None:
    """The same training images, plain (step 0) and in the views they are trained in."""
    rows = rows_of(ended.catalogue, "train")
    ids = _of_every_label(rows, _SHOWN)["image_id"].to_list()
    canvases = torch.from_numpy(ended.pixels.pixels(ids))
    maker = Views.of(ended.recipe, rows["image_id"].to_list(), ended.pixels)
    for view in range(_VIEWS + 1):
        shown = maker.show(canvases, ids, view).round().clamp(0, 255).to(torch.uint8).numpy()
        for number in range(len(ids)):
            events.images(f"augmented/{number}", shown[number : number + 1], step=view)


def _saliency(events: EventFiles, ended: Ended) -> None:
    """Test images under where the evidence for the answered label lies."""
    rows = _of_every_label(rows_of(ended.catalogue, "test"), _SHOWN)
    canvases = ended.pixels.pixels(rows["image_id"].to_list())
    outputs, labels = ended.predictor.infer(canvases), ended.predictor.labels
    for number, truth in enumerate(rows["label"]):
        answer = int(outputs.logits[number].argmax())
        picture = _overlaid(canvases[number, 0], outputs.saliency[number, answer])
        events.picture(f"saliency/{number} is {truth}, answered {labels[answer]}", picture)


def _overlaid(canvas: np.ndarray, saliency: np.ndarray) -> RgbImage:
    whole = (0.0, 0.0, float(saliency.shape[1]), float(saliency.shape[0]))
    strength = np.asarray(resample(saliency, whole, *canvas.shape), np.float32)
    radiograph = Radiograph(canvas, bits=8, photometric="L", format="png")
    return overlay(radiograph, strength)


def _curves(events: EventFiles, ended: Ended) -> None:
    found = read_table(ended.answered.table)
    events.pr_curves(found.labels, found.truth, found.probabilities)


def _projector(events: EventFiles, ended: Ended) -> None:
    """The bundle's embeddings of the test split, by true label and by answer."""
    found = read_table(ended.answered.table)
    ids = list(found.image_ids[:MOST_PROJECTED])
    truth = [found.labels[at] for at in found.truth[: len(ids)]]
    answers = [found.labels[at] for at in found.probabilities[: len(ids)].argmax(axis=1)]
    right = ["right" if a == b else "wrong" for a, b in zip(truth, answers, strict=True)]
    columns = {"label": truth, "answer": answers, "right": right}
    embeddings = np.stack([ended.answered.embeddings[image_id] for image_id in ids])
    events.projector(embeddings, columns, ended.pixels.pixels(ids))


def _profile(events: EventFiles, ended: Ended) -> None:
    """A few steps of the last phase's size."""
    rows = rows_of(ended.catalogue, "train")
    chosen = _of_every_label(rows, min(ended.recipe.phases[-1].batch_size, 32))
    pixels = torch.from_numpy(ended.pixels.pixels(chosen["image_id"].to_list()))
    labels = ended.predictor.labels
    counts = [int((rows["label"] == label).sum()) for label in labels]
    step = example_step(
        ended.trained.classifier, ended.recipe, pixels, _indices(chosen, labels), counts=counts
    )
    events.profile(step, steps=_STEPS)


def _of_every_label(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """Some catalogue rows that take labels in turn."""
    turn = pl.int_range(pl.len()).over("label")
    return rows.with_columns(turn.alias("turn")).sort("turn", "label", "image_id").head(most)


def _indices(rows: pl.DataFrame, labels: tuple[str, ...]) -> IntArray:
    return np.array([labels.index(label) for label in rows["label"]], np.int64)


_SHOWS: dict[str, Callable[[EventFiles, Ended], None]] = {
    "graph": _graph,
    "augmented images": _augmented,
    "saliency": _saliency,
    "precision-recall curves": _curves,
    "embedding projector": _projector,
    "profile of a few steps": _profile,
}
