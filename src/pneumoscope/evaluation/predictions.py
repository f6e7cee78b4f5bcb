"""The predictions table: the one source of every metric, figure and comparison.

Columns: `image_id`, `patient_id` (null when unknown), `label` (the true one), `logit:<label>` and
`probability:<label>` for each label of the label set in its order, then group columns (source,
view, sex, ...), text or null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.errors import PredictionsError
from pneumoscope.core.files import replacing
from pneumoscope.core.types import FloatArray
from pneumoscope.evaluation.calibration import softmax
from pneumoscope.evaluation.calibrator import Calibrator

_LOGIT, _PROBABILITY = "logit:", "probability:"
_KEYS = ("image_id", "patient_id", "label")
_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Predictions:
    """A validated predictions table as arrays, images in the order of their ids.

    Attributes:
        labels: the label set.
        image_ids: `[image]`, ascending.
        truth: `[image]`, index of the true label.
        logits: `[image, label]`, before softmax and temperature.
        probabilities: `[image, label]`, in [0, 1].
        clusters: `[image]`, 0 to n_patients - 1; an image of an unknown patient stands alone.
        unknown: `[image]`, whether nobody knows its patient; None: none is unknown.
    """

    labels: tuple[str, ...]
    image_ids: tuple[str, ...]
    truth: NDArray[np.int64]
    logits: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    clusters: NDArray[np.int64]
    unknown: NDArray[np.bool_] | None = None

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.image_ids)

    @property
    def n_patients(self) -> int:
        """Number of patients, every image of an unknown patient counted as one."""
        return int(self.clusters.max(initial=-1)) + 1

    @property
    def n_unknown_patients(self) -> int:
        """Number of images whose patient nobody knows."""
        return 0 if self.unknown is None else int(self.unknown.sum())

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Index of the most probable label, `[image]`; the first of equals."""
        winners: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return winners


def predictions_table(
    *,
    image_ids: Sequence[str],
    patient_ids: Sequence[str | None],
    truth: Sequence[str],
    logits: Mapping[str, FloatArray],
    labels: Sequence[str],
    temperature: float = 1.0,
    calibrator: Calibrator | None = None,
    groups: Mapping[str, Sequence[str | None]] | None = None,
) -> pl.DataFrame:
    """The predictions table, one row per entry of `image_ids`, in that order.

    Args:
        image_ids: unique.
        patient_ids: of each image, None when unknown.
        truth: true label of each image.
        logits: `[label]` of each image by its id, so that no order has to be trusted.
        labels: the label set, in the order of the logits.
        temperature: logits are divided by it before softmax.
        calibrator: makes probabilities of logits in place of the temperature.
        groups: further text columns, a value per image.

    Raises:
        PredictionsError: an id without logits or twice, a label outside the set, lengths that
            differ, a logit that is not finite.
    """
    texts = {"image_id": image_ids, "patient_id": patient_ids, "label": truth, **(groups or {})}
    _check_columns(texts, groups or {}, labels)
    matrix = _logit_matrix(image_ids, logits, len(labels))
    if calibrator is None:
        probabilities = softmax(matrix, temperature=temperature)
    else:
        probabilities = calibrator.apply(matrix)
    keys = [pl.Series(name, texts[name], dtype=pl.String) for name in _KEYS]
    numbers = [
        pl.Series(f"{prefix}{label}", values[:, index], dtype=pl.Float64)
        for index, label in enumerate(labels)
        for prefix, values in ((_LOGIT, matrix), (_PROBABILITY, probabilities))
    ]
    extras = [pl.Series(name, values, dtype=pl.String) for name, values in (groups or {}).items()]
    table = pl.DataFrame([*keys, *numbers, *extras])
    read_table(table)
    return table


def read_table(table: pl.DataFrame) -> Predictions:
    """The arrays of a predictions table, whatever the order of its rows.

    Raises:
        PredictionsError: a column is missing or unpaired, an id is repeated, a value is missing or
            not finite, probabilities do not sum to 1, a true label is outside the label set.
    """
    labels = _label_set(table)
    for name in _KEYS:
        _check_text(table, name)
    if table.is_empty():
        raise PredictionsError("the predictions table has no rows. Predict at least one image.")
    table = table.sort("image_id")
    image_ids = tuple(table["image_id"].to_list())
    _check_unique(image_ids)
    logits = _matrix(table, _LOGIT, labels)
    probabilities = _matrix(table, _PROBABILITY, labels)
    _check_probabilities(probabilities, image_ids)
    truth = _label_indices(table["label"].to_list(), labels, image_ids)
    patients = table["patient_id"].cast(pl.String).to_list()
    clusters = _clusters(image_ids, patients)
    unknown = np.array([patient is None for patient in patients], dtype=np.bool_)
    return Predictions(labels, image_ids, truth, logits, probabilities, clusters, unknown)


def save_predictions(table: pl.DataFrame, path: Path) -> None:
    """Write a valid predictions table as Parquet, whole or not at all.

    Raises:
        PredictionsError: the table breaks its contract.
        StorageError: the place cannot be written.
    """
    read_table(table)
    with replacing(path) as temporary:
        table.write_parquet(temporary)


def load_predictions(path: Path) -> pl.DataFrame:
    """The predictions table in a Parquet file, validated.

    Raises:
        PredictionsError: the file cannot be read or its table breaks the contract.
    """
    try:
        table = pl.read_parquet(path, hive_partitioning=False, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split())
        message = f"{path}: cannot be read ({reason}). Give a predictions.parquet of a run."
        raise PredictionsError(message) from error
    try:
        read_table(table)
    except PredictionsError as error:
        raise PredictionsError(f"{path}: {error}") from error
    return table


def _check_columns(
    texts: Mapping[str, Sequence[str | None]],
    groups: Mapping[str, Sequence[str | None]],
    labels: Sequence[str],
) -> None:
    if len(labels) < 2 or len(set(labels)) < len(labels):
        message = f"labels={list(labels)}; allowed: two or more, each once. Correct the label set."
        raise PredictionsError(message)
    for name in groups:
        if name in _KEYS or name.startswith((_LOGIT, _PROBABILITY)):
            message = f"group '{name}' has the name of a predictions column. Rename the group."
            raise PredictionsError(message)
    n_images = len(texts["image_id"])
    for name, values in texts.items():
        if len(values) != n_images:
            message = f"{name} has {len(values)} values for {n_images} images. Give one for each."
            raise PredictionsError(message)


def _logit_matrix(
    image_ids: Sequence[str], logits: Mapping[str, FloatArray], n_labels: int
) -> NDArray[np.float64]:
    rows = np.empty((len(image_ids), n_labels))
    for index, image_id in enumerate(image_ids):
        if image_id not in logits:
            message = f"image {image_id} has no logits. Predict every image of the table."
            raise PredictionsError(message)
        vector = np.asarray(logits[image_id])
        if vector.shape != (n_labels,):
            message = f"image {image_id}: logits of shape {list(vector.shape)}; allowed: "
            raise PredictionsError(f"{message}[{n_labels}]. Use the label set of the network.")
        rows[index] = vector
    # Checked before softmax, which would turn an infinity into a warning about something else.
    _check_finite(rows, "logits", image_ids)
    return rows


def _label_set(table: pl.DataFrame) -> tuple[str, ...]:
    logits = [name.removeprefix(_LOGIT) for name in table.columns if name.startswith(_LOGIT)]
    paired = {
        name.removeprefix(_PROBABILITY) for name in table.columns if name.startswith(_PROBABILITY)
    }
    for label in sorted(set(logits) ^ paired):
        missing = f"{_PROBABILITY if label in logits else _LOGIT}{label}"
        message = f"column '{missing}' is missing; each label needs its logit and probability."
        raise PredictionsError(f"{message} Predict again.")
    if len(logits) < 2:
        message = f"the table has logits of {len(logits)} labels; allowed: two or more."
        raise PredictionsError(f"{message} Give a predictions.parquet of a run.")
    return tuple(logits)


def _check_text(table: pl.DataFrame, name: str) -> None:
    if name not in table.columns:
        message = f"column '{name}' is missing; needed: {', '.join(_KEYS)}."
        raise PredictionsError(f"{message} Give a predictions.parquet of a run.")
    column = table[name]
    optional = name == "patient_id"
    if column.dtype != pl.String and not (optional and column.dtype == pl.Null):
        raise PredictionsError(f"column '{name}' is {column.dtype}; allowed: text. Cast it.")
    if not optional and column.null_count():
        message = f"column '{name}' has {column.null_count()} missing values; allowed: none."
        raise PredictionsError(f"{message} Leave out images that have none.")


def _check_unique(image_ids: tuple[str, ...]) -> None:
    for image_id, following in pairwise(image_ids):
        if image_id == following:
            message = f"image {image_id} is there more than once; allowed: one row per image."
            raise PredictionsError(f"{message} Remove the repeated rows.")


def _matrix(table: pl.DataFrame, prefix: str, labels: tuple[str, ...]) -> NDArray[np.float64]:
    names = [f"{prefix}{label}" for label in labels]
    for name in names:
        if not table[name].dtype.is_numeric():
            message = f"column '{name}' is {table[name].dtype}; allowed: numbers. Predict again."
            raise PredictionsError(message)
    values = np.ascontiguousarray(table.select(pl.col(names).cast(pl.Float64)).to_numpy())
    _check_finite(values, f"{prefix}<label>", table["image_id"].to_list())
    return values


def _check_finite(values: FloatArray, what: str, image_ids: Sequence[str]) -> None:
    broken = ~np.isfinite(values).all(axis=1)
    if broken.any():
        message = f"image {image_ids[int(broken.argmax())]}: {what} missing or not finite;"
        raise PredictionsError(f"{message} allowed: finite numbers. Predict that image again.")


def _check_probabilities(probabilities: FloatArray, image_ids: tuple[str, ...]) -> None:
    outside = ((probabilities < 0) | (probabilities > 1)).any(axis=1)
    sums = probabilities.sum(axis=1)
    broken = outside | (np.abs(sums - 1) > _SUM_TOLERANCE)
    if broken.any():
        first = int(broken.argmax())
        values = ", ".join(f"{value:.6g}" for value in probabilities[first])
        message = f"image {image_ids[first]}: probabilities {values}; allowed: 0 to 1 each,"
        raise PredictionsError(f"{message} 1 in sum. Apply softmax to the logits.")


def _label_indices(
    truth: list[str], labels: tuple[str, ...], image_ids: tuple[str, ...]
) -> NDArray[np.int64]:
    index = {label: position for position, label in enumerate(labels)}
    for image_id, label in zip(image_ids, truth, strict=True):
        if label not in index:
            message = f"image {image_id}: label '{label}'; allowed: {', '.join(labels)}."
            raise PredictionsError(f"{message} Map it to one of these or leave the image out.")
    return np.array([index[label] for label in truth], dtype=np.int64)


def _clusters(image_ids: tuple[str, ...], patients: list[str | None]) -> NDArray[np.int64]:
    numbers: dict[tuple[str, str], int] = {}
    keys = (
        ("image", image_id) if patient is None else ("patient", patient)
        for image_id, patient in zip(image_ids, patients, strict=True)
    )
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
