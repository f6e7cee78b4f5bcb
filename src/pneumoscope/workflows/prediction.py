"""Predict: files and folders in, one answer per image out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.bundle.predictor import Prediction, Predictor
from pneumoscope.core.errors import InputError, StorageError
from pneumoscope.core.files import is_there, paths_of, printable
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.core.tables import save_csv, save_parquet
from pneumoscope.data.layouts import image_paths
from pneumoscope.evaluation.familiarity import Shift, batch_shift
from pneumoscope.imaging.overlay import overlay, save_png
from pneumoscope.workflows.bundles import load_bundle


@dataclass(frozen=True)
class Answered:
    """A prediction and where its overlay was written, if it was."""

    prediction: Prediction
    overlay: Path | None
    asked: bool

    def row(self, labels: Sequence[str]) -> dict[str, object]:
        """The columns of the contract, and `saliency` (path or null) if overlays were asked for."""
        row = self.prediction.row(labels)
        drawn = None if self.overlay is None else printable(self.overlay)
        return {**row, "saliency": drawn} if self.asked else row


def predict(
    bundle: str | Path,
    paths: str | Path | Sequence[str | Path],
    *,
    saliency: str | Path | None = None,
    runtime: str = "auto",
    reporter: Reporter | None = None,
) -> tuple[tuple[str, ...], Iterator[Answered]]:
    """The label set, and one answer per image as they come.

    Args:
        bundle: Folder, zip, `models:/NAME@alias`, or `champion`, which ships.
        paths: Image files, and folders to search for images.
        saliency: A folder for overlays in the original geometry, named as the images.
        runtime: See `Predictor`.
        reporter: Shown the progress.

    Raises:
        BundleError: the bundle is incomplete or changed.
        InputError: a path does not exist, or there is no image at all.

    Example:
        labels, answers = ps.predict("champion", "inbox", saliency="overlays")
        for answer in answers:
            answer.prediction.path, answer.prediction.label, answer.overlay
    """
    saliency = Path(saliency) if saliency else None
    shown = reporter or Silent()
    predictor = load_bundle(bundle, runtime=runtime)
    images = _find(paths_of(paths), saliency)
    if saliency:
        _check_distinct(images)
        _make(saliency)
    shown.say(f"{len(images)} images; model {predictor.model_id} in {predictor.runtime}.")
    return predictor.labels, _answers(predictor, images, saliency, shown)


def save_table(rows: Sequence[dict[str, object]], labels: Sequence[str], path: Path) -> None:
    """Write answers as CSV or Parquet, as the file's name says.

    Raises:
        InputError: another extension.
        StorageError: the place cannot be written.
    """
    check_table_path(path)
    table = answers_frame(rows, labels)
    (save_csv if path.suffix.lower() == ".csv" else save_parquet)(table, path)


def answers_frame(rows: Sequence[dict[str, object]], labels: Sequence[str]) -> pl.DataFrame:
    """Rows of the contract as a table, its types the same whatever the answers are."""
    probabilities = {f"probability:{label}": pl.Float64 for label in labels}
    numbers = {"familiarity": pl.Float64, "gate_score": pl.Float64, "milliseconds": pl.Float64}
    columns = dict.fromkeys(rows[0], pl.String) | probabilities | numbers
    return pl.DataFrame(list(rows), schema={name: columns[name] for name in rows[0]})


def shift_of(predictor: Predictor, unfamiliar: Sequence[bool] | NDArray[np.bool_]) -> Shift | None:
    """What the familiarity of answered images says of all of them together.

    Args:
        predictor: That answered.
        unfamiliar: `[image]`, of those whose familiarity was looked at; their patients are not
            known, so each counts as one of its own.
    """
    if predictor.gate is None:
        return None
    level = float(predictor.gate.levels(np.arange(len(predictor.labels))).max())
    return batch_shift(unfamiliar, np.arange(len(unfamiliar)), level=level)


def tell_shift(shift: Shift | None, reporter: Reporter) -> None:
    """Say it, as a warning where the images come from elsewhere."""
    if shift is not None:
        (reporter.warn if shift.shifted else reporter.say)(shift.statement)


def check_table_path(path: Path) -> None:
    """Refuse a table of a kind that is not written, before any work is done."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"{path}: ends in '{path.suffix}'; allowed: .csv, .parquet. Rename it.")


def _find(paths: Sequence[Path], overlays: Path | None) -> dict[Path, Path]:
    """Every image but earlier overlays, with its place relative to where it was found."""
    found: dict[Path, Path] = {}
    for path in paths:
        if not is_there(path):
            raise InputError(f"{path}: does not exist. Give image files or folders.")
        for image in image_paths(path):
            if overlays and image.is_relative_to(overlays) and overlays != path:
                continue
            inside = image.relative_to(path) if path.is_dir() else Path(image.name)
            found.setdefault(image, inside)
    if not found:
        shown = ", ".join(map(str, paths))
        raise InputError(f"{shown}: no image found (.png, .jpg, .jpeg). Give files or folders.")
    return found


def _check_distinct(images: dict[Path, Path]) -> None:
    """Refuse, before any work, to draw two images into one file."""
    first: dict[Path, Path] = {}
    for image, inside in images.items():
        if (other := first.setdefault(inside, image)) != image:
            raise InputError(
                f"{other} and {image}: their overlays would both be {inside}. "
                "Give the folder above both, or predict them apart."
            )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageError(
            f"{folder}: cannot be made ({reason}). Choose another --saliency folder."
        ) from error


def _answers(
    predictor: Predictor, images: dict[Path, Path], folder: Path | None, reporter: Reporter
) -> Iterator[Answered]:
    answers = predictor.predict_many(images, saliency=folder is not None)
    unfamiliar: list[bool] = []
    for prediction in reporter.track(answers, "Answering", len(images)):
        written = None
        stage = prediction.gate.familiarity if prediction.gate else None
        if stage is not None:
            unfamiliar.append(stage.outcome == "warned")
        if folder and prediction.radiograph is not None and prediction.saliency is not None:
            inside = images[prediction.source]
            written = folder / inside.with_name(f"{inside.name}.png")
            save_png(overlay(prediction.radiograph, prediction.saliency), written)
        yield Answered(prediction, written, asked=folder is not None)
    tell_shift(shift_of(predictor, unfamiliar), reporter)
