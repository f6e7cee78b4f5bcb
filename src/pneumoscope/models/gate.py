"""What the gate looks with: is it a chest radiograph, inverted, cut off, turned?

The first block groups of an ImageNet EfficientNet-Lite0, as they are, and a small head that is
learnt on what they give (docs/decisions/0015-gate.md). Only its making needs torch: bundles carry
it as ONNX, see `bundle.gate`.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pneumoscope.core.errors import ExportError
from pneumoscope.imaging.thumbnail import SQUARE
from pneumoscope.models.weights import load_weights
from pneumoscope.models.zoo import create_network, to_backbone

BACKBONE = "tf_efficientnet_lite0"
GROUPS = 4
"""Block groups of the backbone that are kept, of seven."""

ANSWERS = ("chest", "inverted", "cut_off", "upright", "left", "half", "right")
"""What each of the logits is about; the last four are one choice, by quarter turns to the left."""

_CHANNELS, _NARROW, _WIDE, _CELLS = 80, 48, 64, 4


class GateTrunk(nn.Module):
    """The frozen part: squares `[batch, 1, 128, 128]` to maps `[batch, 80, 8, 8]`."""

    def __init__(self) -> None:
        super().__init__()
        network, scale = create_network(BACKBONE)
        load_weights(network, BACKBONE, "imagenet")
        whole: Any = to_backbone(network, BACKBONE, scale)
        self.scaled = whole.scaled
        self.stem = nn.Sequential(whole.network.conv_stem, whole.network.bn1)
        self.groups = nn.Sequential(*whole.network.blocks[:GROUPS])
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, squares: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of uint8 squares, and the look `[batch, 320]`: moments of every group's maps."""
        maps: Tensor = self.stem(self.scaled(squares))
        look: list[Tensor] = []
        for group in self.groups:
            maps = group(maps)
            look += moments(maps)
        return maps, torch.cat(look, dim=1)


def moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, `[batch, channels]` each."""
    mean = maps.mean(dim=(2, 3))
    variance = (maps - mean[:, :, None, None]).square().mean(dim=(2, 3))
    return mean, (variance + 1e-6).sqrt()


class GateHead(nn.Module):
    """The learnt part: maps to logits, of what is where and of means and deviations."""

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.narrow = nn.Sequential(
            nn.BatchNorm2d(_CHANNELS), nn.Conv2d(_CHANNELS, _NARROW, 1), nn.ReLU()
        )
        features = _NARROW * _CELLS * _CELLS + 2 * _CHANNELS
        self.answer = nn.Sequential(
            nn.BatchNorm1d(features),
            nn.Dropout(dropout),
            nn.Linear(features, _WIDE),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(_WIDE, len(ANSWERS)),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Logits `[batch, 7]`, see `ANSWERS`."""
        placed = functional.avg_pool2d(self.narrow(maps), maps.shape[-1] // _CELLS).flatten(1)
        logits: Tensor = self.answer(torch.cat([placed, *moments(maps)], dim=1))
        return logits


class GateNetwork(nn.Module):
    """Trunk and head: uint8 squares `[batch, 1, 128, 128]` to logits and look."""

    def __init__(self, trunk: GateTrunk, head: GateHead) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, squares: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `[batch, 7]`, see `ANSWERS`, and the look `[batch, 320]`."""
        maps, look = self.trunk(squares)
        return self.head(maps), look


def gate_onnx(network: GateNetwork) -> bytes:
    """The network as ONNX, the batch free: `squares` in, `answers` and `look` out.

    Raises:
        ExportError: torch gave nothing.
    """
    return _exported(network, ("answers", "look"))


def trunk_onnx(trunk: GateTrunk) -> bytes:
    """The trunk as ONNX, which runs several times as fast: `squares` in, `maps` and `look` out.

    Raises:
        ExportError: torch gave nothing.
    """
    return _exported(trunk, ("maps", "look"))


def _exported(network: nn.Module, outputs: tuple[str, str]) -> bytes:
    network = network.eval()
    example = torch.zeros(2, 1, SQUARE, SQUARE, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=4096)
    with warnings.catch_warnings(), torch.inference_mode(mode=False):
        # The exporter warns of its own internals (deprecations), which nobody here can act on.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, (example,), dynamo=True, verbose=False, input_names=["squares"],
            output_names=list(outputs), dynamic_shapes=({0: batch},),
        )  # fmt: skip
    if program is None:
        raise ExportError("torch gave no ONNX program for the gate. Report this.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gate.onnx"
        program.save(path, external_data=False)
        return path.read_bytes()
