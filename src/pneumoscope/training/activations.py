"""Activations at the cut, computed once: what the frozen part makes of each view, on disk.

A file holds one view of one set of images as bfloat16, channels last; its name is a hash of
everything it depends on. Files are memory-mapped: what is read is what a batch needs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pneumoscope.core.errors import StorageError
from pneumoscope.core.files import cache_folder, replacing, sha256
from pneumoscope.core.progress import Reporter
from pneumoscope.core.types import IntArray
from pneumoscope.data.cache import PixelCache
from pneumoscope.models.classifier import evaluating
from pneumoscope.training.distributed import World
from pneumoscope.training.precision import network_fingerprint
from pneumoscope.training.views import Views

_BYTES = 2


@dataclass(frozen=True)
class Activations:
    """Memory-mapped activations of some views of some images.

    Attributes:
        image_ids: Which image each row is.
        stored: Per view `[image, height, width, channels]`, the bits of bfloat16 numbers; for
            activations without height and width `[image, ...]`.
    """

    image_ids: tuple[str, ...]
    stored: tuple[NDArray[np.int16], ...]

    @property
    def views(self) -> int:
        """How many views of each image there are."""
        return len(self.stored)

    def read(self, rows: IntArray, views: IntArray) -> Tensor:
        """`[row, channels, height, width]` float32, channels last: each row in its view."""
        bits = np.empty((len(rows), *self.stored[0].shape[1:]), np.int16)
        for view in np.unique(views):
            chosen = np.flatnonzero(views == view)
            bits[chosen] = self.stored[view][rows[chosen]]
        values = torch.from_numpy(bits).view(torch.bfloat16).to(torch.float32)
        return values.permute(0, 3, 1, 2) if values.ndim == 4 else values


@dataclass(frozen=True)
class Recorder:
    """Computes the activations of cached pixels, or finds them already computed.

    Attributes:
        prefix: The frozen part of the network, float32, in evaluation mode.
        compute: The same as it is computed, on the device.
        computed: How, in words.
        pixels: Where canvases are.
        views: Makes the views.
        batch_size: Images per step.
        world: This process, its device and the others.
    """

    prefix: nn.Module
    compute: nn.Module
    computed: str
    pixels: PixelCache
    views: Views
    batch_size: int
    world: World

    def make_room(self, wanted: Mapping[tuple[str, ...], int], budget: int) -> int:
        """Bytes that the activations take; others, used longest ago, go if that makes them fit.

        Args:
            wanted: Views of each set of images.
            budget: Bytes that all activations together may take.
        """
        canvas = torch.zeros(1, 1, self.pixels.preprocess.size, self.pixels.preprocess.size)
        with evaluating(self.compute):
            each = int(self.compute(canvas.to(self.world.device)).numel()) * _BYTES
        files = {self._file(ids, view): len(ids) for ids, n in wanted.items() for view in range(n)}
        if (total := sum(files.values()) * each) <= budget:
            _forget(activation_folder(), keep=files, budget=budget - total)
        return total

    def record(
        self,
        image_ids: Sequence[str],
        *,
        views: int,
        reporter: Reporter,
    ) -> Activations:
        """Activations of `views` views of each image, the first plain.

        Several processes share the views between them.

        Raises:
            StorageError: the cache cannot be written.
        """
        ids = tuple(image_ids)
        files = [self._file(ids, view) for view in range(views)]
        failure: StorageError | None = None
        try:
            for view in range(views)[self.world.part]:
                if _mapped(files[view]) is None:
                    self._write(files[view], ids, view, reporter)
        except StorageError as error:
            failure = error
        if self.world.sum(torch.tensor(float(failure is not None), device=self.world.device)):
            raise failure or StorageError("another process could not write its activations")
        stored = [_mapped(file) for file in files]
        if any(view is None for view in stored):
            raise StorageError(f"{activation_folder()}: activations have just been deleted")
        return Activations(ids, tuple(view for view in stored if view is not None))

    def _write(self, file: Path, ids: tuple[str, ...], view: int, reporter: Reporter) -> None:
        starts = range(0, len(ids), self.batch_size)
        what = f"Activations of {len(ids)} images, view {view + 1}"
        work = reporter.track(starts, what, len(starts))
        # Written, not mapped: a disk that fills up under a mapping kills the process.
        with replacing(file) as temporary, evaluating(self.compute), temporary.open("wb") as stream:
            for start in work:
                bits = self._bits(ids[start : start + self.batch_size], view)
                if start == 0:
                    shape = (len(ids), *bits.shape[1:])
                    header = {"descr": "<i2", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(stream, header)
                stream.write(bits.tobytes())

    def _bits(self, ids: Sequence[str], view: int) -> NDArray[np.int16]:
        images = torch.from_numpy(self.pixels.pixels(ids)).to(self.world.device)
        if view:
            images = self.views.show(images, ids, view)
        values = self.compute(images)
        if values.ndim == 4:
            values = values.permute(0, 2, 3, 1)
        bits: NDArray[np.int16] = (
            values.to(torch.bfloat16).contiguous().view(torch.int16).cpu().numpy()
        )
        return bits

    def _file(self, ids: tuple[str, ...], view: int) -> Path:
        facts = {
            "weights": network_fingerprint(self.prefix),
            "preprocess": self.pixels.preprocess.fingerprint,
            "view": self.views.facts(view),
            "compute": [
                self.computed,
                self.batch_size,
                self.world.device.type,
                torch.__version__,
            ],
            "images": sha256("".join(ids).encode()),
        }
        key = sha256(json.dumps(facts, sort_keys=True).encode())[:24]
        return activation_folder() / f"{key}.npy"


def activation_folder() -> Path:
    """Where activations are kept."""
    return cache_folder() / "activations"


def _mapped(file: Path) -> NDArray[np.int16] | None:
    """What a whole file holds, None where there is none."""
    try:
        found: NDArray[np.int16] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found


def _forget(folder: Path, *, keep: Mapping[Path, int], budget: int) -> None:
    """Delete activations used longest ago until those not to be kept take `budget` bytes."""
    others = [file for file in folder.glob("*.npy") if file not in keep]
    taken = 0
    facts = []
    for file in others:
        with suppress(FileNotFoundError):  # another run has just deleted it
            facts.append((file.stat().st_atime, file.stat().st_size, file))
    for _, size, file in sorted(facts, reverse=True):
        taken += size
        if taken > budget:
            file.unlink(missing_ok=True)
