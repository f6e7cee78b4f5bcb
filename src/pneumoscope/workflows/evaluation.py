"""Evaluate: a bundle on any labelled data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from pneumoscope.core.errors import LabelError
from pneumoscope.core.files import staged_folder
from pneumoscope.core.progress import Noting, Reporter, Silent
from pneumoscope.core.provenance import provenance
from pneumoscope.core.recipe import EvaluateRecipe
from pneumoscope.data.catalogue import counts_table, usable
from pneumoscope.evaluation.predictions import read_table
from pneumoscope.reporting.report import ReportInput
from pneumoscope.workflows.answering import predict_rows
from pneumoscope.workflows.assess import (
    Assessed,
    data_name,
    error_gallery,
    excluded_images,
    model_facts,
    write_assessment,
)
from pneumoscope.workflows.bundles import load_bundle
from pneumoscope.workflows.evidence import Inquiry, assessed
from pneumoscope.workflows.known import Known, find_known
from pneumoscope.workflows.prepare import prepare
from pneumoscope.workflows.results import EvaluateResult


def evaluate(
    bundle: str | Path,
    data: str | Path,
    *,
    output: str | Path | None = None,
    split: str | None = None,
    label_map: Mapping[str, str | None] | None = None,
    settings: EvaluateRecipe | None = None,
    layout: str = "auto",
    runtime: str = "auto",
    seed: int = 0,
    reporter: Reporter | None = None,
) -> EvaluateResult:
    """Answer labelled radiographs with a bundle and measure it.

    Args:
        bundle: Folder, zip, `models:/NAME@alias`, or `champion`, which ships.
        data: A folder in any layout, or a `.npz`.
        output: The folder to write; default `runs/<time>-evaluate`.
        split: `train`, `validation`, `test` or `all`; default the given test part, else all.
        label_map: From the data's labels to the bundle's, where the names differ; None leaves a
            label's images out.
        settings: What is measured, and how; the bundle's rules stay.
        layout: How to understand the folder.
        runtime: See `Predictor`.
        seed: Of the bootstrap.
        reporter: Shown what happens.

    Raises:
        BundleError: the bundle is incomplete or changed.
        LabelError: a label of the data is unknown to the bundle.
        InputError: asked for an external test, and training images are inside.

    Example:
        result = ps.evaluate("runs/first/bundle", "other_hospital", label_map={"sick": "PNEUMONIA"})
        result.metrics["auc"], result.report
    """
    noting, asked = Noting(reporter or Silent()), settings or EvaluateRecipe()
    data, folder = Path(data), Path(output or f"runs/{datetime.now(tz=UTC):%Y%m%d-%H%M%S}-evaluate")
    predictor = load_bundle(bundle, runtime=runtime)
    with staged_folder(folder) as stage:
        prepared = prepare(data, predictor.preprocess, layout=layout, reporter=noting)
        catalogue, chosen = _choose(prepared.catalogue, split, noting)
        catalogue = _map_labels(catalogue, predictor.labels, label_map or {})
        rows = usable(catalogue).sort("image_id")
        if rows.is_empty():
            raise LabelError(f"{data}: no usable image ({chosen}). See the reasons above.")
        known = find_known(predictor.bundle, rows, prepared.pixels, reporter=noting)
        rows = known.settle(rows, asked.known_images, reporter=noting)
        answered = predict_rows(predictor, prepared.pixels, rows, reporter=noting)
        inquiry = Inquiry(
            predictor, prepared.pixels, rows, answered, None, asked.audit, seed, noting
        )
        measured = assessed(
            inquiry, asked, split=chosen, data=data_name(data.resolve().name, catalogue)
        )
        report = _report(inquiry, measured, catalogue, noting, data=data, known=known)
        write_assessment(stage, measured, report)
    return EvaluateResult(output=folder, report=folder / "report.html", metrics=measured.metrics)


def _report(
    inquiry: Inquiry,
    measured: Assessed,
    catalogue: pl.DataFrame,
    noting: Noting,
    *,
    data: Path,
    known: Known,
) -> ReportInput:
    predictor, table = inquiry.predictor, inquiry.answered.table
    return ReportInput(
        title=f"{predictor.bundle.spec.name} on {data.resolve().name}",
        kind="evaluate",
        metrics=measured.metrics,
        predictions=table,
        history=None,
        counts=counts_table(catalogue),
        notices=noting.notices,
        excluded=excluded_images(catalogue),
        facts={**model_facts(predictor), "External test": known.words},
        recipe=None,
        provenance=provenance(),
        gallery=error_gallery(predictor, inquiry.pixels, read_table(table)),
    )


def _choose(
    catalogue: pl.DataFrame, split: str | None, reporter: Reporter
) -> tuple[pl.DataFrame, str]:
    """The rows of the split asked for, `split` filled, and its name."""
    given = set(usable(catalogue)["split"].drop_nulls())
    chosen = split or ("test" if "test" in given else "all")
    if chosen != "all":
        if chosen not in given:
            parts = ", ".join(sorted(given)) or "none"
            raise LabelError(f"--split {chosen}: the folder gives {parts}. Choose one, or all.")
        catalogue = catalogue.filter(pl.col("split") == chosen)
    reporter.say(f"Evaluating {usable(catalogue).height} images ({chosen}).")
    return catalogue.with_columns(pl.lit(chosen).alias("split")), chosen


def _same_label(label: str, labels: tuple[str, ...]) -> str:
    """The bundle's label of this name, or the only one that differs in case; else nothing."""
    if label in labels:
        return label
    alike = [known for known in labels if known.lower() == label.lower()]
    return alike[0] if len(alike) == 1 else ""


def _map_labels(
    catalogue: pl.DataFrame, labels: tuple[str, ...], label_map: Mapping[str, str | None]
) -> pl.DataFrame:
    """The catalogue with the bundle's label names; the same name in another case is the same."""
    left_out = pl.col("label").is_in([label for label, name in label_map.items() if name is None])
    reason = pl.when(left_out & pl.col("excluded").is_null()).then(pl.lit("left out (--map)"))
    catalogue = catalogue.with_columns(reason.otherwise("excluded").alias("excluded"))
    found = usable(catalogue)["label"].unique().sort().to_list()
    names = {label: label_map.get(label) or _same_label(label, labels) for label in found}
    for label, name in names.items():
        if name not in labels:
            raise LabelError(
                f"label '{label}': unknown to the bundle, which answers {', '.join(labels)}. "
                f'Say which it is: --map "{label}={labels[0]}", or leave it out: --map "{label}=".'
            )
    return catalogue.with_columns(pl.col("label").replace(names))
