"""The product's training in scikit-learn's manner: paths of radiographs in, labels out."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import InputError, LabelError, RadiographError
from pneumoscope.core.files import staged_folder, storage_errors, write_text
from pneumoscope.core.progress import Silent
from pneumoscope.core.recipe import Recipe, override, recipe_of
from pneumoscope.workflows.training import train

_BATCH = 32


class RadiographClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn classifier of radiographs, trained as `train` does it.

    Of the images given to `fit`, the recipe's shares choose the epoch, calibrate and test; with
    `groups`, images of one patient stay together. `predict` and `predict_proba` answer whatever can
    be read: gate, label sets and abstention are answers of `predictor_`.

    Args:
        recipe: A recipe, or the file of one; default the default recipe. Where its data lie is
            replaced by what `fit` is given.
        folder: Absent or empty; `fit` writes `data` (the images, linked or copied, and their
            labels) and `run` (as `train` does) into it. Without it both are temporary, and the run
            is not tracked.

    Attributes:
        classes_: `[label]`, the distinct labels of `fit`, sorted.
        predictor_: Answers as the product does.
        metrics_: Of the test split, as in `metrics.json`.
        warnings_: What training warned of.

    Example:
        model = ps.RadiographClassifier("recipe.yaml").fit(paths, labels, groups=patients)
        model.predict_proba(["a.png", "b.png"]), model.score(other_paths, other_labels)
    """

    def __init__(
        self, recipe: Recipe | str | Path | None = None, *, folder: str | Path | None = None
    ) -> None:
        self.recipe = recipe
        self.folder = folder

    def fit(
        self,
        X: Sequence[str | Path] | NDArray[Any],  # noqa: N803 - scikit-learn's name
        y: ArrayLike,
        groups: Sequence[object] | NDArray[Any] | None = None,
    ) -> Self:
        """Train on images and their labels.

        Args:
            X: `[image]` paths.
            y: `[image]` labels.
            groups: `[image]` patients; without them, those that the file names tell.

        Raises:
            InputError: lengths differ, an image is not there or given twice, or the data or the
                recipe do not allow it.
            StorageError, TrainingError, ExportError: as `train`.
        """
        files, labels = _files(X), np.asarray(y)
        patients = None if groups is None else [str(group) for group in groups]
        _check(files, labels, patients)
        reporter, classes = Silent(), np.unique(labels)
        with _room(self.folder) as room:
            data = _lay_out(files, labels.tolist(), patients, room / "data")
            changes = {
                "data.path": str(data), "data.layout": "manifest", "data.columns": {},
                "data.folders": [], "data.labels": {},
            }  # fmt: skip
            untracked = {} if self.folder else {"tracking.enabled": False}
            recipe = override(recipe_of(self.recipe or Recipe()), changes | untracked)
            run = train(recipe, output=room / "run", reporter=reporter)
            predictor = Predictor.open(run.bundle)
        _check_labels(predictor.labels, classes)
        self.classes_, self.predictor_ = classes, predictor
        self.metrics_, self.warnings_ = run.metrics, reporter.warnings
        return self

    def predict_proba(
        self,
        X: Sequence[str | Path] | NDArray[Any],  # noqa: N803
    ) -> NDArray[np.float64]:
        """`[image, label]` calibrated probabilities, in the order of `classes_`.

        Raises:
            NotFittedError: before `fit`.
            RadiographError: an image cannot be read.
        """
        check_is_fitted(self)
        predictor, files = self.predictor_, _files(X)
        starts = range(0, len(files), _BATCH)
        parts = [_probabilities(predictor, files[start : start + _BATCH]) for start in starts]
        columns = [predictor.labels.index(str(label)) for label in self.classes_.tolist()]
        return np.concatenate([np.empty((0, len(columns))), *parts])[:, columns]

    def predict(
        self,
        X: Sequence[str | Path] | NDArray[Any],  # noqa: N803
    ) -> NDArray[Any]:
        """`[image]` the most probable label of each; see `predict_proba`."""
        check_is_fitted(self)
        answers: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return answers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        return tags


def _files(paths: Sequence[str | Path] | NDArray[Any]) -> list[Path]:
    return [Path(path) for path in np.asarray(paths, dtype=object).ravel()]


def _check(files: Sequence[Path], labels: NDArray[Any], patients: Sequence[str] | None) -> None:
    counts = [len(files), *labels.shape, *([] if patients is None else [len(patients)])]
    if labels.ndim != 1 or len(set(counts)) > 1:
        raise InputError(f"X, y, groups: {counts} entries; allowed: one for each image. Even them.")
    if len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise InputError(f"{twice}: is given twice. Give each image once.")


def _check_labels(learnt: Sequence[str], classes: NDArray[Any]) -> None:
    given = [str(label) for label in classes.tolist()]
    if sorted(learnt) != sorted(given):
        raise LabelError(
            f"y: labels {', '.join(given)}, of which the training knew {', '.join(learnt)}. Name "
            "labels so that they differ in more than case, and none 'nan' or empty."
        )


@contextmanager
def _room(folder: str | Path | None) -> Iterator[Path]:
    if folder is not None:
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory(prefix="pneumoscope-") as temporary:
        yield Path(temporary)


def _lay_out(
    files: Sequence[Path], labels: Sequence[object], patients: Sequence[str] | None, folder: Path
) -> Path:
    """The images below `folder` under their own relative paths, and the table of their labels."""
    whole = [Path(os.path.abspath(file)) for file in files]  # noqa: PTH100 - links stay links
    root = os.path.commonpath([file.parent for file in whole])
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "label", *([] if patients is None else ["patient_id"])])
    with staged_folder(folder) as stage:
        for row, file in enumerate(whole):
            inside = Path("images") / file.relative_to(root)
            _bring(file, stage / inside)
            known = [] if patients is None else [patients[row]]
            table.writerow([inside.as_posix(), str(labels[row]), *known])
        write_text(stage / "labels.csv", text.getvalue())
    return folder


def _bring(file: Path, place: Path) -> None:
    """Another name of the same bytes, or a copy where the file system gives none."""
    if not file.is_file():
        raise InputError(f"{file}: does not exist. Give paths of image files.")
    with storage_errors(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.hardlink_to(file.resolve())
        except OSError:
            shutil.copyfile(file, place)


def _probabilities(predictor: Predictor, files: Sequence[Path]) -> NDArray[np.float64]:
    readings = [predictor.read(file) for file in files]
    for reading in readings:
        if reading.seen is None:
            raise RadiographError(f"{reading.source}: {reading.reason}")
    canvases = np.stack([reading.seen.canvas for reading in readings if reading.seen])[:, None]
    return predictor.probabilities(predictor.infer(canvases).logits)
