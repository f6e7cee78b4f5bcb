"""Predictions and their evaluation, shared by `train` and `evaluate`: one inference path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.runtimes import PRECISION
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import EvaluateRecipe
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import fingerprint
from pneumoscope.evaluation.predictions import predictions_table, read_table, save_predictions
from pneumoscope.evaluation.summary import evaluate_predictions, save_metrics
from pneumoscope.reporting.figures import evaluation_figures
from pneumoscope.reporting.history_figure import history_figure
from pneumoscope.reporting.rendering import save_figures
from pneumoscope.reporting.report import ReportInput, write_report

_BATCH = 32
_GROUPS = ("source", "view", "sex")


def infer_logits(
    predictor: Predictor, pixels: PixelCache, image_ids: list[str], *, reporter: Reporter
) -> dict[str, NDArray[np.float32]]:
    """Logits `[label]` by image id: the pixels of a batch travel with their ids."""
    found: dict[str, NDArray[np.float32]] = {}
    batches = -(-len(image_ids) // _BATCH)
    work = pixels.batches(image_ids, _BATCH)
    for ids, batch in reporter.track(work, f"Answering {len(image_ids)} images", batches):
        logits = predictor.infer(batch).logits
        found |= dict(zip(ids, logits, strict=True))
    return found


def predict_rows(
    predictor: Predictor, pixels: PixelCache, rows: pl.DataFrame, *, reporter: Reporter
) -> pl.DataFrame:
    """The predictions table of these catalogue rows."""
    ids = rows["image_id"].to_list()
    groups = {name: rows[name].to_list() for name in _GROUPS if rows[name].null_count() < len(ids)}
    return predictions_table(
        image_ids=ids,
        patient_ids=rows["patient_id"].to_list(),
        truth=rows["label"].to_list(),
        logits=infer_logits(predictor, pixels, ids, reporter=reporter),
        temperature=predictor.bundle.spec.temperature,
        labels=predictor.labels,
        groups=groups,
    )


def measure(
    predictions: pl.DataFrame,
    recipe: EvaluateRecipe,
    *,
    seed: int,
    split: str,
    model_id: str,
    data: str,
) -> dict[str, object]:
    """The content of `metrics.json`."""
    return evaluate_predictions(
        predictions,
        resamples=recipe.resamples,
        confidence_level=recipe.confidence_level,
        seed=seed,
        split=split,
        bundle=model_id,
        data=data,
    )


def write_assessment(folder: Path, report: ReportInput) -> None:
    """Write `predictions.parquet`, `metrics.json`, `figures/` and `report.html` into `folder`."""
    save_predictions(report.predictions, folder / "predictions.parquet")
    save_metrics(report.metrics, folder / "metrics.json")
    figures = evaluation_figures(read_table(report.predictions), report.metrics)
    if report.history is not None:
        figures = (*figures, history_figure(report.history))
    save_figures(figures, folder / "figures")
    write_report(report, folder / "report.html")


def excluded_images(catalogue: pl.DataFrame) -> list[tuple[str, str]]:
    """Path and reason of every excluded image."""
    left_out = catalogue.filter(pl.col("excluded").is_not_null())
    return list(left_out.select("path", "excluded").iter_rows())


def data_name(path: Path, catalogue: pl.DataFrame) -> str:
    """The data's name and fingerprint: readable, and the same only for the same images."""
    return f"{path.resolve().name}@{fingerprint(catalogue)}"


def model_facts(predictor: Predictor) -> dict[str, str]:
    """What the report says of the model that answered."""
    spec = predictor.bundle.spec
    return {
        "Model": predictor.model_id,
        "Backbone": spec.model.backbone,
        "Pretrained weights": spec.model.weights,
        "Temperature": f"{spec.temperature:.3f}",
        "Runtime": f"{predictor.runtime}, {PRECISION}",
        "Training data": spec.training.fingerprint,
        "Training images": str(spec.training.images.get("train", 0)),
    }
