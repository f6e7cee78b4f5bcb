"""Words and progress for a terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class TerminalReporter:
    """Draws notes, warnings and progress with the time left, on stderr."""

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._quiet = quiet

    def say(self, message: str) -> None:
        """Print a line."""
        if not self._quiet:
            self._console.print(message, markup=False)

    def warn(self, message: str) -> None:
        """Print a warning."""
        self._console.print(f"Note: {message}", style="yellow", markup=False)

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield the items under a progress bar."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("time left"),
            TimeRemainingColumn(),
        )
        hidden = self._quiet or not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=hidden) as progress:
            yield from progress.track(items, total=total, description=description)


@contextmanager
def exit_on(error_type: type[Exception]) -> Iterator[None]:
    """Turn an error of this program into one line on stderr and exit status 1."""
    try:
        yield
    except error_type as error:
        line = " ".join(str(error).split())
        sys.stderr.write(f"pneumoscope: {line}\n")
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        sys.stderr.write("\npneumoscope: interrupted; nothing half-written was left.\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()  # the reader of stdout has left: nobody to tell
        raise SystemExit(1) from None


def print_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def print_metrics(metrics: Mapping[str, object]) -> None:
    """Print the metrics and their intervals as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    level = f"{float(str(metrics['confidence_level'])):.0%}"
    table = Table(box=None, pad_edge=False)
    table.add_column(f"{metrics['split']}, {metrics['n_images']} images")
    table.add_column("value", justify="right")
    table.add_column(f"{level} interval", justify="right")
    for name, entry in metrics.items():
        if isinstance(entry, dict) and "value" in entry:
            table.add_row(Text(name), _number(entry["value"]), _interval(entry))
    Console(highlight=False).print(table)


def _interval(entry: Mapping[str, object]) -> str:
    if entry["low"] is None or entry["high"] is None:
        return "not defined"
    return f"{_number(entry['low'])} to {_number(entry['high'])}"


def _number(value: object) -> str:
    return "not defined" if value is None else f"{float(str(value)):.3f}"
