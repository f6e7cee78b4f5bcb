"""The gate of a new bundle, and what a bundle's gate says of cached images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from pneumoscope.bundle.archive import FAMILIAR, GATE, Bundle
from pneumoscope.bundle.gate.familiarity import Familiarity, Features, stacked
from pneumoscope.bundle.gate.gate import Gate
from pneumoscope.bundle.gate.network import packaged_gate
from pneumoscope.bundle.gate.settings import (
    FamiliaritySettings,
    GateSettings,
    ModalitySettings,
    QualitySettings,
)
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.progress import Reporter
from pneumoscope.core.randomness import unit_hash
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.types import IntArray
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import usable
from pneumoscope.workflows.answering import BATCH, Answered
from pneumoscope.workflows.prepare import Prepared


def with_gate(
    bundle: Bundle, recipe: Recipe, prepared: Prepared, answered: Answered, *, reporter: Reporter
) -> Bundle:
    """The bundle with the packaged network, and what it needs to tell familiar images.

    Args:
        bundle: Its rules fixed.
        recipe: Says whether it gets a gate, and which.
        prepared: Catalogue and canvases.
        answered: The calibration split.
        reporter: Shown how far it is.
    """
    if not recipe.gate.enabled:
        return bundle
    settings = _settings(recipe)
    bundle = bundle.revised(gate=settings.model_dump(mode="json"))
    predictor = Predictor(bundle.with_file(GATE, packaged_gate()))
    training = _remembered(prepared.catalogue, recipe)
    seen = _features(predictor, prepared.pixels, training["image_id"].to_list(), reporter)
    held = answered.table.sort("image_id")
    calibration = _with_looks(predictor, prepared.pixels, held, answered, reporter)
    known = Familiarity.fit(
        seen,
        _codes(training, predictor),
        calibration,
        _answers(held, predictor),
        labels=len(predictor.labels),
    )
    return predictor.bundle.with_file(FAMILIAR, known.to_bytes())


def gate_answers(
    predictor: Predictor,
    pixels: PixelCache,
    rows: pl.DataFrame,
    answered: Answered,
    *,
    reporter: Reporter,
) -> pl.DataFrame | None:
    """What the gate says of these images: a table with `evaluation.familiarity.GATE_COLUMNS`.

    None where the bundle has no gate. No image is kept from being answered.

    Args:
        predictor: Of the bundle.
        pixels: Holds the canvases.
        rows: Catalogue rows of the images.
        answered: Their answers.
        reporter: Shown how far it is.
    """
    gate = predictor.gate
    if gate is None:
        return None
    table = answered.table.sort("image_id")
    ids = table["image_id"].to_list()
    looked = _looks(gate, pixels, ids, reporter)
    answers = _answers(table, predictor)
    embeddings = np.stack([answered.embeddings[image_id] for image_id in ids])
    stages = gate.after(Features(embeddings, looked.look), answers)
    familiar = [None if stage is None else stage.score for stage in stages]
    unfamiliar = [stage is not None and stage.outcome == "warned" for stage in stages]
    return pl.DataFrame(
        {
            "image_id": ids,
            "patient_id": table["patient_id"],
            "familiarity": familiar,
            "unfamiliar": unfamiliar,
            "level": gate.levels(answers),
            "refused": looked.refused,
        },
        schema_overrides={"familiarity": pl.Float64, "unfamiliar": pl.Boolean},
    )


@dataclass(frozen=True)
class _Looked:
    """Looks `[image, features]`, and whether the gate would have refused each image."""

    look: np.ndarray
    refused: list[bool]


def _settings(recipe: Recipe) -> GateSettings:
    """Where lungs are cut out, nothing can be said of what the rest of the image is."""
    whole = recipe.preprocess.lungs == "off"
    return GateSettings(
        modality=ModalitySettings() if whole else None,
        quality=QualitySettings() if whole else None,
        familiarity=FamiliaritySettings(
            level=recipe.gate.level, unfamiliar=recipe.gate.unfamiliar
        ),
    )


def _remembered(catalogue: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Training images, at most as many as asked for, always the same ones, by id."""
    rows = usable(catalogue).filter(pl.col("split") == "train")
    chosen = sorted(rows["image_id"], key=lambda name: unit_hash(recipe.seed, "gate", name))
    kept = chosen[: recipe.gate.images]
    return rows.filter(pl.col("image_id").is_in(kept)).sort("image_id")


def _features(
    predictor: Predictor, pixels: PixelCache, ids: list[str], reporter: Reporter
) -> Features:
    gate = _gate_of(predictor)
    parts = [
        Features(predictor.infer(canvases).embedding, gate.look(canvases).look)
        for _, canvases in reporter.track(
            pixels.batches(ids, BATCH), "Remembering what is familiar:", -(-len(ids) // BATCH)
        )
    ]
    return stacked(parts)


def _with_looks(
    predictor: Predictor,
    pixels: PixelCache,
    table: pl.DataFrame,
    answered: Answered,
    reporter: Reporter,
) -> Features:
    ids = table["image_id"].to_list()
    looked = _looks(_gate_of(predictor), pixels, ids, reporter)
    return Features(np.stack([answered.embeddings[image_id] for image_id in ids]), looked.look)


def _looks(gate: Gate, pixels: PixelCache, ids: list[str], reporter: Reporter) -> _Looked:
    looks, refused = [], []
    work = pixels.batches(ids, BATCH)
    for _, canvases in reporter.track(work, "Passing the gate:", -(-len(ids) // BATCH)):
        found = gate.look(canvases)
        looks.append(found.look)
        for canvas, answers in zip(canvases[:, 0], found.answers, strict=True):
            refused.append(gate.before(canvas, answers).refusal is not None)
    return _Looked(np.concatenate(looks), refused)


def _gate_of(predictor: Predictor) -> Gate:
    assert predictor.gate is not None  # noqa: S101 - it was just put there
    return predictor.gate


def _codes(rows: pl.DataFrame, predictor: Predictor) -> IntArray:
    place = {label: at for at, label in enumerate(predictor.labels)}
    return np.array([place[label] for label in rows["label"]], dtype=np.int64)


def _answers(table: pl.DataFrame, predictor: Predictor) -> IntArray:
    """Index of the most probable label of each row, under the bundle's calibration."""
    logits = table.select(f"logit:{label}" for label in predictor.labels).to_numpy()
    return np.asarray(predictor.probabilities(logits).argmax(axis=1))
