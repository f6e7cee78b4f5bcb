"""The command that tells a tracking store what it missed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import TerminalReporter, print_lines


def sync(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN|FOLDER", help="A run, or a folder with runs in it.")
    ],
    uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="The MLflow store; default MLFLOW_TRACKING_URI, else its own."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Tell the MLflow store what it missed, or everything anew from the run folders.

    User and password are taken from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.

    Example: pneumoscope sync runs --uri http://127.0.0.1:5000
    """
    from pneumoscope.workflows.syncing import sync as tell

    done = tell(folder, uri=uri, reporter=TerminalReporter(quiet=as_json))
    if as_json:
        rows = [{**asdict(run), "folder": str(run.folder)} for run in done]
        print_lines([json.dumps(rows, ensure_ascii=False)])
        return
    print_lines(f"{run.state:<10} {run.folder}  {run.run_id} in {run.uri}" for run in done)
