"""What the known backbones cost and bring, without computing anything."""

from __future__ import annotations

from dataclasses import dataclass

import torch

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


def list_backbones() -> list[BackboneInfo]:
    """Every known backbone, the small networks first; takes seconds."""
    known: list[tuple[str, float | None, str]] = [(name, None, name) for name in SCRATCH]
    for name, timm_name in NAMES.items():
        widths = WIDTHS.get(name)
        several = [(name, width, found) for width, found in widths.items()] if widths else None
        known += several or [(name, None, timm_name)]
    return [_describe(*entry) for entry in known]


def _describe(name: str, width: float | None, timm_name: str) -> BackboneInfo:
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
    weights = at_hand(timm_name)
    published = timm_name not in SCRATCH and hub.published(timm_name)
    return BackboneInfo(
        name=name,
        width=width,
        timm_name=timm_name,
        parameters=parameters,
        size=size,
        gmac=sum(called.values()) / 1e9,
        weights=weights,
        published=published,
        licence=str(config.get("license") or "not recorded") if published else "none",
    )
