"""Where a phase's inputs come from: cached embeddings, cached activations, or pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.core.randomness import derive_seed
from pneumoscope.core.types import IntArray
from pneumoscope.data.cache import PixelCache
from pneumoscope.training.activations import Activations
from pneumoscope.training.features import Embeddings
from pneumoscope.training.views import Views


@dataclass(frozen=True)
class Images:
    """The images of one split and what they show.

    Attributes:
        ids: Image ids.
        truth: `[image]` label indices.
    """

    ids: tuple[str, ...]
    truth: IntArray

    def named(self, rows: IntArray) -> tuple[str, ...]:
        """The ids of these rows."""
        return tuple(self.ids[row] for row in rows)


class Source(Protocol):
    """Gives a phase's inputs, as the phase's network takes them."""

    @property
    def images(self) -> Images:
        """The training images."""

    @property
    def validation(self) -> Images:
        """The validation images."""

    @property
    def repeats(self) -> int:
        """How many items an image stands for in an epoch: item `i` is image `i // repeats`."""

    def inputs(self, items: IntArray, epoch: int) -> Tensor:
        """`[item, ...]`: training inputs, as this epoch varies them."""
        ...

    def validation_inputs(self, rows: IntArray) -> Tensor:
        """`[row, ...]`: validation inputs, not varied."""
        ...


@dataclass(frozen=True)
class EmbeddingSource:
    """Cached embeddings; an epoch goes over every view of every image."""

    images: Images
    validation: Images
    train_values: Tensor
    """`[image, view, features]`."""
    validation_values: Tensor

    @classmethod
    def of(
        cls,
        images: Images,
        found: Embeddings,
        validation: Images,
        seen: Embeddings,
        device: torch.device,
    ) -> EmbeddingSource:
        """The source of what an `Embedder` gave for the two splits.

        Raises:
            ValueError: rows and ids do not belong together.
        """
        if found.image_ids != images.ids or seen.image_ids != validation.ids:
            raise ValueError("embeddings of other images")
        values = [torch.from_numpy(part.values).to(device) for part in (found, seen)]
        return cls(images, validation, *values)

    @property
    def repeats(self) -> int:
        """Views of an image."""
        return self.train_values.shape[1]

    def inputs(self, items: IntArray, epoch: int) -> Tensor:
        """`[item, features]`."""
        del epoch
        index = torch.from_numpy(items)
        return self.train_values[index // self.repeats, index % self.repeats]

    def validation_inputs(self, rows: IntArray) -> Tensor:
        """`[row, features]` of the plain view."""
        return self.validation_values[torch.from_numpy(rows), 0]


def view_of(image_id: str, epoch: int, views: int, seed: int) -> int:
    """Which of the views kept an image shows in an epoch: each in turn, begun at a drawn one."""
    return (epoch + derive_seed(seed, "first view", image_id)) % views


@dataclass(frozen=True)
class ActivationSource:
    """Cached activations at the cut; an epoch shows one view of every image."""

    images: Images
    validation: Images
    train_values: Activations
    validation_values: Activations
    seed: int
    device: torch.device
    repeats: int = 1

    def inputs(self, items: IntArray, epoch: int) -> Tensor:
        """`[item, channels, height, width]`, float32."""
        ids = self.images.named(items)
        views = [view_of(name, epoch, self.train_values.views, self.seed) for name in ids]
        return self.train_values.read(items, np.array(views)).to(self.device)

    def validation_inputs(self, rows: IntArray) -> Tensor:
        """`[row, channels, height, width]` of the plain view, float32."""
        return self.validation_values.read(rows, np.zeros_like(rows)).to(self.device)


@dataclass(frozen=True)
class PixelSource:
    """Augmented pixels, drawn anew every epoch; through a frozen part of the network if given.

    Attributes:
        maker: Makes the views.
        seed: The run's seed.
        views: Cycle through this many views, the first plain; 0 draws a new one every epoch.
        prefix: What is not trained; its outputs are then the inputs.
        resident: All canvases `[image, 1, size, size]` on the device, where they have room.
    """

    images: Images
    validation: Images
    pixels: PixelCache
    maker: Views
    seed: int
    device: torch.device
    views: int = 0
    prefix: nn.Module | None = None
    resident: Tensor | None = None
    repeats: int = 1

    def inputs(self, items: IntArray, epoch: int) -> Tensor:
        """`[item, 1, size, size]` grey levels, or what the frozen part makes of them."""
        ids = self.images.named(items)
        if self.resident is None:
            canvases = self._canvases(ids)
        else:
            canvases = self.resident[torch.from_numpy(items).to(self.device)]
        seed, count = self.seed, self.views
        views = [view_of(name, epoch, count, seed) if count else epoch for name in ids]
        return self._through(self.maker.show(canvases, ids, views))

    def validation_inputs(self, rows: IntArray) -> Tensor:
        """`[row, 1, size, size]` grey levels, or what the frozen part makes of them."""
        return self._through(self._canvases(self.validation.named(rows)))

    def _canvases(self, ids: Sequence[str]) -> Tensor:
        return torch.from_numpy(self.pixels.pixels(ids)).to(self.device, non_blocking=True)

    def _through(self, canvases: Tensor) -> Tensor:
        if self.prefix is None:
            return canvases
        with torch.no_grad():
            outputs: Tensor = self.prefix(canvases)
        return outputs.to(torch.bfloat16).to(torch.float32)  # as they would be read from the cache
