"""TensorBoard event files on request: what MLflow has no page for.

Scalars, the network's graph, pictures, precision-recall curves, the embedding projector, and a
profile of a few steps. Everything is written below one folder; `tensorboard --logdir` shows it.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.core.errors import DependencyError
from pneumoscope.core.types import FloatArray, IntArray, PixelBatch, RgbImage

if TYPE_CHECKING:
    from torch import Tensor, nn

_THUMBNAIL = 48
MOST_PROJECTED = 1600
"""Images that the projector shows."""
_FLUSH_SECONDS = 5
_TOP_OPERATIONS = 25


def require_tensorboard() -> None:
    """Say what to install where TensorBoard is missing.

    Raises:
        DependencyError: it is.
    """
    if util.find_spec("tensorboard") is None:
        raise DependencyError(
            "TensorBoard is missing. Install it: pip install pneumoscope[tensorboard]."
        )


@contextmanager
def event_files(folder: Path) -> Iterator[EventFiles]:
    """The event files of one run in `folder`, written whole when the block is left.

    Raises:
        DependencyError: TensorBoard is missing.
    """
    require_tensorboard()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorBoard's own imports
        from torch.utils.tensorboard import SummaryWriter
    files = EventFiles(SummaryWriter(log_dir=str(folder), flush_secs=_FLUSH_SECONDS), folder)
    try:
        yield files
    finally:
        files.close()


class EventFiles:
    """Writes to event files.

    Args:
        writer: A `torch.utils.tensorboard.SummaryWriter`.
        folder: Where it writes.
    """

    def __init__(self, writer: Any, folder: Path) -> None:
        self._writer = writer
        self._folder = folder
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Write everything out; a scalar that comes later is not taken."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._writer.close()

    def scalar(self, name: str, value: float, step: int) -> None:
        """Take one number at a step: what `tracked_run(..., scalars=...)` wants."""
        with self._lock:  # the machine is watched from another thread
            if not self._closed:
                self._writer.add_scalar(name, value, step)

    def text(self, name: str, text: str) -> None:
        """Take Markdown, such as a recipe in a code block."""
        self._writer.add_text(name, text)

    def graph(self, module: nn.Module, pixels: Tensor) -> None:
        """Take a network's graph as it answers `pixels` `[batch, 1, size, size]` uint8."""
        import torch

        was_training = module.training
        module.eval()
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the tracer's, about shapes read as numbers
                self._writer.add_graph(module, pixels, use_strict_trace=False)
        finally:
            module.train(was_training)

    def images(self, name: str, pixels: PixelBatch, *, step: int = 0) -> None:
        """Take canvases `[batch, 1, size, size]`, grey levels 0-255, such as augmented views."""
        self._writer.add_images(name, pixels, step, dataformats="NCHW")

    def picture(self, name: str, picture: RgbImage, *, step: int = 0) -> None:
        """Take a colour picture of any size, such as a saliency overlay."""
        self._writer.add_image(name, picture, step, dataformats="HWC")

    def pr_curves(
        self, labels: Sequence[str], truth: IntArray, probabilities: FloatArray, *, step: int = 0
    ) -> None:
        """Take a precision-recall curve per label.

        Args:
            labels: The label set.
            truth: `[image]`, index of the true label.
            probabilities: `[image, label]`, in [0, 1].
            step: The epoch.
        """
        for index, label in enumerate(labels):
            self._writer.add_pr_curve(f"pr/{label}", truth == index, probabilities[:, index], step)

    def projector(
        self, embeddings: FloatArray, columns: Mapping[str, Sequence[object]], pixels: PixelBatch
    ) -> None:
        """Take embeddings `[image, feature]` for the projector.

        Args:
            embeddings: `[image, feature]`.
            columns: Of the table beside it, such as label and answer; one value per image.
            pixels: `[image, 1, size, size]`, shown as small pictures.
        """
        import torch

        kept = slice(0, MOST_PROJECTED)
        rows = [[_cell(v) for v in row] for row in zip(*columns.values(), strict=True)][kept]
        single = len(columns) == 1
        self._writer.add_embedding(
            torch.from_numpy(np.ascontiguousarray(embeddings[kept], dtype=np.float32)),
            metadata=[row[0] for row in rows] if single else rows,
            metadata_header=None if single else list(columns),
            label_img=_thumbnails(pixels[kept]),
            tag="embedding",
        )

    def profile(self, step: Callable[[], object], *, steps: int = 3) -> Path:
        """The trace file of a few steps: what each operation cost, also as a table of text.

        Args:
            step: One step of training.
            steps: How many are looked at, after one that is not.
        """
        from torch.profiler import profile

        step()
        with _quiet_profiler(), profile(activities=_activities(), record_shapes=True) as found:
            for _ in range(steps):
                step()
                found.step()
        trace = self._folder / "steps.pt.trace.json"
        found.export_chrome_trace(str(trace))
        averages = found.key_averages()
        table = averages.table(sort_by="self_cpu_time_total", row_limit=_TOP_OPERATIONS)
        indented = "\n".join(f"    {line}" for line in table.splitlines())
        self._writer.add_text("profile/operations", indented)
        return trace


@contextmanager
def _quiet_profiler() -> Iterator[None]:
    """The profiler does not write to the terminal that it looked for a GPU."""
    name = "KINETO_LOG_LEVEL"
    before = os.environ.get(name)
    os.environ[name] = before or "99"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


def _activities() -> list[Any]:
    import torch
    from torch.profiler import ProfilerActivity

    gpu = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    return [ProfilerActivity.CPU, *gpu]


def _cell(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


def _thumbnails(pixels: PixelBatch) -> Tensor:
    """`[image, 3, 48, 48]` in [0, 1]."""
    import torch
    from torch.nn.functional import interpolate

    grey = torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255
    small = interpolate(grey, size=(_THUMBNAIL, _THUMBNAIL), mode="area")
    return small.expand(-1, 3, -1, -1)
