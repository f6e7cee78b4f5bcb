"""The command that writes a run's bundle in another precision."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import TerminalReporter, print_lines


class Precision(StrEnum):
    """What a bundle may be computed in besides float32."""

    bfloat16 = "bfloat16"
    int8 = "int8"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that train wrote.")],
    precision: Annotated[Precision, typer.Option(help="Of what is computed.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the bundle.")],
    data: Annotated[
        Path | None, typer.Option(help="The images, if no longer where the recipe says.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="AUC that may be lost, surely at most.")
    ] = 0.005,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Write a run's bundle in another precision, if it answers as well.

    Calibration, operating points, label sets and gate are fitted again for it.

    Example: pneumoscope export runs/demo --precision int8 --output runs/demo-int8
    """
    from pneumoscope.workflows.reexporting import reexport

    result = reexport(
        run,
        precision=precision.value,
        output=output,
        data=data,
        tolerance=tolerance,
        reporter=TerminalReporter(quiet=as_json),
    )
    difference, (before, after) = result.difference, result.bytes
    if as_json:
        facts = {
            "bundle": str(result.bundle), "precision": result.precision,
            "auc_difference": {
                "value": difference.value, "low": difference.low, "high": difference.high,
            },
            "probability": result.probability, "bytes": list(result.bytes),
        }  # fmt: skip
        print_lines([json.dumps(facts)])
        return
    quality = (
        f"AUC on the validation split: {difference.value:+.4f} "
        f"({difference.low:+.4f} to {difference.high:+.4f}) against float32"
    )
    sizes = (
        f"Probabilities differ by {result.probability:.3f} at most; "
        f"graph {before / 1e6:.1f} MB, now {after / 1e6:.1f} MB"
    )
    print_lines([quality, sizes, f"Bundle  {result.bundle}"])
