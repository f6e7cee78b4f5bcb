"""A benchmark as one tracked run: its leaderboard, over a child for each candidate and seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pneumoscope.core.progress import Reporter
from pneumoscope.tracking import NOTE_TAG, Identity, TrackedRun, tracked_run
from pneumoscope.workflows.benchmark.protocol import Candidate, Protocol

_BY = "auc"
_REST = (
    "Everything else: `benchmark.html`, `leaderboard.csv` and `figures` among the artifacts; the "
    "trainings are the children of this run. For research use. Not a medical device."
)


@contextmanager
def benchmark_run(
    protocol: Protocol, candidates: Sequence[Candidate], reporter: Reporter
) -> Iterator[TrackedRun]:
    """The run over all trainings of a benchmark; one that goes on in its folder is the same run.

    Raises:
        StorageError: the tracking server refuses the login.
    """
    folder = protocol.output
    with tracked_run(
        protocol.base,
        store=folder.resolve().parent,
        tags={
            "data": protocol.data,
            "pneumoscope.candidates": ", ".join(one.name for one in candidates),
            "pneumoscope.seeds": ", ".join(map(str, protocol.seeds)),
        },
        reporter=reporter,
        inputs=protocol.inputs,
        identity=Identity(folder.resolve().name, kind="benchmark"),
        memory=folder,
    ) as run:
        yield run


def log_leaderboard(run: TrackedRun, protocol: Protocol, board: Mapping[str, Any]) -> None:
    """Every candidate's figures, who is best, and the folder with page, tables and figures."""
    ranked = [row for row in board["candidates"] if row["metrics"]]
    found = {f"{_BY}/{row['backbone']}": row["metrics"][_BY]["value"] for row in ranked}
    found |= {f"p50_ms/{row['backbone']}": row["p50_ms"] for row in ranked}
    for row in ranked[:1]:
        found |= {f"best/{name}": entry["value"] for name, entry in row["metrics"].items()}
        run.set_tags({"pneumoscope.best": row["candidate"]})
    known = {name: value for name, value in found.items() if value is not None}
    run.log_metrics(known, step=sum(row["seeds_finished"] for row in ranked))
    run.set_tags({NOTE_TAG: leaderboard_note(board)})
    run.log_folder(protocol.output)


def leaderboard_note(board: Mapping[str, Any]) -> str:
    """The leaderboard in Markdown, as the run's description."""
    lines = [
        *board["words"],
        "",
        f"| rank | candidate | AUC ({board['confidence_level']:.0%}) | group | parameters | p50 |",
        "|---|---|---|---|---|---|",
        *(_line(row) for row in board["candidates"] if row["metrics"]),
        "",
        *(
            f"- {row['candidate']} {row['status']}: {row['reason']}"
            for row in board["candidates"]
            if not row["metrics"]
        ),
        "",
        _REST,
    ]
    return "\n".join(lines)


def _line(row: Mapping[str, Any]) -> str:
    entry = row["metrics"][_BY]
    ends = "" if entry["low"] is None else f" ({entry['low']:.3f} to {entry['high']:.3f})"
    value = "not defined" if entry["value"] is None else f"{entry['value']:.3f}"
    size = "" if row["parameters"] is None else f"{row['parameters'] / 1e6:.2f} M"
    speed = "" if row["p50_ms"] is None else f"{row['p50_ms']:.1f} ms"
    cells = (str(row["rank"]), row["candidate"], value + ends, str(row["group"]), size, speed)
    return f"| {' | '.join(cells)} |"
