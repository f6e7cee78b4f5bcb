"""One upload through the predictor, and what the page keeps of it: numbers and small pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pneumoscope.app.pictures import grey, on_picture
from pneumoscope.bundle.predictor import Prediction, Predictor
from pneumoscope.bundle.reading import Reading
from pneumoscope.bundle.runtimes import Outputs
from pneumoscope.bundle.similar import Memory, Similar, features_of, similar_images
from pneumoscope.core.files import sha256

EXAMPLES = {"NORMAL": 11, "PNEUMONIA": 23}
"""Label of a phantom and the seed it is drawn from."""

_PHANTOM_SIDE = 640


@dataclass(frozen=True, eq=False)
class Examined:
    """An answer and what it is shown with; the upload itself is not kept.

    Attributes:
        key: Fixed by the content and the model.
        name: Of the upload.
        prediction: Without pixels.
        picture: `[height, width]`, grey levels 0-255; None where nothing could be read.
        maps: Saliency by label, `[height, width]`, >= 0; empty where the model was not asked.
        facts: Stored width, height, bits and format.
        similar: Training images most like it; None where they are not at hand.
    """

    key: str
    name: str
    prediction: Prediction
    picture: NDArray[np.uint8] | None
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)
    similar: list[Similar] | None = None


def key_of(content: bytes, predictor: Predictor) -> str:
    """What an answer depends on, in 16 hexadecimal digits."""
    return sha256(content + predictor.model_id.encode())[:16]


def examine(
    predictor: Predictor, content: bytes, name: str, *, memory: Memory | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Examined:  # fmt: skip
    """What the bundle makes of a file's content.

    Args:
        predictor: Answers.
        content: Of the file; checked before it is decoded.
        name: What to call it.
        memory: The training images that the bundle remembers, where they are at hand.
        told: Given the name of each step as it begins: `read`, `answer`, `draw`.
    """
    told("read")
    reading = predictor.read(content, name=name)
    told("answer")
    prediction = predictor.answer([reading])[0]
    told("draw")
    outputs = _outputs(predictor, reading) if prediction.probabilities else None
    return Examined(
        key=key_of(content, predictor),
        name=name,
        prediction=replace(prediction, radiograph=None, saliency=None),
        picture=None if reading.seen is None else grey(reading.seen.radiograph),
        maps=_maps(predictor, reading, outputs),
        facts=_facts(reading),
        similar=_similar(predictor, reading, outputs, memory),
    )


def example(label: str) -> bytes:
    """A phantom as a PNG file's content, drawn now."""
    from pneumoscope.app.pictures import png
    from pneumoscope.data.phantoms import draw_phantom

    return png(draw_phantom(seed=EXAMPLES[label], label=label, size=_PHANTOM_SIDE))


def _outputs(predictor: Predictor, reading: Reading) -> Outputs | None:
    """Asked for again: an answer keeps one map only, and no embedding."""
    return None if reading.seen is None else predictor.infer(reading.seen.canvas[None, None])


def _maps(
    predictor: Predictor, reading: Reading, outputs: Outputs | None
) -> dict[str, NDArray[np.float32]]:
    """Of every label."""
    if reading.seen is None or outputs is None:
        return {}
    geometry = reading.seen.geometry
    return {
        label: on_picture(saliency, geometry)
        for label, saliency in zip(predictor.labels, outputs.saliency[0], strict=True)
    }


def _similar(
    predictor: Predictor, reading: Reading, outputs: Outputs | None, memory: Memory | None
) -> list[Similar] | None:
    if reading.seen is None or outputs is None or memory is None:
        return None
    canvases = reading.seen.canvas[None, None]
    return similar_images(memory, features_of(predictor, canvases, outputs.embedding))


def _facts(reading: Reading) -> dict[str, object]:
    if reading.seen is None:
        return {}
    radiograph = reading.seen.radiograph
    return {
        "width": radiograph.width, "height": radiograph.height, "bits": radiograph.bits,
        "format": radiograph.format,
    }  # fmt: skip
