"""Evidence: the same images changed on purpose, cues without anatomy, sources, saliency.

Everything is written down as tables; what they say is computed by `evaluation.assessment`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.progress import Reporter
from pneumoscope.core.randomness import unit_hash
from pneumoscope.core.recipe import AuditRecipe, EvaluateRecipe
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.changes import (
    lungs_only,
    lungs_removed,
    lungs_swapped,
    pair_with_other_label,
    pair_with_same_label,
    with_lungs,
)
from pneumoscope.data.corruptions import CORRUPTIONS, corrupt
from pneumoscope.data.probes import (
    Measured,
    border_features,
    cue_predictions,
    metadata_features,
    source_table,
)
from pneumoscope.evaluation.assessment import Tables
from pneumoscope.evaluation.calibrator import temperature_calibrator
from pneumoscope.evaluation.predictions import predictions_table
from pneumoscope.models.lungs import LungSegmenter
from pneumoscope.workflows.answering import Answered, Change, predict_rows
from pneumoscope.workflows.assess import Assessed, measure, rules_of
from pneumoscope.workflows.gating import gate_answers
from pneumoscope.workflows.saliency_check import bundle_classifier, score_saliency

_FEWEST = 20
"""Images with lungs from which lungs are taken away and exchanged."""

Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Evidence:
    """Tables of an evaluation folder beside the predictions; None where not gathered."""

    conditions: pl.DataFrame | None = None
    sources: pl.DataFrame | None = None
    saliency: pl.DataFrame | None = None


@dataclass(frozen=True)
class Inquiry:
    """What evidence is gathered from.

    Attributes:
        predictor: Answers.
        pixels: Holds the canvases.
        rows: Catalogue rows of the evaluated images.
        answered: Their answers.
        training: Catalogue rows of the training images, to learn cues from; None where they are
            not at hand, and cues are cross-validated.
        audit: How much is asked.
        seed: Of what is drawn.
        reporter: Shown how far it is.
    """

    predictor: Predictor
    pixels: PixelCache
    rows: pl.DataFrame
    answered: Answered
    training: pl.DataFrame | None
    audit: AuditRecipe
    seed: int
    reporter: Reporter


def gather(inquiry: Inquiry) -> Evidence:
    """All evidence that the recipe asks for."""
    if not inquiry.audit.enabled or inquiry.rows["label"].n_unique() < 2:
        inquiry.reporter.say("Shortcuts and robustness are not judged.")
        return Evidence()
    chosen = _some(inquiry.rows, inquiry.audit.conditions, inquiry.seed)
    masks = _lungs(inquiry, chosen)
    inside = chosen.filter(pl.col("image_id").is_in(list(masks)))
    tables = [*_cues(inquiry)]
    if inside.height >= _FEWEST and inside["label"].n_unique() > 1:
        tables += _lung_conditions(inquiry, inside, masks)
    else:
        inquiry.reporter.warn(
            f"lungs are found in {inside.height} of {chosen.height} images: what the model makes "
            "of lungs alone, and of images without, is not judged."
        )
        inside = inside.clear()
    tables += _corruptions(inquiry)
    return Evidence(
        conditions=pl.concat(tables, how="diagonal"),
        sources=_sources(inquiry),
        saliency=_saliency(inquiry, inside, masks),
    )


def assessed(inquiry: Inquiry, settings: EvaluateRecipe, *, split: str, data: str) -> Assessed:
    """The evidence, and what it says under the rules of the bundle that answered.

    Raises:
        BundleError: what the bundle remembers cannot be read.
    """
    predictor = inquiry.predictor
    bundle, evidence = predictor.bundle, gather(inquiry)
    tables = Tables(
        predictions=inquiry.answered.table,
        calibration=bundle.reference.calibration_table(predictor.labels, predictor.calibrator),
        conditions=evidence.conditions,
        sources=evidence.sources,
        saliency=evidence.saliency,
        gate=gate_answers(predictor, inquiry.pixels, inquiry.answered, reporter=inquiry.reporter),
    )
    rules = rules_of(bundle, settings, seed=inquiry.seed)
    found = measure(tables, rules, split=split, model_id=predictor.model_id, data=data)
    _tell_unknown_patients(found, inquiry.reporter)
    _tell_familiarity(found, inquiry.reporter)
    return found


def _tell_unknown_patients(found: Assessed, reporter: Reporter) -> None:
    """How many images stand alone because nobody knows their patient."""
    if unknown := found.metrics["n_unknown_patients"]:
        reporter.warn(
            f"the patients of {unknown} of {found.metrics['n_images']} evaluated images are not "
            "known: several images of one patient would make intervals too narrow. Give patient "
            "ids if there are any."
        )


def _tell_familiarity(found: Assessed, reporter: Reporter) -> None:
    """The batch's familiarity, as a warning where the images come from elsewhere."""
    gate = found.assessment.get("gate")
    if isinstance(gate, dict) and gate["statement"]:
        (reporter.warn if gate["shifted"] else reporter.say)(gate["statement"])


def _some(rows: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    """At most so many rows, labels in the proportion they have, always the same ones."""
    if rows.height <= most:
        return rows
    part = most / rows.height
    chosen: list[str] = []
    for _, own in sorted(rows.group_by("label"), key=lambda item: str(item[0])):
        ids = sorted(own["image_id"], key=lambda name: unit_hash(seed, "evidence", name))
        chosen += ids[: max(1, round(part * own.height))]
    return rows.filter(pl.col("image_id").is_in(chosen))


def _lungs(inquiry: Inquiry, rows: pl.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Lung masks by image id; images that show nothing like a lung are left out."""
    segmenter = LungSegmenter.load()
    ids = rows["image_id"].to_list()
    found: dict[str, NDArray[np.bool_]] = {}
    work = inquiry.pixels.batches(ids, 64)
    for chosen, canvases in inquiry.reporter.track(work, "Finding lungs", -(-len(ids) // 64)):
        masks = segmenter.segment(canvases)
        kept = with_lungs(masks)
        found |= {name: mask for name, mask, keep in zip(chosen, masks, kept, strict=True) if keep}
    return found


def _lung_conditions(inquiry: Inquiry, rows: pl.DataFrame, masks: Masks) -> Iterator[pl.DataFrame]:
    """Lungs only, removed, and exchanged with those of another label, and of the same."""

    def of(ids: Sequence[str]) -> NDArray[np.bool_]:
        return np.stack([masks[name] for name in ids])

    yield _changed(inquiry, rows, "lungs_only", lambda c, ids: lungs_only(c, of(ids)))
    yield _changed(inquiry, rows, "lungs_removed", lambda c, ids: lungs_removed(c, of(ids)))
    columns = [rows[name].to_list() for name in ("image_id", "label", "patient_id")]
    for condition, pair in _EXCHANGES.items():
        donors = pair(*columns, seed=inquiry.seed)
        if len(donors) >= _FEWEST:
            yield _exchanged(inquiry, rows, condition, donors, of)


def _exchanged(
    inquiry: Inquiry,
    rows: pl.DataFrame,
    condition: str,
    donors: dict[str, str],
    of: Callable[[Sequence[str]], NDArray[np.bool_]],
) -> pl.DataFrame:
    """Answers to the lungs of the donors; their label is that of the lungs."""

    def change(canvases: PixelBatch, ids: Sequence[str]) -> PixelBatch:
        given = [donors[name] for name in ids]
        return lungs_swapped(canvases, of(ids), inquiry.pixels.pixels(given), of(given))

    hosts = rows.filter(pl.col("image_id").is_in(list(donors)))
    found = _changed(inquiry, hosts, condition, change)
    labels = dict(rows.select("image_id", "label").iter_rows())
    given = [labels[donors[name]] for name in found["image_id"]]
    if given == found["label"].to_list():
        return found
    return found.with_columns(pl.col("label").alias("surroundings"), pl.Series("label", given))


_EXCHANGES = {
    "lungs_swapped": pair_with_other_label,
    "lungs_exchanged": pair_with_same_label,
}


def _corruptions(inquiry: Inquiry) -> Iterator[pl.DataFrame]:
    """Every kind of damage in every severity."""
    if not inquiry.audit.corruptions:
        return
    rows = _some(inquiry.rows, inquiry.audit.corruptions, inquiry.seed)
    for corruption in CORRUPTIONS:
        for severity, name in enumerate(corruption.conditions, start=1):
            damage = partial(corrupt, kind=corruption.kind, severity=severity, seed=inquiry.seed)
            yield _changed(inquiry, rows, name, damage)


def _changed(inquiry: Inquiry, rows: pl.DataFrame, condition: str, change: Change) -> pl.DataFrame:
    found = predict_rows(
        inquiry.predictor,
        inquiry.pixels,
        rows,
        reporter=inquiry.reporter,
        change=change,
        what=f"{condition.replace('_', ' ')}:",
    )
    return _named(found.table, condition)


def _cues(inquiry: Inquiry) -> Iterator[pl.DataFrame]:
    """What the file alone says, and what the border alone says."""
    for condition in ("metadata_only", "border_only"):
        measured = _measured(inquiry, inquiry.rows, condition)
        training = inquiry.training
        learned = None if training is None else _measured(inquiry, training, condition)
        answers = cue_predictions(
            measured, label_set=inquiry.predictor.labels, training=learned, seed=inquiry.seed
        )
        table = predictions_table(
            image_ids=measured.image_ids,
            patient_ids=measured.patients,
            truth=measured.labels,
            logits=answers,
            labels=inquiry.predictor.labels,
            calibrator=temperature_calibrator(1.0),
        )
        yield _named(table, condition)


def _named(table: pl.DataFrame, condition: str) -> pl.DataFrame:
    kept = table.select(
        "image_id", "patient_id", "label", pl.col("^logit:.*$"), pl.col("^probability:.*$")
    )
    return kept.with_columns(pl.lit(condition).alias("condition"))


def _measured(inquiry: Inquiry, rows: pl.DataFrame, condition: str) -> Measured:
    ids, patients, labels = (rows[name].to_list() for name in ("image_id", "patient_id", "label"))
    if condition == "metadata_only":
        return Measured(ids, patients, labels, metadata_features(rows))
    parts = [border_features(canvases) for _, canvases in inquiry.pixels.batches(ids, 256)]
    return Measured(ids, patients, labels, np.concatenate(parts))


def _sources(inquiry: Inquiry) -> pl.DataFrame | None:
    ids, patients, labels, sources = (
        inquiry.rows[name].to_list() for name in ("image_id", "patient_id", "label", "source")
    )
    features = np.stack([inquiry.answered.embeddings[name] for name in ids])
    measured = Measured(ids, patients, labels, features)
    return source_table(measured, sources, label_set=inquiry.predictor.labels, seed=inquiry.seed)


def _saliency(inquiry: Inquiry, rows: pl.DataFrame, masks: Masks) -> pl.DataFrame | None:
    if not inquiry.audit.saliency or rows.is_empty():
        return None
    return score_saliency(
        inquiry.predictor,
        bundle_classifier(inquiry.predictor.bundle),
        inquiry.pixels,
        rows,
        masks,
        most=inquiry.audit.saliency,
        seed=inquiry.seed,
        reporter=inquiry.reporter,
    )
