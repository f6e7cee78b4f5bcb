"""How the packaged lung segmenter's weights are made and measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import LabelError, RadiographError
from pneumoscope.core.files import sha256, staged_folder, storage_errors
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.core.provenance import provenance
from pneumoscope.core.randomness import derive_seed, unit_hash
from pneumoscope.core.recipe import PreprocessRecipe
from pneumoscope.core.types import FloatArray, PixelBatch
from pneumoscope.data.lung_masks import MaskedImage, clean_mask, dice, is_plausible, masked_images
from pneumoscope.data.phantoms import LABELS, render_phantom
from pneumoscope.evaluation.resampling import patient_sums, percentile_bounds, resampled_sums
from pneumoscope.imaging.lungs import lung_mask, on_canvas
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.imaging.radiograph import read_radiograph
from pneumoscope.models.lungs import LungSegmenter, network_from, weights_of
from pneumoscope.training.lungs import LungLearning, fit_lungs

WEIGHTS, FIGURES = "lungs.safetensors", "lungs.json"

_LEARNT_SIDE, _MEASURED_SIDE = 160, 224


@dataclass(frozen=True)
class LungTraining:
    """Weights on disk and how good they are.

    Attributes:
        output: The folder written: `lungs.safetensors` and `lungs.json`.
        sha256: Of the weights: what `models.lungs.WEIGHTS_SHA256` is to be.
        dice: Mean Dice of held-out images and its bounds, of `all` and of each label.
    """

    output: Path
    sha256: str
    dice: dict[str, dict[str, float | int]]


class _Pictures(NamedTuple):
    """Canvases `[image, 1, side, side]` and cleaned masks `[image, side, side]` of `pairs`."""

    pairs: tuple[MaskedImage, ...]
    canvases: PixelBatch
    lungs: NDArray[np.bool_]
    plausible: NDArray[np.bool_]


def train_lungs(
    data: Path,
    masks: Path,
    output: Path,
    *,
    learning: LungLearning | None = None,
    held_out: float = 0.15,
    phantoms: int = 300,
    start: Path | None = None,
    seed: int = 0,
    resamples: int = 2000,
    reporter: Reporter | None = None,
) -> LungTraining:
    """Learn to mark lungs and measure it on patients never learnt from.

    Learnt from are images whose cleaned mask shows two whole lungs, and drawn phantoms. Measured
    on are all images of the held-out patients, with the weights as they are stored, at 224 x 224
    pixels against their cleaned masks; bounds are 95 % percentile ones over resampled patients.

    Args:
        data: Radiographs.
        masks: Their masks at the same relative paths, `.png`; noisy ones are cleaned.
        output: The folder to write; it appears whole or not at all.
        learning: How long and how fast, and the seed of what is random in it.
        held_out: Share of patients.
        phantoms: How many are drawn.
        start: Weights to go on from, learnt with the same patients held out.
        seed: Of who is held out, of phantoms, of resampling.
        resamples: Of patients.
        reporter: Told what is left out and shown the progress.

    Raises:
        LayoutError: no image has a mask.
        LabelError: no image to learn from, or none is held out.
        StorageError: the folder holds something already or cannot be written.
    """
    shown, how = reporter or Silent(), learning or LungLearning()
    pairs = masked_images(data, masks)
    tested = [pair for pair in pairs if unit_hash(seed, "lungs", pair.patient) < held_out]
    kept = set(tested)
    learnt = _read([pair for pair in pairs if pair not in kept], _LEARNT_SIDE, shown)
    shown.say(f"{int(learnt.plausible.sum())} of {len(learnt.pairs)} masks show two whole lungs.")
    with staged_folder(output) as stage:
        canvases, lungs = _with_phantoms(learnt, phantoms, seed)
        first = network_from(start.read_bytes()) if start else None
        content = weights_of(fit_lungs(canvases, lungs, how, start=first, reporter=shown))
        with storage_errors(output):
            (stage / WEIGHTS).write_bytes(content)
        segmenter = LungSegmenter.load(stage / WEIGHTS, expected=None)
        measured = _measure(segmenter, _read(tested, _MEASURED_SIDE, shown), resamples, seed)
        result = LungTraining(output, sha256(content), measured)
        figures = {
            "sha256": result.sha256, "bytes": len(content), "dice": measured,
            "learning": asdict(how), "held_out": held_out, "phantoms": phantoms,
            "start": sha256(start.read_bytes()) if start else None, "seed": seed,
            "n_learnt": int(learnt.plausible.sum()), **provenance(),
        }  # fmt: skip
        with storage_errors(output):
            (stage / FIGURES).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf8")
    return result


def _read(pairs: Sequence[MaskedImage], side: int, reporter: Reporter) -> _Pictures:
    preprocess = Preprocess(PreprocessRecipe(size=side, fit="stretch"))
    read: list[MaskedImage] = []
    canvases = np.empty((len(pairs), 1, side, side), dtype=np.uint8)
    lungs = np.empty((len(pairs), side, side), dtype=np.bool_)
    plausible = np.zeros(len(pairs), dtype=np.bool_)
    with ThreadPoolExecutor(max_workers=2) as pool:
        work = pool.map(partial(_pair, preprocess=preprocess), pairs)
        found = reporter.track(work, "Reading masks", len(pairs))
        for pair, one in zip(pairs, found, strict=True):
            if isinstance(one, str):
                reporter.warn(f"left out: {one}")
                continue
            canvases[len(read), 0], lungs[len(read)], plausible[len(read)] = one
            read.append(pair)
    count = len(read)
    return _Pictures(tuple(read), canvases[:count], lungs[:count], plausible[:count])


def _pair(
    pair: MaskedImage, *, preprocess: Preprocess
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], bool] | str:
    """Canvas, cleaned mask on it, and whether the mask is plausible; or why there is none."""
    try:
        canvas, geometry = preprocess.apply(read_radiograph(pair.image, name=pair.path))
        cleaned = clean_mask(lung_mask(read_radiograph(pair.mask)))
    except RadiographError as error:
        return str(error)
    source = geometry.source_height, geometry.source_width
    laid = on_canvas(cleaned, source, geometry.crop, geometry.placement)
    return canvas, laid, is_plausible(cleaned)


def _with_phantoms(
    learnt: _Pictures, count: int, seed: int
) -> tuple[PixelBatch, NDArray[np.bool_]]:
    """What is learnt from: the plausible pictures, and drawn ones of both labels."""
    drawn = [
        render_phantom(
            seed=derive_seed(seed, "lungs", "phantom", index),
            label=LABELS[index % len(LABELS)],
            size=_LEARNT_SIDE,
        )
        for index in range(count)
    ]
    canvases = [learnt.canvases[learnt.plausible], *(one.image[None, None] for one in drawn)]
    lungs = [learnt.lungs[learnt.plausible], *(one.lungs[None] for one in drawn)]
    found = np.concatenate(canvases)
    if not len(found):
        raise LabelError("no mask shows two whole lungs; learning needs some. Give better masks.")
    return found, np.concatenate(lungs)


def _measure(
    segmenter: LungSegmenter, tested: _Pictures, resamples: int, seed: int
) -> dict[str, dict[str, float | int]]:
    if not tested.pairs:
        raise LabelError("no patient is held out; measuring needs some. Hold out a larger share.")
    found = dice(segmenter.segment(tested.canvases), tested.lungs, axis=(1, 2))
    labels = np.array([pair.label for pair in tested.pairs])
    patients = np.array([pair.patient for pair in tested.pairs])
    groups = {"all": np.ones(len(labels), dtype=np.bool_)}
    groups |= {label: labels == label for label in sorted(set(labels.tolist()))}
    return {
        name: _mean(found[chosen], patients[chosen], resamples=resamples, seed=seed)
        for name, chosen in groups.items()
    }


def _mean(
    values: FloatArray, patients: NDArray[np.str_], *, resamples: int, seed: int
) -> dict[str, float | int]:
    """The mean over images and its 95 % percentile bounds over resampled patients."""
    clusters = np.unique(patients, return_inverse=True)[1]
    columns = np.stack([values, np.ones_like(values)], axis=1)
    drawn = resampled_sums(patient_sums(columns, clusters), resamples=resamples, seed=seed)
    point = np.array(values.mean())
    low, high = percentile_bounds(drawn[:, 0] / drawn[:, 1], point, confidence_level=0.95)
    return {
        "value": float(point), "low": float(low), "high": float(high),
        "lowest": float(values.min()),
        "n_images": len(values), "n_patients": int(clusters.max()) + 1,
    }  # fmt: skip
