"""The command that shows what a bundle says of itself."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pneumoscope.cli.console import print_lines


def card(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="Folder, zip, models:/NAME@ALIAS or champion.")
    ] = "champion",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show a bundle's model card: whom it is for, its verdict, how good it was, its limits.

    Example: pneumoscope card
    """
    from pneumoscope.bundle.archive import CARD, open_bundle
    from pneumoscope.workflows.bundles import bundle_at

    found = open_bundle(bundle_at(bundle))
    text = found.files[CARD].decode("utf8", errors="replace")
    if as_json:
        facts = {"model_id": found.model_id, "labels": list(found.spec.labels), "card": text}
        print_lines([json.dumps(facts, ensure_ascii=False)])
        return
    _, _, told = text.partition("\n---\n") if text.startswith("---\n") else ("", "", text)
    print_lines(told.strip().splitlines())
