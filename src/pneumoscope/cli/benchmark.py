"""The command that trains many backbones under one protocol."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pneumoscope.cli.console import TerminalReporter, print_lines
from pneumoscope.core.errors import RecipeError

if TYPE_CHECKING:
    from pneumoscope.workflows.benchmark.run import BenchmarkResult


class Suite(StrEnum):
    """Candidates that go by one name."""

    fast = "fast"
    scratch = "scratch"
    fifteen = "fifteen"


def benchmark(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Radiograph folder.")],
    candidates: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Backbones, as `models` lists them.")
    ] = None,
    suite: Annotated[
        Suite | None, typer.Option(help="Candidates that go by one name; adds to --candidates.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Trainings of each candidate.")] = 3,
    recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What every run's recipe is made from; default: the default "
            "recipe, half as many images asked about shortcuts.",
        ),
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights", help="Train from random weights where there are no others."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder to write, or to go on in; default runs/<time>-benchmark."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small but complete pass.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Compare many backbones under one protocol: leaderboard, ties, costs.

    The same command with the same --output goes on after an interrupt.

    Example: pneumoscope benchmark chest_xray --suite fast --seeds 2 --output runs/fast
    """
    from pneumoscope.core.recipe import load_recipe
    from pneumoscope.workflows.benchmark.run import SUITES
    from pneumoscope.workflows.benchmark.run import benchmark as run

    names = [*(candidates or "").split(","), *(SUITES[suite.value] if suite else ())]
    if not any(name.strip() for name in names):
        raise RecipeError("no candidate. Name some by --candidates A,B, or a --suite.")
    result = run(
        data,
        names,
        recipe=load_recipe(recipe) if recipe else None,
        seeds=seeds,
        output=output,
        random_weights=random_weights,
        quick=quick,
        reporter=TerminalReporter(quiet=as_json),
    )
    show_benchmark(result, as_json=as_json)


def show_benchmark(result: BenchmarkResult, *, as_json: bool) -> None:
    """Print the leaderboard as a table with who is tied, or as JSON."""
    board = result.leaderboard
    if as_json:
        print_lines([json.dumps({"output": str(result.output), **board}, allow_nan=False)])
        return
    _print_table(board)
    print_lines(["", *board["words"]])
    print_lines([
        "",
        f"Report  {result.report}",
        f"Table   {result.output / 'leaderboard.csv'}",
        "",
        "For research use. Not a medical device.",
    ])  # fmt: skip


def _print_table(board: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column(f"{board['split']}, {board['n_images']} images", no_wrap=True)
    for name in ("AUC", "interval", "group", "million", "MB", "train s", "ms"):
        table.add_column(name, justify="right")
    for row in board["candidates"]:
        if row["metrics"]:
            table.add_row(*map(Text, _cells(row)))
    Console(highlight=False).print(table)
    print_lines(
        f"{row['candidate']} {row['status']}: {row['reason']}"
        for row in board["candidates"]
        if not row["metrics"]
    )


def _cells(row: dict[str, Any]) -> list[str]:
    entry = row["metrics"]["auc"]
    numbers = (
        (row["parameters"] or 0) / 1e6, (row["bundle_bytes"] or 0) / 1e6,
        row["train_seconds"] or 0.0, row["p50_ms"] or 0.0,
    )  # fmt: skip
    interval = "" if entry["low"] is None else f"{entry['low']:.3f} to {entry['high']:.3f}"
    spelled = (f"{value:.{places}f}" for value, places in zip(numbers, (2, 1, 0, 1), strict=True))
    return [row["candidate"], f"{entry['value']:.3f}", interval, str(row["group"]), *spelled]
