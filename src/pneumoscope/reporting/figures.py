"""The registry of figures, and the one place to import them from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.reporting.answer_figures import confusion_figure, reliability_figure
from pneumoscope.reporting.canvas import NamedFigure
from pneumoscope.reporting.curve_figures import precision_recall_figure, roc_figure
from pneumoscope.reporting.history_figure import history_figure
from pneumoscope.reporting.rendering import save_figures, to_svg

__all__ = [
    "EVALUATION_FIGURES", "NamedFigure", "confusion_figure", "evaluation_figures",
    "history_figure", "precision_recall_figure", "reliability_figure", "roc_figure",
    "save_figures", "to_svg",
]  # fmt: skip

EVALUATION_FIGURES: tuple[Callable[[Predictions, Mapping[str, object]], NamedFigure], ...] = (
    roc_figure,
    precision_recall_figure,
    reliability_figure,
    confusion_figure,
)
"""What `evaluation_figures` draws, in the order of the report."""


def evaluation_figures(
    predictions: Predictions, metrics: Mapping[str, object]
) -> tuple[NamedFigure, ...]:
    """Every figure of `EVALUATION_FIGURES` for one evaluation.

    Args:
        predictions: the validated predictions table, see `evaluation.predictions.read_table`.
        metrics: the content of `metrics.json` for the same table.
    """
    return tuple(draw(predictions, metrics) for draw in EVALUATION_FIGURES)
