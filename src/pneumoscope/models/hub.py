"""Published weights of timm's backbones: files in the cache folder, the hub's cache, or the hub."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from urllib.request import getproxies

from torch import Tensor

from pneumoscope.core.errors import WeightsError
from pneumoscope.core.files import cache_folder

_FILE = "model.safetensors"


def cached(backbone: str) -> Path | None:
    """The file with the backbone's published weights, if it is on this machine."""
    from huggingface_hub import try_to_load_from_cache

    own = _own_file(backbone)
    if own.is_file():
        return own
    repository = _repository(backbone)
    found = None if repository is None else try_to_load_from_cache(repository, _FILE)
    return Path(found) if isinstance(found, str) else None


def fetched(backbone: str) -> Path:
    """The file with the backbone's published weights, fetched from the hub where needed.

    Raises:
        WeightsError: none are published, or they cannot be fetched; it says what to put where.
    """
    if found := cached(backbone):
        return found
    repository = _repository(backbone)
    if repository is not None:
        return _download(backbone, repository)
    if url := _address(backbone):
        raise WeightsError(
            f"model.weights: ImageNet weights of {backbone} are published at {url} only. Fetch "
            "that file and say weights: file:PATH, or weights: none."
        )
    raise WeightsError(
        f"model.weights: no ImageNet weights of {backbone} are published. Choose another backbone, "
        "weights: file:PATH, or weights: none."
    )


def published(backbone: str) -> bool:
    """Whether there are published weights of the backbone anywhere."""
    return _repository(backbone) is not None or _address(backbone) is not None


def read_as_timm(backbone: str, path: Path) -> dict[str, Tensor]:
    """The tensors in `path` under the names that timm's network has now.

    Published files may be of an older layout; timm converts them.

    Raises:
        WeightsError: it is no such file.
    """
    import timm

    overlay = {"file": str(path), "hf_hub_id": None, "url": None}
    try:
        network = timm.create_model(
            backbone, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, global_pool=""
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(
            f"{path.name}: does not hold the weights of {backbone} ({reason}). Delete {path} and "
            "fetch it again."
        ) from error
    return cast("dict[str, Tensor]", network.state_dict())


def _own_file(backbone: str) -> Path:
    return cache_folder() / "weights" / f"{_tagged(backbone)}.safetensors"


def _tagged(backbone: str) -> str:
    import timm

    config = timm.get_pretrained_cfg(backbone)
    return f"{config.architecture}.{config.tag}" if config.tag else str(config.architecture)


def _repository(backbone: str) -> str | None:
    import timm

    name = timm.get_pretrained_cfg(backbone).hf_hub_id
    if not name:
        return None
    return str(name) if not str(name).endswith("/") else f"{name}{_tagged(backbone)}"


def _address(backbone: str) -> str | None:
    import timm

    return timm.get_pretrained_cfg(backbone).url or None


def _download(backbone: str, repository: str) -> Path:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        raise _not_at_hand(backbone, repository, "HF_HUB_OFFLINE is set")
    if not _answers(constants.ENDPOINT):
        raise _not_at_hand(backbone, repository, "the hub does not answer")
    try:
        return Path(hf_hub_download(repository, _FILE))
    except (OSError, HfHubHTTPError) as error:
        raise _not_at_hand(backbone, repository, type(error).__name__) from error


def _answers(endpoint: str) -> bool:
    """Whether the hub can be reached: its client would try again for half a minute."""
    if getproxies():
        return True
    address = urlsplit(endpoint)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except OSError:
        return False
    return True


def _not_at_hand(backbone: str, repository: str, reason: str) -> WeightsError:
    own = _own_file(backbone)
    return WeightsError(
        f"model.weights: no ImageNet weights of {backbone} are at hand ({reason}). Fetch {_FILE} "
        f"of {repository} and put it at {os.fspath(own)}, or say weights: none."
    )
