"""Backbone outputs, computed once: embeddings of several views per image, kept on disk.

A file holds one view of one set of images; its name is a hash of everything it depends on
(weights, preprocessing, augmentation, seed, precision, image ids).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pneumoscope.core.errors import StorageError
from pneumoscope.core.files import cache_folder, replacing, sha256
from pneumoscope.core.progress import Reporter
from pneumoscope.data.cache import PixelCache
from pneumoscope.models.classifier import Classifier, evaluating
from pneumoscope.training.distributed import World
from pneumoscope.training.frozen import Frozen
from pneumoscope.training.precision import network_fingerprint
from pneumoscope.training.views import Views


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
        classifier: Whose frozen backbone, float32, and pooling are asked.
        pixels: Where canvases are.
        views: Makes the views.
        frozen: Computes the backbone.
        batch_size: Images per step.
        world: This process, its device and the others.
    """

    classifier: Classifier
    pixels: PixelCache
    views: Views
    frozen: Frozen
    batch_size: int
    world: World = field(default_factory=World)

    def embed(self, image_ids: Sequence[str], *, views: int, reporter: Reporter) -> Embeddings:
        """Embeddings of `views` views of each image: the first plain, the others augmented.

        Several processes share the views between them.

        Raises:
            StorageError: several processes share the work and the cache cannot be written.
        """
        ids = tuple(image_ids)
        files = [self._file(ids, view) for view in range(views)]
        missing = [view for view in range(views)[self.world.part] if not _whole(files[view])]
        computed = self._compute(ids, missing, reporter) if missing else {}
        for view, values in computed.items():
            _keep(files[view], values, reporter, needed=self.world.size > 1)
        self.world.wait()
        stacked = [computed[v] if v in computed else np.load(files[v]) for v in range(views)]
        return Embeddings(ids, np.stack(stacked, axis=1))

    def _compute(
        self, ids: tuple[str, ...], views: Sequence[int], reporter: Reporter
    ) -> dict[int, NDArray[np.float32]]:
        size = self.pixels.preprocess.size
        network = self.frozen.ready(self.classifier.backbone, size=size).to(self.world.device)
        pooling = copy.deepcopy(self.classifier.pooling).to(self.world.device)
        work = [(view, start) for view in views for start in range(0, len(ids), self.batch_size)]
        rows: dict[int, list[NDArray[np.float32]]] = {view: [] for view in views}
        description = f"Embedding {len(ids)} images x {len(views)} views"
        with evaluating(network), evaluating(pooling):
            for view, start in reporter.track(work, description, len(work)):
                chosen = ids[start : start + self.batch_size]
                images = torch.from_numpy(self.pixels.pixels(chosen)).to(self.world.device)
                maps = network(self.views.show(images, chosen, view) if view else images)
                rows[view].append(pooling(maps.to(torch.float32)).cpu().numpy())
        return {view: np.concatenate(parts) for view, parts in rows.items()}

    def _file(self, ids: tuple[str, ...], view: int) -> Path:
        facts = {
            "weights": network_fingerprint(self.classifier.backbone),
            "pooling": repr(self.classifier.pooling),
            "preprocess": self.pixels.preprocess.fingerprint,
            "view": self.views.facts(view),
            "compute": [
                str(self.frozen),
                self.batch_size,
                self.world.device.type,
                torch.__version__,
            ],
            "images": sha256("".join(ids).encode()),
        }
        key = sha256(json.dumps(facts, sort_keys=True).encode())[:24]
        return cache_folder() / "embeddings" / f"{key}.npy"


def _whole(file: Path) -> bool:
    try:
        np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return True


def _keep(file: Path, values: NDArray[np.float32], reporter: Reporter, *, needed: bool) -> None:
    try:
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, values, allow_pickle=False)
    except StorageError as error:
        if needed:
            raise
        reporter.warn(f"embeddings are not kept for the next run: {error}")
