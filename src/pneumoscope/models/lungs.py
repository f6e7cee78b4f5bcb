"""Where the lungs are: a small U-Net that reads a canvas and marks lung, pixel by pixel.

Its weights come with the package (docs/decisions/0012-lung-segmenter.md says how they were made).
"""

from __future__ import annotations

import copy
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pneumoscope.core.errors import InputError, WeightsError
from pneumoscope.core.files import sha256
from pneumoscope.core.types import PixelBatch
from pneumoscope.data.lung_masks import clean_mask

SIZE = 128
"""Side, pixels, of what the network sees."""

WIDTHS = (16, 32, 64, 96, 128)
"""Channels at a half, a quarter, ... of the side."""

WEIGHTS_SHA256 = "5144d9246c9c527a3370109e3c214755c73d2f08a0d8fbe9efeb6040189b59d7"
"""Of the packaged weights, which are checked against it when loaded."""

_NAME = "lungs.safetensors"
_BATCH = 32


class LungNetwork(nn.Module):
    """A U-Net (Ronneberger et al. 2015) that starts at half the side and shuffles back at the end.

    Takes canvases `[batch, 1, side, side]`, float32 of any scale, and gives logits of lung of the
    same shape. The side is a multiple of 32. Each canvas is brought to mean 0 and deviation 1.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.stem = _convolution(4, widths[0])
        self.down = nn.ModuleList(
            _block(before, after)
            for before, after in zip((widths[0], *widths[:-1]), widths, strict=True)
        )
        self.up = nn.ModuleList(
            _block(deep + shallow, shallow) for shallow, deep in pairwise(widths)
        )
        self.answer = nn.Conv2d(widths[0], 4, 1)

    def forward(self, canvases: Tensor) -> Tensor:
        """Logits of lung `[batch, 1, side, side]`."""
        deviation, mean = torch.std_mean(canvases, dim=(1, 2, 3), keepdim=True)
        features = self.stem(functional.pixel_unshuffle((canvases - mean) / (deviation + 1), 2))
        passed: list[Tensor] = []
        for level, block in enumerate(self.down):
            features = block(functional.max_pool2d(features, 2) if level else features)
            passed.append(features)
        for block, skipped in zip(reversed(self.up), reversed(passed[:-1]), strict=True):
            larger = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = block(torch.cat([larger, skipped], dim=1))
        logits: Tensor = functional.pixel_shuffle(self.answer(features), 2)
        return logits


class LungSegmenter:
    """Marks the lungs on canvases, on the processor, the same way every time."""

    def __init__(self, network: LungNetwork) -> None:
        self._network = _fused(network)

    @classmethod
    def load(cls, path: Path | None = None, *, expected: str | None = WEIGHTS_SHA256) -> Self:
        """The segmenter whose weights are in a safetensors file; by default the packaged one.

        Args:
            path: Of the weights.
            expected: SHA-256 of the file; None takes what is there.

        Raises:
            WeightsError: the file is missing, changed, or holds another network's weights.
        """
        content = _packaged() if path is None else _read(path)
        if expected is not None and sha256(content) != expected:
            raise WeightsError(
                f"{_NAME}: SHA-256 is {sha256(content)[:12]}..., expected {expected[:12]}...: the "
                "lung segmenter's weights were changed. Install Pneumoscope again."
            )
        return cls(network_from(content))

    def probabilities(self, canvases: PixelBatch) -> NDArray[np.float32]:
        """`[batch, SIZE, SIZE]`: probability of lung, of canvases brought to that side.

        Args:
            canvases: `[batch, 1, height, width]` grey levels 0-255, any size.

        Raises:
            InputError: they are something else.
        """
        _check(canvases)
        found = np.empty((len(canvases), SIZE, SIZE), dtype=np.float32)
        for start in range(0, len(canvases), _BATCH):
            piece = torch.from_numpy(np.ascontiguousarray(canvases[start : start + _BATCH]))
            with torch.inference_mode():
                shrunk = _resized(piece.float(), SIZE, SIZE)
                logits = self._network(shrunk.contiguous(memory_format=torch.channels_last))
                found[start : start + _BATCH] = logits[:, 0].float().sigmoid().numpy()
        return found

    def segment(self, canvases: PixelBatch) -> NDArray[np.bool_]:
        """`[batch, height, width]`: where lung is; at most two parts without holes, or nothing.

        Args:
            canvases: `[batch, 1, height, width]` grey levels 0-255: radiographs of the chest,
                letterboxed or squeezed.

        Raises:
            InputError: they are something else.
        """
        found = self.probabilities(canvases)
        if not len(found):
            return np.zeros((0, *canvases.shape[2:]), dtype=np.bool_)
        for one in found:
            marked = one > 0.5
            cleaned = clean_mask(marked)
            one[cleaned & ~marked], one[marked & ~cleaned] = 1.0, 0.0
        with torch.inference_mode():
            height, width = canvases.shape[2:]
            restored = _resized(torch.from_numpy(found)[:, None], height, width)
            masks: NDArray[np.bool_] = restored[:, 0].numpy() > 0.5
        return masks


def weights_of(network: LungNetwork) -> bytes:
    """The network's weights as safetensors in half precision; the same weights, the same bytes."""
    from safetensors.torch import save

    state = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    return save(state)


def network_from(content: bytes) -> LungNetwork:
    """The network whose weights are in safetensors `content`, as `weights_of` wrote them.

    Raises:
        WeightsError: it is something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    network = LungNetwork()
    try:
        state = {name: value.float() for name, value in load(content).items()}
        network.load_state_dict(network.state_dict() | state)
        absent = {name for name, _ in network.named_parameters()} - state.keys()
    except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{_NAME}: not the lung segmenter's weights ({reason}). Install Pneumoscope again."
        ) from error
    if absent:
        missing = f"{len(absent)} tensors are missing, such as {min(absent)}"
        raise WeightsError(f"{_NAME}: {missing}. Install Pneumoscope again.")
    return network


def _packaged() -> bytes:
    try:
        return (resources.files("pneumoscope.models") / "weights_data" / _NAME).read_bytes()
    except OSError as error:
        message = f"{_NAME}: the lung segmenter's weights are missing from the package"
        raise WeightsError(f"{message}. Install Pneumoscope again.") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsError(f"{path}: cannot be read ({reason}). Give a weight file.") from error


def _check(canvases: PixelBatch) -> None:
    if canvases.ndim != 4 or canvases.shape[1] != 1 or canvases.dtype != np.uint8:
        found = f"{list(canvases.shape)} of {canvases.dtype}"
        allowed = "allowed: [batch, 1, height, width] of uint8"
        raise InputError(f"canvases are {found}; {allowed}. Preprocess them.")
    if 0 in canvases.shape[1:]:
        raise InputError(f"canvases are {list(canvases.shape)}; sides are 1 or more. Check them.")


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    if images.shape[2:] == (height, width):
        return images
    return functional.interpolate(images, size=(height, width), mode="bilinear", antialias=True)


def _fused(network: LungNetwork) -> LungNetwork:
    """A copy in evaluation mode, each normalisation folded into the convolution before it."""
    fused = copy.deepcopy(network).eval().to(memory_format=torch.channels_last)
    for layer in fused.modules():
        if not isinstance(layer, nn.Sequential):
            continue
        convolution, normalisation = layer[0], layer[1]
        if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
            layer[0] = fuse_conv_bn_eval(convolution, normalisation)
            layer[1] = nn.Identity()
    return fused


def _convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(_convolution(before, after), _convolution(after, after))
