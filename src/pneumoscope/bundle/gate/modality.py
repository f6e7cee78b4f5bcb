"""Stage 1: is this a chest radiograph at all?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundle.gate.network import CHEST
from pneumoscope.bundle.gate.settings import ModalitySettings
from pneumoscope.bundle.prediction import GateStage


def chest_probability(answers: NDArray[np.float32]) -> float:
    """Of one image's logits `[7]`: how likely it is a chest radiograph, in [0, 1]."""
    return float(1 / (1 + np.exp(-np.clip(np.float64(answers[CHEST]), -500, 500))))


def modality_stage(answers: NDArray[np.float32], settings: ModalitySettings) -> GateStage:
    """What stage 1 says of one image, from its logits `[7]`; score: the probability."""
    score = chest_probability(answers)
    if score < settings.refuse:
        return GateStage("refused", score, f"is no chest radiograph (probability {score:.3f})")
    if score < settings.warn:
        reason = f"may be no chest radiograph (probability {score:.3f})"
        return GateStage("warned", score, reason)
    return GateStage("passed", score)
