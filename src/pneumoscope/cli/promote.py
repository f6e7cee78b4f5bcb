"""The command that makes a run's model the champion."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import TerminalReporter, print_lines


def promote(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that train wrote.")],
    name: Annotated[str, typer.Option(help="Of the registered model.")] = "pneumoscope",
    override: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Promote although a gate is not passed; it is kept."),
    ] = None,
    uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="The MLflow store; default MLFLOW_TRACKING_URI, else its own."
        ),
    ] = None,
    who: Annotated[str | None, typer.Option(help="Kept in the registry; default you.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Make a run's model the champion, if it passes the gates.

    No red verdict, and on the same test images better than the champion, or as good and smaller.

    Example: pneumoscope promote runs/demo --name pneumonia
    """
    from pneumoscope.workflows.promoting import promote as make_champion

    result = make_champion(
        run,
        name=name,
        override=override,
        uri=uri,
        who=who,
        reporter=TerminalReporter(quiet=as_json),
    )
    if as_json:
        print_lines([json.dumps(asdict(result), ensure_ascii=False)])
        return
    print_lines([f"models:/{result.name}@champion is version {result.version} in {result.uri}"])
