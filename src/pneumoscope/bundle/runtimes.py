"""What runs the exported graph: OpenVINO first, ONNX Runtime second; its precision is explicit."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata, util
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import BundleError, DependencyError, StorageError
from pneumoscope.core.files import cache_folder, sha256, write_text
from pneumoscope.core.provenance import machine
from pneumoscope.core.types import PixelBatch

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""What a bundle may be computed in, and OpenVINO's name for what its other operations use: a graph
in int8 says itself which of them are integer."""

FASTEST = "fastest"
"""In place of a name: whichever is fastest here, see `fastest_runtime`."""

_TIMED = 7

_OUTPUTS = ("logits", "embedding", "saliency")


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the graph answers for a batch.

    Attributes:
        logits: `[batch, label]`.
        embedding: `[batch, features]`.
        saliency: `[batch, label, height, width]`, >= 0, in logit units.
    """

    logits: NDArray[np.float32]
    embedding: NDArray[np.float32]
    saliency: NDArray[np.float32]


class Runtime(Protocol):
    """An opened graph; threads may share it, each gets the answers to what it gave."""

    @property
    def name(self) -> str:
        """The runtime's name."""

    def run(self, pixels: PixelBatch) -> Outputs:
        """Answer a batch `[batch, 1, size, size]`."""
        ...

    def arrays(
        self, pixels: PixelBatch, given: str, wanted: Sequence[str]
    ) -> list[NDArray[np.float32]]:
        """The outputs `wanted` of any graph whose one input is called `given`."""
        ...


@dataclass(frozen=True)
class OpenVino:
    """The graph compiled by OpenVINO for the processor.

    A request holds the inputs and outputs of one inference. Calling the compiled graph would use
    the same one from every thread, and hand one caller the answers to another's images.
    """

    compiled: Any
    name: str = "openvino"
    idle: SimpleQueue[Any] = field(default_factory=SimpleQueue, repr=False, compare=False)
    """Requests that nobody uses now; there are as many as were ever needed at once."""

    @classmethod
    def open(cls, onnx: bytes, threads: int | None, precision: str = "float32") -> OpenVino:
        """Compile with the precision asked for.

        The default on newer processors is bfloat16, which moves probabilities by up to 0.13
        (docs/decisions/0018-precision.md).
        """
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = _openvino_core()
        return cls(core.compile_model(core.read_model(onnx), "CPU", settings))

    def run(self, pixels: PixelBatch) -> Outputs:
        """Answer a batch."""
        return Outputs(*self.arrays(pixels, "pixels", _OUTPUTS))

    def arrays(
        self, pixels: PixelBatch, given: str, wanted: Sequence[str]
    ) -> list[NDArray[np.float32]]:
        """See `Runtime`."""
        try:
            request = self.idle.get_nowait()
        except Empty:
            request = self.compiled.create_infer_request()
        found = request.infer({given: pixels}, share_inputs=True, share_outputs=True)
        copied = [np.array(found[name]) for name in wanted]
        self.idle.put(request)
        return copied


@dataclass(frozen=True)
class OnnxRuntime:
    """The graph in ONNX Runtime on the processor."""

    session: Any
    name: str = "onnxruntime"

    @classmethod
    def open(cls, onnx: bytes, threads: int | None, precision: str = "float32") -> OnnxRuntime:
        """Open a session; only errors are logged."""
        import onnxruntime

        if precision == "bfloat16":
            raise ValueError("bfloat16 is not computed on a processor; OpenVINO does")

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads:
            options.intra_op_num_threads = threads
        providers = ["CPUExecutionProvider"]
        return cls(onnxruntime.InferenceSession(onnx, options, providers=providers))

    def run(self, pixels: PixelBatch) -> Outputs:
        """Answer a batch."""
        return Outputs(*self.arrays(pixels, "pixels", _OUTPUTS))

    def arrays(
        self, pixels: PixelBatch, given: str, wanted: Sequence[str]
    ) -> list[NDArray[np.float32]]:
        """See `Runtime`."""
        found: list[NDArray[np.float32]] = self.session.run(list(wanted), {given: pixels})
        return found


RUNTIMES: dict[str, Callable[[bytes, int | None, str], Runtime]] = {
    "openvino": OpenVino.open,
    "onnxruntime": OnnxRuntime.open,
}


@cache
def _openvino_core() -> Any:
    """The one Core of this process, never destroyed.

    Its plugin gives the thread that makes it a stack for signal handlers, and takes the memory
    away in whichever thread the last graph is dropped: the next signal would be the end.
    """
    import openvino

    return openvino.Core()


def installed_runtimes() -> list[str]:
    """Names of `RUNTIMES` that are installed, preferred first."""
    return [known for known in RUNTIMES if util.find_spec(known)]


def open_runtime(
    onnx: bytes,
    name: str = "auto",
    *,
    threads: int | None = None,
    precision: str = "float32",
    file: str = "model.onnx",
) -> Runtime:
    """The graph in the runtime named; `auto` takes the first installed of `RUNTIMES`.

    Args:
        onnx: The graph.
        name: `auto`, `fastest`, or one of `RUNTIMES`.
        threads: For one inference; None leaves it to the runtime.
        precision: One of `PRECISIONS`.
        file: How messages call the graph.

    Raises:
        DependencyError: the runtime is unknown or not installed.
        BundleError: it cannot open the graph, or not in this precision.
    """
    installed = installed_runtimes()
    chosen = installed[0] if name == "auto" and installed else name
    if name == FASTEST and installed:
        chosen = fastest_runtime(onnx, threads=threads, precision=precision)
    if chosen not in installed:
        allowed = ", ".join(("auto", FASTEST, *RUNTIMES))
        raise DependencyError(
            f"runtime '{name}': not installed or unknown; allowed: {allowed}. "
            "Run: pip install openvino onnxruntime"
        )
    try:
        return RUNTIMES[chosen](onnx, threads, precision)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(
            f"{file}: {chosen} cannot open it ({reason}). {_remedy(chosen, installed)}"
        ) from error


def _remedy(failed: str, installed: Sequence[str]) -> str:
    others = [name for name in installed if name != failed]
    export = "Export the bundle again with this version"
    return f"{export}, or choose --runtime {others[0]}." if others else f"{export}."


def fastest_runtime(onnx: bytes, *, threads: int | None, precision: str) -> str:
    """Which installed runtime answers one canvas soonest: timed once, and remembered per machine.

    One whose time is within a tenth of that of the preferred one is not worth another choice.
    """
    installed = installed_runtimes()
    facts = [*installed, *map(metadata.version, installed), threads, precision, machine()]
    key = sha256(json.dumps([sha256(onnx), *facts]).encode())[:16]
    memory = cache_folder() / "runtimes" / f"{key}.json"
    try:
        known = json.loads(memory.read_text(encoding="utf8"))["runtime"]
    except (OSError, ValueError, KeyError, TypeError):
        known = None
    if known in installed:
        return str(known)
    times = {name: _milliseconds(onnx, name, threads, precision) for name in installed}
    best = min(times, key=times.__getitem__)
    chosen = best if times[best] < _WORTH * times[installed[0]] else installed[0]
    with suppress(StorageError):  # it is timed again next time
        write_text(memory, json.dumps({"runtime": chosen, "milliseconds": times}))
    return chosen


_WORTH = 0.9


def _milliseconds(onnx: bytes, name: str, threads: int | None, precision: str) -> float:
    """Of one canvas, the best of a few; infinite where the runtime cannot open the graph."""
    from onnx import load_model_from_string

    try:
        opened = RUNTIMES[name](onnx, threads, precision)
    except Exception:  # noqa: BLE001 - whatever keeps a runtime from it, another may do
        return math.inf
    (given,) = load_model_from_string(onnx).graph.input
    sides = [dim.dim_value for dim in given.type.tensor_type.shape.dim[1:]]
    pixels = np.zeros((1, *sides), np.uint8)
    times = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        opened.run(pixels)
        times.append((time.perf_counter() - start) * 1000)
    return min(times)
