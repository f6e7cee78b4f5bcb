"""Stage 2: can it be read? Blank, inverted, turned, cut off, lateral."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundle.gate.network import CUT_OFF, INVERTED, TURNED
from pneumoscope.bundle.gate.settings import QualitySettings
from pneumoscope.bundle.prediction import GateStage
from pneumoscope.core.types import Canvas, FloatArray
from pneumoscope.imaging.thumbnail import is_blank, mediastinum_contrast, thumbnail

_TURNS = (
    "upright",
    "turned by 90 degrees to the left",
    "turned by 180 degrees",
    "turned by 90 degrees to the right",
)


class Fault(NamedTuple):
    """Something that keeps an image from being read.

    Attributes:
        kind: `blank`, `inverted`, `turned`, `cut_off` or `lateral`.
        reason: In words, as what the image is said to be.
        certain: Whether the image is refused for it.
    """

    kind: str
    reason: str
    certain: bool


def faults(
    canvas: Canvas, square: Canvas, answers: NDArray[np.float32], settings: QualitySettings
) -> Iterator[Fault]:
    """What is wrong with one image.

    Args:
        canvas: Of the image.
        square: What the gate's network saw of it, see `imaging.thumbnail.square`.
        answers: The network's logits `[7]`.
        settings: From which probability there is a fault.
    """
    if is_blank(canvas):
        yield Fault("blank", "is blank", certain=True)
        return
    inverted, cut = (float(_sigmoid(answers[at])) for at in (INVERTED, CUT_OFF))
    turns = _softmax(answers[TURNED])
    turn = int(turns.argmax())
    if inverted >= settings.inverted:
        sure = inverted >= settings.inverted_refuse
        yield Fault("inverted", "is inverted: a negative. Invert it back", sure)
    if turn and turns[turn] >= settings.turned:
        sure = bool(turns[turn] >= settings.turned_refuse)
        yield Fault("turned", f"is {_TURNS[turn]}. Turn it back", sure)
    if cut >= settings.cut_off:
        yield Fault("cut_off", "may be cut off: part of the lungs is missing", certain=False)
    usual = turn == 0 and inverted < settings.inverted
    if usual and _contrast(square) < settings.lateral:
        yield Fault("lateral", "shows no two lungs side by side: a lateral view?", certain=False)


def quality_stage(
    canvas: Canvas, square: Canvas, answers: NDArray[np.float32], settings: QualitySettings
) -> GateStage:
    """What stage 2 says of one image, see `faults`; it has no score."""
    found = list(faults(canvas, square, answers, settings))
    if not found:
        return GateStage("passed")
    refused = any(fault.certain for fault in found)
    reasons = "; ".join(fault.reason for fault in found)
    return GateStage("refused" if refused else "warned", reason=reasons)


def _contrast(square: Canvas) -> float:
    return float(mediastinum_contrast(thumbnail(square)[None].astype(np.float32))[0])


def _sigmoid(logit: np.float32) -> float:
    return float(1 / (1 + np.exp(-np.clip(np.float64(logit), -500, 500))))


def _softmax(logits: FloatArray) -> NDArray[np.float64]:
    powers = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return np.asarray(powers / powers.sum())
