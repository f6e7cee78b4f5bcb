"""From a trained network to a bundle whose probabilities and rules fit what will serve it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import polars as pl

from pneumoscope.bundle.archive import ONNX, REFERENCE, Bundle
from pneumoscope.bundle.export import check_parity, export_bundle
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.bundle.reference import reference_bytes, reference_of
from pneumoscope.core.progress import Reporter
from pneumoscope.core.provenance import provenance
from pneumoscope.core.recipe import Recipe
from pneumoscope.data.catalogue import fingerprint, usable
from pneumoscope.data.near_training import training_arrays
from pneumoscope.evaluation.fixing import fix_rules
from pneumoscope.evaluation.predictions import read_table
from pneumoscope.evaluation.rules import Rules, selective_json
from pneumoscope.training.trainer import Trained
from pneumoscope.workflows.answering import predict_rows
from pneumoscope.workflows.gating import with_gate
from pneumoscope.workflows.prepare import Prepared

_PARITY_IMAGES = 16


def export(
    recipe: Recipe,
    prepared: Prepared,
    labels: tuple[str, ...],
    trained: Trained,
    reporter: Reporter,
) -> Bundle:
    """The bundle, its rules fixed on the calibration split with the runtime that will serve.

    Raises:
        ExportError: the exported graph does not answer as the network does.
        PredictionsError: the label of interest is not in the label set.
    """
    calibration = rows_of(prepared.catalogue, "calibration")
    examples = prepared.pixels.pixels(calibration["image_id"].to_list()[:_PARITY_IMAGES])
    plain = export_bundle(
        trained.classifier,
        facts=_facts(recipe, prepared, labels, trained),
        size=recipe.preprocess.size,
        examples=examples,
    )
    parity = plain.spec.parity
    reporter.say(
        f"Exported; on {parity.images} images the graph differs from the network by "
        f"{parity.logits:.1e} in a logit, {parity.probabilities:.1e} in a probability."
    )
    bundle = fitted(plain, recipe, prepared, reporter=reporter)
    onnx = plain.files[ONNX]
    served = check_parity(trained.classifier, onnx, examples, calibrator=bundle.calibrator)
    return bundle.revised(parity=served)


def fitted(plain: Bundle, recipe: Recipe, prepared: Prepared, *, reporter: Reporter) -> Bundle:
    """The bundle with its rules, reference and gate, as its own graph and precision answer.

    Args:
        plain: Any bundle of these labels; what it holds of these is replaced.
        recipe: Says which rules and which gate.
        prepared: The split catalogue that the model was trained on, and its canvases.
        reporter: Shown how far it is.
    """
    calibration = rows_of(prepared.catalogue, "calibration")
    predictor = Predictor(plain, gated=False)
    answered = predict_rows(predictor, prepared.pixels, calibration, reporter=reporter)
    predictions = read_table(answered.table)
    rules = fix_rules(predictions, recipe.evaluate, seed=recipe.seed)
    reporter.say(f"Calibrated on {predictions.n_images} images. {rules.calibrator_reason}")
    # Validation and calibration images have shaped the model too: no external test holds them.
    seen = usable(prepared.catalogue).filter(pl.col("split") != "test").sort("image_id")
    reference = reference_of(
        predictions, training_arrays(seen["image_id"].to_list(), prepared.pixels)
    )
    bundle = plain.revised(**_ruled(rules))
    bundle = bundle.with_file(REFERENCE, reference_bytes(reference))
    return with_gate(bundle, recipe, prepared, answered, reporter=reporter)


def rows_of(catalogue: pl.DataFrame, split: str) -> pl.DataFrame:
    """The usable images of a split, by id."""
    return usable(catalogue).filter(pl.col("split") == split).sort("image_id")


def _ruled(rules: Rules) -> dict[str, Any]:
    """The fields of a bundle's specification that the rules decide."""
    calibrator = rules.calibrator
    scaled = calibrator.method == "temperature"
    return {
        "temperature": calibrator.parameters["temperature"][0] if scaled else 1.0,
        "calibrator": None if scaled else calibrator.to_json(),
        "calibration_note": rules.calibrator_reason,
        "operating_points": tuple(point.to_json() for point in rules.operating_points),
        "conformal": rules.conformal.to_json() if rules.conformal else None,
        "selective": selective_json(rules.selective),
    }


def _facts(
    recipe: Recipe, prepared: Prepared, labels: tuple[str, ...], trained: Trained
) -> dict[str, object]:
    """What the bundle says of itself, as far as it is known before export."""
    live = usable(prepared.catalogue)
    return {
        "name": recipe.name,
        "labels": labels,
        "preprocess": prepared.pixels.preprocess.to_dict(),
        "model": recipe.model,
        "weights": asdict(trained.weights),
        "temperature": 1.0,
        "training": {
            "fingerprint": fingerprint(prepared.catalogue),
            "images": dict(live["split"].value_counts(sort=True).iter_rows()),
            "labels": dict(rows_of(live, "train")["label"].value_counts(sort=True).iter_rows()),
        },
        "provenance": provenance(),
        "licence": recipe.licence or "not recorded",
    }
