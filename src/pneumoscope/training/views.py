"""The views of training images that a run sees: one maker for every phase and cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pneumoscope.core.files import sha256
from pneumoscope.core.randomness import unit_hash
from pneumoscope.core.recipe import Recipe
from pneumoscope.data.augmentation import apply, cumulative_histograms, draw
from pneumoscope.data.cache import PixelCache

_REFERENCES = 256
"""Training images whose histograms others may be moved towards."""


@dataclass(frozen=True)
class Views:
    """Makes the views of a run's images.

    Attributes:
        recipe: How views differ (`augment`), their seed, and the grey level around the radiograph.
        references: Ids of the images that histograms are taken from; none where none are drawn.
        histograms: `[reference, 256]`.
    """

    recipe: Recipe
    references: tuple[str, ...] = ()
    histograms: Tensor | None = None

    @classmethod
    def of(cls, recipe: Recipe, image_ids: Sequence[str], pixels: PixelCache) -> Views:
        """The maker for these training images."""
        if not recipe.augment.histogram:
            return cls(recipe)
        seed = cls(recipe).seed
        ordered = sorted(image_ids, key=lambda name: unit_hash(seed, "references", name))
        chosen = tuple(ordered[:_REFERENCES])
        canvases = torch.from_numpy(pixels.pixels(chosen))
        fill = recipe.preprocess.pad_value
        return cls(recipe, chosen, cumulative_histograms(canvases, fill=fill))

    @property
    def seed(self) -> int:
        """Of the draws: `augment.seed`, or the recipe's own."""
        own = self.recipe.augment.seed
        return self.recipe.seed if own is None else own

    def show(self, canvases: Tensor, ids: Sequence[str], view: int | Sequence[int]) -> Tensor:
        """`[image, 1, size, size]` float32 grey levels: each image in its view; view 0 is plain.

        Args:
            canvases: `[image, 1, size, size]` grey levels, on any device.
            ids: Whose they are.
            view: Of all, or of each.
        """
        drawn = draw(self.recipe.augment, ids, view=view, seed=self.seed)
        histograms = None if self.histograms is None else self.histograms.to(canvases.device)
        return apply(canvases, drawn, fill=self.recipe.preprocess.pad_value, histograms=histograms)

    def facts(self, view: int) -> object:
        """What one view depends on, for a cache's key."""
        if not view:
            return None
        references = sha256("".join(self.references).encode()) if self.references else None
        # The seed that counts, whichever field it is from.
        return [self.recipe.augment.model_dump(exclude={"seed"}), self.seed, view, references]
