"""From a data folder to a catalogue with pixels: the first steps of every workflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pneumoscope.core.errors import LabelError, RecipeError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import DataRecipe, Recipe
from pneumoscope.data.cache import PixelCache
from pneumoscope.data.catalogue import build_catalogue, require_labels, usable
from pneumoscope.data.label_patch import apply_patch, read_patch
from pneumoscope.data.layouts import Listing, recognise, recognise_folders, relabelled
from pneumoscope.data.masks import with_mask_folder, with_masks
from pneumoscope.data.split import apply_split, assign_splits, limit_images
from pneumoscope.imaging.preprocess import Preprocess


@dataclass(frozen=True)
class Prepared:
    """A read data folder.

    Attributes:
        catalogue: One row per image; `split` holds the part the layout gave.
        pixels: The canvases of the usable images.
    """

    catalogue: pl.DataFrame
    pixels: PixelCache


def prepare(
    path: Path,
    preprocess: Preprocess,
    *,
    layout: str,
    masks: str | None = None,
    reporter: Reporter,
) -> Prepared:
    """Recognise, read and cache a data folder, saying what was understood and left out.

    The images' lung masks are those in the folder `masks`, where it is given.

    Raises:
        LayoutError: the folder does not say what its images are.
        InputError: lung masks are needed, and no image has one.
        StorageError: the cache cannot be written.
    """
    listing = recognise(path, layout=layout)
    return _read(listing, preprocess, masks=masks, reporter=reporter)


def _read(
    listing: Listing, preprocess: Preprocess, *, masks: str | None, reporter: Reporter
) -> Prepared:
    reporter.say(f"Layout: {listing.layout} ({listing.why}), {len(listing.entries)} images.")
    if masks is not None:
        listing = with_mask_folder(listing, Path(masks))
        masked = sum(entry.mask_path is not None for entry in listing.entries)
        reporter.say(f"Lung masks from {masks}: {masked} images have one.")
    for note in listing.notes:
        reporter.warn(note)
    pixels = PixelCache(with_masks(preprocess, listing))
    catalogue = build_catalogue(listing, pixels=pixels, reporter=reporter)
    _say_excluded(catalogue, reporter)
    return Prepared(catalogue, pixels)


def prepare_recipe(recipe: Recipe, *, reporter: Reporter) -> Prepared:
    """The data that a recipe names, read as it says.

    Raises:
        RecipeError: it names none.
        InputError: the data, or the label patch, cannot be used; LabelError, where a folder of
            several has no usable image.
        StorageError: the cache cannot be written.
    """
    data = recipe.data
    if data.path is None:
        raise RecipeError("data.path: is not set. Give a folder of radiographs.")
    prepared = _read(
        _listing(Path(data.path), data),
        Preprocess(recipe.preprocess),
        masks=data.masks,
        reporter=reporter,
    )
    _require_every_folder(prepared.catalogue, data.folders)
    if data.patch is None:
        return prepared
    patched = apply_patch(prepared.catalogue, read_patch(Path(data.patch)), reporter=reporter)
    return Prepared(patched, prepared.pixels)


def _require_every_folder(catalogue: pl.DataFrame, folders: Sequence[str]) -> None:
    """A folder of which nothing is left would be missed by nobody: the others train on."""
    paths = usable(catalogue)["path"]
    for name in folders:
        if not paths.str.starts_with(f"{name}/").any():
            raise LabelError(
                f"data.folders: {name} has no usable image, for the reasons above. Correct it, or "
                "leave it out."
            )


def _listing(root: Path, data: DataRecipe) -> Listing:
    columns = {str(name): column for name, column in data.columns.items()}
    if data.folders:
        listing = recognise_folders(
            root, data.folders, layout=data.layout, columns=columns, source=data.source
        )
    else:
        listing = recognise(root, layout=data.layout, columns=columns, source=data.source)
    return relabelled(listing, data.labels) if data.labels else listing


def prepare_split(recipe: Recipe, *, reporter: Reporter) -> tuple[Prepared, tuple[str, ...]]:
    """The data that a recipe names, limited and split as it says, and their label set.

    Raises:
        RecipeError, InputError, StorageError: as `prepare_recipe`; or the split cannot be made.
    """
    prepared = prepare_recipe(recipe, reporter=reporter)
    labels = require_labels(prepared.catalogue)
    return Prepared(split_as_told(prepared.catalogue, recipe, reporter), prepared.pixels), labels


def split_as_told(catalogue: pl.DataFrame, recipe: Recipe, reporter: Reporter) -> pl.DataFrame:
    """The catalogue limited and split as the recipe says.

    Raises:
        LabelError: the split cannot be made.
    """
    drawn = limited(catalogue, recipe)
    if recipe.split.file is not None:
        return apply_split(drawn, Path(recipe.split.file), reporter=reporter)
    return assign_splits(
        drawn, recipe.split, seed=recipe.seed, reporter=reporter, folders=recipe.data.folders
    )


def limited(catalogue: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """The catalogue with no more images than the recipe wants."""
    data = recipe.data
    return limit_images(catalogue, data.limit, seed=recipe.seed, folders=data.folders)


def name_of(data: DataRecipe) -> str:
    """What the data are called: the folder's name, or those of the folders read together."""
    return "+".join(data.folders) or Path(str(data.path)).resolve().name


def _say_excluded(catalogue: pl.DataFrame, reporter: Reporter) -> None:
    left_out = catalogue.filter(pl.col("excluded").is_not_null())
    if left_out.is_empty():
        return
    first = left_out.row(0, named=True)
    reporter.warn(
        f"{left_out.height} of {catalogue.height} images excluded, for example {first['path']}: "
        f"{first['excluded']} All are listed in the report."
    )
