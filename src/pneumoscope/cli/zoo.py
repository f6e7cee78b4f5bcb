"""Prints the zoo."""

from __future__ import annotations

import json
from dataclasses import asdict

from pneumoscope.cli.console import print_lines


def show_backbones(*, as_json: bool) -> None:
    """Print every known backbone, as a table or one JSON line each."""
    from pneumoscope.models.listing import list_backbones

    found = list_backbones()
    if as_json:
        print_lines(json.dumps(asdict(backbone)) for backbone in found)
        return
    head = (
        f"{'backbone':22} {'width':>5} {'million':>8} {'size':>5} {'GMAC':>6} {'weights':9} licence"
    )
    rows = [
        f"{one.name:22} {'' if one.width is None else f'{one.width:g}':>5} "
        f"{one.parameters / 1e6:8.2f} {one.size:5} {one.gmac:6.2f} "
        f"{_weights(one.weights, published=one.published):9} {one.licence}"
        for one in found
    ]
    print_lines([
        head,
        *rows,
        "",
        "weights: packaged (installed), cache (fetched before), hub (can be fetched), none.",
        "Use one: pneumoscope train DATA --set model.backbone=DenseNet121 --set model.weights=none",
    ])  # fmt: skip


def _weights(at_hand: str, *, published: bool) -> str:
    return "hub" if at_hand == "none" and published else at_hand
