"""Starts the web app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def app(
    bundle: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="What answers on the page Try it.")
    ] = None,
    runs: Annotated[
        str | None,
        typer.Option(metavar="FOLDER_OR_URI", help="Runs to show: a folder, or an MLflow store."),
    ] = None,
    audit: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="What audit wrote, to show and review.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="To listen on.")] = 8501,
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser.")] = False,
) -> None:
    """Show model, data, runs and evaluation in the browser, and try radiographs, on this machine.

    Example: pneumoscope app --bundle runs/demo/bundle --runs runs --audit runs/audit
    """
    from pneumoscope.app.launch import launch
    from pneumoscope.app.settings import Settings

    launch(Settings(bundle=bundle, runs=runs, audit=audit), port=port, headless=headless)
