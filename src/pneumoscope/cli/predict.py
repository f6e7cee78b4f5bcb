"""The command that answers images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import TerminalReporter
from pneumoscope.cli.options import BUNDLES, AsJson, Runtime, RuntimeName


def predict(
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="[BUNDLE] PATH...", help=f"BUNDLE: {BUNDLES}. PATH: image or folder."
        ),
    ],
    saliency: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write saliency overlays here.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the answers to this .csv or .parquet file.")
    ] = None,
    parts: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For many images: Parquet parts, going on if stopped."),
    ] = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Images per part.")] = 2000,
    runtime: Runtime = RuntimeName.fastest,
    as_json: AsJson = False,
) -> None:
    """Answer images and folders: a table, JSON lines, CSV or Parquet, with saliency overlays.

    The first argument is the bundle if it is the word champion, begins with models:, is a folder
    with a bundle's files (or one that train wrote), or is a zip. Otherwise all arguments are images
    and folders, and the champion that ships answers. A folder called champion is ./champion.

    Thousands of images, a list (CSV) or an archive (tar) go into --parts, which can be stopped.

    Example: pneumoscope predict image.png

    Example: pneumoscope predict runs/demo/bundle image.png folder --json --saliency overlays
    """
    import pneumoscope as ps
    from pneumoscope.cli import answers

    bundle, paths = _told_apart(given)
    if parts:
        answers.in_parts(
            bundle, paths, parts, shard_size=shard_size, runtime=runtime.value, as_json=as_json,
            alone=saliency is None and output is None,
        )  # fmt: skip
        return
    if output:
        answers.check_table_path(output)
    reporter = TerminalReporter(quiet=as_json)
    labels, found = ps.predict(
        bundle, paths, saliency=saliency, runtime=runtime.value, reporter=reporter
    )
    answers.show(found, labels, output=output, as_json=as_json)


def _told_apart(given: Sequence[str]) -> tuple[str, list[Path]]:
    """The bundle and the images; who answers is said where nobody was named."""
    from pneumoscope.workflows.bundles import CHAMPION, split_arguments

    bundle, paths = split_arguments(given)
    if not paths:
        raise typer.BadParameter(
            f"{bundle}: is the bundle, and no image follows. Give image files or folders.",
            param_hint="PATH...",
        )
    if bundle is None:
        TerminalReporter().say(f"No bundle named: {CHAMPION}, which ships, answers.")
    return bundle or CHAMPION, paths
