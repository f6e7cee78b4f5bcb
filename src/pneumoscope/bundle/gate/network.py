"""The gate's own small network, as a bundle carries it: what it says of canvases.

It comes with the package (docs/decisions/0015-gate.md says how it was made) and goes into every
bundle as it is, whatever the bundle's backbone; it sees 128 x 128 pixels of what the model sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundle.graph import self_contained, shapes_of
from pneumoscope.bundle.runtimes import Runtime, open_runtime
from pneumoscope.core.errors import BundleError, WeightsError
from pneumoscope.core.files import sha256
from pneumoscope.core.types import Canvas, PixelBatch
from pneumoscope.imaging.thumbnail import SQUARE, square

GATE_SHA256 = "e9eff88105f9a3746eb3f7e2962cb2cdba3e5aa6c4af15052788726461abc60c"
"""Of the packaged network, which is checked against it when it goes into a bundle."""

CHEST, INVERTED, CUT_OFF, TURNED = 0, 1, 2, slice(3, 7)
"""Columns of the logits; the last four are one choice, by quarter turns to the left."""

_FILE = "gate.onnx"
_GIVEN, _WANTED = "squares", ("answers", "look")


@dataclass(frozen=True, eq=False)
class Looks:
    """What the network makes of a batch.

    Attributes:
        answers: `[batch, 7]` logits, see `CHEST` and the other columns.
        look: `[batch, features]`: means and deviations of what its layers see.
        squares: `[batch, 128, 128]`, what it looked at.
    """

    answers: NDArray[np.float32]
    look: NDArray[np.float32]
    squares: NDArray[np.uint8]


@dataclass(frozen=True)
class Looker:
    """The opened network."""

    runtime: Runtime

    @classmethod
    def open(cls, onnx: bytes, runtime: str = "auto", *, threads: int | None = None) -> Looker:
        """The network in `gate.onnx`.

        Raises:
            BundleError: it is not ONNX, names files, or has other inputs or outputs.
        """
        check_network(onnx)
        return cls(open_runtime(onnx, runtime, threads=threads, file=_FILE))

    def look(self, canvases: PixelBatch) -> Looks:
        """What it makes of canvases `[batch, 1, size, size]`."""
        squares = np.stack([square(seen_part(canvas)) for canvas in canvases[:, 0]])
        answers, look = self.runtime.arrays(squares[:, None], _GIVEN, _WANTED)
        return Looks(answers, look, squares)


def seen_part(canvas: Canvas) -> Canvas:
    """The canvas without the rows and columns of one grey level at its sides: no letterbox bars.

    A canvas that would lose more than three quarters of a side stays whole.
    """
    sides = canvas[0], canvas[-1], canvas[:, 0], canvas[:, -1]
    if all(side.min() != side.max() for side in sides):
        return canvas
    rows = np.flatnonzero(canvas.min(axis=1) != canvas.max(axis=1))
    columns = np.flatnonzero(canvas.min(axis=0) != canvas.max(axis=0))
    if 4 * len(rows) < len(canvas) or 4 * len(columns) < len(canvas):
        return canvas
    return canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def packaged_gate() -> bytes:
    """The packaged network.

    Raises:
        WeightsError: it is missing or was changed.
    """
    folder = resources.files("pneumoscope.models") / "weights_data"
    try:
        content = (folder / _FILE).read_bytes()
    except OSError as error:
        message = f"{_FILE}: the gate's network is missing from the package"
        raise WeightsError(f"{message}. Install Pneumoscope again.") from error
    if sha256(content) != GATE_SHA256:
        raise WeightsError(
            f"{_FILE}: SHA-256 is {sha256(content)[:12]}..., expected {GATE_SHA256[:12]}...: the "
            "gate's network was changed. Install Pneumoscope again."
        )
    return content


def check_network(onnx: bytes) -> None:
    """Refuse what is no gate's network, before any runtime sees it.

    Raises:
        BundleError: it is not ONNX, names files, or has other inputs or outputs.
    """
    from onnx import TensorProto

    found = shapes_of(self_contained(onnx, _FILE))
    kind, shape = found.get(_GIVEN, (0, []))
    fits = (
        set(found) == {_GIVEN, *_WANTED}
        and kind == TensorProto.UINT8
        and shape[1:] == [1, SQUARE, SQUARE]
        and found["answers"][1][1:] == [TURNED.stop]
        and len(found["look"][1]) == 2
    )
    if not fits:
        shapes = {name: shape for name, (_, shape) in found.items()}
        raise BundleError(
            f"{_FILE}: its inputs and outputs are {shapes}; this is no gate. Export the bundle "
            "again."
        )
