"""The command that lays runs side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import TerminalReporter, print_lines


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Folders of runs or evaluations.")
    ],
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; default runs/<time>-compare.")
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B", help="What to compare; default auc,accuracy,log_loss."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Compare each run with this one, not all pairs."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Say which run is better on the same images, by paired tests, or that it is a tie.

    Example: pneumoscope compare runs/one runs/two --metrics auc,sensitivity:PNEUMONIA
    """
    from pneumoscope.workflows.comparing import METRICS, compare_runs

    result = compare_runs(
        runs,
        output=output,
        metrics=_names(metrics) if metrics else METRICS,
        reference=reference,
        seed=seed,
        reporter=TerminalReporter(quiet=as_json),
    )
    if as_json:
        print_lines([json.dumps(result.content, allow_nan=False, ensure_ascii=False)])
        return
    print_lines([*result.verdict, "", f"Report  {result.report}"])


def _names(texts: Sequence[str]) -> list[str]:
    """The metrics in `A,B`; a comma inside a label's name parts nothing."""
    from pneumoscope.evaluation.metrics import METRICS

    known = {metric.name for metric in METRICS}
    found = []
    for text in texts:
        several = [part.strip() for part in text.split(",")]
        kinds = {part.partition(":")[0] for part in several}
        found += several if kinds <= known else [text.strip()]
    return found
