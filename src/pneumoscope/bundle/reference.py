"""What a bundle remembers of the images it was made from: numbers to compare others with.

No picture, no path and no patient's identifier: logits, labels and numbered patients of the
calibration split, and signatures of the images it was made from, of which no more can be drawn
again than a blurred outline, see `data.near_training`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.core.errors import BundleError
from pneumoscope.evaluation.calibrator import Calibrator
from pneumoscope.evaluation.predictions import Predictions, predictions_table

_TYPES = {
    "calibration_logits": np.float32,
    "calibration_truth": np.int64,
    "calibration_patients": np.int64,
}


def _empty(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


@dataclass(frozen=True)
class Reference:
    """Arrays kept beside the model.

    Attributes:
        calibration_logits: `[image, label]`, float32; no row where nothing is known.
        calibration_truth: `[image]`, index of the true label.
        calibration_patients: `[image]`, patient of each image, 0 to n_patients - 1.
        training: arrays about the training images by name, see `data.near_training`.
    """

    calibration_logits: NDArray[np.float32] = field(default_factory=lambda: _empty(0, 2))
    calibration_truth: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    calibration_patients: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    training: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    def calibration_table(
        self, labels: tuple[str, ...], calibrator: Calibrator
    ) -> pl.DataFrame | None:
        """The predictions table of the calibration split, its images and patients numbered."""
        count = len(self.calibration_truth)
        if not count:
            return None
        ids = [f"calibration-{row:06}" for row in range(count)]
        return predictions_table(
            image_ids=ids,
            patient_ids=[f"calibration-{patient:06}" for patient in self.calibration_patients],
            truth=[labels[code] for code in self.calibration_truth],
            logits=dict(zip(ids, self.calibration_logits, strict=True)),
            labels=labels,
            calibrator=calibrator,
        )


def reference_of(
    calibration: Predictions, training: dict[str, NDArray[np.generic]] | None = None
) -> Reference:
    """The reference that these predictions of the calibration split make."""
    return Reference(
        calibration.logits.astype(np.float32),
        calibration.truth.astype(np.int64),
        calibration.clusters.astype(np.int64),
        training or {},
    )


def reference_bytes(reference: Reference) -> bytes:
    """The reference as safetensors."""
    from safetensors.numpy import save

    arrays = {name: getattr(reference, name) for name in _TYPES}
    kept = {f"training/{name}": values for name, values in reference.training.items()}
    return save({name: np.ascontiguousarray(array) for name, array in (arrays | kept).items()})


def read_reference(content: bytes, *, labels: int) -> Reference:
    """The reference in the bytes of `reference.safetensors`.

    Raises:
        BundleError: not safetensors, or an array is missing, or of another type or shape.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _refused(f"is no safetensors ({error})") from error
    for name, kind in _TYPES.items():
        if name not in arrays or arrays[name].dtype != kind:
            raise _refused(f"{name} is missing or not {np.dtype(kind)}, as it has to be")
    found = [arrays.pop(name) for name in _TYPES]
    logits, truth, patients = found
    if logits.shape != (len(truth), labels) or truth.shape != patients.shape or truth.ndim != 1:
        shapes = ", ".join(str(list(one.shape)) for one in found)
        raise _refused(f"shapes {shapes}; allowed: [image, {labels}], [image], [image]")
    if not np.isfinite(logits).all() or ((truth < 0) | (truth >= labels)).any():
        raise _refused("logits are not finite, or a label is outside the label set")
    training = {name.removeprefix("training/"): values for name, values in arrays.items()}
    return Reference(logits, truth, patients, training)


def _refused(why: str) -> BundleError:
    return BundleError(f"reference.safetensors: {why}. Export the bundle again.")
