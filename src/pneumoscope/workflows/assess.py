"""Measuring what a bundle answered: metrics, assessment, figures and report of one folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from pneumoscope.bundle.archive import Bundle
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.recipe import EvaluateRecipe
from pneumoscope.core.tables import save_parquet
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import fingerprint
from pneumoscope.evaluation.assessment import Tables, assess, save_assessment
from pneumoscope.evaluation.clinic import points_for_clinic
from pneumoscope.evaluation.conformal import Conformal
from pneumoscope.evaluation.operating_point import OperatingPoint
from pneumoscope.evaluation.predictions import Predictions, read_table, save_predictions
from pneumoscope.evaluation.rules import Rules, asked, selective_from_json
from pneumoscope.evaluation.summary import evaluate_predictions, save_metrics
from pneumoscope.imaging.geometry import resample
from pneumoscope.reporting.figures import evaluation_figures
from pneumoscope.reporting.gallery import gallery_png, worst_errors
from pneumoscope.reporting.history_figure import history_figure
from pneumoscope.reporting.rendering import save_figures
from pneumoscope.reporting.report import GalleryImage, ReportInput, write_report
from pneumoscope.reporting.trust.figures import trust_figures

EXTRA_TABLES = ("calibration", "conditions", "sources", "saliency", "gate")
"""Tables beside the predictions: each a file of that name."""


@dataclass(frozen=True)
class Assessed:
    """One evaluation: its tables and what was computed from them.

    Attributes:
        tables: Written as Parquet files.
        metrics: The content of `metrics.json`.
        assessment: The content of `assessment.json`.
    """

    tables: Tables
    metrics: dict[str, object]
    assessment: dict[str, object]


def measure(tables: Tables, rules: Rules, *, split: str, model_id: str, data: str) -> Assessed:
    """Metrics and assessment of these tables under these rules.

    Raises:
        PredictionsError: a table breaks its contract.
    """
    metrics = evaluate_predictions(
        tables.predictions,
        resamples=rules.resamples,
        confidence_level=rules.confidence_level,
        seed=rules.seed,
        split=split,
        bundle=model_id,
        data=data,
    )
    return Assessed(tables, metrics, assess(tables, metrics, rules))


def rules_of(bundle: Bundle, settings: EvaluateRecipe, *, seed: int) -> Rules:
    """The rules that a bundle was exported with, for an evaluation as the settings say.

    With a prevalence, thresholds of least cost are chosen for it on the calibration split that the
    bundle remembers; the other rules stay, and so do all where it remembers none.

    Raises:
        BundleError: the bundle's rules cannot be read.
    """
    spec = bundle.spec
    conformal = spec.conformal
    return Rules(
        calibrator=bundle.calibrator,
        calibrator_reason=spec.calibration_note,
        operating_points=_points(bundle, settings),
        conformal=None if conformal is None else Conformal.from_json(conformal),
        selective=selective_from_json(spec.selective),
        **asked(settings, seed=seed),
    )


def _points(bundle: Bundle, settings: EvaluateRecipe) -> tuple[OperatingPoint, ...]:
    """The bundle's operating points; those of labels that a prevalence is given for, for it."""
    points = tuple(map(OperatingPoint.from_json, bundle.spec.operating_points))
    calibration = bundle.reference.calibration_table(bundle.spec.labels, bundle.calibrator)
    if settings.prevalence is None or calibration is None:
        return points
    return points_for_clinic(
        points,
        read_table(calibration),
        prevalence=settings.prevalence,
        cost_ratios=settings.cost_ratios,
        label=settings.label_of_interest,
        confidence_level=settings.confidence_level,
    )


def write_assessment(folder: Path, measured: Assessed, report: ReportInput) -> None:
    """Write the tables, `metrics.json`, `assessment.json`, `figures/` and `report.html`.

    Args:
        folder: Where.
        measured: What was measured.
        report: What else the report says; its figures and assessment are entered here.
    """
    save_predictions(measured.tables.predictions, folder / "predictions.parquet")
    for name in EXTRA_TABLES:
        if (table := getattr(measured.tables, name)) is not None:
            save_parquet(table, folder / f"{name}.parquet")
    save_metrics(measured.metrics, folder / "metrics.json")
    save_assessment(measured.assessment, folder / "assessment.json")
    predictions = read_table(measured.tables.predictions)
    figures = evaluation_figures(predictions, measured.metrics)
    trust = trust_figures(predictions, measured.metrics, measured.assessment)
    if report.history is not None:
        figures = (*figures, history_figure(report.history))
    save_figures((*figures, *trust), folder / "figures")
    full = replace(report, assessment=measured.assessment, figures=trust)
    write_report(full, folder / "report.html")


def error_gallery(
    predictor: Predictor, pixels: PixelCache, predictions: Predictions, *, most: int = 6
) -> list[GalleryImage]:
    """The surest wrong answers, with where the evidence for them lies."""
    worst = worst_errors(predictions, most=most)
    if not worst:
        return []
    canvases = pixels.pixels([error.image_id for error in worst])
    outputs = predictor.infer(canvases)
    images = []
    for row, error in enumerate(worst):
        saliency = outputs.saliency[row, predictor.labels.index(error.answered)]
        whole = (0.0, 0.0, float(saliency.shape[1]), float(saliency.shape[0]))
        shown = resample(saliency, whole, *canvases.shape[2:])
        picture = gallery_png(canvases[row, 0], np.asarray(shown, np.float32))
        images.append(GalleryImage.of(picture, error))
    return images


def excluded_images(catalogue: pl.DataFrame) -> list[tuple[str, str]]:
    """Path and reason of every excluded image."""
    left_out = catalogue.filter(pl.col("excluded").is_not_null())
    return list(left_out.select("path", "excluded").iter_rows())


def data_name(name: str, catalogue: pl.DataFrame) -> str:
    """The data's name and fingerprint: readable, and the same only for the same images."""
    return f"{name}@{fingerprint(catalogue)}"


def model_facts(predictor: Predictor) -> dict[str, str]:
    """What the report says of the model that answered."""
    spec = predictor.bundle.spec
    calibrator = predictor.calibrator
    scaled = calibrator.method == "temperature"
    views = spec.model.test_views
    return {
        "Model": predictor.model_id,
        "Backbone": spec.model.backbone,
        "Pretrained weights": spec.model.weights,
        "Calibration": f"temperature {spec.temperature:.3f}" if scaled else calibrator.method,
        "Views averaged": str(views) if views > 1 else "1, the plain one",
        "Runtime": f"{predictor.runtime}, {predictor.precision}",
        "Training data": spec.training.fingerprint,
        "Training images": str(spec.training.images.get("train", 0)),
    }
