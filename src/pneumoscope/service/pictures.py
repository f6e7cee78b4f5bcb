"""The picture of an answer: where the evidence lies, as a PNG in the image's own geometry."""

from __future__ import annotations

import base64

from pneumoscope.bundle.prediction import Prediction
from pneumoscope.imaging.overlay import overlay, png_bytes


def saliency_png(answer: Prediction) -> str | None:
    """The radiograph with its saliency map on it, PNG in base64; None where there is no map."""
    if answer.radiograph is None or answer.saliency is None:
        return None
    picture = png_bytes(overlay(answer.radiograph, answer.saliency))
    return base64.b64encode(picture).decode("ascii")
