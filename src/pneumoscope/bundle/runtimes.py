"""What runs the exported graph: OpenVINO first, ONNX Runtime second; float32, said explicitly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import util
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pneumoscope.core.errors import BundleError, DependencyError
from pneumoscope.core.types import PixelBatch

PRECISION = "float32"

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
    """An opened graph."""

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
    """The graph compiled by OpenVINO for the processor."""

    compiled: Any
    name: str = "openvino"

    @classmethod
    def open(cls, onnx: bytes, threads: int | None) -> OpenVino:
        """Compile with float32 asked for.

        The default on newer processors is bfloat16, which moves probabilities by up to 0.026.
        """
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
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
        found = self.compiled({given: pixels})
        return [np.array(found[name]) for name in wanted]


@dataclass(frozen=True)
class OnnxRuntime:
    """The graph in ONNX Runtime on the processor."""

    session: Any
    name: str = "onnxruntime"

    @classmethod
    def open(cls, onnx: bytes, threads: int | None) -> OnnxRuntime:
        """Open a session; only errors are logged."""
        import onnxruntime

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


RUNTIMES: dict[str, Callable[[bytes, int | None], Runtime]] = {
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
    onnx: bytes, name: str = "auto", *, threads: int | None = None, file: str = "model.onnx"
) -> Runtime:
    """The graph in the runtime named; `auto` takes the first installed of `RUNTIMES`.

    `file` is how messages call the graph.

    Raises:
        DependencyError: the runtime is unknown or not installed.
        BundleError: it cannot open the graph.
    """
    installed = installed_runtimes()
    chosen = installed[0] if name == "auto" and installed else name
    if chosen not in installed:
        allowed = ", ".join(("auto", *RUNTIMES))
        raise DependencyError(
            f"runtime '{name}': not installed or unknown; allowed: {allowed}. "
            "Run: pip install openvino onnxruntime"
        )
    try:
        return RUNTIMES[chosen](onnx, threads)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"{file}: {chosen} cannot open it ({reason}).") from error
