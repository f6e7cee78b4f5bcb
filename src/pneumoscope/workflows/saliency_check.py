"""Scores of the saliency maps that a bundle serves: its own graph's maps, its own answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.bundle.archive import WEIGHTS, Bundle
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import InputError, LabelError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.randomness import unit_hash
from pneumoscope.core.types import FloatArray, PixelBatch
from pneumoscope.data.cache import PixelCache
from pneumoscope.evaluation.saliency_removal import Answer, removal_curves
from pneumoscope.evaluation.saliency_scores import DEFAULT_METHOD, saliency_table
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.models.attribution import attribute
from pneumoscope.models.attribution_cam import enlarge
from pneumoscope.models.attribution_check import randomised_similarity
from pneumoscope.models.checkpoint import from_bytes
from pneumoscope.models.classifier import Classifier, rebuild_classifier

_BATCH = 16
_RANDOMISED = 20


def choose_images(rows: pl.DataFrame, *, most: int, seed: int = 0) -> pl.DataFrame:
    """At most so many catalogue rows, as even over labels as they allow, in the order of their ids.

    An image's place in its label's queue depends on the seed and its id alone: with a few images
    more or fewer, most of those chosen stay the same.
    """
    queues = rows.with_columns(
        pl.Series("_at", [unit_hash(seed, "saliency", name) for name in rows["image_id"]])
    ).with_columns(pl.col("_at").rank("ordinal").over("label").alias("_turn"))
    return queues.sort("_turn", "_at").head(most).drop("_turn", "_at").sort("image_id")


def bundle_classifier(bundle: Bundle) -> Classifier:
    """The network whose weights a bundle holds, as torch needs it for gradients.

    Raises:
        BundleError: the tensors are not those of the network described.
    """
    spec = bundle.spec
    size = Preprocess.from_dict(spec.preprocess).size
    return rebuild_classifier(spec.model, spec.labels, from_bytes(bundle.files[WEIGHTS]), size=size)


def score_saliency(
    predictor: Predictor,
    classifier: Classifier | None,
    pixels: PixelCache,
    rows: pl.DataFrame,
    masks: Mapping[str, NDArray[np.bool_]],
    *,
    reporter: Reporter,
    method: str = DEFAULT_METHOD,
    most: int = 200,
    seed: int = 0,
) -> pl.DataFrame:
    """The saliency table of some images: maps of their true label, scored.

    Maps of the default method are what the bundle's graph gives; those of others come from the
    classifier. Answers without pixels are the predictor's.

    Args:
        predictor: Answers.
        classifier: The same network in torch, see `bundle_classifier`; None leaves out the check
            with random weights, and allows the default method only.
        pixels: Canvases of the rows.
        rows: Catalogue rows, from which `choose_images` takes at most `most`.
        masks: `[size, size]` lungs on the canvas, by image id; images without are scored by
            removal alone.
        reporter: Shown what happens.
        method: As `attribute` takes it.
        most: Images at most.
        seed: Of the choice, of noise, and of random weights.

    Raises:
        InputError: no images, an unknown method, or one that needs a classifier.
        LabelError: a label that the predictor has not.
    """
    if rows.is_empty() or most < 1:
        raise InputError(f"{rows.height} images, {most} at most; allowed: 1 or more. Give some.")
    chosen = choose_images(rows, most=most, seed=seed)
    indices = _label_indices(predictor, chosen)
    similarity = _similarity(classifier, pixels, chosen, labels=indices, method=method, seed=seed)
    parts = []
    starts = range(0, chosen.height, _BATCH)
    for start in reporter.track(starts, f"Scoring {chosen.height} saliency maps", len(starts)):
        part, labels = chosen.slice(start, _BATCH), indices[start : start + _BATCH]
        ids = part["image_id"].to_list()
        canvases = pixels.pixels(ids)
        maps = _maps(predictor, classifier, canvases, labels, method)
        removal = removal_curves(
            canvases, maps, labels, _answers(predictor), image_ids=ids, seed=seed
        )
        parts.append(
            saliency_table(
                image_ids=ids,
                patient_ids=part["patient_id"].to_list(),
                labels=part["label"].to_list(),
                method=method,
                maps=maps,
                masks=masks,
                removal=removal,
                similarity=similarity,
            )
        )
    return pl.concat(parts)


def _label_indices(predictor: Predictor, rows: pl.DataFrame) -> NDArray[np.int64]:
    """`[image]`, which of the predictor's logits is the label's."""
    places = {label: at for at, label in enumerate(predictor.labels)}
    if unknown := sorted(set(rows["label"]) - set(places)):
        allowed = ", ".join(predictor.labels)
        raise LabelError(f"label '{unknown[0]}'; the bundle answers {allowed}. Map it to these.")
    return np.array([places[label] for label in rows["label"]], dtype=np.int64)


def _maps(
    predictor: Predictor,
    classifier: Classifier | None,
    canvases: PixelBatch,
    labels: NDArray[np.int64],
    method: str,
) -> NDArray[np.float32]:
    """`[image, size, size]`, >= 0, of each image's label."""
    if method == DEFAULT_METHOD:
        served = predictor.infer(canvases).saliency[np.arange(len(labels)), labels]
        return enlarge(served, canvases.shape[-1])
    if classifier is None:
        message = f"saliency method '{method}' needs the classifier; without: {DEFAULT_METHOD}."
        raise InputError(f"{message} Give bundle_classifier(predictor.bundle).")
    return attribute(classifier, canvases, labels, method=method)


def _answers(predictor: Predictor) -> Answer:
    def answer(canvases: PixelBatch) -> FloatArray:
        return predictor.probabilities(predictor.infer(canvases).logits)

    return answer


def _similarity(
    classifier: Classifier | None,
    pixels: PixelCache,
    chosen: pl.DataFrame,
    *,
    labels: NDArray[np.int64],
    method: str,
    seed: int,
) -> dict[str, float]:
    """Of a few images, by id: each takes several passes through the network."""
    if classifier is None:
        return {}
    few = choose_images(chosen, most=_RANDOMISED, seed=seed)["image_id"].to_list()
    by_id = dict(zip(chosen["image_id"], labels, strict=True))
    values = randomised_similarity(
        classifier,
        pixels.pixels(few),
        [int(by_id[name]) for name in few],
        method=method,
        last=1,
        seed=seed,
    )
    return dict(zip(few, values.tolist(), strict=True))
