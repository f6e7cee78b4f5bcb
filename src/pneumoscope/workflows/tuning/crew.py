"""Several workers as processes of this machine: started, watched, replaced where they die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from pneumoscope.core import errors
from pneumoscope.core.errors import PneumoscopeError, TrainingError
from pneumoscope.core.progress import Reporter
from pneumoscope.core.provenance import machine
from pneumoscope.workflows.tuning.plan import StudyPlan
from pneumoscope.workflows.tuning.worker import REFUSED

_POLL = 0.5
_PATIENCE = 20.0
"""Seconds that a worker is given to end."""
_REPLACED = 3
"""Workers that may die before the command ends."""


class Crew:
    """Worker processes of one study.

    Args:
        plan: What they work on.
        count: How many at a time.
        reporter: Told when one dies.
    """

    def __init__(self, plan: StudyPlan, count: int, reporter: Reporter) -> None:
        self._plan, self._reporter = plan, reporter
        self._logs: dict[int, IO[bytes]] = {}
        self._environment = _environment(count)
        self._died = 0
        self._working = [self._start() for _ in range(count)]

    @property
    def pids(self) -> list[int]:
        """The process numbers of those at work."""
        return [worker.pid for worker in self._working]

    def watch(self, look: Callable[[], None]) -> None:
        """Wait until all have ended, replacing those that die.

        Args:
            look: Called every half second.

        Raises:
            PneumoscopeError: a worker said why it could not go on.
            TrainingError: too many died.
        """
        while self._working:
            time.sleep(_POLL)
            look()
            for worker in list(self._working):
                if worker.poll() is not None:
                    self._working.remove(worker)
                    self._ended(worker)

    def end(self) -> None:
        """Ask all to stop; what they had under way is begun again by whoever goes on."""
        for worker in self._working:
            worker.terminate()
        for worker in self._working:
            try:
                worker.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        for log in self._logs.values():
            log.close()

    def _ended(self, worker: subprocess.Popen[bytes]) -> None:
        log = self._logs.pop(worker.pid)
        log.seek(0)
        said = log.read().decode("utf8", "replace").strip()
        log.close()
        if worker.returncode == 0:
            return
        if worker.returncode == REFUSED:
            raise _reason(said)
        self._died += 1
        last = said.splitlines()[-1][:200] if said else "it said nothing"
        how = f"status {worker.returncode}: {last}"
        if self._died > _REPLACED:
            raise TrainingError(
                f"{self._died} workers of study '{self._plan.study}' died, the last with {how}. "
                "Trials that are done are kept: the same command with fewer --workers goes on."
            )
        self._reporter.warn(f"A worker died ({how}). Another one takes over.")
        self._working.append(self._start())

    def _start(self) -> subprocess.Popen[bytes]:
        log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the worker
        worker = subprocess.Popen(
            [sys.executable, "-m", "pneumoscope.workflows.tuning.worker"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self._environment,
        )
        self._logs[worker.pid] = log
        if worker.stdin is not None:
            # Not as an argument: the storage's password would be seen by everybody on the machine.
            worker.stdin.write(self._plan.model_dump_json().encode())
            worker.stdin.close()
        return worker


@contextmanager
def crew(plan: StudyPlan, count: int, reporter: Reporter) -> Iterator[Crew]:
    """So many workers at work; all have ended when the block is left."""
    hired = Crew(plan, count, reporter)
    try:
        yield hired
    finally:
        hired.end()


def _environment(count: int) -> dict[str, str]:
    threads = max(1, int(machine()["cores"]) // count)
    return {
        "OMP_NUM_THREADS": str(threads),
        **os.environ,
        "PNEUMOSCOPE_TUNE_PARENT": str(os.getpid()),
    }


def _reason(said: str) -> PneumoscopeError:
    """The error that a worker ended with."""
    try:
        content = json.loads(said[said.rindex('{"error"') :])
        kind = getattr(errors, content["error"], PneumoscopeError)
        found: PneumoscopeError = kind(content["reason"])
    except (ValueError, KeyError):
        return PneumoscopeError(f"a worker ended without a reason ({said[-200:]}).")
    return found
