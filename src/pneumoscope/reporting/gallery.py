"""The worst mistakes, and how to show them: what was seen beside where the evidence lay."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.core.errors import InputError
from pneumoscope.core.types import FloatArray
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.imaging.decoded import Radiograph
from pneumoscope.imaging.overlay import overlay

_GAP = 4
"""Pixels between the radiograph and its overlay."""


class WorstError(NamedTuple):
    """A wrong answer: the true label, the label answered and its probability."""

    image_id: str
    truth: str
    answered: str
    probability: float


def worst_errors(
    predictions: Predictions, *, most: int = 6, label: str | None = None
) -> list[WorstError]:
    """The surest wrong answers: the label missed first, then the label given wrongly.

    At most `most` of each of the two directions, the most probable answer first, then by image id.

    Args:
        predictions: of the evaluated images.
        most: of each direction.
        label: the label of interest. Without it, the second one of two labels; more labels have no
            direction, and the surest of all wrong answers are returned, twice `most` at most.

    Raises:
        InputError: the label is not in the label set.
    """
    if label is None and len(predictions.labels) == 2:
        label = predictions.labels[1]
    if label is not None and label not in predictions.labels:
        message = f"label '{label}'; allowed: {', '.join(predictions.labels)}."
        raise InputError(f"{message} Name one of these.")
    truth, answered = predictions.truth, predictions.predicted
    wrong = truth != answered
    if label is None:
        return _surest(predictions, wrong, 2 * most)
    index = predictions.labels.index(label)
    missed, given = wrong & (truth == index), wrong & (answered == index)
    return _surest(predictions, missed, most) + _surest(predictions, given, most)


def gallery_png(
    canvas: NDArray[np.uint8], saliency: FloatArray | None = None, *, largest: int = 256
) -> bytes:
    """A small PNG of the radiograph and, to its right, the same with its saliency map laid over.

    Args:
        canvas: `[size, size]`, grey levels 0-255, as the network saw it.
        saliency: `[size, size]`, any unit, negative counts as none; without, the radiograph alone.
        largest: side in pixels beyond which a canvas is shown smaller.

    Raises:
        InputError: the saliency map has another size or a value that is not finite.
        RadiographError: the canvas is not `[height, width]` of uint8.
    """
    radiograph = Radiograph(canvas, bits=8, photometric="L", format="png")
    pictures = [Image.fromarray(canvas)]
    if saliency is not None:
        pictures.append(Image.fromarray(overlay(radiograph, saliency)))
    for picture in pictures:
        picture.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    width, height = pictures[0].size
    sheet = Image.new(pictures[-1].mode, (len(pictures) * (width + _GAP) - _GAP, height), "white")
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index * (width + _GAP), 0))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _surest(predictions: Predictions, chosen: NDArray[np.bool_], most: int) -> list[WorstError]:
    rows = np.flatnonzero(chosen)
    probabilities = predictions.probabilities.max(axis=1)
    order = rows[np.argsort(-probabilities[rows], kind="stable")][:most]
    return [
        WorstError(
            predictions.image_ids[row],
            predictions.labels[predictions.truth[row]],
            predictions.labels[predictions.predicted[row]],
            float(probabilities[row]),
        )
        for row in order
    ]
