"""The gate of a new bundle, and what a bundle's gate says of cached images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.bundle.archive import FAMILIAR, GATE, Bundle
from pneumoscope.bundle.gate.familiarity import Familiarity, Features
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
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.types import IntArray
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import usable
from pneumoscope.data.remembered import remembered
from pneumoscope.workflows.answering import BATCH, Answered, predict_rows
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
    gate, pixels = _gate_of(predictor), prepared.pixels
    training = remembered(prepared.catalogue, images=recipe.gate.images, seed=recipe.seed)
    seen = _answer(predictor, pixels, training, reporter, "Remembering")
    # Nothing was fitted to validation images: with them the quantile is half as uncertain.
    validation = usable(prepared.catalogue).filter(pl.col("split") == "validation")
    more = _answer(predictor, pixels, validation, reporter, "Comparing")
    held = pl.concat([answered.table, more.table], how="diagonal").sort("image_id")
    whole = Answered(held, answered.embeddings | more.embeddings)
    known = Familiarity.fit(
        _features(gate, pixels, seen, reporter),
        _codes(seen.table, predictor),
        _features(gate, pixels, whole, reporter),
        _answers(held, predictor),
        labels=len(predictor.labels),
    )
    return predictor.bundle.with_file(FAMILIAR, known.to_bytes())


def gate_answers(
    predictor: Predictor,
    pixels: PixelCache,
    answered: Answered,
    *,
    reporter: Reporter,
) -> pl.DataFrame | None:
    """What the gate says of these images: a table with `evaluation.familiarity.GATE_COLUMNS`.

    None where the bundle has no gate. No image is kept from being answered.

    Args:
        predictor: Of the bundle.
        pixels: Holds the canvases.
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
    stages = gate.after(Features(_embeddings(ids, answered), looked.look), answers)
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

    look: NDArray[np.float32]
    refused: list[bool]


def _settings(recipe: Recipe) -> GateSettings:
    """Where lungs are cut out, nothing can be said of what the rest of the image is."""
    whole = recipe.preprocess.lungs == "off"
    return GateSettings(
        modality=ModalitySettings() if whole else None,
        quality=QualitySettings() if whole else None,
        familiarity=FamiliaritySettings(level=recipe.gate.level, unfamiliar=recipe.gate.unfamiliar),
    )


def _answer(
    predictor: Predictor, pixels: PixelCache, rows: pl.DataFrame, reporter: Reporter, what: str
) -> Answered:
    """The answers for catalogue rows, which may be none."""
    ordered = rows.sort("image_id")
    if ordered.is_empty():
        return Answered(pl.DataFrame(), {})
    return predict_rows(predictor, pixels, ordered, reporter=reporter, what=what)


def _features(gate: Gate, pixels: PixelCache, answered: Answered, reporter: Reporter) -> Features:
    """Of the images of a predictions table, in its order."""
    ids = answered.table["image_id"].to_list()
    return Features(_embeddings(ids, answered), _looks(gate, pixels, ids, reporter).look)


def _embeddings(ids: list[str], answered: Answered) -> NDArray[np.float32]:
    return np.stack([answered.embeddings[image_id] for image_id in ids])


def _looks(gate: Gate, pixels: PixelCache, ids: list[str], reporter: Reporter) -> _Looked:
    looks, refused = [], []
    work = pixels.batches(ids, BATCH)
    for _, canvases in reporter.track(work, "Passing the gate:", -(-len(ids) // BATCH)):
        found = gate.look(canvases)
        looks.append(found.look)
        refused += [verdict.refusal is not None for verdict in gate.before(canvases, found)]
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
