"""`pneumoscope tune`."""

from __future__ import annotations

import json
import shutil
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pneumoscope.cli.console import TerminalReporter, print_lines

if TYPE_CHECKING:
    from pneumoscope.workflows.tuning.run import TuneResult


class Sampler(StrEnum):
    """What chooses the next point."""

    tpe = "tpe"
    grid = "grid"
    random = "random"


class Pruner(StrEnum):
    """What stops a trial that is behind the others."""

    median = "median"
    hyperband = "hyperband"
    none = "none"


class Metric(StrEnum):
    """What is best."""

    auc = "validation_auc"
    loss = "validation_loss"


def tune(
    source: Annotated[
        Path, typer.Argument(metavar="RECIPE|DATA", help="Where to start: YAML file, or a folder.")
    ],
    space: Annotated[
        Path, typer.Option(metavar="FILE", help="YAML: dotted recipe fields and their ranges.")
    ],
    trials: Annotated[int, typer.Option(min=1, help="How many, over all workers.")] = 20,
    timeout: Annotated[
        float | None, typer.Option(min=0.01, metavar="MINUTES", help="Then the trials are ended.")
    ] = None,
    sampler: Annotated[Sampler, typer.Option(help="Chooses the next point.")] = Sampler.tpe,
    pruner: Annotated[Pruner, typer.Option(help="Stops trials that fall behind.")] = Pruner.median,
    metric: Annotated[Metric, typer.Option(help="What is best.")] = Metric.auc,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes of this machine.")] = 1,
    seeds: Annotated[
        int, typer.Option(min=0, max=50, help="Final trainings of winner and start; 0: none.")
    ] = 3,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL|FILE", help="postgresql://USER:PASSWORD@HOST/DATABASE or a journal file."
        ),
    ] = None,
    study: Annotated[
        str | None, typer.Option(metavar="NAME", help="In the storage; default the recipe's name.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write; default runs/tune-<study>.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small but complete pass.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Search for the best recipe, then train it again and measure it on the sealed test split.

    The same command goes on with a study that was interrupted, and joins it from another
    terminal or machine.

    Example: pneumoscope tune recipe.yaml --space space.yaml --trials 30 --workers 2
    """
    from pneumoscope.cli.arguments import recipe_from
    from pneumoscope.core.recipe.space import load_space
    from pneumoscope.workflows.tuning.plan import Search
    from pneumoscope.workflows.tuning.run import tune as run

    recipe = recipe_from(source, changes or [], fields={}, quick=quick)
    result = run(
        recipe,
        load_space(space, recipe),
        output=output,
        search=Search(
            trials=trials,
            minutes=timeout,
            sampler=sampler.value,
            pruner=pruner.value,
            metric=metric.value,
        ),
        workers=workers,
        seeds=seeds,
        storage=storage,
        study=study,
        reporter=TerminalReporter(quiet=as_json),
    )
    _show(result, as_json=as_json)


def _show(result: TuneResult, *, as_json: bool) -> None:
    if as_json:
        print_lines([json.dumps(result.study, allow_nan=False)])
        return
    if result.report is None:
        return
    best, final = result.study["best"], result.study["final"]
    lines = [f"Trial {best['number']}: {result.study['metric']} {best['value']:.4f}"]
    lines += [f"  {name} = {value}" for name, value in best["params"].items()]
    if final:
        lines += ["", final["words"]]
    lines += ["", f"Report  {result.report}", f"Recipe  {result.best}"]
    journal = result.output / "study.journal"
    if shutil.which("optuna-dashboard") and journal.is_file():
        lines += ["", f"Look closer: optuna-dashboard {journal}"]
    print_lines([*lines, "", f"Next: pneumoscope train {result.best} --seed 1"])
