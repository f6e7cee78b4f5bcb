"""Show augmentation: a picture of what a recipe does to training images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from pneumoscope.core.files import write_bytes
from pneumoscope.core.progress import Reporter, Silent
from pneumoscope.core.randomness import unit_hash
from pneumoscope.core.recipe import Recipe, recipe_of
from pneumoscope.data.catalogue import usable
from pneumoscope.reporting.augmentation_figure import augmentation_figure
from pneumoscope.reporting.rendering import to_png
from pneumoscope.training.views import Views
from pneumoscope.workflows.prepare import prepare_recipe

_VIEWS = 6


def _of_every_label(rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Ids and labels in an order that takes labels in turn."""
    turn: Counter[str] = Counter()
    placed = []
    for image_id, label in rows:
        placed.append((turn[label], label, image_id))
        turn[label] += 1
    return [(image_id, label) for _, label, image_id in sorted(placed)]


def show_augmentation(
    recipe: Recipe | str | Path,
    output: str | Path,
    *,
    images: int = 6,
    reporter: Reporter | None = None,
) -> Path:
    """Draw some images of the recipe's data, plain and in six views each, into a PNG file.

    Args:
        recipe: As `train` takes it.
        output: The file to write.
        images: How many.
        reporter: Shown what happens.

    Raises:
        InputError: the data or the recipe cannot be used.
        StorageError: the file cannot be written.

    Example:
        ps.show_augmentation("recipe.yaml", "views.png")
    """
    recipe, output = recipe_of(recipe), Path(output)
    prepared = prepare_recipe(recipe, reporter=reporter or Silent())
    rows = list(usable(prepared.catalogue).select("image_id", "label").iter_rows())
    rows.sort(key=lambda row: unit_hash(recipe.seed, "shown", row[0]))
    chosen = _of_every_label(rows)[:images]
    ids = [image_id for image_id, _ in chosen]
    canvases = torch.from_numpy(prepared.pixels.pixels(ids))
    maker = Views.of(recipe, [image_id for image_id, _ in rows], prepared.pixels)
    views = [maker.show(canvases, ids, view) for view in range(1, _VIEWS + 1)]
    stack = torch.stack(views, dim=1)[:, :, 0].round().to(torch.uint8).numpy()
    names = [label for _, label in chosen]
    plain = np.asarray(canvases[:, 0])
    figure = augmentation_figure(plain, stack, names=names, recipe=recipe.augment)
    write_bytes(output, to_png(figure))
    return output
