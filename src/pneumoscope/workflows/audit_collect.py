"""What an audit looks at: folders read into one catalogue, their pictures measured and embedded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pneumoscope.bundle.predictor import Predictor
from pneumoscope.core.errors import LabelError
from pneumoscope.core.progress import Reporter
from pneumoscope.data.audit.data import AuditData
from pneumoscope.data.audit.statistics import image_statistics
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import (
    assemble,
    files_table,
    fingerprint,
    scan,
    usable,
    without_copies,
)
from pneumoscope.data.duplicates import find_duplicates
from pneumoscope.data.layouts import Listing, recognise, relabelled, require_labels_there
from pneumoscope.data.masks import with_masks

_BATCH = 32


@dataclass(frozen=True)
class Reading:
    """How folders are read.

    Attributes:
        layout: How to understand them.
        columns: Catalogue column to manifest column.
        labels: From a label as it is found to the one it is called; None leaves its images out.
        pixels: Where the audit's canvases are kept.
        predictor: Embeds the images, if one is given.
        reporter: Shown what happens.
    """

    layout: str
    columns: Mapping[str, str] | None
    labels: Mapping[str, str | None]
    pixels: PixelCache
    predictor: Predictor | None
    reporter: Reporter


@dataclass(frozen=True)
class _Part:
    """One folder read."""

    catalogue: pl.DataFrame
    files: pl.DataFrame
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    declared: pl.DataFrame | None
    listing: Listing
    embedded: PixelCache | None
    """Where its canvases are, or will be, that the predictor embeds."""


def collect(data: Sequence[Path], reading: Reading) -> AuditData:
    """Everything the checks look at; several folders become one catalogue.

    Raises:
        InputError: a folder does not say what its images are, none is usable, or the predictor
            needs lung masks that a folder does not have.
        StorageError: the cache cannot be written.
    """
    named = [name if len(data) > 1 else None for name in data_names(data)]
    listings = _listed(data, reading)
    parts = [_read(listing, name, reading) for listing, name in zip(listings, named, strict=True)]
    catalogue = without_copies(_one_spelling(pl.concat([part.catalogue for part in parts])))
    ids = usable(catalogue)["image_id"].to_list()
    if not ids:
        raise LabelError(f"{', '.join(map(str, data))}: no usable image. See the reasons above.")
    sized = usable(catalogue).select("image_id", "width", "height").iter_rows()
    sizes = {image_id: (width, height) for image_id, width, height in sized}
    declared = [part.declared for part in parts if part.declared is not None]
    pixels, reporter = reading.pixels, reading.reporter
    return AuditData(
        catalogue=catalogue,
        files=pl.concat([part.files for part in parts]),
        statistics=image_statistics(ids, pixels, sizes=sizes, reporter=reporter),
        pairs=find_duplicates(ids, pixels, reporter=reporter),
        missing=[path for part in parts for path in part.missing],
        surplus=[path for part in parts for path in part.surplus],
        declared=pl.concat(declared) if declared else None,
        embeddings=_embeddings(parts, catalogue, reading),
    )


def data_names(data: Sequence[Path]) -> list[str]:
    """A name per folder: its own, numbered where two share it."""
    plain = [path.resolve().name for path in data]
    return [
        name if plain.count(name) == 1 else f"{name}-{index + 1}"
        for index, name in enumerate(plain)
    ]


def _one_spelling(catalogue: pl.DataFrame) -> pl.DataFrame:
    """`NORMAL` of one data set and `Normal` of another are one label; the first spelling stands."""
    spelling: dict[str, str] = {}
    for label in catalogue["label"].unique(maintain_order=True):
        spelling[label] = next((s for s in spelling.values() if s.lower() == label.lower()), label)
    return catalogue.with_columns(pl.col("label").replace(spelling))


def _listed(data: Sequence[Path], reading: Reading) -> list[Listing]:
    """Each folder's listing, under the labels wanted; which a folder has none of, others may."""
    found = []
    for path in data:
        listing = recognise(path, layout=reading.layout, columns=reading.columns)
        reading.reporter.say(
            f"{path}: {listing.layout} ({listing.why}), {len(listing.entries)} images."
        )
        found.append(listing)
    require_labels_there(reading.labels, found, option="--map")
    return [_relabelled(listing, reading.labels) for listing in found]


def _relabelled(listing: Listing, labels: Mapping[str, str | None]) -> Listing:
    there = {entry.label.casefold() for entry in listing.entries}
    own = {label: name for label, name in labels.items() if label.casefold() in there}
    return relabelled(listing, own, option="--map") if own else listing


def _read(listing: Listing, name: str | None, reading: Reading) -> _Part:
    """One folder; where there are several, its name starts every path and fills `source`."""
    for note in listing.notes:
        reading.reporter.warn(note)
    embedded = _embedded(listing, reading)  # lung masks that are missing are said before the work
    facts = scan(listing, pixels=reading.pixels, reporter=reading.reporter)
    catalogue, files, declared = assemble(listing, facts), files_table(facts), listing.declared
    missing, surplus = listing.missing, listing.surplus
    if name is not None:
        inside = (pl.lit(f"{name}/") + pl.col("path")).alias("path")
        catalogue, files = _inside(catalogue, name), files.with_columns(inside)
        missing, surplus = (
            tuple(f"{name}/{path}" for path in paths) for paths in (missing, surplus)
        )
        declared = None if declared is None else declared.with_columns(inside)
    return _Part(catalogue, files, missing, surplus, declared, listing, embedded)


def _inside(catalogue: pl.DataFrame, name: str) -> pl.DataFrame:
    copies = pl.col("excluded").str.replace("identical copy of ", f"identical copy of {name}/")
    return catalogue.with_columns(
        (pl.lit(f"{name}/") + pl.col("path")).alias("path"),
        pl.col("source").fill_null(name),
        (pl.lit(f"{name}/") + pl.col("patient_id")).alias("patient_id"),
        copies.alias("excluded"),
    )


def _embedded(listing: Listing, reading: Reading) -> PixelCache | None:
    """The cache of the canvases that the predictor asks for: often the audit's own."""
    if reading.predictor is None:
        return None
    preprocess = with_masks(reading.predictor.preprocess, listing)
    same = preprocess.fingerprint == reading.pixels.preprocess.fingerprint
    return reading.pixels if same else PixelCache(preprocess)


def _embeddings(
    parts: Sequence[_Part], catalogue: pl.DataFrame, reading: Reading
) -> dict[str, NDArray[np.float32]] | None:
    """The predictor's embedding of every usable image that it can see, by image id."""
    predictor, reporter = reading.predictor, reading.reporter
    if predictor is None:
        return None
    live = usable(catalogue)
    found: dict[str, NDArray[np.float32]] = {}
    for part in parts:
        inside = live.filter(pl.col("path").is_in(part.catalogue["path"].to_list()))
        found |= _embed(predictor, part, inside["image_id"].to_list(), reading)
    reporter.say(f"{len(found)} images embedded by model {predictor.model_id}.")
    if blind := live.height - len(found):
        reporter.warn(
            f"{blind} images have no canvas as the bundle sees them (preprocess.lungs="
            f"{predictor.preprocess.recipe.lungs}): no label error is looked for among them."
        )
    if fingerprint(catalogue) == predictor.bundle.spec.training.fingerprint:
        reporter.warn(
            "the bundle was trained on these very labels: errors that a fine-tuned backbone has "
            "learnt by heart are not suspected. A bundle of other images sees them."
        )
    return found


def _embed(
    predictor: Predictor, part: _Part, image_ids: Sequence[str], reading: Reading
) -> dict[str, NDArray[np.float32]]:
    pixels = part.embedded
    if pixels is None:
        return {}
    if pixels is not reading.pixels:
        scan(part.listing, pixels=pixels, reporter=reading.reporter)
    seen = [image_id for image_id in image_ids if image_id in pixels]
    work = pixels.batches(seen, _BATCH)
    batches = -(-len(seen) // _BATCH)
    found: dict[str, NDArray[np.float32]] = {}
    for ids, batch in reading.reporter.track(work, f"Embedding {len(seen)} images", batches):
        found |= dict(zip(ids, predictor.infer(batch).embedding, strict=True))
    return found
