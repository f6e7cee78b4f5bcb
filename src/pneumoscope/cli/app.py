"""Starts the web app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import TerminalReporter


def app(
    bundle: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE", help="What answers on the page Try it; default champion, which ships."
        ),
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
    from pneumoscope.app.launch import check, launch
    from pneumoscope.app.settings import Settings

    settings = Settings(bundle=_chosen(bundle), runs=runs, audit=audit)
    check(settings, port)
    address = f"http://localhost:{port}, for this machine alone; Ctrl+C ends it."
    TerminalReporter().say(f"{address} For research use. Not a medical device.")
    launch(settings, port=port, headless=headless)


def _chosen(bundle: str | None) -> Path | None:
    """Where the bundle lies; without a name the champion, or none where none ships.

    Runs and audits can be looked at all the same.
    """
    from pneumoscope.core.errors import BundleError
    from pneumoscope.workflows.bundles import CHAMPION, bundle_at

    if bundle is not None:
        return bundle_at(bundle)
    reporter = TerminalReporter()
    try:
        found = bundle_at(CHAMPION)
    except BundleError as error:
        reporter.warn(f"nothing can be tried. {error}")
        return None
    reporter.say(f"No bundle named: {CHAMPION}, which ships, answers.")
    return found
