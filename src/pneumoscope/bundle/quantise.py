"""A graph in int8: weights and activations of convolutions as integers.

Static quantisation of ONNX Runtime, with QDQ pairs that OpenVINO understands too (Jacob et al.
2018). The first two convolutions stay in float32: their channels have the widest ranges, and in
integers they cost OpenVINO most of what was lost (docs/decisions/0018-precision.md). So does what
follows the last feature maps (pooling, head, saliency): it costs nothing, and the answer hangs on
it.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pneumoscope.core.errors import ExportError
from pneumoscope.core.types import PixelBatch

_BATCH = 16
_FIRST = 2
_INTEGER = ["Conv", "Clip", "Add"]
"""Kinds of operations, so that limits and shortcuts between convolutions stay in integers."""


def quantised(onnx: bytes, examples: PixelBatch) -> bytes:
    """The graph in int8, the ranges of its activations measured on `examples`.

    Args:
        onnx: In float32, as exported.
        examples: `[image, 1, size, size]` canvases of the kind it will see; a hundred or more.

    Raises:
        ExportError: the graph cannot be quantised.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Canvases(CalibrationDataReader):  # type: ignore[misc]
        """Gives the examples batch by batch."""

        def __init__(self) -> None:
            starts = range(0, len(examples) - _BATCH + 1, _BATCH) or range(1)
            self._batches = iter([{"pixels": examples[at : at + _BATCH]} for at in starts])

        def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory() as folder, _quiet():
        before, after = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        before.write_bytes(onnx)
        try:
            quantize_static(
                str(before),
                str(after),
                Canvases(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_INTEGER,
                nodes_to_exclude=_first_convolutions(onnx),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ExportError(
                f"int8: the graph cannot be quantised ({reason}). Keep float32, or export bfloat16."
            ) from error
        return after.read_bytes()


def _first_convolutions(onnx: bytes) -> list[str]:
    """Their names; a graph's nodes stand in the order they are computed."""
    from onnx import load_model_from_string

    nodes = load_model_from_string(onnx).graph.node
    return [node.name for node in nodes if node.op_type == "Conv"][:_FIRST]


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's advice to optimise the graph beforehand goes to the root logger."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
