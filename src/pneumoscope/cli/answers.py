"""Shows answers as they come: a table, JSON lines, or a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pneumoscope.cli.console import TerminalReporter, print_lines
from pneumoscope.core.errors import InputError
from pneumoscope.workflows.prediction import Answered, check_table_path, save_table

__all__ = ["check_table_path", "show"]


def show(
    answers: Iterator[Answered], labels: Sequence[str], *, output: Path | None, as_json: bool
) -> None:
    """Print every answer, and write them to `output` where one is named."""
    rows: list[dict[str, object]] = []
    for answer in answers:
        row = answer.row(labels)
        if as_json:
            print_lines([json.dumps(row, allow_nan=False, ensure_ascii=False)])
        if output or not as_json:
            rows.append(row)
    if output:
        save_table(rows, labels, output)
    if not as_json:
        _print_table(rows, labels)
        print_lines(["", "For research use. Not a medical device."])


def in_parts(
    bundle: str,
    paths: Sequence[Path],
    folder: Path,
    *,
    shard_size: int,
    runtime: str,
    as_json: bool,
    alone: bool,
) -> None:
    """Answer many images into a folder of parts, and print what came of it.

    Args:
        bundle: As `load_bundle` takes it.
        paths: What to answer.
        folder: For the parts.
        shard_size: Images per part.
        runtime: What runs the graph.
        as_json: Print JSON.
        alone: Whether no other form of output was asked for as well.

    Raises:
        InputError: another form of output was asked for.
    """
    from pneumoscope.workflows.bulk.run import SUMMARY, predict_in_parts
    from pneumoscope.workflows.bundles import load_bundle

    if not alone:
        raise InputError("--parts with --saliency or --output; allowed: alone. Leave one out.")
    reporter = TerminalReporter(quiet=as_json)
    predictor = load_bundle(bundle, runtime=runtime)
    result = predict_in_parts(predictor, paths, folder, shard_size=shard_size, reporter=reporter)
    if as_json:
        print_lines([json.dumps({"folder": str(folder), **result.to_json()})])
        return
    told = ", ".join(f"{count} {decision}" for decision, count in result.decisions.items())
    print_lines([
        f"{result.images} images ({told}) in {result.seconds:.1f} s",
        f"Parts  {folder} ({len(result.parts)} files, listed in {SUMMARY})",
        "", "For research use. Not a medical device.",
    ])  # fmt: skip


def _print_table(rows: Sequence[dict[str, object]], labels: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("image", overflow="fold")
    table.add_column("answer")
    for label in labels:
        table.add_column(Text(label), justify="right")
    table.add_column("ms", justify="right")
    warned = any(row["warnings"] for row in rows)
    if warned:
        table.add_column("warnings", overflow="fold")
    for row in rows:
        answer = str(row["label"] or f"{row['decision']}: {row['reason']}")
        shares = [_share(row[f"probability:{label}"]) for label in labels]
        cells = [str(row["path"]), answer, *shares, f"{float(str(row['milliseconds'])):.0f}"]
        cells += [str(row["warnings"] or "")] if warned else []
        table.add_row(*map(Text, cells))
    Console(highlight=False).print(table)


def _share(value: object) -> str:
    return "" if value is None else f"{float(str(value)):.3f}"
