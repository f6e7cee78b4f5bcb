"""What computes the part of a network that is not trained: torch, or OpenVINO where it pays."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, field, replace
from importlib import util
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.core.errors import RecipeError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.recipe import ComputeRecipe
from pneumoscope.models.classifier import evaluating
from pneumoscope.models.zoo import Backbone
from pneumoscope.training.precision import faster_precision, in_precision, network_fingerprint

EngineName = Literal["torch", "openvino"]

_PAYS = 1500
"""Views from which OpenVINO saves more time than compiling the network for it takes."""
_TOLERANCE = 1e-3
"""Of activations in float32, relative to the largest: more is another network, not rounding."""
_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoNetwork(nn.Module):
    """A network compiled by OpenVINO for this processor; without parameters or gradients.

    Args:
        compiled: From one input to one output.
    """

    def __init__(self, compiled: Any) -> None:
        super().__init__()
        self._compiled = compiled

    def forward(self, pixels: Tensor) -> Tensor:
        """What the network makes of `[batch, 1, size, size]`, float32."""
        # Copied: OpenVINO writes the next answer into the same memory.
        return torch.from_numpy(np.array(self._compiled(pixels.numpy())[0]))


@dataclass(frozen=True)
class Frozen:
    """How what is not trained is computed, the same for all phases of a run.

    Attributes:
        engine: `torch` or `openvino`.
        precision: `float32` or `bfloat16`.
        reporter: Told where OpenVINO has to be left.
        graphs: Networks already translated, by what they are.
    """

    engine: EngineName
    precision: str
    reporter: Reporter
    graphs: dict[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return self.precision if self.engine == "torch" else f"{self.precision}, OpenVINO"

    def ready(self, network: nn.Module, *, size: int) -> nn.Module:
        """A copy of the network to compute with, from pixels `[batch, 1, size, size]`."""
        if self.engine == "openvino":
            try:
                key = f"{size} {network_fingerprint(network)}"
                if key not in self.graphs:
                    self.graphs[key] = _translated(network, size)
                return _compiled(self.graphs[key], self.precision)
            except (RuntimeError, ValueError, TypeError) as error:
                reason = " ".join(str(error).split())[:120]
                self.reporter.warn(f"OpenVINO cannot compute this network: torch does ({reason}).")
        return in_precision(network, self.precision)


def choose_frozen(
    backbone: Backbone, compute: ComputeRecipe, *, size: int, views: int, reporter: Reporter
) -> Frozen:
    """The engine and precision that were requested, or where that is `auto`, the faster ones.

    Args:
        backbone: On the device that computes.
        compute: What was requested.
        size: Side of the canvas.
        views: How many there are to compute, of all images; none asks for no timing.
        reporter: Told what was chosen.

    Raises:
        RecipeError: OpenVINO was requested and the device is no processor.
    """
    engine = _engine(compute.engine, backbone.mean.device, views)
    frozen = Frozen(engine, compute.precision.replace("auto", "float32"), reporter)
    if compute.precision != "auto" or not views:
        return frozen
    pixels = torch.zeros(
        compute.batch_size, 1, size, size, dtype=torch.uint8, device=backbone.mean.device
    )

    def look(precision: str) -> Any:
        network = replace(frozen, precision=precision).ready(backbone, size=size)

        def step() -> None:
            with evaluating(network):
                network(pixels)

        return step

    name = f"{backbone.name} {engine}"
    precision = faster_precision(look, pixels, name, "the frozen backbone", reporter)
    return replace(frozen, precision=precision)


def _engine(requested: str, device: torch.device, views: int) -> EngineName:
    if requested == "openvino" and device.type != "cpu":
        raise RecipeError(
            f"compute.engine: openvino; on {device.type} only torch computes. Set it to torch, or "
            "compute.device to cpu."
        )
    if requested != "auto":
        return cast("EngineName", requested)
    pays = device.type == "cpu" and views >= _PAYS
    return "openvino" if pays and util.find_spec("openvino") else "torch"


def _translated(network: nn.Module, size: int) -> Any:
    """The network as OpenVINO's graph, shown to be the same network there.

    Raises:
        RuntimeError: it cannot be traced or compiled, or answers otherwise in float32.
    """
    import openvino

    plain = copy.deepcopy(network).to("cpu", torch.float32).eval()
    pixels = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (2, 1, size, size), dtype=np.uint8)
    )
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of tracing: what it warns of, the comparison would show
        expected = plain(pixels)
        shape = openvino.PartialShape([-1, 1, size, size])
        graph = openvino.convert_model(plain, example_input=pixels, input=shape)
    found = _compiled(graph, "float32")(pixels)
    error = float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-6))
    if not error <= _TOLERANCE:
        raise RuntimeError(f"its answers differ by {error:.1g} of the largest")
    return graph


def _compiled(graph: Any, precision: str) -> OpenVinoNetwork:
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    return OpenVinoNetwork(openvino.Core().compile_model(graph, "CPU", settings))
