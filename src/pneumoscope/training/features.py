"""Backbone outputs, computed once: embeddings of several views per image, kept on disk.

A file holds one view of one set of images; its name is a hash of everything it depends on
(weights, preprocessing, augmentation, seed, precision, image ids).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pneumoscope.core.errors import StorageError
from pneumoscope.core.files import cache_folder, replacing, sha256
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import AugmentRecipe
from pneumoscope.data.augmentation import apply, draw
from pneumoscope.data.cache import PixelCache
from pneumoscope.models.classifier import evaluating
from pneumoscope.models.zoo import Backbone
from pneumoscope.training.precision import in_precision


@dataclass(frozen=True)
class Embeddings:
    """Embeddings by image id and view.

    Attributes:
        image_ids: Which image each row is.
        values: `[image, view, features]`, float32.
    """

    image_ids: tuple[str, ...]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Embedder:
    """Computes embeddings of cached pixels, or finds them already computed.

    Attributes:
        backbone: The frozen backbone, float32.
        pixels: Where canvases are.
        augment: How views after the first differ.
        seed: The run's seed.
        precision: `float32` or `bfloat16`.
        batch_size: Images per step.
    """

    backbone: Backbone
    pixels: PixelCache
    augment: AugmentRecipe
    seed: int
    precision: str
    batch_size: int

    def embed(self, image_ids: Sequence[str], *, views: int, reporter: Reporter) -> Embeddings:
        """Embeddings of `views` views of each image: the first plain, the others augmented."""
        ids = tuple(image_ids)
        files = [self._file(ids, view) for view in range(views)]
        missing = [view for view, file in enumerate(files) if not _whole(file)]
        computed = self._compute(ids, missing, reporter) if missing else {}
        for view, values in computed.items():
            _keep(files[view], values, reporter)
        stacked = [computed[v] if v in computed else np.load(files[v]) for v in range(views)]
        return Embeddings(ids, np.stack(stacked, axis=1))

    def _compute(
        self, ids: tuple[str, ...], views: Sequence[int], reporter: Reporter
    ) -> dict[int, NDArray[np.float32]]:
        network = in_precision(self.backbone, self.precision)
        work = [(view, start) for view in views for start in range(0, len(ids), self.batch_size)]
        rows: dict[int, list[NDArray[np.float32]]] = {view: [] for view in views}
        fill = self.pixels.preprocess.recipe.pad_value
        description = f"Embedding {len(ids)} images x {len(views)} views"
        with evaluating(network):
            for view, start in reporter.track(work, description, len(work)):
                chosen = ids[start : start + self.batch_size]
                images = torch.from_numpy(self.pixels.pixels(chosen))
                drawn = draw(self.augment, chosen, view=view, seed=self.seed)
                maps = network(apply(images, drawn, fill=fill) if view else images)
                rows[view].append(maps.to(torch.float32).mean(dim=(2, 3)).numpy())
        return {view: np.concatenate(parts) for view, parts in rows.items()}

    def _file(self, ids: tuple[str, ...], view: int) -> Path:
        facts = {
            "weights": _fingerprint(self.backbone),
            "preprocess": self.pixels.preprocess.fingerprint,
            "augment": [self.augment.model_dump(), self.seed, view] if view else None,
            "compute": [self.precision, self.batch_size, torch.__version__],
            "images": sha256("".join(ids).encode()),
        }
        key = sha256(json.dumps(facts, sort_keys=True).encode())[:24]
        return cache_folder() / "embeddings" / f"{key}.npy"


def _fingerprint(backbone: Backbone) -> str:
    digest = hashlib.sha256()
    for name, value in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _whole(file: Path) -> bool:
    try:
        np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return True


def _keep(file: Path, values: NDArray[np.float32], reporter: Reporter) -> None:
    try:
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, values, allow_pickle=False)
    except StorageError as error:
        reporter.warn(f"embeddings are not kept for the next run: {error}")
