"""Pictures of images that the cache of this machine holds: mistakes, sheets, mean images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from PIL import Image

from pneumoscope.app.pictures import address, grey, png
from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import RadiographError
from pneumoscope.core.randomness import unit_hash
from pneumoscope.core.recipe import PreprocessRecipe
from pneumoscope.data.audit.pictures import contact_sheet, mean_images
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import usable
from pneumoscope.evaluation.predictions import Predictions
from pneumoscope.imaging.preprocess import Preprocess
from pneumoscope.imaging.radiograph import read_radiograph
from pneumoscope.reporting.gallery import worst_errors

_PER_SIDE, _SHEET, _COLUMNS, _SIDE = 4, 18, 6, 112


@dataclass(frozen=True)
class Mistake:
    """A wrong answer: its picture as a `data:` address, true label, answer and its probability."""

    source: str
    truth: str
    answered: str
    probability: float


def audit_cache() -> PixelCache:
    """Where `audit` keeps the canvases of what it read."""
    return PixelCache(Preprocess(PreprocessRecipe()))


def mistakes(predictor: Predictor, predictions: Predictions) -> list[Mistake] | None:
    """The surest wrong answers with their saliency; None where this machine has no pixels of them.

    Args:
        predictor: That gave the answers.
        predictions: On the evaluated images.
    """
    from pneumoscope.workflows.assess import error_gallery

    worst = worst_errors(predictions, most=_PER_SIDE)
    if predictor.preprocess.recipe.lungs != "off":
        return None
    pixels = PixelCache(predictor.preprocess)
    if any(one.image_id not in pixels for one in worst):
        return None
    drawn = error_gallery(predictor, pixels, predictions, most=_PER_SIDE)
    return [
        Mistake(address(one.png), error.truth, error.answered, error.probability)
        for one, error in zip(drawn, worst, strict=True)
    ]


def label_sheets(catalogue: pl.DataFrame, pixels: PixelCache) -> dict[str, tuple[str, int, int]]:
    """By label: a sheet of some images as a `data:` address, how many, and of how many."""
    found = {}
    for label, ids in _by_label(catalogue).items():
        here = [one for one in ids if one in pixels]
        chosen = sorted(here, key=lambda one: unit_hash(0, "sheet", one))[:_SHEET]
        if chosen:
            found[label] = (sheet(chosen, pixels), len(chosen), len(ids))
    return found


def label_means(catalogue: pl.DataFrame, pixels: PixelCache) -> dict[str, str]:
    """By label: the mean of its images as a `data:` address."""
    here = {
        label: [one for one in ids if one in pixels] for label, ids in _by_label(catalogue).items()
    }
    means = mean_images({label: ids for label, ids in here.items() if ids}, pixels)
    return {label: address(png(picture)) for label, picture in means.items()}


def sheet(image_ids: Sequence[str], pixels: PixelCache) -> str:
    """Images side by side on black, as a `data:` address."""
    drawn = contact_sheet(pixels.pixels(list(image_ids)), columns=_COLUMNS, side=_SIDE)
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, format="JPEG", quality=85)
    return address(buffer.getvalue(), "image/jpeg")


def one_picture(image_id: str, pixels: PixelCache) -> str | None:
    """An image as the network sees it, as a `data:` address; None where it is not here."""
    return address(png(pixels.pixels([image_id])[0, 0])) if image_id in pixels else None


def radiograph_picture(path: Path, *, side: int = 320) -> str | None:
    """A radiograph in a file, small, as a `data:` address; None where it cannot be read."""
    try:
        levels = grey(read_radiograph(path))
    except RadiographError:
        return None
    small = Image.fromarray(levels)
    small.thumbnail((side, side), Image.Resampling.BOX)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85)
    return address(buffer.getvalue(), "image/jpeg")


def _by_label(catalogue: pl.DataFrame) -> dict[str, list[str]]:
    live = usable(catalogue).sort("label", "image_id")
    groups = live.group_by("label", maintain_order=True).agg(pl.col("image_id"))
    return dict(groups.iter_rows())
