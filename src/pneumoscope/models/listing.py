"""What the known backbones cost and bring, without computing anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from pneumoscope.core.errors import StorageError
from pneumoscope.core.files import cache_folder, sha256, write_text
from pneumoscope.models import hub
from pneumoscope.models.names import NAMES, WIDTHS
from pneumoscope.models.scratch import SCRATCH
from pneumoscope.models.trace import config_of, run_on_meta
from pneumoscope.models.weights import at_hand
from pneumoscope.models.zoo import new_network


@dataclass(frozen=True, slots=True)
class BackboneInfo:
    """One known backbone.

    Attributes:
        name: The name people know.
        width: Its width multiplier, where it comes in several.
        timm_name: What it is called in recipes written back.
        parameters: Of the part that gives feature maps.
        size: Side of the canvas that its published weights were made for.
        gmac: 10^9 multiply-adds of convolutions and linear layers for one image of that size, in
            three channels unless it has one; papers call this GFLOP.
        weights: `packaged`, `cache` or `none`: where ImageNet weights are on this machine.
        published: Whether there are ImageNet weights to fetch, or at hand.
        licence: Of the weights, as timm records it.
    """

    name: str
    width: float | None
    timm_name: str
    parameters: int
    size: int
    gmac: float
    weights: str
    published: bool
    licence: str


@dataclass(frozen=True, slots=True)
class _Costs:
    """What a network costs, whoever asks: multiply-adds for one image, weights, side, licence."""

    parameters: int
    size: int
    macs: int
    licence: str | None


def list_backbones() -> list[BackboneInfo]:
    """Every known backbone, the small networks first; takes seconds, the first time ten."""
    known: list[tuple[str, float | None, str]] = [(name, None, name) for name in SCRATCH]
    for name, timm_name in NAMES.items():
        widths = WIDTHS.get(name)
        several = [(name, width, found) for width, found in widths.items()] if widths else None
        known += several or [(name, None, timm_name)]
    costs = _remembered([timm_name for _, _, timm_name in known])
    return [_describe(*entry, costs[entry[2]]) for entry in known]


def _describe(name: str, width: float | None, timm_name: str, costs: _Costs) -> BackboneInfo:
    published = timm_name not in SCRATCH and hub.published(timm_name)
    return BackboneInfo(
        name=name,
        width=width,
        timm_name=timm_name,
        parameters=costs.parameters,
        size=costs.size,
        gmac=costs.macs / 1e9,
        weights=at_hand(timm_name),
        published=published,
        licence=(costs.licence or "not recorded") if published else "none",
    )


def _remembered(names: Sequence[str]) -> dict[str, _Costs]:
    """The costs of the networks: computed once for the code that makes them, then read."""
    file = cache_folder() / "zoo" / f"costs-{_made_by()}.json"
    try:
        content = json.loads(file.read_text(encoding="utf8"))
        kept = {name: _Costs(**costs) for name, costs in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # not there, or not what was written
        kept = {}
    found = {name: kept.get(name) or _computed(name) for name in names}
    if found.keys() - kept.keys():
        content = {name: asdict(costs) for name, costs in (kept | found).items()}
        with suppress(StorageError):  # listed all the same, as slowly the next time
            write_text(file, json.dumps(content))
    return found


def _made_by() -> str:
    """Tells the code apart that the costs follow from."""
    own = (Path(__file__).with_name(f"{name}.py").read_bytes() for name in ("scratch", "trace"))
    return sha256(b"".join(own) + f"{version('timm')} {version('torch')}".encode())[:12]


def _computed(timm_name: str) -> _Costs:
    with torch.device("meta"):
        network = new_network(timm_name)
    config = config_of(network)
    size = int(config["input_size"][-1])
    called: dict[str, int] = {}
    run_on_meta(network.eval(), size, called)
    parameters = sum(
        parameter.numel()
        for parameter_name, parameter in network.named_parameters()
        if (owner := parameter_name.rpartition(".")[0]) in called or not owner
    )
    licence = config.get("license")
    return _Costs(parameters, size, sum(called.values()), str(licence) if licence else None)
