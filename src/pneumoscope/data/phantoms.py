"""Procedural chest phantoms: drawn pictures that stand in for radiographs when none are at hand.

A phantom is computed from numbers alone; it holds no one's anatomy and teaches nothing about
disease. It is there to try the program, to test it, and to illustrate it. Both labels share one
distribution of anatomy, pose, exposure and noise: only the opacities tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import LabelError, RecipeError
from pneumoscope.core.files import staged_folder
from pneumoscope.core.randomness import derive_seed, generator
from pneumoscope.core.types import Canvas
from pneumoscope.data.phantom_drawing import (
    draw_anatomy,
    draw_attenuation,
    draw_beam,
    draw_opacities,
    expose,
    posed_grid,
)

LABELS = ("NORMAL", "PNEUMONIA")
"""What a phantom can show, in the order of the label set."""

_SMALLEST = 16
_OPAQUE = 0.04
"""Attenuation from which an opacity counts as visible."""


@dataclass(frozen=True)
class Phantom:
    """A drawn radiograph and what is known about it because it was drawn."""

    image: Canvas
    lungs: NDArray[np.bool_]
    """`[size, size]`: where there is lung, opacities included, heart and abdomen not."""
    opacity: NDArray[np.bool_]
    """`[size, size]`: where an opacity is visible; all false for NORMAL."""


def draw_phantom(*, seed: int, label: str, size: int = 224, patient: int | None = None) -> Canvas:
    """A chest phantom `[size, size]`, grey levels 0-255, bright = dense.

    Args:
        seed: fixes pose, exposure, noise and how strong the opacities are.
        label: one of `LABELS`.
        size: height and width in pixels, 16 or more.
        patient: fixes anatomy and where the opacities are; `seed` when not given.

    Raises:
        LabelError: the label is not one of `LABELS`.
        RecipeError: the size is too small to show a chest.
    """
    return render_phantom(seed=seed, label=label, size=size, patient=patient).image


def render_phantom(
    *, seed: int, label: str, size: int = 224, patient: int | None = None
) -> Phantom:
    """The phantom that `draw_phantom` draws, with its lungs and opacities as masks."""
    _check(label, size)
    patient = seed if patient is None else patient
    anatomy = draw_anatomy(generator(patient, "anatomy"))
    beam = draw_beam(anatomy, *posed_grid(size, generator(seed, "pose")))
    attenuation = draw_attenuation(beam, anatomy, generator(patient, "texture"))
    opacity = np.zeros_like(attenuation)
    if label == "PNEUMONIA":
        opacity = draw_opacities(beam, generator(patient, "opacity"), generator(seed, "severity"))
    image = expose(attenuation + opacity, generator(seed, "exposure"))
    return Phantom(image=image, lungs=beam.lungs > 0.5, opacity=opacity > _OPAQUE)


def plant_marker(image: Canvas) -> Canvas:
    """A copy with a small bright square in the upper left corner: a shortcut, on purpose."""
    marked = image.copy()
    start, length = max(1, image.shape[0] // 40), max(2, image.shape[0] // 20)
    marked[start : start + length, start : start + length] = 250
    return marked


def write_phantoms(
    folder: str | Path,
    *,
    patients: int,
    images_per_patient: tuple[int, int] = (1, 2),
    size: int = 224,
    seed: int = 0,
    marker: bool = False,
) -> int:
    """Write class folders of grey PNG files and give the number of images.

    Half of the patients are NORMAL (`IM-0001-0001.png`: patient, image), half PNEUMONIA
    (`person1_bacteria_1.png`: patient, running image), named as in Kermany et al., Cell 2018.

    Args:
        folder: must be absent or empty; it appears whole or not at all.
        patients: 2 or more.
        images_per_patient: least and most images of one patient.
        size: height and width in pixels.
        seed: the same seed gives the same pixels.
        marker: plant a bright corner marker in PNEUMONIA images only.

    Raises:
        LabelError: too few patients for both labels, or an impossible number of images.
        StorageError: the folder holds something already or cannot be written.

    Example:
        ps.write_phantoms("phantoms", patients=60, size=128)
    """
    _check_counts(patients, images_per_patient)
    _check(LABELS[0], size)
    written = dict.fromkeys(LABELS, 0)
    with staged_folder(Path(folder)) as stage:
        for label in LABELS:
            (stage / label).mkdir()
        for index in range(patients):
            label = LABELS[index % 2]
            canvases = _patient(seed, index, images_per_patient, label, size)
            for image, canvas in enumerate(canvases, start=1):
                written[label] += 1
                name = _file_name(label, index // 2 + 1, image, written[label])
                marked = marker and label == "PNEUMONIA"
                _write_png(stage / label / name, plant_marker(canvas) if marked else canvas)
    return sum(written.values())


def _patient(
    seed: int, index: int, images_per_patient: tuple[int, int], label: str, size: int
) -> Iterator[Canvas]:
    least, most = images_per_patient
    patient = derive_seed(seed, "patient", index)
    for image in range(int(generator(patient, "images").integers(least, most + 1))):
        yield draw_phantom(
            seed=derive_seed(patient, "image", image), patient=patient, label=label, size=size
        )


def _check(label: str, size: int) -> None:
    if label not in LABELS:
        raise LabelError(f"label {label!r}: a phantom shows {' or '.join(LABELS)}. Name one.")
    if size < _SMALLEST:
        raise RecipeError(f"size {size}: a phantom needs {_SMALLEST} pixels. Give more.")


def _check_counts(patients: int, images_per_patient: tuple[int, int]) -> None:
    if patients < len(LABELS):
        raise LabelError(f"{patients} patients: each label needs one. Ask for 2 or more.")
    least, most = images_per_patient
    if not 1 <= least <= most:
        reason = "allowed: 1 <= least <= most. Correct the pair."
        raise LabelError(f"images_per_patient {images_per_patient}; {reason}")


def _file_name(label: str, patient: int, image: int, running: int) -> str:
    if label == "NORMAL":
        return f"IM-{patient:04d}-{image:04d}.png"
    return f"person{patient}_bacteria_{running}.png"


def _write_png(path: Path, canvas: Canvas) -> None:
    from PIL import Image

    Image.fromarray(canvas).save(path, format="PNG", compress_level=1)
