"""Marks the lungs of a folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import TerminalReporter, print_lines


def segment(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Radiograph, or a folder of them.")],
    output: Annotated[Path, typer.Option(help="Folder to write; one PNG mask per image.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Write a lung mask for every radiograph, in its size, and a table of them.

    Example: pneumoscope segment chest_xray --output lung_masks
    """
    from pneumoscope.workflows import segmenting

    result = segmenting.segment(data, output, reporter=TerminalReporter(quiet=as_json))
    if as_json:
        print_lines(json.dumps(asdict(one), ensure_ascii=False) for one in result.images)
        return
    left_out = f"; {len(result.left_out)} without a mask" if result.left_out else ""
    print_lines([
        f"{len(result.images) - len(result.left_out)} masks{left_out}",
        "",
        f"Masks  {result.output}",
        f"Table  {result.output / segmenting.TABLE}",
        "",
        "For research use. Not a medical device.",
    ])  # fmt: skip
