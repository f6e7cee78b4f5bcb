"""Trainings of one candidate in a process of their own: neither its memory nor its end is ours.

It ends when its standard input is closed, so it does not outlive who began it, even one that was
killed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from pneumoscope.workflows.benchmark.record import Job, Record

_CHILD = "pneumoscope.workflows.benchmark.child"
_PATIENCE = 20
"""Seconds in which an interrupted training may clean up."""


def run_here(jobs: Sequence[Job]) -> Iterator[Record]:
    """The record of each job, in this process; none after one that shows the others to be vain."""
    for job in jobs:
        record = job.run()
        yield record
        if record.hopeless:
            return


def run_apart(jobs: Sequence[Job]) -> Iterator[Record]:
    """The record of each job, as soon as it has ended; none after one that shows them to be vain.

    Where the process is killed, the training it was at has failed.
    """
    if not jobs:
        return
    with _process(jobs) as process:
        for job in jobs:
            record = Record.load(job.record) if _pipe(process.stdout).readline() else None
            if record is None:
                record = Record("failed", _end_in_words(process), hopeless=True)
                record.save(job.record)
            yield record
            if record.hopeless:
                return


@contextmanager
def _process(jobs: Sequence[Job]) -> Iterator[subprocess.Popen[str]]:
    jobs[0].log.parent.mkdir(parents=True, exist_ok=True)
    with (
        jobs[0].log.open("a", encoding="utf8") as log,
        subprocess.Popen(  # noqa: S603 - a module of this package
            [sys.executable, "-m", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        told = _pipe(process.stdin)
        try:
            with suppress(BrokenPipeError):
                told.write(json.dumps([job.to_json() for job in jobs]) + "\n")
                told.flush()
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(BrokenPipeError):
        _pipe(process.stdin).close()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
    except BaseException:
        process.kill()
        raise


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise ValueError("the process was begun without this pipe")
    return stream


def _end_in_words(process: subprocess.Popen[str]) -> str:
    code = process.wait()
    if code >= 0:
        return f"its process ended with status {code}; its log says more."
    name = signal.Signals(-code).name
    why = ", as happens where memory runs out" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{why}. The same command tries it again."
