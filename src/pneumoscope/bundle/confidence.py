"""Label sets of a bundle at another confidence level than its own."""

from __future__ import annotations

from pneumoscope.bundle.archive import Bundle
from pneumoscope.core.errors import InputError
from pneumoscope.evaluation.conformal import Conformal, conformalize


def conformal_at(bundle: Bundle, confidence_level: float) -> Conformal:
    """What excludes labels at this level, from the calibration split that the bundle remembers.

    Args:
        bundle: Its score and its guarantee (for every label, or overall) stay.
        confidence_level: In (0, 1).

    Raises:
        InputError: the bundle makes no label sets, or remembers no calibration split.
        PredictionsError: the level is out of range.
    """
    if bundle.spec.conformal is None:
        raise InputError("the bundle makes no label sets. Ask without a confidence level.")
    own = Conformal.from_json(bundle.spec.conformal)
    if confidence_level == own.confidence_level:
        return own
    reference = bundle.reference
    if not len(reference.calibration_truth) or own.randomised:
        message = "the bundle does not remember its calibration split"
        raise InputError(f"{message}. Ask without a confidence level, or export it again.")
    return conformalize(
        bundle.calibrator.apply(reference.calibration_logits),
        reference.calibration_truth,
        labels=bundle.spec.labels,
        confidence_level=confidence_level,
        score=own.score,
        conditional=own.conditional,
        clusters=reference.calibration_patients,
    )
