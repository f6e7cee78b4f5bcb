"""`pneumoscope recipe ...`: what is done with recipes themselves."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.console import TerminalReporter, print_lines

recipes = typer.Typer(
    name="recipe", help="Look after recipes.", no_args_is_help=True, rich_markup_mode=None
)


@recipes.callback()
def about() -> None:
    """Look after recipes."""


@recipes.command("convert")
def convert_recipe(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Dictionary: .json, .yaml or .py.")],
    output: Annotated[
        Path | None, typer.Option(help="YAML file to write; default the standard output.")
    ] = None,
    pick: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which dictionary, where there are several.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Read a Keras-style dictionary as a recipe, and say what could not be carried over.

    Each key is carried over, or named with what was taken instead. Python files are read, never
    executed. Example: pneumoscope recipe convert params.py --output recipe.yaml
    """
    from pneumoscope.core.errors import StorageError
    from pneumoscope.core.recipe import dump_recipe, save_recipe
    from pneumoscope.core.recipe.convert import convert, load_parameters

    if output is not None and output.exists():
        raise StorageError(f"{output}: exists already. Choose another --output or remove it.")
    found = convert(load_parameters(file, pick=pick), name=file.stem)
    if output is not None:
        save_recipe(found.recipe, output)
    if as_json:
        notes = [asdict(note) for note in found.notes]
        content = {"recipe": found.recipe.model_dump(mode="json"), "notes": notes}
        print_lines([json.dumps(content, allow_nan=False)])
        return
    reporter = TerminalReporter()
    for note in found.notes:
        reporter.warn(str(note))
    reporter.say(f"{len(found.notes)} things were not carried over as they were.")
    lines = [f"Recipe  {output}"] if output else dump_recipe(found.recipe).rstrip().splitlines()
    print_lines(lines)
