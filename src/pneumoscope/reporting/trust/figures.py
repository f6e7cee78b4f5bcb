"""The registry of the figures that an assessment is shown by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.reporting.canvas import NamedFigure
from pneumoscope.reporting.trust.answers import (
    coverage_figure,
    decision_curve_figure,
    risk_coverage_figure,
)
from pneumoscope.reporting.trust.calibration import (
    operating_points_figure,
    reliability_before_after_figure,
)
from pneumoscope.reporting.trust.changes import (
    conditions_figure,
    saliency_figure,
    subgroups_figure,
)
from pneumoscope.reporting.trust.corruptions import corruptions_figure
from pneumoscope.reporting.trust.sections import Assessment

TRUST_FIGURES: tuple[
    Callable[[Predictions, Mapping[str, object], Assessment], NamedFigure | None], ...
] = (
    reliability_before_after_figure,
    operating_points_figure,
    risk_coverage_figure,
    decision_curve_figure,
    coverage_figure,
    subgroups_figure,
    conditions_figure,
    corruptions_figure,
    saliency_figure,
)
"""What `trust_figures` draws, in the order of the report."""


def trust_figures(
    predictions: Predictions, metrics: Mapping[str, object], assessment: Assessment
) -> tuple[NamedFigure, ...]:
    """Every figure of `TRUST_FIGURES` whose section the assessment has.

    Args:
        predictions: the validated predictions table, see `evaluation.predictions.read_table`.
        metrics: the content of `metrics.json` for the same table.
        assessment: the content of `assessment.json` for the same table.
    """
    drawn = (draw(predictions, metrics, assessment) for draw in TRUST_FIGURES)
    return tuple(named for named in drawn if named is not None)
